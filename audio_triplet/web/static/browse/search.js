// Searching: by a sound, a span, a word, and by hits that it should be like, or unlike.
import {get, post} from "./api.js";
import {cards, player} from "./cards.js";
import {$, after, button, count, element, guarded, say, shortName, time} from "../shared/dom.js";
import * as span from "./span.js";
import {keyOf, momentOf, state} from "./state.js";

// What the last search asked by: `base` a sound, span, word or label; and examples.
const asked = {base: {}, like: [], unlike: [], title: ""};
let list = null, whenShown = () => {};

function filters() {
  const found = {top: Number($("top").value), exclude_own: $("exclude-own").checked};
  if ($("one-each").checked) found.per_recording = 1;
  for (const name of ["after", "before"]) if ($(name).value) found[name] = $(name).value;
  const hours = $("hours").value.trim();
  if (hours) found.hours = hours.split(/[\s,;]+/);
  const paths = $("only-paths").value.trim();
  if (paths) found.paths = [paths.includes("*") ? paths : `*${paths}*`];
  return found;
}

// What is asked for is shown where one asks.
function goToFind() {
  if ($("find").hidden) location.hash = "find";
}

function showExamples() {
  const items = ["like", "unlike"].flatMap((kind) => asked[kind].map((moment) => element("li", {class: kind},
    element("span", {class: "sign", "aria-hidden": "true"}, kind === "like" ? "+" : "−"),
    player(moment, 120),
    button("×", {"data-kind": kind, "data-key": keyOf(moment),
      "aria-label": `no longer ${kind} ${shortName(moment.path)} at ${time(moment.start_seconds)}`}))));
  $("examples").replaceChildren(...items);
  $("examples-box").hidden = !items.length;
}

async function run(sent = null) {
  say("Searching …");
  const content = {...asked.base, like: asked.like, unlike: asked.unlike, ...filters()};
  let body = content;
  if (sent) {
    body = new FormData();
    body.append("file", sent.blob, sent.name);
    for (const [name, value] of Object.entries(content)) {
      body.append(name, typeof value === "object" ? JSON.stringify(value) : value);
    }
  }
  const found = await post("/api/search", body);
  list.show(found.hits);
  const by = asked.title ? ` to ${asked.title}` : "";
  const word = found.word ? ` (${count(found.word.sounds, "example")} of the ${{index: "index", model: "model's own sounds"}[found.word.source] ?? found.word.source})` : "";
  say(`${count(found.hits.length, "nearest moment")}${by}${word}, of ${found.vectors.toLocaleString("en")}, in ${Math.round(found.seconds * 1000)} ms.`);
  whenShown();
  return found;
}

function ask(base, title, {keep = false} = {}) {
  Object.assign(asked, {base, title}, keep ? {} : {like: [], unlike: []});
  showExamples();
}

// By a span of the archive, or of an upload.
export const bySpan = guarded(async (moment) => {
  ask({...moment, start_seconds: Math.round(1000 * moment.start_seconds) / 1000,
    end_seconds: Math.round(1000 * moment.end_seconds) / 1000}, "the marked span", {keep: true});
  await run();
});

export const byFile = guarded(async (blob, name) => {
  if (blob.size > state.index.max_upload_bytes) {
    throw new Error(`${name}: is larger than ${state.index.max_upload_bytes >> 20} MB; send a part of it`);
  }
  ask({}, name);
  const {upload} = await run({blob, name});
  asked.base = {path: upload};
  await span.open(upload, undefined, undefined, name);
});

export const byRecording = guarded(async (path) => {
  await span.open(path);
  say("Mark on the picture what you look for, then search.");
  $("span").scrollIntoView({block: "nearest"});
});

export const openHit = guarded(async (hit) => {
  goToFind();
  await span.open(hit.path, hit.start_seconds, hit.end_seconds);
  $("span").scrollIntoView({block: "nearest"});
});

// "More like this" and "less" go on from what was asked before.
export const byExample = guarded(async (hit, kind) => {
  goToFind();
  const moment = momentOf(hit), key = keyOf(moment);
  for (const name of ["like", "unlike"]) asked[name] = asked[name].filter((other) => keyOf(other) !== key);
  asked[kind].push(moment);
  showExamples();
  if (!asked.like.length && !asked.base.path && !asked.base.word) {
    return say("Noted. Choose one that it should be like, too.");
  }
  asked.title = asked.base.path || asked.base.word ? `${asked.title || "it"} and your examples` : "your examples";
  return run();
});

