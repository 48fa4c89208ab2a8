// The map of the archive: what sounds alike lies together; and what one takes from it.
import {bytes, get, post} from "./api.js";
import {cards, choose, play, soundOf} from "./cards.js";
import * as clock from "./clock.js";
import {$, count, element, guarded, say, shortName, time} from "../shared/dom.js";
import * as palette from "../shared/palette.js";
import {mapCanvas} from "../shared/map_canvas.js";
import {byExample, openHit} from "./search.js";
import {activeClass, answer, answersTo, keyOf, on, state} from "./state.js";

const POLL_MS = 1500, SHOWN = 60;
const KINDS = {"<f4": Float32Array, "<u4": Uint32Array, "<i2": Int16Array};

let scatter = null, list = null, points = null, places = null, chain = null, painting = 0;

const moment = (place) => ({
  path: points.files[points.file[place]], start_seconds: Math.round(1000 * points.start[place]) / 1000,
  end_seconds: Math.round(1000 * points.end[place]) / 1000,
});
const name = (place) => `${shortName(moment(place).path)} at ${time(points.start[place])}`;

function legend(...entries) {
  $("map-legend").replaceChildren(...entries.map(([pixel, text]) => {
    const swatch = element("i", {"aria-hidden": "true"});
    swatch.style.background = palette.css(pixel);
    return element("span", {}, swatch, text);
  }));
}

// Points that matter lie on top: those with the greater rank are drawn last.
const onTop = (rank) => Uint32Array.from(rank.keys()).sort((a, b) => rank[a] - rank[b]);

function byAnswers() {
  const grey = palette.styled("--plain"), colours = new Uint32Array(scatter.length).fill(grey);
  const rank = new Uint8Array(scatter.length);
  const own = new Map([[true, palette.styled("--good")], [false, palette.styled("--bad")], [null, palette.styled("--orange")]]);
  places ??= new Map(Array.from({length: scatter.length}, (_, place) => [keyOf(moment(place)), place]));
  for (const [key, answers] of state.answers) {
    const place = places.get(key), value = answers[state.active];
    if (place === undefined || value === undefined) continue;
    colours[place] = own.get(value);
    rank[place] = 1;
  }
  legend([own.get(true), "yes"], [own.get(false), "no"], [own.get(null), "not sure"], [grey, "no answer"]);
  return [colours, onTop(rank)];
}

async function byScore() {
  if (!activeClass()?.yes) {
    say(`${state.active || "The class"} has no yes yet, so no score.`, true);
    return byAnswers();
  }
  const scores = new Float32Array(await bytes("/api/scores", {label: state.active}));
  legend([palette.ramp(0), "0"], [palette.ramp(0.5), "0.5"], [palette.ramp(1), `1: surely ${state.active}`]);
  return [Uint32Array.from(scores, (score) => (score >= 0 ? palette.ramp(score) : palette.styled("--plain"))), onTop(scores)];
}

function byHour() {
  legend(...[0, 6, 12, 18].map((hour) => [palette.hue(hour * 15), `${hour} h`]));
  return [Uint32Array.from(points.minute, (minute) => (minute < 0 ? palette.styled("--plain") : palette.hue(minute / 4))), null];
}

function byFile() {
  legend();
  return [Uint32Array.from(points.file, (file) => palette.hue(file * 137.508 % 360, 0.45 + 0.2 * (file % 2))), null];
}

const paint = guarded(async () => {
  if (!points || $("look").hidden) return;
  const turn = ++painting;
  const [colours, order] = await {answers: byAnswers, score: byScore, hour: byHour, file: byFile}[$("map-colour").value]();
  if (turn !== painting) return;
  scatter.background = palette.styled("--card");
  scatter.takenColour = palette.css(palette.styled("--ink"));
  scatter.markColour = palette.css(palette.styled("--pink"));
  scatter.colours = colours;
  scatter.order = order;
  scatter.draw();
});

