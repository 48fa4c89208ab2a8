// Where the vectors of an archive are: as it is mapped by its measure, of unit norm. A store scores
// all of them coarsely, and has looks, each closer than the one before, for what is worth it.
import {AT_ONCE, Products} from "./products.js";

// Rows of a question four by four, zeros at the end.
export function fours(rows, dim) {
  const found = new Float64Array(4 * Math.ceil(rows.length / 4) * dim);
  rows.forEach((row, n) => {
    const begin = 4 * (n >> 2) * dim + (n & 3);
    for (let k = 0; k < dim; k++) found[begin + 4 * k] = row[k];
  });
  return found;
}

// Float32Array[vectors, rows]: the likeness of each row to each vector.
function likenesses(four, rows, dim, vectors) {
  const count = vectors.length / dim, found = new Float32Array(count * rows);
  for (let n = 0, to = 0; n < count; n++, to += rows) {
    for (let row = 0, at = 0; row < rows; row += 4) {
      let a = 0, b = 0, c = 0, d = 0;
      for (let k = n * dim; k < (n + 1) * dim; k++, at += 4) {
        const value = vectors[k];
        a += four[at] * value;
        b += four[at + 1] * value;
        c += four[at + 2] * value;
        d += four[at + 3] * value;
      }
      found[to + row] = a;
      if (row + 1 < rows) found[to + row + 1] = b;
      if (row + 2 < rows) found[to + row + 2] = c;
      if (row + 3 < rows) found[to + row + 3] = d;
    }
  }
  return found;
}

// A look by 16 bits: as many stretches as `most`, so many at once, and none that scores less than the
// last hit by more than `margin`, or by more than the look was seen to add.
function byFine(store, rows, limits) {
  const {dim} = store.info, four = fours(rows, dim);
  return {...limits, of: async (first, last) => likenesses(four, rows.length, dim, await store.fine(first, last))};
}

// All of it by 8 bits with a scale each, and 8 bits more in blocks, which are fetched.
export class Whole {
  isWhole = true;

  // block: number → a promise of the ArrayBuffer of `info.block` vectors' further bits.
  constructor(info, vectors, scales, block) {
    Object.assign(this, {info, block, products: new Products(vectors, scales, info.dim)});
  }

  // See `Products.scorer`.
  scorer(rows) {
    return this.products.scorer(rows);
  }

  // On ESC-50 two scores differ by 0.001 from what they are.
  looks(rows) {
    return [byFine(this, rows, {most: Infinity, atOnce: Infinity, margin: 0.004})];
  }

  // The vectors from one number up to another, by 16 bits: Float32Array; by 8 where the rest cannot
  // be fetched, as without a network.
  async fine(first, last) {
    const {products, info: {dim, block, fine_steps: steps}} = this, {scales} = products, found = new Float32Array((last - first) * dim);
    for (let n = first, to = 0; n < last; n++, to += dim) products.of(n).forEach((code, k) => { found[to + k] = code * scales[n]; });
    for (let number = Math.floor(first / block); number * block < last; number++) {
      let rest;
      try {
        rest = new Int8Array(await this.block(number));
      } catch {
        continue;
      }
      const begin = Math.max(first, number * block), end = Math.min(last, (number + 1) * block);
      for (let n = begin; n < end; n++) {
        const step = scales[n] / steps, from = (n - number * block) * dim, to = (n - first) * dim;
        for (let k = 0; k < dim; k++) found[to + k] += rest[from + k] * step;
      }
    }
    return found;
  }
}

// By the nearest of some landmarks, 2 bytes each; what is off that in 16 bytes, and parts by 16 bits,
// which are fetched.
export class Parts {
  isWhole = false;

  // landmarks: Products; cells: Uint16Array[n], which is the nearest; centres: Float32Array[pieces,
  // cells, dim / pieces]; block, part: number → a promise of the ArrayBuffer of `info.block` vectors'
  // codes, [., pieces], and of that of `info.part` vectors: 8 bits, further 8 bits, scales.
  constructor(info, {landmarks, cells, centres}, block, part) {
    Object.assign(this, {info, landmarks, cells, centres, block, part});
  }

