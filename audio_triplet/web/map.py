"""A map of embeddings in the plane."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from audio_triplet.web import formatting
from audio_triplet.web.charts import class_colour
from audio_triplet.web.clips import LIGHT, Clips
from audio_triplet.web.formatting import name, text
from audio_triplet.web.queries import Segments

MAX_POINTS = 400
"""Points on the map; each brings 6 kB of sound."""


# --- map -----------------------------------------------------------------------------------------

MAP_WIDTH, _MAP_MIN_HEIGHT, _MAP_MAX_HEIGHT = 640, 420, 640
_MAP_EDGE = 16
SHAPES = (  # about equal areas, so that no class looks heavier
    '<circle r="5.2"/>',
    '<path d="M-4.7-4.7H4.7V4.7H-4.7Z"/>',
    '<path d="M0-6.8 6.3 4.6H-6.3Z"/>',
    '<path d="M0-6.8 6.2 0 0 6.8-6.2 0Z"/>',
)


def map_section(
    segments: Segments, vectors: dict[str, np.ndarray], clips: Clips, seed: int
) -> tuple[str, dict]:
    """The map, and what its script needs."""
    chosen = np.arange(len(segments))
    if len(chosen) > MAX_POINTS:
        rng = np.random.default_rng([seed, 1])
        chosen = np.sort(rng.choice(len(chosen), MAX_POINTS, replace=False))
    clips.add((segments.excerpts[index] for index in chosen), LIGHT)
    joint = layout(vectors["joint"][chosen], seed)
    height = map_height(joint)
    places = {
        "joint": to_frame(joint, height),
        "log_mel": to_frame(turned_to(layout(vectors["log_mel"][chosen], seed), joint), height),
    }
    first = segments.first[chosen]
    # Only classes on the map, in the order of their names; unlabelled sounds come last.
    present = sorted(set(first.tolist()), key=lambda k: (k < 0, k))
    number_of = {label: index for index, label in enumerate(present)}
    kinds = [number_of[label] for label in first.tolist()]
    titles = [segments.classes[k] if k >= 0 else "no label" for k in present]
    colours = [
        class_colour(index) if label >= 0 else "#85898d" for index, label in enumerate(present)
    ]
    marks = "".join(
        f'<use href="#shape{kind % len(SHAPES)}" fill="{colours[kind]}" '
        f'style="transform:translate({x:.0f}px,{y:.0f}px)"/>'
        for kind, (x, y) in zip(kinds, places["joint"], strict=True)
    )
    labels = "".join(
        f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}">{text(_spaced(titles[kind]))}</text>'
        for kind, x, y, anchor in map_labels(places["joint"], kinds, [_spaced(t) for t in titles])
    )
    legend = "".join(
        f'<li><button type="button" aria-pressed="false" data-kind="{kind}">'
        f'<svg viewBox="-8 -8 16 16" aria-hidden="true"><use href="#shape{kind % len(SHAPES)}" '
        f'fill="{colours[kind]}"/></svg>{name(titles[kind])} <span>{kinds.count(kind)}</span>'
        "</button></li>"
        for kind in range(len(present))
    )
    defs = "".join(
        f'<g id="shape{i}" style="transform:scale(var(--mark,1))">{shape}</g>'
        for i, shape in enumerate(SHAPES)
    )
    sample = f"All {len(chosen)}"
    if len(chosen) < segments.total:
        sample = f"{len(chosen)} of {segments.total}"
    body = (
        f"<p>{sample} test sounds, laid out so that neighbours in the embedding are neighbours "
        "here (t-SNE of cosine distances; only nearness means something, not directions or "
        "sizes of gaps). Where one colour and shape keeps together, the class was found without "
        "labels. Switch to log mel to see the same sounds without training.</p>"
        '<p class="soft small">Point at a sound, or tap it, to hear a moment of it; browsers '
        "stay silent until the first click or key. With the keyboard: focus the map, arrow keys "
        "move to the next sound, Space plays; pick a class to keep to it.</p>"
        '<div class="atlas"><div class="plate">'
        '<div class="controls" role="group" aria-label="Map">'
        '<span class="switch"><button type="button" data-layout="joint" aria-pressed="true">Joint '
        'embedding</button><button type="button" data-layout="log_mel" aria-pressed="false">Log mel'
        "</button></span>"
        '<label><input type="checkbox" id="hover-sound" checked> play what I point at</label></div>'
        f'<div class="frame"><svg id="chart" viewBox="0 0 {MAP_WIDTH} {height}" tabindex="0" '
        'role="application" aria-label="Map of test sounds. Arrow keys move between sounds, Space '
        f'plays." aria-describedby="spot"><defs>{defs}</defs><g class="marks">{marks}</g>'
        f'<g class="names" aria-hidden="true">{labels}</g><circle class="ring" r="11"/></svg>'
        '<div id="spot" role="status"></div></div></div>'
        f'<div class="legend"><h3>Classes</h3><ul>{legend}</ul></div></div>'
    )
    data = {
        "joint": np.round(places["joint"]).astype(int).tolist(),
        "log_mel": np.round(places["log_mel"]).astype(int).tolist(),
        "kind": kinds,
        "clip": [
            clip.identifier if clip.sound else ""
            for clip in (clips[segments.excerpts[index]] for index in chosen)
        ],
        "label": [_spaced(formatting.clean(segments.label(index))) for index in chosen],
        "title": [formatting.clean(segments.excerpts[index].title) for index in chosen],
    }
    return body, data


def _spaced(label: str) -> str:
    return label.replace("_", " ")


def layout(vectors: np.ndarray, seed: int) -> np.ndarray:
    """Places vectors in the plane so that near ones (by cosine) stay near.

    t-SNE (van der Maaten and Hinton, 2008) of unit vectors reduced to at most 50 principal
    components; a handful of vectors, or vectors without any variance, are placed by the first two
    components alone.

    Args:
      vectors: float32[n, dim].
      seed: Of t-SNE.

    Returns:
      float64[n, 2], mean zero.
    """
    import threadpoolctl
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    unit = vectors.astype(np.float64)
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
    components = min(50, *unit.shape)
    unit -= unit.mean(axis=0)
    if unit.std() < 1e-9:  # one vector, or all the same
        return np.zeros((len(unit), 2))
    # One thread: 400 points take 2 s, but minutes if threads wait for each other on a busy machine.
    with threadpoolctl.threadpool_limits(1):
        reduced = PCA(components, random_state=seed).fit_transform(unit)
        if len(reduced) < 10 or components < 2:
            placed = np.pad(reduced, ((0, 0), (0, 1)))[:, :2]
        else:
            # Both first components alike: the usual start from one long axis leaves a long map.
            start = 1e-4 * reduced[:, :2] / np.maximum(reduced[:, :2].std(axis=0), 1e-12)
            tsne = TSNE(
                2, perplexity=min(30.0, (len(reduced) - 1) / 3), init=start, random_state=seed
            )
            placed = tsne.fit_transform(reduced)
    return PCA(2).fit_transform(placed.astype(np.float64))  # the long axis across


def turned_to(placed: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Turns or mirrors a layout so that its points lie near the same points of another."""
    from scipy.linalg import orthogonal_procrustes

    rotation, _ = orthogonal_procrustes(placed, target)
    return placed @ rotation


