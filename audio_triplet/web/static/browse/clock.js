// The time line: a row for each day, a column for each part of it.
import {get, post} from "./api.js";
import {cards} from "./cards.js";
import {$, count, guarded} from "../shared/dom.js";
import * as palette from "../shared/palette.js";
import {byExample, openHit} from "./search.js";
import {activeClass, on, state} from "./state.js";

const MINUTES = 30, LEFT = 78, TOP = 20, ROW = 16, LEAST_COLUMN = 11;
let found = null, list = null, column = LEAST_COLUMN;

const shows = () => (["yes", "above"].includes($("clock-shows").value) && found[$("clock-shows").value]
  ? $("clock-shows").value : "moments");
const clockTime = (place) => `${String(Math.floor(place * MINUTES / 60)).padStart(2, "0")}:${String(place * MINUTES % 60).padStart(2, "0")}`;

function draw() {
  const canvas = $("clock"), ratio = window.devicePixelRatio || 1, columns = 1440 / MINUTES;
  const rows = found[shows()], most = Math.max(1, ...rows.flat());
  column = Math.max(LEAST_COLUMN, Math.floor(($("clock-scroll").clientWidth - LEFT) / columns));
  const width = LEFT + column * columns, height = TOP + ROW * found.days.length;
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  context.font = "12px system-ui, sans-serif";
  context.fillStyle = palette.css(palette.styled("--soft"));
  for (let hour = 0; hour < 24; hour += 3) context.fillText(`${hour} h`, LEFT + column * hour * 60 / MINUTES, 13);
  rows.forEach((row, day) => {
    const y = TOP + day * ROW;
    context.fillStyle = palette.css(palette.styled("--soft"));
    context.fillText(found.days[day], 0, y + 12);
    row.forEach((number, place) => {
      const is = number ? palette.ramp(0.15 + 0.85 * Math.sqrt(number / most)) : palette.styled("--line");
      context.globalAlpha = number ? 1 : found.moments[day][place] ? 0.9 : 0.3;
      context.fillStyle = palette.css(is);
      context.fillRect(LEFT + place * column, y, column - 1, ROW - 1);
    });
    context.globalAlpha = 1;
  });
  const totals = rows[0]?.map((_, place) => rows.reduce((sum, row) => sum + row[place], 0)) ?? [];
  const best = totals.indexOf(Math.max(...totals));
  canvas.setAttribute("aria-label", `${count(totals.reduce((a, b) => a + b, 0), "moment")} in ${count(found.days.length, "day")}, ` +
    `most of them from ${clockTime(Math.max(best, 0))} on`);
}

const load = guarded(async () => {
  if ($("look").hidden || !state.index?.has_clock) return;
  found = await get("/api/timeline", {
    label: state.active, minutes: MINUTES, threshold: $("clock-threshold").value || 0.5});
  if (found.days.length) draw();
});

function cell(event) {
  const box = $("clock").getBoundingClientRect();
  const day = Math.floor((event.clientY - box.top - TOP) / ROW), place = Math.floor((event.clientX - box.left - LEFT) / column);
  return found && found.days[day] && place >= 0 && place < 1440 / MINUTES ? [day, place] : null;
}

const told = ([day, place]) => `${found.days[day]}, ${clockTime(place)} to ${clockTime(place + 1)}: ` +
  `${count(found.moments[day][place], "moment")}` +
  (found.above ? `, ${found.above[day][place]} above the score` : "") + (found.yes ? `, ${found.yes[day][place]} yes` : "");

const listCell = guarded(async ([day, place]) => {
  if (!activeClass()?.yes) throw new Error("Answer one moment with yes first; then the hits of an hour are listed.");
  const end = place + 1 === 1440 / MINUTES ? "23:59:59" : clockTime(place + 1);
  const {hits} = await post("/api/search", {label: state.active, exclude_own: false, top: 20,
    after: `${found.days[day]}T${clockTime(place)}`, before: `${found.days[day]}T${end}`});
  list.show(hits, {isHit: false, scored: true});
  $("clock-spot").textContent = `${told([day, place])}. Nearest to ${state.active}:`;
});

export const shown = load;

export function begin() {
  list = cards($("clock-hits"), {
    like: (hit) => byExample(hit, "like"), unlike: (hit) => byExample(hit, "unlike"), open: openHit,
  });
  $("clock").addEventListener("pointermove", (event) => {
    const at = cell(event);
    if (at) $("clock-spot").textContent = `${told(at)}.`;
  });
  $("clock").addEventListener("click", (event) => {
    const at = cell(event);
    if (at) listCell(at);
  });
  $("clock-shows").addEventListener("change", () => (found ? draw() : undefined));
  $("clock-threshold").addEventListener("change", load);
  on("answers", load);
  on("active", load);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => (found && !$("look").hidden ? draw() : undefined));
}
