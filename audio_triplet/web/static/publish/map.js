// The map of the archive: what sounds alike lies together. It is fetched when it is first in sight.
import {$, button, count, element, guarded} from "../shared/dom.js";
import {mapCanvas} from "../shared/map_canvas.js";
import * as palette from "../shared/palette.js";
import {clockOf, minuteAt} from "./choosing.js";
import {ask, library} from "./library.js";
import {answersTo, nameOf, play, tile} from "./tiles.js";

const SHOWN = 60, NAMED = 12;  // tiles of what is taken; labels in the legend
let scatter = null, points = null, search = null;

const moment = (place) => {
  const [file, recording, labels] = library.info.segments[points.segment[place]], {name, recorded_at: began} = library.info.files[file];
  return {file, recording, labels, path: name, recorded_at: began, start_seconds: points.start[place], end_seconds: points.end[place]};
};

function legend(...entries) {
  $("map-legend").replaceChildren(...entries.map(([pixel, text]) => {
    const swatch = element("i", {"aria-hidden": "true"});
    swatch.style.background = palette.css(pixel);
    return element("span", {}, swatch, text);
  }));
}

const each = (colourOf) => Uint32Array.from(points.segment, (_, place) => colourOf(place));

const colourings = {
  file: () => {
    legend();
    return each((place) => {
      const [file] = library.info.segments[points.segment[place]];
      return palette.hue(file * 137.508 % 360, 0.45 + 0.2 * (file % 2));
    });
  },
  hour: () => {
    const clocks = library.info.files.map((file) => clockOf(file.recorded_at)), grey = palette.styled("--plain");
    legend(...[0, 6, 12, 18].map((hour) => [palette.hue(hour * 15), `${hour} h`]));
    return each((place) => {
      const minute = minuteAt(clocks[library.info.segments[points.segment[place]][0]], points.start[place]);
      return minute < 0 ? grey : palette.hue(minute / 4);
    });
  },
  label: () => {
    const {segments, answers} = library.info, ofFile = new Set(answers.map(([file]) => file)), counts = new Map();
    const first = Array.from(points.segment, (segment, place) => {
      const [file, , labels] = segments[segment];
      return (ofFile.has(file) ? answersTo(moment(place))[0] : undefined) ?? labels[0];
    });
    for (const label of first) if (label !== undefined) counts.set(label, (counts.get(label) ?? 0) + 1);
    const named = [...counts].sort((a, b) => b[1] - a[1]).map(([label]) => label);
    const colours = new Map(named.map((label, n) => [label, n < NAMED ? palette.hue(n * 360 / Math.min(NAMED, named.length)) : palette.styled("--ink")]));
    const grey = palette.styled("--plain");
    legend(...named.slice(0, NAMED).map((label) => [colours.get(label), label]),
      ...(named.length > NAMED ? [[palette.styled("--ink"), `${named.length - NAMED} others`]] : []), [grey, "no label"]);
    return Uint32Array.from(first, (label) => colours.get(label) ?? grey);
  },
};

function paint() {
  if (!points) return;
  scatter.background = palette.styled("--card");
  scatter.takenColour = palette.css(palette.styled("--ink"));
  scatter.markColour = palette.css(palette.styled("--pink"));
  scatter.colours = colourings[$("map-colour").value]();
  scatter.draw();
}

const mark = guarded(async (place, plays) => {
  $("map-spot").textContent = place < 0 ? "" : [nameOf(moment(place)), ...moment(place).labels, ...answersTo(moment(place))].join(" · ");
  if (plays && place >= 0) await play(moment(place));
});

function take(chosen) {
  scatter.taken = chosen;
  scatter.draw();
  $("taken-box").hidden = !chosen.length;
  const shown = chosen.slice(0, SHOWN);
  $("taken-h").textContent = count(chosen.length, "moment taken", "moments taken") +
    (shown.length < chosen.length ? `, ${shown.length} of them shown` : "");
  $("taken").replaceChildren(...shown.map((place) => tile(moment(place), search)));
}

const load = guarded(async () => {
  const {answer} = await ask("map");
  points = answer;
  const {length} = points.x;
  $("map-said").textContent = `${count(length, "moment")}${length < points.of ? ` of ${points.of.toLocaleString("en")}, by lot` : ""}.`;
  scatter.setPoints(points.x, points.y);
  scatter.fit();
  paint();
});

// `more` searches by a moment.
export function begin(more) {
  search = more;
  if (!library.info.map) return;
  scatter = mapCanvas($("map-canvas"), {mark, take, drawsLasso: () => $("map-lasso").ariaPressed === "true"});
  const kinds = {label: "label", file: "recording", hour: "hour of the day"};
  const has = {
    file: true, hour: library.info.files.some((file) => file.recorded_at),
    label: library.info.answers.length > 0 || library.info.segments.some(([, , labels]) => labels.length),
  };
  $("map-colour").append(...Object.keys(kinds).filter((kind) => has[kind]).map((kind) => element("option", {value: kind}, kinds[kind])));
  $("map-colour").addEventListener("change", paint);
  $("map-lasso").addEventListener("click", () => $("map-lasso").setAttribute("aria-pressed", $("map-lasso").ariaPressed !== "true"));
  $("map-near").addEventListener("click", () => scatter.takeAround());
  $("map-all").addEventListener("click", () => {
    scatter.see();
    scatter.draw();
  });
  $("taken-box").append(button("Put away", {id: "taken-none"}));
  $("taken-none").addEventListener("click", () => take([]));
  window.addEventListener("resize", () => (points ? scatter.fit() : undefined));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
  const sight = new IntersectionObserver(([{isIntersecting}]) => {
    if (!isIntersecting) return;
    sight.disconnect();
    load();
  });
  sight.observe($("map-canvas"));
}
