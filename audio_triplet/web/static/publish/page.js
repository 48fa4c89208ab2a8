// The page of a published archive: asks the worker, shows what it finds. Nothing leaves the machine.
import {decoded, wav} from "./decoding.js";
import {mixedDown} from "./resampling.js";

const $ = (id) => document.getElementById(id);
const TOP = 10;
const worker = new Worker(new URL("./worker.js", import.meta.url));
const waiting = new Map();
let info = null, last = 0;

worker.onmessage = ({data: {id, answer, error, seconds}}) => {
  const {resolve, reject} = waiting.get(id);
  waiting.delete(id);
  if (error === undefined) resolve({answer, seconds});
  else reject(new Error(error));
};

worker.onerror = (event) => say(`The search cannot be loaded: ${event.message ?? "its files are not here"}.`, true);

function ask(action, given = {}, transferred = []) {
  return new Promise((resolve, reject) => {
    waiting.set(++last, {resolve, reject});
    worker.postMessage({id: last, action, given}, transferred);
  });
}

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== undefined) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function say(text, isError = false) {
  $("status").textContent = text;
  $("status").classList.toggle("error", isError);
}

const guarded = (action) => async (...given) => {
  try {
    await action(...given);
  } catch (error) {
    say(error.message, true);
  }
};

const time = (seconds) => `${Math.floor(seconds / 60)}:${(seconds % 60).toFixed(1).padStart(4, "0")}`;
const shortName = (path) => path.split("/").slice(-2).join("/");

// The sound of a hit as a WAV, cut out here: plain file servers know no ranges.
async function clip(hit) {
  const {sound} = info.files[hit.file], {piece_seconds: piece} = info.sounds;
  const number = info.sounds.kind === "copy" ? 0 : Math.min(Math.floor(hit.start_seconds / piece), sound.length - 1);
  const begin = info.sounds.kind === "copy" ? 0 : number * piece;
  const answer = await fetch(sound[number]);
  if (!answer.ok) throw new Error(`${hit.path}: its sound is not here (${answer.status})`);
  const {channels, rate} = await decoded(await answer.arrayBuffer());
  const mixed = mixedDown(channels);
  const from = Math.max(0, Math.round((hit.start_seconds - begin) * rate));
  const to = Math.min(mixed.length, Math.round((Math.min(hit.end_seconds, hit.start_seconds + info.sounds.most_seconds) - begin) * rate));
  if (to <= from) throw new Error(`${hit.path}: of this moment there is no sound here`);
  return URL.createObjectURL(wav(mixed.slice(from, to), rate));
}

function player(hit, name) {
  if (!info.files[hit.file].sound.length) return element("span", {class: "clip mute", role: "img", "aria-label": `${name}: no sound here`}, "no sound");
  const made = element("button", {
    type: "button", class: "clip bare", "aria-pressed": "false", "aria-label": `Play ${name}`,
    "data-title": name, "data-span": hit.end_seconds - hit.start_seconds,
  }, element("i", {"aria-hidden": "true"}));
  made.addEventListener("click", guarded(async () => {
    if (made.dataset.url) return;  // then player.js plays it
    const url = await clip(hit);
    made.dataset.url = url;
    await sounds.play("", name, made);
  }));
  return made;
}

function tile(hit) {
  const name = `${shortName(hit.path)} at ${time(hit.start_seconds)}`;
  const more = element("button", {type: "button", "data-more": ""}, "more like this");
  const made = element("li", {
    class: "tile", "data-path": hit.path, "data-start": hit.start_seconds, "data-end": hit.end_seconds, "data-score": hit.score,
  },
  player(hit, name),
  element("p", {}, element("b", {}, hit.score.toFixed(3)), ` ${time(hit.start_seconds)} – ${time(hit.end_seconds)}`,
    hit.recorded_at ? ` ${hit.recorded_at.replace("T", " ").slice(0, 19)}` : "",
    hit.labels.length ? ` ${hit.labels.join(", ")}` : ""),
  element("p", {class: "answers"}, more),
  element("p", {class: "file", title: hit.path}, element("bdi", {}, shortName(hit.path))));
  more.setAttribute("aria-label", `More like ${name}`);
  more.addEventListener("click", guarded(() => search(`what is like ${name}`, "moment", {
    file: hit.file, recording: hit.recording, start: hit.start_seconds, end: hit.end_seconds,
  })));
  return made;
}

async function search(text, action, given, transferred) {
  say("Searching …");
  const {answer, seconds} = await ask(action, {...given, top: TOP}, transferred);
  $("hits").replaceChildren(...answer.map(tile));
  say(`${answer.length} nearest moments: ${text}, in ${seconds.toFixed(2)} s.`);
}

const searchFile = guarded(async (file) => {
  say("Reading the sound …");
  let sound;
  try {
    sound = await decoded(await file.arrayBuffer());
  } catch {
    throw new Error(`${file.name}: this browser cannot decode it; try WAV, FLAC, Ogg or MP3.`);
  }
  await search(`what is like ${file.name}`, "sound", {
    channels: sound.channels.map((channel) => channel.slice()), rate: sound.rate,
  });
});

const searchWord = guarded(async () => {
  const asked = $("word").value.trim(), plain = (name) => name.replace(/[_-]/g, " ").toLowerCase().split(/\s+/).join(" ");
  if (!asked) return;
  const word = Object.keys(info.words).find((known) => plain(known) === plain(asked));
  if (word === undefined) throw new Error(`${asked}: nothing here is labelled so.`);
  await search(`what is like ${word}`, "word", {word});
});

$("file").addEventListener("change", () => $("file").files[0] && searchFile($("file").files[0]));
$("search-form").addEventListener("submit", (event) => {
  event.preventDefault();
  searchWord();
});
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  if (event.dataTransfer.files[0]) searchFile(event.dataTransfer.files[0]);
});

guarded(async () => {
  info = (await ask("open")).answer;
  $("words").replaceChildren(...Object.keys(info.words).map((word) => element("option", {value: word})));
  $("file").disabled = $("word").disabled = $("go").disabled = false;
  say("Ready. Choose or drop a sound, and its nearest moments stand here.");
  document.documentElement.dataset.ready = "";
})();
