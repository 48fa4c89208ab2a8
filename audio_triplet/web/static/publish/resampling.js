// Channels at a file's own rate → one channel at 16 kHz, by a filter of ours: browsers resample
// each in their own way. The pass band is that of soxr's HQ, which made the index.

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
  const table = new Map();  // phase → weights, made when they are needed
  const weightsOf = (phase) => {
    let weights = table.get(phase);
    if (!weights) {
      weights = new Float64Array(taps);
      for (let n = 0; n < taps; n++) {
        const t = n - half - phase / up, inside = 1 - (t / (half + 1)) ** 2;
        const x = 2 * Math.PI * cutoff * t;
        const sinc = Math.abs(x) < 1e-12 ? 2 * cutoff : Math.sin(x) / (Math.PI * t);
        weights[n] = inside > 0 ? sinc * bessel(beta * Math.sqrt(inside)) * scale : 0;
      }
      table.set(phase, weights);
    }
    return weights;
  };
  const length = Math.max(1, Math.round(sound.length * wanted / rate));
  const found = new Float32Array(length);
  for (let n = 0; n < length; n++) {
    const place = n * down, centre = Math.floor(place / up), weights = weightsOf(place - centre * up);
    const begin = centre - half;
    let sum = 0;
    const first = Math.max(0, -begin), last = Math.min(taps, sound.length - begin);
    for (let k = first; k < last; k++) sum += weights[k] * sound[begin + k];
    found[n] = sum;
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
