// MP3 frames: their rate, and the same file with another gain. Chromium cuts what an MP3 decodes to off at
// full scale, and some builds of it round to 16 bits, as they do for no other format; with less gain there is
// room, with more there are finer steps, and nothing else changes: the gain is a power of two that each
// granule's coefficients are multiplied by.

const RATES = [44100, 48000, 32000];
const KILOBITS = {
  first: [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],  // MPEG-1 layer III
  second: [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],  // MPEG-2, 2.5
};
const DOUBLE = 4;  // steps of gain

// A frame that begins at a byte: {rate, length (bytes, of layer III; 0: not known), isFirst (MPEG-1),
// isMono, hasCheck}; null where none does.
function frameAt(bytes, at) {
  const version = bytes[at + 1] >> 3 & 3, layer = bytes[at + 1] >> 1 & 3, kilobits = bytes[at + 2] >> 4, rate = bytes[at + 2] >> 2 & 3;
  if (bytes[at] !== 0xff || bytes[at + 1] < 0xe0 || version === 1 || !layer || rate === 3 || kilobits === 15) return null;
  const isFirst = version === 3, hertz = RATES[rate] / (isFirst ? 1 : version === 2 ? 2 : 4), padding = bytes[at + 2] >> 1 & 1;
  const bits = layer === 1 ? 1000 * KILOBITS[isFirst ? "first" : "second"][kilobits] : 0;
  return {
    rate: hertz, length: bits && Math.floor((isFirst ? 144 : 72) * bits / hertz) + padding, isFirst,
    isMono: bytes[at + 3] >> 6 === 3, hasCheck: !(bytes[at + 1] & 1),
  };
}

// Where the sound begins: behind an ID3 tag.
function beginOf(bytes) {
  const isTagged = bytes[0] === 0x49 && bytes[1] === 0x44 && bytes[2] === 0x33;
  return isTagged ? 10 + (bytes[6] << 21 | bytes[7] << 14 | bytes[8] << 7 | bytes[9]) : 0;
}

// Samples per second; 0: it is no MP3.
export function rateOf(bytes) {
  const begin = beginOf(bytes);
  for (let at = begin; at < Math.min(bytes.length - 4, begin + (1 << 16)); at++) {
    const frame = frameAt(bytes, at);
    if (frame) return frame.rate;
  }
  return 0;
}

function raise(bytes, bit, steps) {
  const at = bit >> 3, shift = 8 - (bit & 7), both = bytes[at] << 8 | bytes[at + 1];
  const before = both >> shift & 255, gain = before && Math.min(255, Math.max(0, before + steps));  // 0: no sound, as in LAME's own frame
  const changed = both & ~(255 << shift) | gain << shift;
  bytes[at] = changed >> 8;
  bytes[at + 1] = changed & 255;
}

// CRC-16 of the header's last two bytes and the side information.
function check(bytes, at, size) {
  let sum = 0xffff;
  for (const byte of [bytes[at + 2], bytes[at + 3], ...bytes.subarray(at + 6, at + 6 + size)]) {
    sum ^= byte << 8;
    for (let bit = 0; bit < 8; bit++) sum = (sum << 1 ^ (sum & 0x8000 ? 0x8005 : 0)) & 0xffff;
  }
  bytes[at + 4] = sum >> 8;
  bytes[at + 5] = sum & 255;
}

// The file with as many times its gain, a power of two; a copy.
export function amplified(given, times) {
  const bytes = given.slice(), steps = DOUBLE * Math.log2(times);
  let expected = -1;
  for (let at = beginOf(bytes); at + 4 < bytes.length;) {
    const frame = frameAt(bytes, at), next = at + (frame?.length ?? 0);
    if (!frame?.length || (at !== expected && !frameAt(bytes, next))) {
      at++;  // what only looks like a frame
      continue;
    }
    const {isFirst, isMono, hasCheck} = frame, channels = isMono ? 1 : 2, size = isFirst ? [32, 17] : [17, 9];
    const first = 8 * (at + (hasCheck ? 6 : 4)) + (isFirst ? 9 + (isMono ? 5 : 3) + 4 * channels : 8 + channels);
    for (let n = 0; n < (isFirst ? 2 : 1) * channels; n++) raise(bytes, first + n * (isFirst ? 59 : 63) + 21, steps);
    if (hasCheck) check(bytes, at, size[channels === 2 ? 0 : 1]);
    at = expected = next;
  }
  return bytes;
}
