// The window of `browse`: search, listen, label, take away.
import {get, post, served} from "./browse_api.js";

const $ = (id) => document.getElementById(id);
const hits = $("hits");
const examples = {like: [], unlike: []};
let version = 0, answersOf = new Map();

const momentOf = (hit) => ({path: hit.path, start_seconds: hit.start_seconds, end_seconds: hit.end_seconds});
const keyOf = (m) => [m.path, Math.round(m.start_seconds * 1000), Math.round(m.end_seconds * 1000)].join("\n");
const time = (s) => `${Math.floor(s / 60)}:${(s % 60).toFixed(1).padStart(4, "0")}`;

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

function say(text, isError = false) {
  $("status").textContent = text;
  $("status").classList.toggle("error", isError);
}

const guarded = (action) => async (...given) => {
  try {
    return await action(...given);
  } catch (error) {
    say(error.message, true);
  }
};

function player(moment, name) {
  const seconds = moment.end_seconds - moment.start_seconds;
  const part = {path: moment.path, start_seconds: moment.start_seconds, end_seconds: moment.end_seconds};
  return element("button", {
    type: "button", class: "clip", "aria-pressed": "false", "aria-label": `Play ${name}`,
    "data-url": served("/api/sound", part), "data-span": seconds, "data-title": name,
  },
  element("img", {
    src: served("/api/picture", {...part, width: 250}), alt: "", width: 250, height: 64,
    loading: "lazy", decoding: "async",
  }),
  element("i", {"aria-hidden": "true"}));
}

const shortName = (path) => path.split("/").slice(-2).join("/");

function tile(hit) {
  const name = shortName(hit.path);
  const buttons = [["yes", true, "1"], ["no", false, "2"], ["not sure", null, "3"]].map(([word, value, key]) =>
    element("button", {type: "button", "data-value": JSON.stringify(value), "aria-keyshortcuts": key}, word));
  const more = [["more like this", "like", "m"], ["less", "unlike", "l"]].map(([word, kind, key]) =>
    element("button", {type: "button", "data-kind": kind, "aria-keyshortcuts": key}, word));
  const made = element("li", {
    class: "tile", "data-path": hit.path, "data-start": hit.start_seconds, "data-end": hit.end_seconds,
    "data-score": hit.score, tabindex: "-1",
  },
  player(hit, `${name} at ${time(hit.start_seconds)}`),
  element("p", {}, element("span", {class: "rank"}, String(hit.rank)), " ", element("b", {}, hit.score.toFixed(3)),
    " ", element("span", {class: "soft when"}, `${time(hit.start_seconds)} – ${time(hit.end_seconds)}`),
    hit.clock_time ? ` ${hit.clock_time.replace("T", " ").slice(0, 19)}` : "",
    hit.labels.length ? ` ${hit.labels.join(", ")}` : ""),
  element("p", {class: "answers"}, ...buttons, ...more),
  element("p", {class: "file", title: hit.path}, element("bdi", {}, name)));
  made.hit = hit;
  return made;
}

function mark() {
  const label = $("label").value.trim();
  for (const item of hits.children) {
    const answers = answersOf.get(keyOf(item.hit)) ?? {};
    for (const button of item.querySelectorAll("[data-value]")) {
      const pressed = label in answers && JSON.stringify(answers[label]) === button.dataset.value;
      button.setAttribute("aria-pressed", pressed);
    }
  }
}

function show(found, text) {
  hits.replaceChildren(...found.map(tile));
  mark();
  say(text);
}

async function search(content) {
  say("Searching …");
  const found = await post("/api/search", content);
  $("query").replaceChildren(...found.queries.slice(0, 8).map((m) => player(m, shortName(m.path))));
  show(found.hits, `${found.hits.length} nearest of ${found.vectors.toLocaleString("en")} moments, in ${Math.round(found.seconds * 1000)} ms.`);
  $("order").value = "";
}

const searchFile = guarded(async () => {
  const form = new FormData();
  form.append("file", $("file").files[0]);
  examples.like = [];
  examples.unlike = [];
  await search(form);
});

const searchText = guarded(async () => {
  const text = $("word").value.trim();
  if (!text) return;
  examples.like = [];
  examples.unlike = [];
  const {files} = await get("/api/files", {text, limit: 2});
  const exact = files.find((file) => file.path === text);
  const {words} = await get("/api/words", {text, limit: 1});
  if (!exact && words.length) await search({word: words[0].word});
  else if (files.length) await search({path: (exact ?? files[0]).path});
  else say(`${text}: no label and no file of the archive is called so.`, true);
});

const suggest = guarded(async () => {
  const text = $("word").value.trim();
  const [{words}, {files}] = await Promise.all([
    get("/api/words", {text, limit: 10}), text ? get("/api/files", {text, limit: 10}) : {files: []}]);
  $("words").replaceChildren(...words.map((w) => element("option", {value: w.word})),
    ...files.map((file) => element("option", {value: file.path})));
});