  // Float32Array[landmarks, rows]
  toLandmarks(rows) {
    const {landmarks} = this, score = landmarks.scorer(rows), found = new Float32Array(landmarks.count * rows.length);
    for (let first = 0; first < landmarks.count; first += AT_ONCE) {
      const last = Math.min(landmarks.count, first + AT_ONCE);
      found.set(score(first, last).subarray(0, (last - first) * rows.length), first * rows.length);
    }
    return found;
  }

  // As `Products.scorer`.
  scorer(rows) {
    const {cells} = this, near = this.toLandmarks(rows), q = rows.length, found = new Float32Array(AT_ONCE * q);
    return (first, last) => {
      for (let n = first, to = 0; n < last; n++) {
        for (let from = cells[n] * q, end = from + q; from < end; from++, to++) found[to] = near[from];
      }
      return found;
    };
  }

  // [D] So many stretches are looked at. On a million of noisy copies of ESC-50's, scores by the codes
  // are off by 0.02 (standard deviation), and with a margin of 0.05 a 25th of the hits is missed.
  looks(rows) {
    return [this.byCodes(rows, {most: 2000, atOnce: 2000, margin: Infinity}), byFine(this, rows, {most: 500, atOnce: 100, margin: 0.08})];
  }

  byCodes(rows, limits) {
    const {centres, cells: nearest, info: {dim, pieces, cells, block}} = this, width = dim / pieces, size = pieces * cells, q = rows.length;
    const near = this.toLandmarks(rows), tables = new Float32Array(q * size);  // [rows, pieces, cells]
    rows.forEach((row, number) => {
      for (let piece = 0, at = number * size, from = 0; piece < pieces; piece++) {
        for (let cell = 0; cell < cells; cell++, at++, from += width) {
          let sum = 0;
          for (let k = 0; k < width; k++) sum += row[piece * width + k] * centres[from + k];
          tables[at] = sum;
        }
      }
    });
    return {...limits, of: async (first, last) => {
      const found = new Float32Array((last - first) * q);
      await this.each(first, last, block, this.block, (begin, end, origin, bytes) => {
        const codes = new Uint8Array(bytes);
        for (let n = begin; n < end; n++) {
          for (let row = 0; row < q; row++) {
            let sum = near[nearest[n] * q + row];
            for (let piece = 0, at = (n - origin) * pieces; piece < pieces; piece++, at++) sum += tables[row * size + piece * cells + codes[at]];
            found[(n - first) * q + row] = sum;
          }
        }
      });
      return found;
    }};
  }

  // Calls an action with (begin, end, first of the file, its bytes) for each file of so many vectors.
  async each(first, last, size, fileOf, action) {
    const numbers = [];
    for (let number = Math.floor(first / size); number * size < last; number++) numbers.push(number);
    const files = await Promise.all(numbers.map(fileOf));
    numbers.forEach((number, at) => action(Math.max(first, number * size), Math.min(last, (number + 1) * size), number * size, files[at]));
  }

  async fine(first, last) {
    const {info: {dim, part, fine_steps: steps, vectors}} = this, found = new Float32Array((last - first) * dim);
    await this.each(first, last, part, this.part, (begin, end, origin, bytes) => {
      const count = Math.min(part, vectors - origin), codes = new Int8Array(bytes, 0, count * dim);
      const rest = new Int8Array(bytes, count * dim, count * dim), scales = new Float32Array(bytes, 2 * count * dim, count);
      for (let n = begin; n < end; n++) {
        const from = (n - origin) * dim, to = (n - first) * dim, scale = scales[n - origin];
        for (let k = 0; k < dim; k++) found[to + k] = (codes[from + k] + rest[from + k] / steps) * scale;
      }
    });
    return found;
  }
}
