// A recording with its log mel picture, on which a span is marked: by mouse, touch or keys.
import {get, served} from "./api.js";
import {soundOf} from "./cards.js";
import {$, clamp, clock, element, guarded, shortName, time} from "../shared/dom.js";

const VIEW_SECONDS = 60;  // as much of a long recording is seen at once
const LEAST_SECONDS = 0.1;

const view = {path: "", seconds: 0, from: 0, width: 0, start: 0, end: 0, drag: null};
let handles = null, whenSearched = () => {};

const share = (seconds) => (seconds - view.from) / view.width;

function draw() {
  const {start, end} = view, [left, right] = handles;
  const low = clamp(share(start), 0, 1), high = clamp(share(end), 0, 1);
  $("span-mark").style.left = `${100 * low}%`;
  $("span-mark").style.width = `${100 * (high - low)}%`;
  for (const [handle, value, bounds] of [[left, start, [0, end]], [right, end, [start, view.seconds]]]) {
    handle.style.left = `${100 * clamp(share(value), 0, 1)}%`;
    handle.setAttribute("aria-valuemin", bounds[0].toFixed(1));
    handle.setAttribute("aria-valuemax", bounds[1].toFixed(1));
    handle.setAttribute("aria-valuenow", value.toFixed(1));
    handle.setAttribute("aria-valuetext", time(value));
  }
  $("span-times").textContent = `${time(start)} – ${time(end)} of ${time(view.seconds)}`;
  const play = $("span-play");
  play.dataset.url = soundOf({path: view.path, start_seconds: start.toFixed(3), end_seconds: end.toFixed(3)});
  play.dataset.title = `${shortName(view.path)} at ${time(start)}`;
  play.dataset.span = end - start;
}

function look(from) {
  view.width = Math.min(view.seconds, VIEW_SECONDS);
  view.from = clamp(from, 0, view.seconds - view.width);
  $("span-image").src = served("/api/picture", {
    path: view.path, start_seconds: view.from.toFixed(3), end_seconds: (view.from + view.width).toFixed(3), width: 1000,
  });
  $("span-from").value = view.from;
  $("span-axis").replaceChildren(...[0, 0.25, 0.5, 0.75, 1].map((at) =>
    element("span", {}, time(view.from + at * view.width))));
  draw();
}

function set(start, end) {
  view.start = clamp(Math.min(start, end), 0, view.seconds - LEAST_SECONDS);
  view.end = clamp(Math.max(start, end), view.start + LEAST_SECONDS, view.seconds);
  draw();
}

const secondsAt = (event) => {
  const box = $("span-plot").getBoundingClientRect();
  return view.from + clamp((event.clientX - box.left) / box.width, 0, 1) * view.width;
};

function pressed(event) {
  if (!view.path || event.button > 0) return;
  const side = handles.indexOf(event.target);
  const at = secondsAt(event);
  view.drag = side < 0 ? at : side === 0 ? view.end : view.start;
  $("span-plot").setPointerCapture(event.pointerId);
  if (side < 0) event.preventDefault();
}

function moved(event) {
  if (view.drag === null) return;
  const at = secondsAt(event);
  if (Math.abs(at - view.drag) > LEAST_SECONDS) set(view.drag, at);
}

function moveByKey(event) {
  const side = handles.indexOf(event.target);
  const step = {ArrowLeft: -0.1, ArrowRight: 0.1, ArrowDown: -0.1, ArrowUp: 0.1, PageDown: -1, PageUp: 1}[event.key];
  const ends = {Home: 0, End: view.seconds}[event.key];
  if (event.key === "Enter") return whenSearched(marked());
  if (step === undefined && ends === undefined) return undefined;
  event.preventDefault();
  event.stopPropagation();
  const value = ends ?? (side === 0 ? view.start : view.end) + step * (event.shiftKey ? 10 : 1);
  if (side === 0) set(Math.min(value, view.end - LEAST_SECONDS), view.end);
  else set(view.start, Math.max(value, view.start + LEAST_SECONDS));
  const seen = side === 0 ? view.start : view.end;
  if (seen < view.from || seen > view.from + view.width) look(seen - view.width / 2);
  return undefined;
}

// The span that is marked; of an upload or a recording that is looked at whole, all of it.
export const marked = () => ({path: view.path, start_seconds: view.start, end_seconds: view.end});

// Shows a recording (or an upload), with a span marked, or all of it.
export const open = guarded(async (path, start, end, title = shortName(path)) => {
  const file = await get("/api/file", {path});
  Object.assign(view, {path, seconds: file.seconds, drag: null});
  $("span").hidden = false;
  $("span-title").textContent = title;
  $("span-title").title = path;
  const rate = `${(file.sample_rate / 1000).toLocaleString("en")} kHz`;
  $("span-facts").textContent = [file.clock_time ? clock(file.clock_time) : "", rate,
    file.channels > 1 ? `${file.channels} channels` : ""].filter(Boolean).join(" · ");
  const isLong = file.seconds > VIEW_SECONDS;
  $("span-scroll").hidden = !isLong;
  $("span-from").max = Math.max(0, file.seconds - VIEW_SECONDS);
  view.start = start ?? 0;
  view.end = Math.min(end ?? file.seconds, file.seconds);
  look(isLong ? view.start - VIEW_SECONDS / 2 + (Math.min(view.end, view.start + VIEW_SECONDS) - view.start) / 2 : 0);
});

export function close() {
  $("span").hidden = true;
  view.path = "";
}

// Makes the parts; `search` is called with the span that is to be searched by.
export function begin(search) {
  whenSearched = search;
  handles = ["begins", "ends"].map((word) => element("div", {
    class: "handle", role: "slider", tabindex: 0, "aria-label": `Where the span ${word}`, "aria-orientation": "horizontal",
    "aria-valuemin": 0, "aria-valuemax": 0, "aria-valuenow": 0,
  }));
  $("span-plot").append(...handles);
  $("span-plot").addEventListener("pointerdown", pressed);
  $("span-plot").addEventListener("pointermove", moved);
  for (const name of ["pointerup", "pointercancel"]) {
    $("span-plot").addEventListener(name, () => { view.drag = null; });
  }
  for (const handle of handles) handle.addEventListener("keydown", moveByKey);
  $("span-from").addEventListener("input", () => look(Number($("span-from").value)));
  $("span-whole").addEventListener("click", () => set(0, view.seconds));
  $("span-search").addEventListener("click", () => search(marked()));
}

