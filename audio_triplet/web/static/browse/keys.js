// The keyboard: one choice of keys for all views, and the list of them.
import {columns, current, decide, play, step} from "./cards.js";
import {$, isTyping} from "../shared/dom.js";
import {giveAgain, showNext, takeBack} from "./labelling.js";
import {state} from "./state.js";

const VALUES = {y: true, n: false, x: null};

function press(event) {
  const item = current();
  switch (event.key) {
    case "?": return $("keys").showModal();
    case "/": return $("word").focus();
    case "u": return takeBack();
    case "U": return giveAgain();
    case "ArrowDown": return step(columns());
    case "ArrowUp": return step(-columns());
    case "ArrowRight": return step(1);
    case "ArrowLeft": return step(-1);
    case "r": return $("again").hidden ? undefined : showNext();
    default:
  }
  if (!item) return undefined;
  const digit = /^Digit([1-9])$/.exec(event.code)?.[1];
  if (digit) {
    const one = state.classes[Number(digit) - 1];
    return one ? decide(item, !event.shiftKey, one.label) : undefined;
  }
  if (event.key in VALUES) return decide(item, VALUES[event.key]);
  const handlers = item.parentElement.handlers;
  const action = {m: handlers.like, l: handlers.unlike, o: handlers.open}[event.key];
  return action?.(item.hit);
}

const USED = new Set(["?", "/", "u", "U", "ArrowDown", "ArrowUp", "ArrowRight", "ArrowLeft", "r", "y", "n", "x", "m", "l", "o"]);

export function begin() {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (isTyping(event.target) || event.target.closest?.("[data-own-keys], [role=slider]")) return;
    if (event.key === " ") {
      // A button is pressed by space as everywhere; elsewhere space plays what is chosen.
      if (!event.target.closest?.("button, a, summary") && current()) {
        event.preventDefault();
        play(current());
      }
    } else if (USED.has(event.key) || /^Digit[1-9]$/.test(event.code)) {
      event.preventDefault();
      press(event);
    }
  });
  $("keys-open").addEventListener("click", () => $("keys").showModal());
}
