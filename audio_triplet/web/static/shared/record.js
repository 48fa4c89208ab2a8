// Sound from the microphone, as a WAV file that every reader takes.
import {$, guarded, say} from "./dom.js";
import {wav} from "./wav.js";

const MOST_SECONDS = 30;

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
    throw new Error("The microphone: browsers lend it to https and to this computer's own pages only; choose a file instead.");
  }
  const stream = await navigator.mediaDevices.getUserMedia({
    audio: {echoCancellation: false, noiseSuppression: false, autoGainControl: false},
  }).catch((error) => {
    throw new Error(`The microphone: ${error.message}; allow it in the address bar, or choose a file instead.`);
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
