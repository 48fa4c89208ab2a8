// Channels at a file's own rate → one channel at 16 kHz, by a filter of ours: browsers resample
// each in their own way. The pass band is that of soxr's HQ, which made the index.

import {assembled, F64, f64, f64x2, get, set, step, times, v128} from "./assembly.js";

const PASS = 0.9136, REJECTION = 126.4;  // of the lower Nyquist frequency; dB
const SILENCE = 2 ** -15, PROBES = 16, PROBE_FRAMES = 1 << 14;  // as `audio.channels`

function bessel(x) {
  let sum = 1, term = 1;
  for (let k = 1; term > sum * 1e-17; k++) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}

const BLOCK = 1 << 14;  // samples that are made at once

// (one, other, count): the sum of products of 8 · count numbers of 64 bits.
function summer(memory) {
  const [one, other, count] = [0, 1, 2], sums = [3, 4, 5, 6];
  const body = [
    ...times(count, [
      ...sums.flatMap((sum, n) => [
        ...get(sum), ...v128.load(one, 16 * n), ...v128.load(other, 16 * n), ...f64x2.mul, ...f64x2.add, ...set(sum)]),
      ...step(one, 64), ...step(other, 64)]),
    ...get(3), ...sums.slice(1).flatMap((sum) => [...get(sum), ...f64x2.add]), ...set(3),
    ...f64x2.lane(3, 0), ...f64x2.lane(3, 1), ...f64.add,
  ];
  return assembled(memory, {parameters: 3, result: [F64], integers: 0, vectors: 4}, body);
}

const gcd = (a, b) => (b ? gcd(b, a % b) : a);

// A sound of one rate at another: Float32Array → Float32Array. Silence lies before and after.
export function resampled(sound, rate, wanted) {
  if (rate === wanted) return sound;
  const divisor = gcd(rate, wanted), up = wanted / divisor, down = rate / divisor;
  const lower = Math.min(rate, wanted);
  const cutoff = (1 + PASS) / 2 * lower / 2 / rate;  // cycles per sample of the sound
  const transition = (1 - PASS) * lower / 2 / rate * 2 * Math.PI;
  const half = Math.ceil((REJECTION - 7.95) / (2.285 * transition) / 2);
  const beta = 0.1102 * (REJECTION - 8.7), scale = 1 / bessel(beta), taps = 2 * half + 1;
  const weightOf = (n, phase) => {
    const t = n - half - phase / up, inside = 1 - (t / (half + 1)) ** 2, x = 2 * Math.PI * cutoff * t;
    const sinc = Math.abs(x) < 1e-12 ? 2 * cutoff : Math.sin(x) / (Math.PI * t);
    return inside > 0 ? sinc * bessel(beta * Math.sqrt(inside)) * scale : 0;
  };
  // In one memory: the sound around a block, and the weights of each phase, made when they are needed.
  const length = Math.max(1, Math.round(sound.length * wanted / rate)), found = new Float32Array(length);
  const padded = 8 * Math.ceil(taps / 8), span = Math.ceil(BLOCK * down / up) + padded;
  const memory = new WebAssembly.Memory({initial: Math.ceil(8 * (span + Math.min(up, length) * padded) / 65536)});
  const near = new Float64Array(memory.buffer, 0, span), dot = summer(memory), places = new Map();
  const placeOf = (phase) => {
    let place = places.get(phase);
    if (place === undefined) {
      place = 8 * (span + places.size * padded);
      const weights = new Float64Array(memory.buffer, place, taps);
      for (let n = 0; n < taps; n++) weights[n] = weightOf(n, phase);
      places.set(phase, place);
    }
    return place;
  };
  for (let first = 0; first < length; first += BLOCK) {
    const begin = Math.floor(first * down / up) - half, from = Math.max(0, begin);
    near.fill(0);
    near.set(sound.subarray(from, begin + span), from - begin);
    for (let n = first; n < Math.min(length, first + BLOCK); n++) {
      const place = n * down, centre = Math.floor(place / up);
      found[n] = dot(placeOf(place - centre * up), 8 * (centre - half - begin), padded / 8);
    }
  }
  return found;
}

// The sum of the channels, divided by those that carry sound.
export function mixedDown(channels) {
  const length = channels[0].length;
  if (channels.length === 1) return channels[0];
  const carries = (samples) => {
    for (let probe = 0; probe < PROBES; probe++) {
      const begin = Math.floor(probe * length / PROBES), end = Math.min(length, begin + PROBE_FRAMES);
      for (let n = begin; n < end; n++) if (Math.abs(samples[n]) > SILENCE) return true;
    }
    return false;
  };
  const carrying = channels.filter(carries).length || channels.length;
  const mixed = new Float32Array(length);
  for (let n = 0; n < length; n++) {
    let sum = 0;
    for (const samples of channels) sum += samples[n];
    mixed[n] = sum / carrying;
  }
  return mixed;
}
