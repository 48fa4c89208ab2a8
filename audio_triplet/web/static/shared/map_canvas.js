// A map under mouse, touch and keys: drag moves, wheel or pinch zooms, a click or the space bar
// plays, the lasso or Enter takes points. The canvas has a border that shows its focus.
import {clamp} from "./dom.js";
import {Scatter} from "./scatter.js";

export const AROUND = 30;  // points that Enter takes

// mark(point, plays): −1 for none; take(points): what was drawn around; drawsLasso(): whether a drag
// draws one (with the shift key it does anyway).
export function mapCanvas(canvas, {mark, take, drawsLasso}) {
  const scatter = new Scatter(canvas), held = new Map();
  let moved = 0, lasso = false, gap = 0;
  const at = (event) => {
    const box = canvas.getBoundingClientRect(), ratio = canvas.width / box.width;
    return [(event.clientX - box.left) * ratio, (event.clientY - box.top) * ratio];
  };
  const apart = () => {
    const [[ax, ay], [bx, by]] = [...held.values()];
    return Math.hypot(ax - bx, ay - by);
  };
  const middle = () => [canvas.width / 2, canvas.height / 2];
  const go = (point, plays = false) => {
    scatter.marked = point;
    scatter.draw();
    mark(point, plays);
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    held.set(event.pointerId, at(event));
    moved = 0;
    lasso = held.size === 1 && (drawsLasso() || event.shiftKey);
    scatter.path = lasso ? [at(event)] : [];
    if (held.size === 2) gap = apart();
  });
  canvas.addEventListener("pointermove", (event) => {
    const here = at(event), before = held.get(event.pointerId);
    if (!before) return event.pointerType === "mouse" ? go(scatter.nearest(...here)) : undefined;
    held.set(event.pointerId, here);
    moved += Math.hypot(here[0] - before[0], here[1] - before[1]);
    if (held.size === 2) {
      scatter.zoomAt(...here, apart() / gap);
      gap = apart();
    } else if (lasso) {
      scatter.path.push(here);
      scatter.draw();
    } else scatter.move(here[0] - before[0], here[1] - before[1]);
    return undefined;
  });
  const up = (event) => {
    if (!held.delete(event.pointerId)) return;
    if (lasso && scatter.path.length > 2) take(scatter.inside(scatter.path));
    else if (event.type === "pointerup" && moved < 6) go(scatter.nearest(...at(event)), true);
    scatter.path = [];
    lasso = false;
    scatter.draw();
  };
  canvas.addEventListener("pointerup", up);
  canvas.addEventListener("pointercancel", up);
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    scatter.zoomAt(...at(event), Math.exp(-clamp(event.deltaY, -200, 200) / 300));
  }, {passive: false});

  scatter.takeAround = () => {
    if (!scatter.length) return;
    if (scatter.marked < 0) go(scatter.nearest(...middle(), Infinity));
    take(scatter.around(scatter.marked, AROUND));
  };
  canvas.addEventListener("keydown", (event) => {
    const step = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1]}[event.key];
    if (!scatter.length || event.ctrlKey || event.metaKey || event.altKey) return;
    if (step) go(scatter.marked < 0 ? scatter.nearest(...middle(), Infinity) : scatter.next(scatter.marked, ...step));
    else if (event.key === " ") go(scatter.marked, true);
    else if (event.key === "+" || event.key === "=") scatter.zoomAt(...middle(), 1.4);
    else if (event.key === "-") scatter.zoomAt(...middle(), 1 / 1.4);
    else if (event.key === "Enter") scatter.takeAround();
    else return;
    event.preventDefault();
  });

  // To the size that the page gives it.
  scatter.fit = () => {
    const box = canvas.getBoundingClientRect(), ratio = window.devicePixelRatio || 1;
    canvas.width = Math.round(box.width * ratio);
    canvas.height = Math.round(box.height * ratio);
    scatter.draw();
  };
  return scatter;
}
