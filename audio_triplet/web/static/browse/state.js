// What the window knows of the archive: answers, classes, the class that is asked for.
import {get, post} from "./api.js";

export const state = {
  index: null,
  classes: [],  // {label, yes, no, unsure, recordings}, in an order that does not change under one's fingers
  active: "",
  answers: new Map(),  // key of a moment → label → true, false or null
  version: 0,
};

const listeners = new Map();

// Names: "answers" (some changed), "classes" (list, counts or the active one changed), "active".
export function on(name, action) {
  listeners.set(name, [...(listeners.get(name) ?? []), action]);
}
function emit(name) {
  for (const action of listeners.get(name) ?? []) action();
}

export const momentOf = (hit) =>
  ({path: hit.path, start_seconds: hit.start_seconds, end_seconds: hit.end_seconds});
export const keyOf = (m) =>
  [m.path, Math.round(m.start_seconds * 1000), Math.round(m.end_seconds * 1000)].join("\n");
export const answersTo = (moment) => state.answers.get(keyOf(moment)) ?? {};
export const activeClass = () => state.classes.find((one) => one.label === state.active);

function order(classes) {
  const known = state.classes.map((one) => one.label);
  const place = (one) => (known.includes(one.label) ? known.indexOf(one.label) : known.length);
  return [...classes].sort((a, b) => place(a) - place(b));
}

async function loadClasses() {
  const {classes} = await get("/api/classes");
  // A class that was named here, and has no answer yet, stays.
  const empty = state.classes.filter((one) => !classes.some((other) => other.label === one.label))
    .map((one) => ({...one, yes: 0, no: 0, unsure: 0, recordings: 0}));
  state.classes = order([...classes, ...empty]);
  if (!state.active && state.classes.length) activate(state.classes[0].label);
  emit("classes");
}

export function activate(label) {
  state.active = label;
  emit("classes");
  emit("active");
}

// A class is made by naming it; it is kept with the first answer.
export function addClass(label) {
  const name = label.split(/\s+/).filter(Boolean).join(" ");
  if (!name) return;
  if (name.includes(";")) throw new Error(`${name}: a name of a class holds no “;”; leave it out`);
  if (!state.classes.some((one) => one.label === name)) {
    state.classes.push({label: name, yes: 0, no: 0, unsure: 0, recordings: 0});
  }
  activate(name);
}

// What other tabs, other people and this one have answered since.
export async function refresh() {
  const isFirst = !state.version;
  const found = await get("/api/labels", isFirst ? {} : {since: state.version});
  if (!isFirst && !found.labels.length) return;
  state.version = found.labels_version;
  for (const label of found.labels) {
    const key = keyOf(label), answers = state.answers.get(key) ?? {};
    if (label.removed) delete answers[label.label];
    else answers[label.label] = label.value;
    state.answers.set(key, answers);
  }
  await loadClasses();
  if (found.labels.length) emit("answers");
}

// A request that is sent again stores nothing again.
const newId = () => [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

export async function answer(moments, label, value) {
  if (!label) throw new Error("Name a class first, such as “dog”; then answer.");
  const labels = moments.map((moment) => ({...momentOf(moment), label, value, id: newId()}));
  await post("/api/labels", {labels});
  await refresh();
}

async function take(address, field) {
  const found = await post(address, {});
  await refresh();
  return found[field];
}
export const undo = () => take("/api/undo", "undone");
export const redo = () => take("/api/redo", "redone");