def map_height(placed: np.ndarray) -> int:
    """Height of the map that a layout fills, within bounds."""
    width, height = np.ptp(placed, axis=0)
    height = MAP_WIDTH * height / width if width > 0 else _MAP_MIN_HEIGHT
    return round(min(max(height, _MAP_MIN_HEIGHT), _MAP_MAX_HEIGHT))


def to_frame(placed: np.ndarray, height: int) -> np.ndarray:
    """Fits a layout into the map without distorting it."""
    low, high = placed.min(axis=0), placed.max(axis=0)
    frame = np.array([MAP_WIDTH, height])
    scale = min((frame - 2 * _MAP_EDGE) / np.maximum(high - low, 1e-9))
    return (placed - (low + high) / 2) * scale + frame / 2


def map_labels(
    places: np.ndarray, kinds: Sequence[int], titles: Sequence[str]
) -> list[tuple[int, float, float, str]]:
    """Names for the map, where they do not overlap: classes that keep together first.

    Args:
      places: float[n, 2].
      kinds: Class of each.
      titles: Name of each class.

    Returns:
      (class, x, y, text-anchor) of those that found room. Names near a side are anchored there:
      on a phone letters are larger beside the map, and shall not grow over its edge.
    """
    kinds = np.asarray(kinds)
    wanted = []
    for kind in range(len(titles)):
        own = places[kinds == kind]
        centre = np.median(own, axis=0)
        scatter = np.median(np.linalg.norm(own - centre, axis=1))
        if len(own) > 2 and scatter < MAP_WIDTH / 8:
            wanted.append((scatter, kind, centre))
    kept: list[tuple[int, float, float, str]] = []
    boxes: list[tuple[float, float, float]] = []
    for _, kind, (x, y) in sorted(wanted, key=lambda entry: entry[:2]):
        half = 4.0 * min(len(titles[kind]), 24) + 6
        x = min(max(x, half), MAP_WIDTH - half)
        if all(abs(x - bx) > half + bh or abs(y - by) > 17 for bx, by, bh in boxes):
            boxes.append((x, y, half))
            if x < MAP_WIDTH / 3:
                kept.append((kind, x - half, y + 4, "start"))
            elif x > MAP_WIDTH * 2 / 3:
                kept.append((kind, x + half, y + 4, "end"))
            else:
                kept.append((kind, x, y + 4, "middle"))
    return kept


MAP_SCRIPT = """
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
  let places = data.joint, active = -1, picked = -1, timer = 0;

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
    const [x, y] = places[i], size = chart.viewBox.baseVal.width;
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
    places.forEach(([px, py], i) => {
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
    // Crossing a crowd shall not rattle: play where the pointer rests for a moment.
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
    const from = active >= 0 ? places[active] : [chart.viewBox.baseVal.width / 2,
      chart.viewBox.baseVal.height / 2];
    let best = -1, least = Infinity;
    places.forEach(([px, py], i) => {
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
      places = data[button.dataset.layout];
      chart.classList.toggle("other", button.dataset.layout !== "joint");
      show(-1);
      marks.forEach((mark, i) => {
        mark.style.transform = `translate(${places[i][0]}px,${places[i][1]}px)`;
      });
    });
  }
})();
"""
