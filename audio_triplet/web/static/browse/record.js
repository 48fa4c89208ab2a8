// Sound from the microphone, as a WAV file that every server reads.
import {$, guarded, say} from "./dom.js";

const MOST_SECONDS = 30;

// 16 bit, mono.
export function wav(channels, rate) {
  const length = channels[0].length, view = new DataView(new ArrayBuffer(44 + 2 * length));
  const word = (at, text) => [...text].forEach((char, place) => view.setUint8(at + place, char.charCodeAt(0)));
  word(0, "RIFF");
  view.setUint32(4, 36 + 2 * length, true);
  word(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, 1, true);
  view.setUint32(24, rate, true);
  view.setUint32(28, 2 * rate, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  word(36, "data");
  view.setUint32(40, 2 * length, true);
  for (let place = 0; place < length; place += 1) {
    let sum = 0;
    for (const channel of channels) sum += channel[place];
    view.setInt16(44 + 2 * place, Math.round(32767 * Math.max(-1, Math.min(1, sum / channels.length))), true);
  }
  return new Blob([view.buffer], {type: "audio/wav"});
}

// Browsers record in formats of their own; each decodes its own.
async function asWav(blob) {
  const context = new AudioContext();
  try {
    const decoded = await context.decodeAudioData(await blob.arrayBuffer());
    const channels = Array.from({length: decoded.numberOfChannels}, (_, at) => decoded.getChannelData(at));
    return wav(channels, decoded.sampleRate);
  } finally {
    context.close();
  }
}

let recorder = null;

async function start(whenDone) {
  if (!navigator.mediaDevices?.getUserMedia) {
    throw new Error("The microphone: browsers lend it to https and to this computer's own pages only; send a file instead.");
  }
  const stream = await navigator.mediaDevices.getUserMedia({
    audio: {echoCancellation: false, noiseSuppression: false, autoGainControl: false},
  }).catch((error) => {
    throw new Error(`The microphone: ${error.message}; allow it in the address bar, or send a file instead.`);
  });
  const parts = [];
  recorder = new MediaRecorder(stream);
  recorder.addEventListener("dataavailable", (event) => parts.push(event.data));
  recorder.addEventListener("stop", guarded(async () => {
    clearTimeout(limit);
    for (const track of stream.getTracks()) track.stop();
    const blob = new Blob(parts, {type: recorder.mimeType});
    recorder = null;
    show(false);
    say("Reading what was recorded …");
    whenDone(await asWav(blob), `recording ${new Date().toLocaleTimeString("en-GB")}.wav`);
  }));
  const limit = setTimeout(() => recorder?.stop(), 1000 * MOST_SECONDS);
  recorder.start();
  show(true);
  say(`Recording, ${MOST_SECONDS} s at most. Press again to search by it.`);
}

function show(isOn) {
  $("record").setAttribute("aria-pressed", isOn);
  $("record").textContent = isOn ? "■ Stop and search" : "● Record";
}

// `whenDone` gets a WAV and its name.
export function begin(whenDone) {
  $("record").addEventListener("click", guarded(() => (recorder ? recorder.stop() : start(whenDone))));
}