export const byWord = guarded(async (text) => {
  const {files} = await get("/api/files", {text, limit: 2});
  const exact = files.find((file) => file.path === text || shortName(file.path) === text);
  if (exact) return byRecording(exact.path);
  const {words} = await get("/api/words", {text, limit: 1});
  if (words.length) {
    const known = words[0].word;
    span.close();
    ask({word: known}, `“${known}”`);
    return run();
  }
  if (files.length) return byRecording(files[0].path);
  throw new Error(`${text}: neither a known word nor a part of a recording's name; search by a sound, or label some so`);
});

/* Suggestions as one types: a combobox whose list follows the arrow keys. */
let options = [], at = -1;

function mark(place) {
  at = place;
  options.forEach((option, number) => option.setAttribute("aria-selected", number === at));
  if (at >= 0) $("word").setAttribute("aria-activedescendant", options[at].id);
  else $("word").removeAttribute("aria-activedescendant");
  options[at]?.scrollIntoView({block: "nearest"});
}

function closeOptions() {
  $("suggestions").hidden = true;
  $("word").setAttribute("aria-expanded", "false");
  mark(-1);
}

const suggest = guarded(async () => {
  const text = $("word").value.trim();
  const [{words}, {files}] = await Promise.all([
    get("/api/words", {text, limit: 8}), text ? get("/api/files", {text, limit: 5}) : {files: []}]);
  if (text !== $("word").value.trim() || document.activeElement !== $("word")) return;
  const from = {labels: "your answers", index: "labels of the index", model: "known to the model"};
  const found = [...words.map((w) => [w.word, `${w.count} · ${from[w.from] ?? w.from}`]),
    ...files.map((file) => [shortName(file.path), "recording", file.path])];
  options = found.map(([value, hint, path], number) =>
    element("li", {role: "option", id: `option-${number}`, "aria-selected": "false", "data-value": value, "data-file": path,
      title: path},
      element("bdi", {}, value), element("span", {class: "soft"}, hint)));
  $("suggestions").replaceChildren(...options);
  $("suggestions").hidden = !options.length;
  $("word").setAttribute("aria-expanded", Boolean(options.length));
  mark(-1);
});

function take(option) {
  $("word").value = option.dataset.value;
  closeOptions();
  if (option.dataset.file) byRecording(option.dataset.file);
  else byWord(option.dataset.value);
}

function wordKey(event) {
  if (event.key === "Escape") closeOptions();
  else if ((event.key === "ArrowDown" || event.key === "ArrowUp") && options.length) {
    if ($("suggestions").hidden) return;
    event.preventDefault();
    const places = options.length + 1;
    mark(((at + 1 + (event.key === "ArrowDown" ? 1 : -1) + places) % places) - 1);
  } else if (event.key === "Enter" && at >= 0) {
    event.preventDefault();
    take(options[at]);
  }
}

function dropped(event) {
  event.preventDefault();
  document.body.classList.remove("dropping");
  const file = event.dataTransfer?.files[0];
  if (file) byFile(file, file.name);
}

// Makes the parts; `shown` is called when hits are listed.
export function begin(shown) {
  whenShown = shown;
  list = cards($("hits"), {
    like: (hit) => byExample(hit, "like"), unlike: (hit) => byExample(hit, "unlike"), open: openHit,
  });
  span.begin(bySpan);
  $("file").addEventListener("change", () => {
    const [file] = $("file").files;
    if (file) byFile(file, file.name);
  });
  document.addEventListener("dragover", (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    document.body.classList.add("dropping");
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) document.body.classList.remove("dropping");
  });
  document.addEventListener("drop", dropped);
  $("search-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const text = $("word").value.trim();
    closeOptions();
    if (text) byWord(text);
    else if ($("file").files.length) byFile($("file").files[0], $("file").files[0].name);
  });
  $("word").addEventListener("input", after(80, suggest));
  $("word").addEventListener("focus", suggest);
  $("word").addEventListener("blur", () => setTimeout(closeOptions, 150));
  $("word").addEventListener("keydown", wordKey);
  $("suggestions").addEventListener("mousedown", (event) => {
    const option = event.target.closest("[data-value]");
    if (option) take(option);
  });
  $("examples").addEventListener("click", (event) => {
    const pressed = event.target.closest("[data-key]");
    if (!pressed) return;
    asked[pressed.dataset.kind] = asked[pressed.dataset.kind].filter((m) => keyOf(m) !== pressed.dataset.key);
    showExamples();
    if (asked.like.length || asked.base.path || asked.base.word) guarded(() => run())();
  });
  $("narrow").addEventListener("change", () => {
    if (asked.like.length || asked.base.path || asked.base.word) guarded(() => run())();
  });
  return list;
}
