// The search, beside the page: front end, encoder, archive. A classic script, because LiteRT loads
// itself by `importScripts`.
"use strict";

const base = new URL("../../", self.location.href);
const NAMES = ["loading", "asking", "stores", "products", "choosing", "front_end", "picture", "resampling", "encoder", "keeping"];
let parts = null;

const moduleOf = (name) => import(new URL(`static/publish/${name}.js`, base).href);

// number → a promise of a file, which is fetched once.
function fetched(nameOf, {bytesOf}) {
  const known = new Map();
  return (number) => {
    if (!known.has(number)) {
      const coming = bytesOf(nameOf(number), base);
      known.set(number, coming);
      coming.catch(() => known.delete(number));
    }
    return known.get(number);
  };
}

async function whole(info, loading, {Whole}) {
  const block = fetched((number) => `fine/${number}.i8`, loading);
  const [vectors, scales] = await Promise.all(["vectors.i8", "scales.f32"].map((name) => loading.bytesOf(name, base)));
  if (info.fine_at_once) {
    await Promise.all(Array.from({length: Math.ceil(info.vectors / info.block)}, (_, number) => block(number)));
  }
  return new Whole(info, new Int8Array(vectors), new Float32Array(scales), block);
}

async function inParts(info, loading, {Parts}, {Products}) {
  const {bytesOf, packedOf, woven} = loading, floats = (bytes) => new Float32Array(bytes);
  const [landmarks, scales, cells, centres] = await Promise.all([
    bytesOf("landmarks.i8", base), bytesOf("landmarks.f32", base).then(floats),
    packedOf("cells.u16.gz", base).then((bytes) => new Uint16Array(woven(bytes, 2))), bytesOf("centres.f32", base).then(floats)]);
  const inShelves = (folder, end) => fetched((number) => `${folder}/${Math.floor(number / info.shelf)}/${number}.${end}`, loading);
  return new Parts(
    info, {landmarks: new Products(new Int8Array(landmarks), scales, info.dim), cells, centres},
    inShelves("coarse", "u8"), inShelves("parts", "bin"));
}

async function open() {
  const [loading, asking, stores, products, choosing, frontEnd, picture, resampling, {encoder}, keeping] = await Promise.all(NAMES.map(moduleOf));
  const {bytesOf, packedOf, woven} = loading;
  const json = (bytes) => JSON.parse(new TextDecoder().decode(bytes));
  const encoding = encoder(base), head = json(await bytesOf("archive.json", base));
  const [names, spans, owners, constants, words, store, encode] = await Promise.all([
    packedOf("names.json.gz", base).then(json), packedOf("spans.f64.gz", base), packedOf("segments.u32.gz", base),
    bytesOf("constants.f32", base), bytesOf("words.f32", base), (head.form === "whole" ? whole : inParts)(head, loading, stores, products), encoding,
  ]);
  const info = {...head, ...names};
  const archive = new asking.Archive(info, store, new Float64Array(woven(spans, 8)), new Uint32Array(woven(owners, 4)));
  return {
    loading, asking, choosing, frontEnd, picture, resampling, keeping, encode, info, archive,
    constants: new Float32Array(constants), words: new Float32Array(words),
  };
}

const opened = () => (parts ??= open());

// A sound at 16 kHz, one channel.
const soundOf = ({resampling, frontEnd}, {channels, rate}) =>
  resampling.resampled(resampling.mixedDown(channels), rate, frontEnd.RATE);

// A dropped sound: its audible patches, embedded.
async function exampleOf(given) {
  const found = await opened(), {asking, frontEnd, encode, info, constants} = found;
  const audible = frontEnd.patches(soundOf(found, given), info.query_hop_frames).filter((patch) => patch.energy > info.silence_energy);
  if (!audible.length) throw new Error("The sound is silent; choose another.");
  const chosen = asking.thinned(audible, info.most_patches), vectors = [];
  for (const patch of chosen) {
    const vector = await encode.embed(frontEnd.logMel(patch.mel), [1, frontEnd.FRAMES, frontEnd.MELS]);
    vectors.push(asking.mapped(vector, constants, info.dim));
  }
  return {vectors, starts: chosen.map((patch) => patch.start), energies: chosen.map((patch) => patch.energy)};
}

// Stored vectors as an example.
async function exampleOfStored({archive}, numbers) {
  const vectors = await Promise.all(numbers.map((n) => archive.fine(n, n + 1)));
  return {vectors, starts: numbers.map((n) => archive.spans[2 * n])};
}

async function answered(examples, {top, filter = {}}, without = []) {
  const {archive, choosing} = await opened();
  const keep = choosing.kept(archive, filter);
  if (keep && !keep.includes(1)) throw new Error("No moment is of these files and hours; take a wider choice.");
  return archive.ask(examples, {top, keep, without: new Set(without)});
}

const actions = {
  open: async () => {
    const {info, encode} = await opened();
    return {info, served: encode.served};
  },
  faster: async () => {
    const {encode, frontEnd} = await opened();
    return encode.faster([1, frontEnd.FRAMES, frontEnd.MELS]);
  },
  // For a time without a network: with `keeps` what was loaded, and all scripts.
  keep: async ({keeps}) => {
    const {keeping, info, encode} = await opened();
    await keeping.begin(base, keeps && info.site, [...info.opens, ...encode.scripts]);
  },
  embed: exampleOf,
  sound: async (given) => answered([await exampleOf(given)], given),
  moment: async (given) => {
    const found = await opened(), {file, recording, start, end} = given;
    const example = await exampleOfStored(found, found.archive.within(file, start, end));
    return answered([example], given, [recording]);
  },
  word: async (given) => {
    const found = await opened(), {info, words} = found, examples = [], without = [];
    for (const word of given.words) {
      const {first, count = 0, recordings = [], moments = []} = info.words[word];
      for (let n = first; n < first + count; n++) {
        examples.push({vectors: [words.subarray(n * info.dim, (n + 1) * info.dim)], starts: [0]});
      }
      for (const numbers of moments) examples.push(await exampleOfStored(found, numbers));
      without.push(...recordings);
    }
    return answered(examples, given, without);
  },
  picture: async (given) => {
    const found = await opened(), made = found.picture.levelsOf(soundOf(found, given));
    return {width: made.width, pixels: found.picture.pixels(made, found.info.palette)};
  },
  map: async () => {
    const {loading: {bytesOf, packedOf, woven}, archive: {owners, spans, info}} = await opened();
    const [places, packed] = await Promise.all([bytesOf("map.f32", base), packedOf("map.u32.gz", base)]);
    const numbers = new Uint32Array(woven(packed, 4)), count = numbers.length, both = new Float32Array(places);
    return {
      x: both.slice(0, count), y: both.slice(count),
      segment: numbers.map((n) => owners[n]),
      start: Float64Array.from(numbers, (n) => spans[2 * n]), end: Float64Array.from(numbers, (n) => spans[2 * n + 1]),
      of: info.vectors,
    };
  },
};

self.onmessage = async ({data: {id, action, given}}) => {
  const begin = performance.now();
  try {
    const {told} = await moduleOf("loading"), before = {...told};
    const answer = await actions[action](given);
    const cost = {bytes: told.bytes - before.bytes, requests: told.requests - before.requests};
    self.postMessage({id, answer, cost, seconds: (performance.now() - begin) / 1000});
  } catch (error) {
    self.postMessage({id, error: error.message});
  }
};
