// Elements, messages and words that all parts of the window share.

export const $ = (id) => document.getElementById(id);

// An element with attributes (undefined and false: left out; true: without a value) and children.
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(name, "");
    else if (value !== undefined && value !== false) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export function svg(tag, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

export function button(text, attributes = {}) {
  return element("button", {type: "button", ...attributes}, text);
}

// One line for everything that happened, read aloud by screen readers.
export function say(text, isError = false) {
  $("status").textContent = text;
  $("status").classList.toggle("error", isError);
}

// What the action throws is shown, not lost in the console.
export const guarded = (action) => async (...given) => {
  try {
    return await action(...given);
  } catch (error) {
    say(error.message, true);
    return undefined;
  }
};

export function after(milliseconds, action) {
  let timer = 0;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => action(...given), milliseconds);
  };
}

export const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
export const shortName = (path) => path.split("/").pop();
export const count = (number, one, several = one + "s") =>
  `${number.toLocaleString("en")} ${number === 1 ? one : several}`;
export const percent = (share, digits = 0) => `${(100 * share).toFixed(digits)} %`;

export function time(seconds) {
  const tenths = Math.round(seconds * 10), whole = Math.floor(tenths / 10);
  const rest = `${String(whole % 60).padStart(2, "0")}.${tenths % 10}`;
  const minutes = Math.floor(whole / 60), hours = Math.floor(minutes / 60);
  return hours ? `${hours}:${String(minutes % 60).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

// 2024-06-12T05:30:00.000 as a person writes it.
export const clock = (text) => text.replace("T", " ").slice(0, 19);
export const isTyping = (target) => Boolean(target.closest?.("input, select, textarea, dialog"));