const load = guarded(async () => {
  const found = await get("/api/map");
  if (found.state === "failed") {
    $("map-said").textContent = "The map could not be made; the terminal of browse says why.";
    return;
  }
  if (!found.points) {
    $("map-said").textContent = "The map is being made, once for this archive; you may go on elsewhere meanwhile …";
    setTimeout(load, POLL_MS);
    return;
  }
  const content = await bytes("/api/map/points");
  points = {files: found.files};
  for (const [key, {type, offset, length}] of Object.entries(found.arrays)) {
    const kind = KINDS[type];
    points[key] = new kind(content.slice(offset, offset + length * kind.BYTES_PER_ELEMENT));
  }
  places = null;
  $("map-said").textContent = found.points < found.of_vectors
    ? `${count(found.points, "moment")} of ${found.of_vectors.toLocaleString("en")}, by lot.` : `${count(found.points, "moment")}.`;
  $("map-anew").hidden = found.is_current;
  scatter.setPoints(points.x, points.y);
  await paint();
});

function mark(place, plays = false) {
  $("map-spot").textContent = place < 0 ? "" : [name(place), ...Object.entries(answersTo(moment(place)))
    .map(([label, value]) => `${label}: ${value === null ? "not sure" : value ? "yes" : "no"}`)].join(" · ");
  if (!plays || place < 0) return;
  const part = moment(place), button = element("button", {
    "data-url": soundOf(part), "data-span": part.end_seconds - part.start_seconds});
  sounds.play("", name(place), button);
}

function take(chosen) {
  scatter.taken = chosen;
  scatter.draw();
  $("taken-box").hidden = !chosen.length;
  const shown = chosen.slice(0, SHOWN);
  $("taken-h").textContent = count(chosen.length, "moment taken", "moments taken") +
    (shown.length < chosen.length ? `, ${shown.length} of them shown` : "");
  list.show(shown.map((place) => ({...moment(place), labels: [], clock_time: ""})), {isHit: false});
  if (chosen.length) say(`${count(chosen.length, "moment")} taken from the map.`);
}

const answerAll = guarded(async (value) => {
  const moments = scatter.taken.map(moment);
  if (moments.length > 10_000) throw new Error(`${count(moments.length, "moment")}: too many to answer at once; draw around fewer`);
  await answer(moments, state.active, value);
  say(`${state.active}: ${value ? "yes" : "no"}, ${count(moments.length, "moment")}. u takes all of it back.`);
});

// One card after the other, until one stops it.
async function playAll() {
  if (chain) {
    chain.stopped = true;
    return;
  }
  const own = chain = {stopped: false};
  $("taken-play").setAttribute("aria-pressed", "true");
  for (const item of list.items) {
    if (own.stopped) break;
    choose(item);
    play(item);
    const clip = item.querySelector(".clip");
    do await new Promise((resolve) => { setTimeout(resolve, 100); });
    while (clip.getAttribute("aria-pressed") === "true" && !own.stopped);
  }
  if (own.stopped) sounds.stop();
  chain = null;
  $("taken-play").setAttribute("aria-pressed", "false");
}

export function shown() {
  scatter.fit();
  if (!points) load();
  else paint();
  clock.shown();
}

export function begin() {
  scatter = mapCanvas($("map"), {mark, take, drawsLasso: () => $("map-lasso").ariaPressed === "true"});
  list = cards($("taken"), {
    like: (hit) => byExample(hit, "like"), unlike: (hit) => byExample(hit, "unlike"), open: openHit,
  });
  clock.begin();
  $("map-colour").addEventListener("change", paint);
  $("map-lasso").addEventListener("click", () => {
    const isOn = $("map-lasso").ariaPressed !== "true";
    $("map-lasso").setAttribute("aria-pressed", isOn);
  });
  $("map-near").addEventListener("click", () => scatter.takeAround());
  $("map-all").addEventListener("click", () => {
    scatter.see();
    scatter.draw();
  });
  $("map-anew").addEventListener("click", guarded(async () => {
    await post("/api/map", {});
    points = null;
    load();
  }));
  $("taken-play").addEventListener("click", playAll);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && chain) chain.stopped = true;
  });
  $("taken-yes").addEventListener("click", () => answerAll(true));
  $("taken-no").addEventListener("click", () => answerAll(false));
  $("taken-none").addEventListener("click", () => take([]));
  window.addEventListener("resize", () => ($("look").hidden ? undefined : scatter.fit()));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
  on("answers", paint);
  on("active", paint);
}

