// Small charts in SVG; colours and type come from charts.css and learn.css.
import {svg} from "../shared/dom.js";

const WIDTH = 320, LEFT = 42, RIGHT = 10, TOP = 8, BOTTOM = 26;

function frame(height, {xTicks, yTicks, x, y, xTitle}) {
  const parts = [];
  for (const [value, text] of yTicks) {
    parts.push(svg("line", {class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value)}),
      svg("text", {class: "tick", x: LEFT - 5, y: y(value) + 4, "text-anchor": "end"}, text));
  }
  for (const [value, text] of xTicks) {
    parts.push(svg("text", {class: "tick", x: x(value), y: height - BOTTOM + 14, "text-anchor": "middle"}, text));
  }
  if (xTitle) {
    parts.push(svg("text", {class: "tick", x: WIDTH - RIGHT, y: height - 1, "text-anchor": "end"}, xTitle));
  }
  return parts;
}

function whole(low, high, most) {
  const step = Math.max(1, Math.ceil((high - low) / most));
  const found = [];
  for (let value = Math.ceil(low); value <= high; value += step) found.push([value, String(value)]);
  return found;
}

const shares = [[0, "0"], [0.5, "0.5"], [1, "1"]];
const line = (points) => points.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(" ");

// A line with the interval of each point, over a number of answers.
// points: {x, y (null: unknown), low, high}; limits: of y; described: what a screen reader says.
export function course(points, {described, xTitle, height = 150, limits = [0, 1], yTicks = shares}) {
  const first = Math.min(...points.map((point) => point.x)), last = Math.max(...points.map((point) => point.x));
  const span = Math.max(1, last - first);
  const x = (value) => LEFT + 8 + (value - first) / span * (WIDTH - LEFT - RIGHT - 16);
  const y = (value) => height - BOTTOM - (value - limits[0]) / (limits[1] - limits[0]) * (height - BOTTOM - TOP);
  const known = points.filter((point) => point.y !== null);
  const band = [...points.map((point) => [x(point.x), y(point.high)]),
    ...[...points].reverse().map((point) => [x(point.x), y(point.low)])];
  return svg("svg", {viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-label": described},
    ...frame(height, {xTicks: whole(first, last, 6), yTicks, x, y, xTitle}),
    ...(points.length > 1 ? [svg("polygon", {class: "band", points: line(band)})] : []),
    svg("polyline", {class: "line mine", points: line(known.map((point) => [x(point.x), y(point.y)]))}),
    ...points.map((point) => svg("line", {class: "whisker", x1: x(point.x), x2: x(point.x), y1: y(point.low), y2: y(point.high)})),
    ...known.map((point) => svg("circle", {class: "dot", cx: x(point.x), cy: y(point.y), r: 3})));
}

// A line in the unit square, with points of their own on it.
// series: {points: [[x, y]], kind: class, dots: whether each point is shown}.
export function square(series, {described, xTitle, height = 240, dots = [], diagonal = false}) {
  const x = (value) => LEFT + value * (WIDTH - LEFT - RIGHT), y = (value) => height - BOTTOM - value * (height - BOTTOM - TOP);
  return svg("svg", {viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-label": described},
    ...frame(height, {xTicks: shares, yTicks: shares, x, y, xTitle}),
    ...(diagonal ? [svg("line", {class: "grid even", x1: x(0), y1: y(0), x2: x(1), y2: y(1)})] : []),
    ...series.map(({points, kind}) => svg("polyline", {class: `line ${kind}`, points: line(points.map(([a, b]) => [x(a), y(b)]))})),
    ...dots.map(([a, b, size = 4]) => svg("circle", {class: "dot", cx: x(a), cy: y(b), r: size})));
}
