// Moments as tiles: player with a log mel picture, score, times, labels.
import {clock, count, element, guarded, time} from "../shared/dom.js";
import {wav} from "../shared/wav.js";
import {came} from "./keeping.js";
import {ask, library} from "./library.js";
import {decoded} from "./decoding.js";
import {mixedDown} from "./resampling.js";

const KEPT = 12;  // decoded pieces of sound
const PICTURED_BYTES = 2e6;  // a larger file is fetched when it is played, not for its picture
const pieces = new Map();

export const shortName = (path) => path.split("/").slice(-2).join("/");
export const nameOf = (hit) => `${shortName(hit.path)} at ${time(hit.start_seconds)}`;

// A published file, decoded; the last few are kept.
function pieceOf(address) {
  const found = pieces.get(address) ?? (async () => {
    const answer = await fetch(address);
    if (!answer.ok) throw new Error(`${address}: is not here (${answer.status})`);
    const bytes = await answer.arrayBuffer();
    if (bytes.byteLength <= PICTURED_BYTES) came(answer.url, bytes.slice());  // decoding takes them away
    const {channels, rate} = await decoded(bytes);
    return {sound: mixedDown(channels), rate};
  })();
  pieces.delete(address);
  pieces.set(address, found);
  found.catch(() => pieces.delete(address));
  if (pieces.size > KEPT) pieces.delete(pieces.keys().next().value);
  return found;
}

// The sound of a moment, cut out here: plain file servers know no ranges.
async function soundOf(hit) {
  const {sounds} = library.info, {sound} = library.info.files[hit.file];
  const number = sounds.kind === "copy" ? 0 : Math.min(Math.floor(hit.start_seconds / sounds.piece_seconds), sound.length - 1);
  const piece = await pieceOf(sound[number]), begin = sounds.kind === "copy" ? 0 : number * sounds.piece_seconds;
  const from = Math.max(0, Math.round((hit.start_seconds - begin) * piece.rate));
  const to = Math.min(piece.sound.length, Math.round((Math.min(hit.end_seconds, hit.start_seconds + sounds.most_seconds) - begin) * piece.rate));
  if (to <= from) throw new Error(`${hit.path}: of this moment there is no sound here`);
  return {channel: piece.sound.slice(from, to), rate: piece.rate};
}

const isSounding = (hit) => library.info.files[hit.file].sound.length > 0;

// As loud as it is pleasant.
async function urlOf(hit) {
  const {channel, rate} = await soundOf(hit);
  const peak = channel.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  return URL.createObjectURL(wav([channel], rate, peak ? Math.min(8, 0.7 / peak) : 1));
}

async function draw(button, hit) {
  const {channel, rate} = await soundOf(hit);
  const {answer: {width, pixels}} = await ask("picture", {channels: [channel], rate}, [channel.buffer]);
  const canvas = element("canvas", {width, height: pixels.length / 4 / width});
  canvas.getContext("2d").putImageData(new ImageData(pixels, width), 0, 0);
  button.classList.remove("bare");
  button.prepend(element("img", {src: canvas.toDataURL(), alt: "", width: 250, height: 64, class: "mel"}));
}

// Pictures are drawn of what is in sight; one that cannot be drawn is no picture.
const sight = new IntersectionObserver((entries) => {
  for (const {isIntersecting, target} of entries) {
    if (!isIntersecting) continue;
    sight.unobserve(target);
    draw(target, target.hit).catch(() => {});
  }
}, {rootMargin: "200px"});

function player(hit) {
  const name = nameOf(hit);
  if (!isSounding(hit)) return element("span", {class: "clip mute", role: "img", "aria-label": `${name}: no sound here`}, "no sound");
  const made = element("button", {
    type: "button", class: "clip bare", "aria-pressed": "false", "aria-label": `Play ${name}`,
    "data-title": name, "data-span": Math.min(hit.end_seconds - hit.start_seconds, library.info.sounds.most_seconds),
  }, element("i", {"aria-hidden": "true"}));
  made.hit = hit;
  made.addEventListener("click", guarded(async () => {
    if (made.dataset.url) return;  // then player.js plays it
    made.dataset.url = await urlOf(hit);
    await sounds.play("", name, made);
    if (!made.querySelector("img")) await draw(made, hit);
  }));
  if ((library.info.files[hit.file].bytes ?? 0) <= PICTURED_BYTES) sight.observe(made);
  return made;
}

// What people said of a moment: half of the shorter of both is the other's.
export function answersTo(hit) {
  const found = library.info.answers.filter(([file, start, end]) => file === hit.file &&
    Math.min(end, hit.end_seconds) - Math.max(start, hit.start_seconds) >= Math.min(end - start, hit.end_seconds - hit.start_seconds) / 2);
  return [...new Set(found.map(([, , , label]) => label))];
}

export async function play(hit) {
  if (!isSounding(hit)) throw new Error(`${nameOf(hit)}: its sound is not published.`);
  const span = hit.end_seconds - hit.start_seconds;
  await sounds.play("", nameOf(hit), element("button", {"data-url": await urlOf(hit), "data-span": span}));
}

// A tile; a moment that was not found by its score is no hit, and has none of its marks.
export function tile(hit, more) {
  const name = nameOf(hit), again = element("button", {type: "button", "data-more": "", "aria-label": `More like ${name}`}, "more like this");
  const labels = [...new Set([...hit.labels, ...answersTo(hit)])], credit = library.info.files[hit.file].credit;
  again.addEventListener("click", () => more(hit));
  const marks = hit.score === undefined ? {} : {
    "data-path": hit.path, "data-start": hit.start_seconds, "data-end": hit.end_seconds, "data-score": hit.score,
  };
  return element("li", {class: "tile", ...marks},
    player(hit),
    element("p", {}, hit.score === undefined ? null : element("b", {title: "score"}, hit.score.toFixed(3)),
      ` ${time(hit.start_seconds)} – ${time(hit.end_seconds)}`, hit.recorded_at ? ` ${clock(hit.recorded_at)}` : ""),
    labels.length ? element("p", {class: "labels"}, labels.join(", ")) : null,
    element("p", {class: "answers"}, again),
    element("p", {class: "file", title: hit.path}, element("bdi", {}, shortName(hit.path))),
    credit === undefined ? null : element("p", {class: "file credit"}, library.info.credits[credit]));
}
