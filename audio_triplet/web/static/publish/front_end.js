// The front end, as `audio_triplet.front_end` has it: waveform → mel energies → log mel patches.

export const RATE = 16000, WINDOW = 400, HOP = 160, FFT = 512, MELS = 64, FRAMES = 96;
export const PATCH_SAMPLES = (FRAMES - 1) * HOP + WINDOW;
const MEL_MIN = 125, MEL_MAX = 7500, OFFSET = 0.01;
const BINS = FFT / 2 + 1;

const mel = (hertz) => 1127 * Math.log1p(hertz / 700);

const window_ = Float32Array.from({length: WINDOW}, (_, n) => 0.5 - 0.5 * Math.cos(2 * Math.PI * n / WINDOW));

// For each band its first bin and the weights from there on: triangles linear in mel, 0 Hz in none.
const bands = Array.from({length: MELS}, (_, band) => {
  const edge = (n) => mel(MEL_MIN) + (mel(MEL_MAX) - mel(MEL_MIN)) * n / (MELS + 1);
  const [lower, centre, upper] = [edge(band), edge(band + 1), edge(band + 2)];
  const weights = Array.from({length: BINS}, (_, bin) => {
    const at = mel(bin * RATE / FFT);
    return bin ? Math.max(0, Math.min((at - lower) / (centre - lower), (upper - at) / (upper - centre))) : 0;
  });
  const first = weights.findIndex((weight) => weight > 0);
  if (first < 0) return {first: 0, weights: new Float64Array(0)};
  const last = weights.findLastIndex((weight) => weight > 0);
  return {first, weights: Float64Array.from(weights.slice(first, last + 1))};
});

const cosines = Float64Array.from({length: FFT / 2}, (_, n) => Math.cos(2 * Math.PI * n / FFT));
const sines = Float64Array.from({length: FFT / 2}, (_, n) => Math.sin(2 * Math.PI * n / FFT));
const reversed = Uint16Array.from({length: FFT}, (_, n) => {
  let turned = 0;
  for (let bit = 1; bit < FFT; bit *= 2) turned = turned * 2 + (n & bit ? 1 : 0);
  return turned;
});

// In place, radix 2.
function transform(real, imaginary) {
  for (let n = 0; n < FFT; n++) {
    const other = reversed[n];
    if (other > n) {
      [real[n], real[other]] = [real[other], real[n]];
      [imaginary[n], imaginary[other]] = [imaginary[other], imaginary[n]];
    }
  }
  for (let size = 2; size <= FFT; size *= 2) {
    const half = size / 2, step = FFT / size;
    for (let begin = 0; begin < FFT; begin += size) {
      for (let k = 0; k < half; k++) {
        const c = cosines[k * step], s = sines[k * step], a = begin + k, b = a + half;
        const r = real[b] * c + imaginary[b] * s, i = imaginary[b] * c - real[b] * s;
        real[b] = real[a] - r;
        imaginary[b] = imaginary[a] - i;
        real[a] += r;
        imaginary[a] += i;
      }
    }
  }
}

// Float32Array[frames * MELS], linear, of a waveform at 16 kHz; whole windows only.
export function melEnergies(waveform) {
  const frames = Math.max(0, 1 + Math.floor((waveform.length - WINDOW) / HOP));
  const energies = new Float32Array(frames * MELS), magnitudes = new Float64Array(BINS);
  const real = new Float64Array(FFT), imaginary = new Float64Array(FFT);
  for (let frame = 0; frame < frames; frame++) {
    real.fill(0);
    imaginary.fill(0);
    for (let n = 0; n < WINDOW; n++) real[n] = Math.fround(waveform[frame * HOP + n] * window_[n]);
    transform(real, imaginary);
    for (let bin = 0; bin < BINS; bin++) magnitudes[bin] = Math.sqrt(real[bin] ** 2 + imaginary[bin] ** 2);
    for (let band = 0; band < MELS; band++) {
      const {first, weights} = bands[band];
      let sum = 0;
      for (let n = 0; n < weights.length; n++) sum += weights[n] * magnitudes[first + n];
      energies[frame * MELS + band] = sum;
    }
  }
  return energies;
}

export const logMel = (energies) => energies.map((energy) => Math.log(Math.fround(energy + Math.fround(OFFSET))));

// The patches of a sound, `hop` frames apart: {start (seconds), energy (mean), mel (Float32Array)}.
// Whole ones only; a shorter sound is one patch, its energies padded with silence.
export function patches(waveform, hop) {
  if (!waveform.length) return [];
  let sound = waveform;
  const isShort = sound.length < PATCH_SAMPLES;
  if (sound.length < WINDOW) {
    sound = new Float32Array(WINDOW);
    sound.set(waveform);
  }
  let energies = melEnergies(sound);
  if (isShort) {
    const padded = new Float32Array(FRAMES * MELS);
    padded.set(energies.subarray(0, padded.length));
    energies = padded;
  }
  const count = isShort ? 1 : 1 + Math.floor((sound.length - PATCH_SAMPLES) / (hop * HOP));
  return Array.from({length: count}, (_, number) => {
    const part = energies.subarray(number * hop * MELS, (number * hop + FRAMES) * MELS);
    const energy = part.reduce((sum, value) => sum + value, 0) / part.length;
    return {start: number * hop * HOP / RATE, energy, mel: part};
  });
}
