// The map: point, tap or walk with the arrow keys to hear a sound; keep to a class; switch layouts.
"use strict";
(() => {
  const chart = document.getElementById("chart");
  if (!chart) return;
  const data = JSON.parse(document.getElementById("map-data").textContent);
  const marks = [...chart.querySelectorAll(".marks use")];
  const ring = chart.querySelector(".ring"), spot = document.getElementById("spot");
  const hover = document.getElementById("hover-sound");
  const legend = [...document.querySelectorAll("[data-kind]")];
  const layouts = [...document.querySelectorAll("[data-layout]")];
  let positions = data.joint, active = -1, picked = -1, timer = 0;

  const allowed = (i) => picked < 0 || data.kind[i] === picked;

  function highlight(kind) {
    chart.classList.toggle("dim", kind >= 0);
    marks.forEach((mark, i) => mark.classList.toggle("on", data.kind[i] === kind));
  }
  function listen(i) {
    clearTimeout(timer);
    if (data.clip[i]) sounds.play(data.clip[i], data.label[i] + " · " + data.title[i]);
  }
  function show(i) {
    active = i;
    clearTimeout(timer);
    ring.classList.toggle("on", i >= 0);
    spot.classList.toggle("on", i >= 0);
    if (i < 0) return;
    const [x, y] = positions[i], size = chart.viewBox.baseVal.width;
    ring.style.transform = `translate(${x}px,${y}px)`;
    const detail = document.createElement("small");
    detail.textContent = data.title[i] + (data.clip[i] ? "" : " (no sound)");
    spot.replaceChildren(data.label[i], detail);
    const scale = chart.clientWidth / size, half = spot.offsetWidth / 2;
    spot.style.left = Math.min(chart.clientWidth - half, Math.max(half, x * scale)) + "px";
    spot.style.top = y * scale + "px";
    spot.classList.toggle("below", y < size / 7);
  }
  function nearest(event) {
    const matrix = chart.getScreenCTM();
    const x = (event.clientX - matrix.e) / matrix.a, y = (event.clientY - matrix.f) / matrix.d;
    const reach = 20 / matrix.a;  // 20 pixels on the screen
    let best = -1, least = reach * reach;
    positions.forEach(([px, py], i) => {
      const distance = (px - x) ** 2 + (py - y) ** 2;
      if (distance < least && allowed(i)) { best = i; least = distance; }
    });
    return best;
  }
  chart.addEventListener("pointermove", (event) => {
    if (event.pointerType !== "mouse") return;
    const i = nearest(event);
    if (i === active) return;
    show(i);
    // Crossing a crowd must not rattle: play where the pointer rests for a moment.
    if (i >= 0 && hover.checked) timer = setTimeout(() => listen(i), 90);
  });
  chart.addEventListener("pointerleave", () => { if (document.activeElement !== chart) show(-1); });
  chart.addEventListener("click", (event) => {
    const i = nearest(event);
    show(i);
    if (i >= 0) listen(i); else sounds.stop();
  });
  chart.addEventListener("blur", () => show(-1));

  const arrows = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};
  function step([dx, dy]) {
    const from = active >= 0 ? positions[active] : [chart.viewBox.baseVal.width / 2,
      chart.viewBox.baseVal.height / 2];
    let best = -1, least = Infinity;
    positions.forEach(([px, py], i) => {
      if (i === active || !allowed(i)) return;
      const x = px - from[0], y = py - from[1];
      const along = x * dx + y * dy, across = Math.abs(x * dy) + Math.abs(y * dx);
      if (active >= 0 && (along <= 0 || across > 2 * along)) return;
      const cost = active < 0 ? x * x + y * y : along + 2 * across;
      if (cost < least) { best = i; least = cost; }
    });
    return best;
  }
  chart.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === " " || event.key === "Enter") {
      if (active >= 0) listen(active);
      event.preventDefault();
    } else if (arrows[event.key]) {
      const i = step(arrows[event.key]);
      if (i >= 0) {
        show(i);
        if (hover.checked) listen(i);
      }
      event.preventDefault();
    }
  });
  for (const button of legend) {
    const kind = Number(button.dataset.kind);
    button.addEventListener("click", () => {
      picked = picked === kind ? -1 : kind;
      for (const other of legend)
        other.setAttribute("aria-pressed", Number(other.dataset.kind) === picked);
      highlight(picked);
      show(-1);
    });
    button.addEventListener("pointerenter", () => highlight(kind));
    button.addEventListener("pointerleave", () => highlight(picked));
    button.addEventListener("focus", () => highlight(kind));
    button.addEventListener("blur", () => highlight(picked));
  }
  for (const button of layouts) {
    button.addEventListener("click", () => {
      for (const other of layouts) other.setAttribute("aria-pressed", other === button);
      positions = data[button.dataset.layout];
      chart.classList.toggle("other", button.dataset.layout !== "joint");
      show(-1);
      marks.forEach((mark, i) => {
        mark.style.transform = `translate(${positions[i][0]}px,${positions[i][1]}px)`;
      });
    });
  }
})();
