// A log mel picture as `web.pictures` draws it: time to the right, 20 ms a pixel, low at the bottom.
import {logMel, melEnergies, MELS, WINDOW} from "./front_end.js";

const FRAMES_PER_PIXEL = 2, LEAST_RANGE = 3, LEVELS = 32;
const FLOOR = Math.log(0.01);

// {width, levels: Uint8Array[width * MELS], by pixel, low mel first} of a waveform at 16 kHz.
export function levelsOf(waveform) {
  let sound = waveform;
  if (sound.length < WINDOW) {
    sound = new Float32Array(WINDOW);
    sound.set(waveform);
  }
  const energies = melEnergies(sound), frames = energies.length / MELS, width = Math.ceil(frames / FRAMES_PER_PIXEL);
  const means = new Float32Array(width * MELS);
  for (let pixel = 0; pixel < width; pixel++) {
    for (let frame = 0; frame < FRAMES_PER_PIXEL; frame++) {
      const from = Math.min(frames - 1, pixel * FRAMES_PER_PIXEL + frame) * MELS;
      for (let band = 0; band < MELS; band++) means[pixel * MELS + band] += energies[from + band] / FRAMES_PER_PIXEL;
    }
  }
  const values = logMel(means), top = values.reduce((a, b) => Math.max(a, b), FLOOR + LEAST_RANGE);
  const level = (value) => Math.min(LEVELS - 1, Math.max(0, Math.round((value - FLOOR) / (top - FLOOR) * (LEVELS - 1))));
  return {width, levels: Uint8Array.from(values, level)};
}

// Red, green, blue, opacity of the picture's pixels, row by row from the top. palette: 3 × LEVELS.
export function pixels({width, levels}, palette) {
  const found = new Uint8ClampedArray(4 * width * MELS);
  for (let row = 0, at = 0; row < MELS; row++) {
    for (let pixel = 0; pixel < width; pixel++, at += 4) {
      const level = levels[pixel * MELS + MELS - 1 - row];
      for (let part = 0; part < 3; part++) found[at + part] = palette[3 * level + part];
      found[at + 3] = 255;
    }
  }
  return found;
}
