// The page of a published archive: asks the worker, shows what it finds. Nothing leaves the machine.
import {$, after, count, element, guarded, say} from "../shared/dom.js";
import * as record from "../shared/record.js";
import {matching} from "./choosing.js";
import {decoded} from "./decoding.js";
import * as keeping from "./keeping.js";
import {ask, costOf, failed, library, megabytes} from "./library.js";
import * as map from "./map.js";
import {nameOf, tile} from "./tiles.js";

const TOP = 10;
const LATER = 2000;  // ms: a first search goes before what is kept
let again = null;  // the last search, for another choice of files and hours

const filter = () => ({path: $("only-path").value.trim(), hours: $("hours").value.trim()});

async function search(text, action, given) {
  say("Searching …");
  again = () => search(text, action, given);
  const {answer, seconds, cost} = await ask(action, {...given, top: TOP, filter: filter()});
  $("hits").replaceChildren(...answer.map((hit) => tile(hit, more)));
  say(`${count(answer.length, "nearest moment")}: ${text}, of ${library.info.vectors.toLocaleString("en")}, ` +
    `in ${seconds.toFixed(2)} s${costOf(cost)}.`);
}

const more = guarded(async (hit) => {
  await search(`what is like ${nameOf(hit)}`, "moment", {
    file: hit.file, recording: hit.recording, start: hit.start_seconds, end: hit.end_seconds,
  });
  $("found").scrollIntoView({block: "nearest"});
});

const searchFile = guarded(async (file, name = file.name) => {
  say("Reading the sound …");
  let sound;
  try {
    sound = await decoded(await file.arrayBuffer());
  } catch {
    throw new Error(`${name}: this browser cannot decode it; try WAV, FLAC, Ogg or MP3.`);
  }
  await search(`what is like ${name}`, "sound", sound);
});

const searchWord = guarded(async () => {
  const asked = $("word").value.trim();
  if (!asked) return;
  const words = matching(asked, Object.keys(library.info.words));
  if (!words.length) throw new Error(`${asked}: nothing here is labelled so.`);
  await search(`what is like ${words.join(", ")}`, "word", {words});
});

function listen() {
  $("file").addEventListener("change", () => $("file").files[0] && searchFile($("file").files[0]));
  $("search-form").addEventListener("submit", (event) => {
    event.preventDefault();
    searchWord();
  });
  $("narrow").addEventListener("input", after(300, guarded(() => again?.())));
  record.begin(searchFile);
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("dropping");
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) document.body.classList.remove("dropping");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dropping");
    if (event.dataTransfer.files[0]) searchFile(event.dataTransfer.files[0]);
  });
}

// Folders that hold several files: suggestions for the choice of files.
function folders(files) {
  const counts = new Map();
  for (const {name} of files) {
    const folder = name.slice(0, name.lastIndexOf("/") + 1);
    if (folder) counts.set(folder, (counts.get(folder) ?? 0) + 1);
  }
  return [...counts].filter(([, number]) => number > 1).map(([folder]) => `${folder}*`).slice(0, 500);
}

const served = (text) => {
  $("served").textContent = `Sounds are embedded by ${text}.`;
};

// What was loaded is kept, where there is a service worker to answer with it.
async function keep() {
  const base = new URL("../../", import.meta.url);
  const workers = navigator.onLine ? navigator.serviceWorker : undefined;
  const keeps = await workers?.register(new URL("service.js", base)).then(() => true, () => false) ?? false;
  await ask("keep", {keeps});
  if (!keeps) return;
  await keeping.begin(base, library.info.site);
  $("kept").textContent = "It is kept here, and opens without a network.";
}

failed((text) => say(text, true));
guarded(async () => {
  const {answer, cost: {bytes}} = await ask("open");
  library.info = answer.info;
  served(answer.served);
  $("loaded").textContent = `${megabytes(bytes)} were loaded to search in.`;
  $("words").replaceChildren(...Object.keys(library.info.words).map((word) => element("option", {value: word})));
  $("paths").replaceChildren(...folders(library.info.files).map((pattern) => element("option", {value: pattern})));
  $("clock-choice").hidden = !library.info.files.some((file) => file.recorded_at);
  listen();
  map.begin(more);
  for (const control of document.querySelectorAll("#search-form [disabled]")) control.disabled = false;
  say("Ready. Choose, drop or record a sound, and its nearest moments stand here.");
  document.documentElement.dataset.ready = "";
  served((await ask("faster")).answer);
  setTimeout(() => keep().catch(() => {}), LATER);  // there may be no room
})();
