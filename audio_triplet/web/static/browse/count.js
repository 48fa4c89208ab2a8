// How many moments are of the class, and what the classifier's scores are worth.
import {get, post} from "./api.js";
import {cards, choose} from "./cards.js";
import {course, square} from "./charts.js";
import {$, after, count, element, guarded, percent, say} from "../shared/dom.js";
import {byExample, openHit} from "./search.js";
import {activate, activeClass, answersTo, on, state} from "./state.js";

const MORE = 16;
let list = null, asking = 0;

const isShown = () => !$("count").hidden;
const answered = (item) => answersTo(item.hit)[state.active] !== undefined;

function showClasses() {
  for (const id of ["count-class", "map-class"]) {
    $(id).replaceChildren(...state.classes.map((one) =>
      element("option", {value: one.label, selected: one.label === state.active}, one.label)));
    $(id).value = state.active;
  }
  $("count-more").disabled = !activeClass()?.yes;
}

const near = (share, moments) => Math.round(share * moments).toLocaleString("en");

function showCount(found) {
  const [low, high] = found?.interval ?? [0, 1];
  $("count-more").textContent = found ? `Listen to ${MORE} more` : "Begin to count";
  $("count-again").hidden = !found;
  $("strata-box").hidden = !found;
  $("count-course").replaceChildren();
  if (!found) {
    $("count-share").textContent = "–";
    $("count-interval").textContent = "";
    $("count-said").textContent = activeClass()?.yes ? ""
      : "Answer one moment with yes first: the classifier's scores say where to listen.";
    return;
  }
  $("count-share").textContent = found.share === null ? "–"
    : `${near(found.share, found.moments)} (${percent(found.share, found.share < 0.1 ? 1 : 0)})`;
  $("count-interval").textContent = `of ${found.moments.toLocaleString("en")} moments; 95 %: ` +
    `${near(low, found.moments)} to ${near(high, found.moments)}, by ${count(found.answered, "answer")}`;
  const left = found.ask.length;
  $("count-said").textContent = `Begun ${found.begun.slice(0, 16).replace("T", " ")} UTC. ` +
    (left ? `${count(left, "moment")} to listen to.` : "All that was drawn has an answer.") +
    (found.is_current ? "" : " The archive has grown since: the count is of what it was.");
  if (found.course.length > 1) {
    // The first answers leave everything open: the picture is of what came after.
    const later = found.course.slice(Math.floor(found.course.length / 3));
    const top = Math.min(1, Math.max(0.01, ...later.map((point) => point.interval[1])));
    const bounded = (share) => (share === null ? null : Math.min(top, share));
    $("count-course").append(course(found.course.map(({answers, share, interval}) =>
      ({x: answers, y: bounded(share), low: bounded(interval[0]), high: bounded(interval[1])})), {
      described: `The estimate after each answer, now ${percent(low, 1)} to ${percent(high, 1)} of the moments`,
      xTitle: "answers", limits: [0, top],
      yTicks: [0, top / 2, top].map((share) => [share, percent(share, top < 0.1 ? 1 : 0)]),
    }));
  }
  $("strata").tBodies[0].replaceChildren(...found.strata.toReversed().map((part) => element("tr", {},
    element("th", {scope: "row"}, `${part.scores[0].toFixed(2)} – ${part.scores[1].toFixed(2)}`),
    element("td", {}, part.moments.toLocaleString("en")), element("td", {}, String(part.answered)),
    element("td", {}, String(part.yes)))));
}

// Moments that were listed stay until all have an answer: nothing moves away under one's fingers.
function showAsked(hits) {
  const isDone = list.items.every(answered);
  if (isDone || list.items[0]?.label !== state.active) {
    list.show(hits, {isHit: false});
    for (const item of list.items) item.label = state.active;
  } else {
    const known = new Set(list.items.map((item) => JSON.stringify([item.hit.path, item.hit.start_seconds])));
    list.add(hits.filter((hit) => !known.has(JSON.stringify([hit.path, hit.start_seconds]))), {isHit: false});
  }
  $("count-empty").hidden = list.items.length > 0;
}

