// The search, beside the page: front end, encoder, archive. A classic script, because LiteRT loads
// itself by `importScripts`.
"use strict";

const base = new URL("../../", self.location.href);
const FINE_AT_ONCE = 4e6;  // bytes: of a small archive all is loaded, and it answers offline
let parts = null;

async function bytesOf(name) {
  const answer = await fetch(new URL(name, base));
  if (!answer.ok) throw new Error(`${name}: ${answer.status} ${answer.statusText}; load the page again`);
  return answer.arrayBuffer();
}

async function open() {
  const [asking, frontEnd, resampling, {encoder}] = await Promise.all(
    ["asking", "front_end", "resampling", "encoder"].map((name) => import(new URL(`static/publish/${name}.js`, base).href)));
  const [info, vectors, scales, spans, owners, constants, words, encode] = await Promise.all([
    fetch(new URL("archive.json", base)).then((answer) => answer.json()),
    bytesOf("vectors.i8"), bytesOf("scales.f32"), bytesOf("spans.f64"), bytesOf("segments.u32"),
    bytesOf("constants.f32"), bytesOf("words.f32"), encoder(base),
  ]);
  const blocks = new Map();
  const block = (number) => {
    if (!blocks.has(number)) {
      const fetched = bytesOf(`fine/${number}.i8`).then((bytes) => new Int8Array(bytes));
      blocks.set(number, fetched);
      fetched.catch(() => blocks.delete(number));
    }
    return blocks.get(number);
  };
  const archive = new asking.Archive(info, new Int8Array(vectors), new Float32Array(scales), new Float64Array(spans), new Uint32Array(owners), block);
  if (vectors.byteLength <= FINE_AT_ONCE) {
    await Promise.all(Array.from({length: Math.ceil(owners.byteLength / 4 / info.block)}, (_, number) => block(number)));
  }
  return {
    asking, frontEnd, resampling, encode, info, archive,
    constants: new Float32Array(constants), words: new Float32Array(words),
  };
}

const opened = () => (parts ??= open());

// A dropped sound: its audible patches, embedded.
async function exampleOf({channels, rate}) {
  const {asking, frontEnd, resampling, encode, info, constants} = await opened();
  const sound = resampling.resampled(resampling.mixedDown(channels), rate, frontEnd.RATE);
  const audible = frontEnd.patches(sound, info.query_hop_frames).filter((patch) => patch.energy > info.silence_energy);
  if (!audible.length) throw new Error("The sound is silent; choose another.");
  const chosen = asking.thinned(audible, info.most_patches), vectors = [];
  for (const patch of chosen) {
    const vector = await encode(frontEnd.logMel(patch.mel), [1, frontEnd.FRAMES, frontEnd.MELS]);
    vectors.push(asking.mapped(vector, constants, info.dim));
  }
  return {vectors, starts: chosen.map((patch) => patch.start)};
}

const actions = {
  open: async () => (await opened()).info,
  embed: exampleOf,
  sound: async ({channels, rate, top}) => {
    const example = await exampleOf({channels, rate});
    return (await opened()).archive.ask([example], {top});
  },
  moment: async ({file, recording, start, end, top}) => {
    const {archive} = await opened();
    const numbers = archive.within(file, start, end);
    const vectors = await Promise.all(numbers.map((n) => archive.fine(n, n + 1)));
    const example = {vectors, starts: numbers.map((n) => archive.spans[2 * n])};
    return archive.ask([example], {top, without: new Set([recording])});
  },
  word: async ({word, top}) => {
    const {archive, info, words} = await opened(), {first, count, recordings} = info.words[word];
    const examples = Array.from({length: count}, (_, n) => ({
      vectors: [words.subarray((first + n) * info.dim, (first + n + 1) * info.dim)], starts: [0],
    }));
    return archive.ask(examples, {top, without: new Set(recordings)});
  },
};

self.onmessage = async ({data: {id, action, given}}) => {
  const begin = performance.now();
  try {
    const answer = await actions[action](given);
    self.postMessage({id, answer, seconds: (performance.now() - begin) / 1000});
  } catch (error) {
    self.postMessage({id, error: error.message});
  }
};