const refresh = guarded(async () => {
  const found = await get("/api/labels", version ? {since: version} : {});
  version = found.labels_version;
  for (const label of found.labels) {
    const key = keyOf(label), answers = answersOf.get(key) ?? {};
    if (label.removed) delete answers[label.label];
    else answers[label.label] = label.value;
    answersOf.set(key, answers);
  }
  if (!found.labels.length) return;
  mark();
  const {classes} = await get("/api/classes");
  $("classes").replaceChildren(...classes.map((c) => element("option", {value: c.label})));
});

const label = guarded(async (item, value) => {
  const name = $("label").value.trim();
  await post("/api/labels", {...momentOf(item.hit), label: name, value});
  await refresh();
});

const undo = guarded(async () => {
  const {undone} = await post("/api/undo", {});
  await refresh();
  say(undone.length ? `Taken back: ${undone[0].label}, ${shortName(undone[0].path)}.` : "Nothing to take back.");
});

const alike = guarded(async (item, kind) => {
  examples[kind].push(momentOf(item.hit));
  if (!examples.like.length) return say("Choose one that it should be like, too.");
  await search({...examples, exclude_own: false});
});

const showNext = guarded(async () => {
  const order = $("order").value;
  if (!order) return;
  const name = $("label").value.trim();
  const found = await get("/api/next", {label: name, order, count: 40});
  const {yes, no, held_out: score} = found.fit;
  const told = score ? `, average precision on held-out recordings ${score.average_precision.toFixed(2)} ` +
    `(${score.interval[0].toFixed(2)} to ${score.interval[1].toFixed(2)})` : "";
  show(found.hits, `${name}: ${yes} yes, ${no} no${told}. Scores are probabilities.`);
});

let chosen = null;
function choose(item) {
  chosen?.classList.remove("chosen");
  chosen = item;
  chosen?.classList.add("chosen");
  chosen?.scrollIntoView({block: "nearest"});
  chosen?.querySelector(".clip").focus({preventScroll: true});
}

hits.addEventListener("click", (event) => {
  const item = event.target.closest(".tile"), button = event.target.closest("button");
  if (!item || !button) return;
  if (button.dataset.value) label(item, JSON.parse(button.dataset.value));
  else if (button.dataset.kind) alike(item, button.dataset.kind);
});
hits.addEventListener("focusin", (event) => {
  const item = event.target.closest(".tile");
  if (item !== chosen) {
    chosen?.classList.remove("chosen");
    chosen = item;
    chosen.classList.add("chosen");
  }
});

document.addEventListener("keydown", (event) => {
  if (event.target.closest("input, select, textarea") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    const next = event.key === "ArrowDown" ? chosen?.nextElementSibling ?? (chosen ? null : hits.firstElementChild)
      : chosen?.previousElementSibling;
    if (next) choose(next);
    event.preventDefault();
  } else if (event.key === " " && chosen && !event.target.closest("button, a")) {
    chosen.querySelector(".clip").click();
    event.preventDefault();
  } else if (event.key === "u") undo();
  else if (chosen?.isConnected && "123".includes(event.key)) label(chosen, [true, false, null][event.key - 1]);
  else if (chosen?.isConnected && event.key === "m") alike(chosen, "like");
  else if (chosen?.isConnected && event.key === "l") alike(chosen, "unlike");
});

$("file").addEventListener("change", () => $("file").files.length && searchFile());
$("search-form").addEventListener("submit", (event) => {
  event.preventDefault();
  if ($("word").value.trim()) searchText();
  else if ($("file").files.length) searchFile();
});
$("word").addEventListener("input", suggest);
$("label").addEventListener("input", mark);
$("label").addEventListener("change", showNext);
$("order").addEventListener("change", showNext);
$("undo").addEventListener("click", undo);
$("table").addEventListener("change", async () => {
  const form = new FormData();
  form.append("file", $("table").files[0]);
  try {
    const found = await post("/api/import", form);
    $("imported").textContent = `${found.stored} labels stored, ${found.known} were known, ` +
      `${found.unmatched_rows} are of sounds that are not in the index.`;
    refresh();
  } catch (error) {
    $("imported").textContent = error.message;
  }
});

for (const [form, text] of [["classifier", "Classifier, for audio-triplet classify predict"], ["predictions", "Predictions"],
  ["manifest", "Labels as manifest"], ["answers", "All answers"], ["raven", "Raven"], ["audacity", "Audacity"]]) {
  $("exports").append(element("li", {}, element("a", {href: served("/api/export", {form}), download: ""}, text)));
}

guarded(async () => {
  const index = await get("/api/index");
  $("summary").textContent = `${index.vectors.toLocaleString("en")} moments of ${index.files.toLocaleString("en")} files in ${index.folder}`;
  await suggest();
  await refresh();
  setInterval(refresh, 3000);  // other tabs, other people
})();
