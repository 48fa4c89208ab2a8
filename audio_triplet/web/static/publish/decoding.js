// A file's sound by Web Audio, at the file's own rate: asked for another, a browser resamples.
import * as mp3 from "./mp3.js";

const STEP = 2 ** -15;  // to which some builds of Chromium round what an MP3 decodes to
const LESS = 1 / 4, MORE = 8;  // times the gain: room above full scale; finer steps below it
const GAINS = [1, 8, 64];  // to begin with, for what is quieter and quieter

const text = (bytes, at, length) => String.fromCharCode(...bytes.subarray(at, at + length));
const big = (bytes, at) => (bytes[at] << 24 | bytes[at + 1] << 16 | bytes[at + 2] << 8 | bytes[at + 3]) >>> 0;
const little = (bytes, at) => (bytes[at] | bytes[at + 1] << 8 | bytes[at + 2] << 16 | bytes[at + 3] << 24) >>> 0;

function find(bytes, name, from = 0, to = bytes.length) {
  const codes = [...name].map((letter) => letter.charCodeAt(0));
  for (let n = from; n + codes.length <= to; n++) if (codes.every((code, k) => bytes[n + k] === code)) return n;
  return -1;
}

// Samples per second as the header of a file has it that is no MP3; 0: not known.
function rateInHeader(bytes) {
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
  return 0;
}

export const rateOf = (bytes) => rateInHeader(bytes) || mp3.rateOf(bytes);

function contextOf(rate) {
  try {
    return new OfflineAudioContext(1, 1, rate);
  } catch {  // a rate that no context has: the browser resamples
    return new OfflineAudioContext(1, 1, rate < 8000 ? 8000 : 96000);
  }
}

async function channelsOf(context, buffer) {
  const sound = await context.decodeAudioData(buffer);
  return Array.from({length: sound.numberOfChannels}, (_, n) => sound.getChannelData(n));
}

const isCut = (channels) => channels.some((samples) => samples.some((value) => Math.abs(value) === 1));

const isWhole = (value) => Math.abs(value - Math.round(value)) < 0.01;

// Whether samples are whole steps; Chromium divides what is positive by one less.
const isRounded = (channels) => channels.every((samples) => samples.every((value) => isWhole(value / STEP) || isWhole(value / STEP - value)));

// The file's channels by another gain, with the samples' own level; null where it is not as long.
async function byGain(times, channels, context, bytes) {
  const found = await channelsOf(context, mp3.amplified(bytes, times).buffer);
  const isAlike = found.length === channels.length && found.every(({length}, n) => length === channels[n].length);
  return isAlike ? found.map((samples) => samples.map((value) => value / times)) : null;
}

// An MP3 as it is above full scale too; as it was decoded where the two ways do not agree below.
async function uncut(channels, context, bytes) {
  const found = await byGain(LESS, channels, context, bytes), near = 3 * STEP / LESS;
  const agrees = found?.every((samples, channel) => samples.every((value, n) => {
    const cut = channels[channel][n];
    return Math.abs(cut) === 1 ? value * cut > 1 - near : Math.abs(value - cut) < near;
  }));
  return agrees ? channels.map((samples, channel) => samples.map((value, n) => Math.abs(value) === 1 ? found[channel][n] : value)) : channels;
}

// An MP3 that was decoded at a gain, with finer steps where it is quiet, as far as the two ways agree.
async function finer(channels, context, bytes, gain) {
  const found = await byGain(MORE * gain, channels, context, bytes);
  if (!found) return channels;
  return channels.map((samples, channel) => samples.map((value, n) => {
    const fine = found[channel][n];
    return Math.abs(fine) < 0.99 / (MORE * gain) && Math.abs(fine - value) < 3 * STEP / gain ? fine : value;
  }));
}

// {channels: [Float32Array], rate} of a whole file; throws where the browser cannot decode it.
export async function decoded(buffer) {
  const bytes = new Uint8Array(buffer), rate = rateInHeader(bytes), context = contextOf(rate || mp3.rateOf(bytes) || 48000);
  const kept = rate ? null : bytes.slice();  // decoding takes the buffer away
  let channels = await channelsOf(context, buffer);
  if (kept && isRounded(channels)) for (const gain of GAINS) channels = await finer(channels, context, kept, gain);
  if (kept && isCut(channels)) channels = await uncut(channels, context, kept);
  return {channels, rate: context.sampleRate};
}
