// Where the vectors of an archive are: as it is mapped by its measure, of unit norm. A store scores
// all of them coarsely, and gives some of them by 16 bits.
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

// The likeness of each row to one vector, written into a column of a grid [rows, length].
export function likenesses(four, rows, dim, vectors, from, grid, column, length) {
  for (let row = 0, at = 0; row < rows; row += 4) {
    let a = 0, b = 0, c = 0, d = 0;
    for (let k = from; k < from + dim; k++, at += 4) {
      const value = vectors[k];
      a += four[at] * value;
      b += four[at + 1] * value;
      c += four[at + 2] * value;
      d += four[at + 3] * value;
    }
    grid[row * length + column] = a;
    if (row + 1 < rows) grid[(row + 1) * length + column] = b;
    if (row + 2 < rows) grid[(row + 2) * length + column] = c;
    if (row + 3 < rows) grid[(row + 3) * length + column] = d;
  }
}

// All of it by 8 bits with a scale each, and 8 bits more in blocks, which are fetched.
export class Whole {
  // block: number → a promise of the ArrayBuffer of `info.block` vectors' further bits.
  constructor(info, vectors, scales, block) {
    Object.assign(this, {info, block, products: new Products(vectors, scales, info.dim)});
    this.margin = 0.004;  // how much two scores may differ from what they are; seen on ESC-50: 0.001
    this.most = Infinity;
  }

  // See `Products.scorer`.
  scorer(rows) {
    return this.products.scorer(rows);
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

// In 16 bytes each, and parts by 16 bits, which are fetched.
export class Parts {
  // codes: Uint8Array[n, pieces]; centres: Float32Array[pieces, cells, dim / pieces]; part: number →
  // a promise of the ArrayBuffer of `info.part` vectors: 8 bits, further 8 bits, scales.
  constructor(info, codes, centres, part) {
    Object.assign(this, {info, codes, centres, part});
    this.margin = 0.05;  // how much coarse scores may be too low, until more is seen
    this.most = 200;  // [D] stretches that are fetched for one answer
  }

  scorer(rows) {
    const {codes, centres, info: {dim, pieces, cells}} = this, width = dim / pieces, size = pieces * cells;
    const tables = new Float32Array(rows.length * size);  // [rows, pieces, cells]
    rows.forEach((row, q) => {
      for (let piece = 0, at = q * size, from = 0; piece < pieces; piece++) {
        for (let cell = 0; cell < cells; cell++, at++, from += width) {
          let sum = 0;
          for (let k = 0; k < width; k++) sum += row[piece * width + k] * centres[from + k];
          tables[at] = sum;
        }
      }
    });
    const found = new Float32Array(AT_ONCE * rows.length);
    return (first, last) => {
      for (let n = first, to = 0; n < last; n++) {
        for (let q = 0, base = 0; q < rows.length; q++, base += size) {
          let sum = 0;
          for (let piece = 0, at = n * pieces; piece < pieces; piece++, at++) sum += tables[base + piece * cells + codes[at]];
          found[to++] = sum;
        }
      }
      return found;
    };
  }

  async fine(first, last) {
    const {info: {dim, part, fine_steps: steps, vectors}} = this, found = new Float32Array((last - first) * dim);
    const numbers = [];
    for (let number = Math.floor(first / part); number * part < last; number++) numbers.push(number);
    const parts = await Promise.all(numbers.map((number) => this.part(number)));
    numbers.forEach((number, at) => {
      const begin = number * part, count = Math.min(part, vectors - begin);
      const codes = new Int8Array(parts[at], 0, count * dim), rest = new Int8Array(parts[at], count * dim, count * dim);
      const scales = new Float32Array(parts[at], 2 * count * dim, count);
      for (let n = Math.max(first, begin); n < Math.min(last, begin + count); n++) {
        const from = (n - begin) * dim, to = (n - first) * dim, scale = scales[n - begin];
        for (let k = 0; k < dim; k++) found[to + k] = (codes[from + k] + rest[from + k] / steps) * scale;
      }
    });
    return found;
  }
}
