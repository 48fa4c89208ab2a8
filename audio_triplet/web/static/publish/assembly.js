// A function of WebAssembly, put together in the page: a site has no compiler. What it is made of has
// the names of the text format. Browsers that run the encoder have SIMD.

export const I32 = 0x7f, F64 = 0x7c, V128 = 0x7b;
const EMPTY = 0x40;

const unsigned = (value) => (value < 128 ? [value] : [value % 128 + 128, ...unsigned(Math.floor(value / 128))]);
const signed = (value) => (value >= -64 && value < 64 ? [value & 127] : [value & 127 | 128, ...signed(value >> 7)]);
const sized = (bytes) => [...unsigned(bytes.length), ...bytes];
const simd = (op, ...more) => [0xfd, ...unsigned(op), ...more];

export const get = (local) => [0x20, local], set = (local) => [0x21, local];
export const step = (local, value) => [...get(local), 0x41, ...signed(value), 0x6a, ...set(local)];  // local += value

// Addresses need not be aligned.
export const v128 = {
  load: (local, offset = 0) => [...get(local), ...simd(0x00, 0, ...unsigned(offset))],
  store: simd(0x0b, 0, 0),
  zero: simd(0x0c, ...new Array(16).fill(0)),
  words: (one, other, ...chosen) => [  // of 32 bits: 0 … 3 of one, 4 … 7 of the other
    ...get(one), ...get(other), ...simd(0x0d, ...chosen.flatMap((word) => [4 * word, 4 * word + 1, 4 * word + 2, 4 * word + 3]))],
};
export const i16x8 = {extendLow: simd(0x87), extendHigh: simd(0x88)};  // i16x8.extend_low_i8x16_s
export const i32x4 = {add: simd(0xae), dot: simd(0xba)};  // i32x4.dot_i16x8_s
export const f32x4 = {fromInt: simd(0xfa), mul: simd(0xe6), splatAt: (local) => [...get(local), 0x2a, 2, 0, ...simd(0x13)]};
export const f64x2 = {add: simd(0xf0), mul: simd(0xf2), lane: (local, number) => [...get(local), ...simd(0x21, number)]};
export const f64 = {add: [0xa0]};

// The body as often as a local says, which counts down and is not 0.
export const times = (local, body) => [
  0x03, EMPTY, ...body, ...get(local), 0x41, 1, 0x6b, 0x22, local, 0x0d, 0, 0x0b];

// The function of so many parameters, all i32, with a result or none; vectors: how many locals of
// V128 come after `integers` of i32.
export function assembled(memory, {parameters, result = [], integers, vectors}, body) {
  const program = Uint8Array.from([
    0, 0x61, 0x73, 0x6d, 1, 0, 0, 0,  // "\0asm", version 1
    1, ...sized([1, 0x60, ...sized(new Array(parameters).fill(I32)), ...sized(result)]),  // its type
    2, ...sized([1, 1, 0x65, 1, 0x6d, 2, 0, 1]),  // imported: memory "m" of "e", one page at least
    3, ...sized([1, 0]), 7, ...sized([1, 1, 0x66, 0, 0]),  // exported: "f"
    10, ...sized([1, ...sized([2, integers, I32, vectors, V128, ...body, 0x0b])]),
  ]);
  return new WebAssembly.Instance(new WebAssembly.Module(program), {e: {m: memory}}).exports.f;
}