function showQuality(found) {
  const {threshold, sample} = found, asked = percent(found.precision);
  const parts = [];
  if (threshold.score === null) parts.push(`No score reaches ${asked} yet: answer more.`);
  else {
    const calibrated = threshold.probability === null ? "" : ` (a probability of ${threshold.probability.toFixed(2)}, calibrated)`;
    parts.push(`From a score of ${threshold.score.toFixed(2)}${calibrated} on, ${found.moments_above.toLocaleString("en")} moments are found. `);
    if (threshold.precision !== null) {
      parts.push(`By answers held out ${percent(threshold.precision)} of those found are right (95 %: ` +
        `${percent(threshold.precision_interval[0])} to ${percent(threshold.precision_interval[1])})`);
      parts.push(threshold.recall === null ? ". " : `, and ${percent(threshold.recall)} of the right ones are found. `);
    }
    const own = sample?.at_threshold;
    if (own && own.answered) {
      parts.push(`By the sample: ${own.share === null ? "" : percent(own.share)} right (95 %: ${percent(own.interval[0])} to ` +
        `${percent(own.interval[1])}, ${own.answered} of them heard).`);
    }
  }
  $("quality-threshold").textContent = parts.join("");
  const lines = [{points: found.curve.map(([recall, precision]) => [recall, precision]), kind: "series-1"}];
  $("quality-sample-key").hidden = !sample?.curve.length;
  if (sample?.curve.length) lines.push({points: sample.curve.map(([recall, precision]) => [recall, precision]), kind: "mine"});
  $("quality-curve").replaceChildren(square(lines, {
    described: "Precision over recall, from the highest score to the lowest", xTitle: "recall"}));
  $("quality-bins").replaceChildren(square([], {
    described: `Share of the class by probability: ${found.reliability.map((bin) => `${percent(bin.probability)} said, ${percent(bin.share)} are`).join("; ")}`,
    xTitle: "what it said", diagonal: true,
    dots: found.reliability.map((bin) => [bin.probability, bin.share, 3 + 2 * Math.log2(bin.count)]),
  }));
  const apart = (value) => (value === null ? "unknown" : value.toFixed(2));
  $("quality-calibration").textContent = `Probability and share are ${apart(found.calibration_error)} apart on the average; ` +
    `calibrated by the other recordings, ${apart(found.calibration_error_learned)}.`;
}

const load = after(150, guarded(async () => {
  if (!isShown() || !state.active) return;
  const asked = ++asking, label = state.active;
  const found = await get("/api/count", {label});
  if (asked !== asking) return;
  showCount(found.begun ? found : null);
  showAsked(found.ask ?? []);
  const isKnown = activeClass()?.yes && (await get("/api/fit", {label, if_any: true})).held_out;
  const quality = isKnown ? await get("/api/quality", {label, precision: $("quality-precision").value}) : null;
  if (asked !== asking) return;
  $("quality").hidden = !quality;
  if (quality) showQuality(quality);
}));

const more = guarded(async (again) => {
  const found = await post("/api/count", {label: state.active, more: MORE, again});
  if (again) list.show([]);
  showCount(found);
  showAsked(found.ask);
  choose(list.items.find((item) => !answered(item)) ?? null);
  say(`${count(found.ask.length, "moment")} drawn by lot. Is it ${state.active}? y, n, x answer; space plays.`);
});

export function shown() {
  showClasses();
  load();
}

export function begin() {
  list = cards($("count-asked"), {
    like: (hit) => byExample(hit, "like"), unlike: (hit) => byExample(hit, "unlike"), open: openHit,
  });
  for (const id of ["count-class", "map-class"]) {
    $(id).addEventListener("change", () => activate($(id).value));
  }
  $("count-more").addEventListener("click", () => more(false));
  $("count-again").addEventListener("click", () => more(true));
  $("quality-precision").addEventListener("change", load);
  on("classes", showClasses);
  on("active", load);
  on("answers", load);
}
