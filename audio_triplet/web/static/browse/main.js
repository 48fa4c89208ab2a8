// The window of `browse`: begins its parts, and shows one view at a time.
import {get} from "./api.js";
import * as counting from "./count.js";
import {$, count, guarded, say} from "../shared/dom.js";
import * as keys from "./keys.js";
import * as labelling from "./labelling.js";
import * as look from "./look.js";
import * as record from "../shared/record.js";
import * as recordings from "./recordings.js";
import * as search from "./search.js";
import {refresh, state} from "./state.js";
import * as take from "./take.js";

const LOOK_AGAIN_MS = 3000;  // what other tabs and people answered

const views = [...document.querySelectorAll(".view")];
const shown = {count: counting.shown, look: look.shown};  // what a view does when it is opened

function show() {
  const wanted = views.find((view) => view.id === location.hash.slice(1)) ?? views[0];
  for (const view of views) view.hidden = view !== wanted;
  for (const link of document.querySelectorAll("header nav a")) {
    if (link.hash === `#${wanted.id}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  shown[wanted.id]?.();
}

async function showIndex() {
  state.index = await get("/api/index");
  const {vectors, files, folder} = state.index;
  $("summary").textContent = `${count(vectors, "moment")} of ${count(files, "recording")}`;
  $("summary").title = folder;
  for (const part of document.querySelectorAll("[data-needs-clock]")) part.hidden = !state.index.has_clock;
}

// A connection that is gone is said once, not every few seconds.
let isLost = false;
async function lookAgain() {
  try {
    await refresh();
    if (isLost) say("The connection is there again.");
    isLost = false;
  } catch {
    if (!isLost) say("The server does not answer; what is stored is safe. Start audio-triplet browse again.", true);
    isLost = true;
  }
}

const list = search.begin(labelling.searched);
labelling.begin(list);
recordings.begin(search.byRecording);
record.begin(search.byFile);
keys.begin();
counting.begin();
look.begin();
take.begin();
window.addEventListener("hashchange", show);
show();
guarded(async () => {
  await showIndex();
  await refresh();
  setInterval(lookAgain, LOOK_AGAIN_MS);
})();
