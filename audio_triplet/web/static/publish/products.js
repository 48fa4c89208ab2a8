// Likenesses of a question to vectors in 8 bits, by WebAssembly's SIMD: sixteen products at once,
// in the memory where the vectors are.
import {assembled, f32x4, get, i16x8, i32x4, set, step, times, v128} from "./assembly.js";

export const AT_ONCE = 4096;  // vectors
const MOST_ROWS = 64, STEP = 16;  // of a question in one pass; dimensions that are multiplied at once
const MOST = 2 ** 31 - 1;

// (vectors, count, rows, groups, steps, scales, factors, out): for each vector and each group of four
// rows four sums of 32 bits over steps of 16 dimensions, times the vector's scale and the rows' factors.
function multiplier(memory) {
  const [vectors, count, rows, groups, steps, scales, factors, out] = [0, 1, 2, 3, 4, 5, 6, 7];
  const [row, factor, group, at, left] = [8, 9, 10, 11, 12], [a, b, c, d, low, high] = [13, 14, 15, 16, 17, 18];
  const sums = [a, b, c, d], copied = (from, to) => [...get(from), ...set(to)];
  const inner = [
    ...v128.load(at), ...i16x8.extendLow, ...set(low), ...v128.load(at), ...i16x8.extendHigh, ...set(high),
    ...sums.flatMap((sum, n) => [
      ...get(sum), ...get(low), ...v128.load(row, 32 * n), ...i32x4.dot, ...i32x4.add,
      ...get(high), ...v128.load(row, 32 * n + 16), ...i32x4.dot, ...i32x4.add, ...set(sum)]),
    ...step(row, 8 * STEP), ...step(at, STEP),
  ];
  const halved = (one, other) => [...v128.words(one, other, 0, 4, 1, 5), ...v128.words(one, other, 2, 6, 3, 7), ...i32x4.add];
  const each = [
    ...sums.flatMap((sum) => [...v128.zero, ...set(sum)]), ...copied(vectors, at), ...copied(steps, left), ...times(left, inner),
    ...halved(a, b), ...set(low), ...halved(c, d), ...set(high), ...get(out),
    ...v128.words(low, high, 0, 1, 4, 5), ...v128.words(low, high, 2, 3, 6, 7), ...i32x4.add,
    ...f32x4.fromInt, ...f32x4.splatAt(scales), ...f32x4.mul, ...v128.load(factor), ...f32x4.mul, ...v128.store,
    ...step(out, 16), ...step(factor, 16),
  ];
  const body = times(count, [
    ...copied(rows, row), ...copied(factors, factor), ...copied(groups, group), ...times(group, each),
    ...copied(at, vectors), ...step(scales, 4)]);
  return assembled(memory, {parameters: 8, integers: 5, vectors: 6}, body);
}

// Vectors in 8 bits, each with a scale of its own, as they are asked.
export class Products {
  // vectors: Int8Array[n, dim]; scales: Float32Array[n].
  constructor(vectors, scales, dim) {
    const count = scales.length, steps = Math.ceil(dim / STEP), padded = STEP * steps;
    Object.assign(this, {count, dim, steps, padded});
    const sizes = {factors: 4 * MOST_ROWS, out: 4 * MOST_ROWS * AT_ONCE, rows: 2 * MOST_ROWS * padded, scales: 4 * count, vectors: count * padded};
    let size = 0;
    this.places = {};
    for (const [name, bytes] of Object.entries(sizes)) {
      this.places[name] = size;
      size += 16 * Math.ceil(bytes / 16);
    }
    const memory = new WebAssembly.Memory({initial: Math.ceil(size / 65536)});
    this.buffer = memory.buffer;
    this.scales = new Float32Array(this.buffer, this.places.scales, count);
    this.scales.set(scales);
    this.vectors = new Int8Array(this.buffer, this.places.vectors, count * padded);
    if (padded === dim) this.vectors.set(vectors);
    else for (let n = 0; n < count; n++) this.vectors.set(vectors.subarray(n * dim, (n + 1) * dim), n * padded);
    this.multiply = multiplier(memory);
  }

  // The numbers of one vector.
  of(n) {
    return this.vectors.subarray(n * this.padded, n * this.padded + this.dim);
  }

  // rows: of the question, Float32Array[dim] each. Gives (first, last) → their likenesses to the
  // vectors between, at most `AT_ONCE`: Float32Array[last - first, rows.length], good until the next.
  scorer(rows) {
    const passes = [];
    for (let first = 0; first < rows.length; first += MOST_ROWS) passes.push(this.pass(rows.slice(first, first + MOST_ROWS), first));
    const found = new Float32Array(AT_ONCE * rows.length);
    return (first, last) => {
      for (const pass of passes) this.run(pass, first, last - first, found, rows.length);
      return found;
    };
  }

  // Rows in 16 bits, of each four 16 dimensions side by side; no sum of products can leave 32 bits.
  pass(rows, begin) {
    const {padded, steps} = this, shorts = new Int16Array(4 * Math.ceil(rows.length / 4) * padded), factors = new Float32Array(MOST_ROWS);
    rows.forEach((row, n) => {
      let most = 0, sum = 0;
      for (const value of row) {
        most = Math.max(most, Math.abs(value));
        sum += Math.abs(value);
      }
      const times = Math.min(32767 / most, (MOST - 64 * padded) / (127 * sum));
      if (!Number.isFinite(times)) return;  // all 0
      factors[n] = 1 / times;
      const from = (n >> 2) * 4 * padded + (n & 3) * STEP;
      row.forEach((value, k) => {
        shorts[from + Math.floor(k / STEP) * 4 * STEP + k % STEP] = Math.round(value * times);
      });
    });
    return {shorts, factors, begin, rows: rows.length, groups: Math.ceil(rows.length / 4), steps};
  }

  run({shorts, factors, begin, rows, groups, steps}, first, count, found, stride) {
    const {places, buffer, padded} = this, wide = 4 * groups;
    new Int16Array(buffer, places.rows, shorts.length).set(shorts);
    new Float32Array(buffer, places.factors, factors.length).set(factors);
    this.multiply(
      places.vectors + first * padded, count, places.rows, groups, steps, places.scales + 4 * first, places.factors, places.out);
    const made = new Float32Array(buffer, places.out, count * wide);
    for (let n = 0, from = 0, to = begin; n < count; n++, from += wide, to += stride) {
      for (let row = 0; row < rows; row++) found[to + row] = made[from + row];
    }
  }
}
