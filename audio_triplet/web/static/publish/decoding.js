// A file's sound by Web Audio, at the file's own rate: asked for another, a browser resamples.

const text = (bytes, at, length) => String.fromCharCode(...bytes.subarray(at, at + length));
const big = (bytes, at) => (bytes[at] << 24 | bytes[at + 1] << 16 | bytes[at + 2] << 8 | bytes[at + 3]) >>> 0;
const little = (bytes, at) => (bytes[at] | bytes[at + 1] << 8 | bytes[at + 2] << 16 | bytes[at + 3] << 24) >>> 0;

function find(bytes, name, from = 0, to = bytes.length) {
  const codes = [...name].map((letter) => letter.charCodeAt(0));
  for (let n = from; n + codes.length <= to; n++) if (codes.every((code, k) => bytes[n + k] === code)) return n;
  return -1;
}

function ofMp3(bytes) {
  let at = 0;
  if (text(bytes, 0, 3) === "ID3") {
    at = 10 + (bytes[6] << 21 | bytes[7] << 14 | bytes[8] << 7 | bytes[9]);
  }
  const end = Math.min(bytes.length - 4, at + (1 << 16));
  for (; at < end; at++) {
    const version = bytes[at + 1] >> 3 & 3, rate = bytes[at + 2] >> 2 & 3;
    const isSync = bytes[at] === 0xff && (bytes[at + 1] & 0xe0) === 0xe0;
    if (isSync && version !== 1 && (bytes[at + 1] >> 1 & 3) && rate !== 3 && bytes[at + 2] >> 4 !== 15) {
      return [44100, 48000, 32000][rate] / (version === 3 ? 1 : version === 2 ? 2 : 4);
    }
  }
  return 0;
}

// Samples per second as the file's header has it; 0: not known.
export function rateOf(bytes) {
  const mark = text(bytes, 0, 4);
  if (mark === "RIFF" || mark === "RF64") {
    const at = find(bytes, "fmt ", 12, Math.min(bytes.length, 1 << 20));
    return at < 0 ? 0 : little(bytes, at + 12);
  }
  const head = Math.min(bytes.length, 1 << 12);
  if (mark === "OggS") {
    if (find(bytes, "OpusHead", 0, head) >= 0) return 48000;
    const at = find(bytes, "\x01vorbis", 0, head);
    if (at >= 0) return little(bytes, at + 12);
  }
  const flac = mark === "fLaC" ? 0 : mark === "OggS" ? find(bytes, "fLaC", 0, head) : -1;
  if (flac >= 0) return big(bytes, flac + 18) >>> 12;
  if (text(bytes, 4, 4) === "ftyp") {
    const at = find(bytes, "mp4a");
    return at < 0 ? 0 : big(bytes, at + 28) >>> 16;
  }
  return ofMp3(bytes);
}

// {channels: [Float32Array], rate} of a whole file; throws where the browser cannot decode it.
export async function decoded(buffer) {
  const rate = rateOf(new Uint8Array(buffer)) || 48000;
  let context;
  try {
    context = new OfflineAudioContext(1, 1, rate);
  } catch {  // a rate that no context has: the browser resamples
    context = new OfflineAudioContext(1, 1, rate < 8000 ? 8000 : 96000);
  }
  const sound = await context.decodeAudioData(buffer);
  const channels = Array.from({length: sound.numberOfChannels}, (_, n) => sound.getChannelData(n));
  return {channels, rate: sound.sampleRate};
}
