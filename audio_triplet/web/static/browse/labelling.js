// Classes, what to listen to next, and how well the classifier of the class does.
import {get} from "./api.js";
import {choose, louder} from "./cards.js";
import {course} from "./charts.js";
import {$, after, count, element, guarded, say, shortName, time} from "../shared/dom.js";
import {activate, activeClass, addClass, answersTo, on, redo, state, undo} from "./state.js";

const ORDERS = {surest: "surest first", unsure: "least sure first", spread: "spread over the scores", random: "drawn by lot"};
let list = null, order = "", whole = 0;

function showClasses() {
  const items = state.classes.map((one, place) => element("li", {},
    element("button", {
      type: "button", class: "class", "data-class": one.label, "aria-pressed": String(one.label === state.active),
      "aria-keyshortcuts": place < 9 ? String(place + 1) : undefined,
    },
    place < 9 ? element("kbd", {"aria-hidden": "true"}, String(place + 1)) : null,
    element("bdi", {}, one.label),
    element("span", {class: "counts"}, `${one.yes} yes, ${one.no} no`))));
  $("class-list").replaceChildren(...items);
  $("next").disabled = !activeClass()?.yes;
  $("next-hint").hidden = Boolean(activeClass()?.yes);
  for (const name of document.querySelectorAll("[data-class-name]")) name.textContent = state.active || "a class";
}

// The list in an order of the classifier's; it is fitted anew for it.
export const showNext = guarded(async (wanted = order || "surest") => {
  order = wanted;
  const found = await get("/api/next", {label: state.active, order, count: Number($("top").value),
    seed: order === "random" ? Math.floor(Math.random() * 2 ** 31) : undefined});
  list.show(found.hits);
  $("hits").dataset.goesOn = "";
  for (const one of document.querySelectorAll("[data-order]")) one.setAttribute("aria-pressed", one.dataset.order === order);
  $("again").hidden = false;
  say(`${count(found.hits.length, "moment")} without an answer, ${ORDERS[order]}. Scores are probabilities of ${state.active}.`);
  choose(list.items[0] ?? null);
});

// A search has been made: what is shown are its hits.
export function searched() {
  order = "";
  delete $("hits").dataset.goesOn;
  $("again").hidden = true;
  for (const one of document.querySelectorAll("[data-order]")) one.setAttribute("aria-pressed", "false");
}

function goOn() {
  if (!order || !list.items.length) return;
  if (list.items.every((item) => answersTo(item.hit)[state.active] !== undefined)) showNext();
}

function showScore(fit) {
  const score = fit.held_out;
  $("learn-counts").textContent = `${fit.yes} yes and ${fit.no} no in ${count(fit.recordings, "recording")}; ` +
    `fitted and the archive scored in ${Math.round(1000 * fit.seconds)} ms.`;
  $("learn-score").textContent = score ? score.average_precision.toFixed(2) : "–";
  $("learn-interval").textContent = score
    ? `95 %: ${score.interval[0].toFixed(2)} to ${score.interval[1].toFixed(2)}; chance has ${score.prevalence.toFixed(2)}`
    : "known once there are yes and no in two recordings each";
}

// After each answer: the score, and how it came there. Only the last one that was asked for counts.
const learn = after(120, async () => {
  const asked = ++whole, own = activeClass();
  $("learn").hidden = !own?.yes;
  if (!own?.yes) return;
  try {
    const fit = await get("/api/fit", {label: own.label, if_any: true});
    if (asked !== whole) return;
    $("learn").hidden = !fit.yes;  // it may have been taken back meanwhile
    if (!fit.yes) return;
    showScore(fit);
    $("learn-curve").hidden = !fit.held_out;
    if (!fit.held_out) return;
    const {points} = await get("/api/curve", {label: own.label});
    if (asked !== whole) return;
    const last = points.at(-1);
    $("learn-curve").replaceChildren(...(points.length > 1 ? [course(
      points.map((point) => ({x: point.answers, y: point.average_precision, low: point.interval[0], high: point.interval[1]})),
      {described: `Average precision on held-out recordings after ${points[0].answers} to ${last.answers} answers, ` +
        `now ${last.average_precision.toFixed(2)}`, xTitle: "answers"})] : []));
  } catch (error) {
    if (asked === whole) $("learn-interval").textContent = error.message;
  }
});

const told = (answers, word) => (answers.length
  ? `${word}: ${answers.length > 1 ? count(answers.length, "answer") : `${answers[0].label}, ${shortName(answers[0].path)} at ${time(answers[0].start_seconds)}`}.`
  : `Nothing to ${word === "Taken back" ? "take back" : "give again"}.`);

export const takeBack = guarded(async () => say(told(await undo(), "Taken back")));
export const giveAgain = guarded(async () => say(told(await redo(), "Given again")));

export function begin(cardList) {
  list = cardList;
  $("class-form").addEventListener("submit", guarded(async (event) => {
    event.preventDefault();
    addClass($("class-name").value);
    $("class-name").value = "";
  }));
  $("class-list").addEventListener("click", (event) => {
    const pressed = event.target.closest("[data-class]");
    if (pressed) activate(pressed.dataset.class);
  });
  $("next").addEventListener("click", (event) => {
    const pressed = event.target.closest("[data-order]");
    if (pressed) showNext(pressed.dataset.order);
  });
  $("again").addEventListener("click", () => showNext());
  $("gain").addEventListener("change", louder);
  $("undo").addEventListener("click", takeBack);
  $("redo").addEventListener("click", giveAgain);
  on("classes", showClasses);
  on("active", () => {
    learn();
    if (order && activeClass()?.yes) showNext();
  });
  on("answers", () => {
    learn();
    goOn();
  });
  showClasses();
}

