// Files of the site, counted as they come: what a search costs is said.
import {came} from "./keeping.js";

export const told = {bytes: 0, requests: 0};

export async function bytesOf(name, base) {
  const address = new URL(name, base), answer = await fetch(address);
  if (!answer.ok) throw new Error(`${name}: ${answer.status} ${answer.statusText}; load the page again`);
  const bytes = await answer.arrayBuffer();
  told.bytes += bytes.byteLength;
  told.requests += 1;
  came(address.href, bytes);
  return bytes;
}

// What gzip packed; some hosts have unpacked it on the way already.
export async function unpacked(buffer) {
  const [first, second] = new Uint8Array(buffer, 0, Math.min(2, buffer.byteLength));
  if (first !== 0x1f || second !== 0x8b) return buffer;
  return new Response(new Blob([buffer]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}

export async function packedOf(name, base) {
  return unpacked(await bytesOf(name, base));
}

// Items of `size` bytes whose first bytes come first, then all second ones.
export function woven(buffer, size) {
  const planes = new Uint8Array(buffer), items = new Uint8Array(planes.length), count = planes.length / size;
  for (let plane = 0; plane < size; plane++) {
    for (let n = 0, at = plane * count; n < count; n++, at++) items[n * size + plane] = planes[at];
  }
  return items.buffer;
}
