// Moments as cards: picture, player, score, clock time, answers; and which one is chosen.
import {served} from "./api.js";
import {$, button, clock, element, guarded, say, shortName, time} from "../shared/dom.js";
import {answer, answersTo, momentOf, on, state} from "./state.js";

const WORDS = new Map([[true, "yes"], [false, "no"], [null, "not sure"]]);
const SIGNS = new Map([[true, "✓"], [false, "✗"], [null, "?"]]);

// Where a part of a sound is served, as loud as one wishes.
export const soundOf = (part) => served("/api/sound", {...part, gain_db: Number($("gain").value) || undefined});

export function player(moment, width = 300) {
  const part = momentOf(moment), name = `${shortName(moment.path)} at ${time(moment.start_seconds)}`;
  return element("button", {
    type: "button", class: "clip", "aria-pressed": "false", "aria-label": `Play ${name}`,
    "data-url": soundOf(part), "data-title": name,
    "data-span": moment.end_seconds - moment.start_seconds,
  },
  element("img", {
    src: served("/api/picture", {...part, width}), alt: "", width, height: 64, loading: "lazy", decoding: "async",
  }),
  element("i", {"aria-hidden": "true"}));
}

function answerButtons() {
  const keys = [["yes", true, "y"], ["no", false, "n"], ["not sure", null, "x"]];
  return element("div", {class: "answers", role: "group"},
    ...keys.map(([word, value, key]) =>
      button(word, {"data-value": JSON.stringify(value), "aria-pressed": "false", "aria-keyshortcuts": key})));
}

// A card of a hit; `isHit: false` for a moment that was not found by its score: it is no hit.
export function card(hit, {isHit = true, scored = isHit} = {}) {
  const score = isHit ? {"data-path": hit.path, "data-start": hit.start_seconds, "data-end": hit.end_seconds,
    "data-score": hit.score} : {};
  const known = [hit.clock_time ? clock(hit.clock_time) : "", hit.labels?.length ? hit.labels.join(", ") : ""]
    .filter(Boolean).join(" · ");
  const made = element("li", {class: "card", ...score},
    player(hit),
    element("p", {class: "facts"},
      scored ? element("span", {class: "rank"}, String(hit.rank)) : null,
      scored ? element("b", {title: "score"}, hit.score.toFixed(3)) : null,
      element("span", {class: "when"}, `${time(hit.start_seconds)} – ${time(hit.end_seconds)}`)),
    known ? element("p", {class: "known soft"}, known) : null,
    element("p", {class: "file", title: hit.path}, element("bdi", {}, shortName(hit.path))),
    answerButtons(),
    element("p", {class: "held"}),
    element("p", {class: "more"},
      button("more like this", {"data-kind": "like", "aria-keyshortcuts": "m"}),
      button("less", {"data-kind": "unlike", "aria-keyshortcuts": "l", "aria-label": "less like this"}),
      button("recording", {"data-open": "", "aria-keyshortcuts": "o", "aria-label": "open its recording"})));
  made.hit = hit;
  mark(made);
  return made;
}

// Writes the answers of a moment on its card.
export function mark(item) {
  const answers = answersTo(item.hit), own = answers[state.active];
  const group = item.querySelector(".answers");
  group.setAttribute("aria-label", state.active ? `Is it ${state.active}?` : "Is it of the class?");
  for (const one of group.children) {
    one.setAttribute("aria-pressed", own !== undefined && JSON.stringify(own) === one.dataset.value);
  }
  item.dataset.answer = own === undefined ? "" : WORDS.get(own);
  item.querySelector(".held").replaceChildren(...Object.entries(answers)
    .filter(([label]) => label !== state.active)
    .map(([label, value]) => element("span", {class: `tag ${WORDS.get(value).replace(" ", "-")}`},
      `${SIGNS.get(value)} ${label}`, element("span", {class: "hidden"}, `: ${WORDS.get(value)}`))));
}

const lists = [];
let chosen = null;

export const current = () => (chosen?.isConnected && chosen.offsetParent ? chosen : null);

export function choose(item, {focus = true} = {}) {
  chosen?.classList.remove("chosen");
  chosen = item;
  if (!item) return;
  item.classList.add("chosen");
  if (focus) {
    item.querySelector(".clip").focus({preventScroll: true});
    item.scrollIntoView({block: "nearest"});
  }
}

const visibleList = () => lists.find((list) => list.offsetParent && list.children.length);

// The next card that is in sight of the list, by so many places.
export function step(by) {
  const item = current();
  if (!item) return choose(visibleList()?.firstElementChild ?? null);
  const items = [...item.parentElement.children];
  const next = items[items.indexOf(item) + by];
  if (next) choose(next);
  return undefined;
}

export function play(item) {
  item?.querySelector(".clip").click();
}

// How many cards stand in a row: arrow keys go by what is seen.
export function columns() {
  const list = current()?.parentElement ?? visibleList();
  return list ? getComputedStyle(list).gridTemplateColumns.split(" ").length : 1;
}

// Answers for a card; then the next one without an answer is chosen, and played if one wishes.
export const decide = guarded(async (item, value, label = state.active, goesOn = true) => {
  await answer([item.hit], label, value);
  say(`${label}: ${WORDS.get(value)}, ${shortName(item.hit.path)} at ${time(item.hit.start_seconds)}.`);
  if (item.parentElement?.dataset.goesOn === undefined || !goesOn || label !== state.active) return;
  let next = item.nextElementSibling;
  while (next && answersTo(next.hit)[state.active] !== undefined) next = next.nextElementSibling;
  if (next && current() === item) {
    choose(next);
    if ($("autoplay").checked) play(next);
  }
});

// A list of cards: `list` is the element, `handlers` what its buttons do (like, unlike, open).
export function cards(list, handlers = {}) {
  lists.push(list);
  list.addEventListener("click", (event) => {
    const item = event.target.closest(".card"), pressed = event.target.closest("button");
    if (!item || !pressed) return;
    choose(item, {focus: false});
    if (pressed.dataset.value) decide(item, JSON.parse(pressed.dataset.value), state.active, event.detail === 0);
    else if (pressed.dataset.kind) handlers[pressed.dataset.kind]?.(item.hit);
    else if (pressed.dataset.open !== undefined) handlers.open?.(item.hit);
  });
  list.addEventListener("focusin", (event) => {
    const item = event.target.closest(".card");
    if (item && item !== chosen) choose(item, {focus: false});
  });
  list.handlers = handlers;
  return {
    show(hits, options) {
      list.replaceChildren(...hits.map((hit) => card(hit, options)));
    },
    add(hits, options) {
      list.append(...hits.map((hit) => card(hit, options)));
    },
    get items() {
      return [...list.children];
    },
  };
}

// Sounds that are on the page already become louder, too.
export function louder() {
  for (const list of lists) {
    for (const item of list.children) item.querySelector(".clip").dataset.url = soundOf(momentOf(item.hit));
  }
}

function markAll() {
  for (const list of lists) for (const item of list.children) mark(item);
}
on("answers", markAll);
on("active", markAll);
