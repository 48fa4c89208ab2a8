"""The map to listen to: test sounds in the plane, by the joint embedding and by log mel."""

from __future__ import annotations

import dataclasses

import numpy as np

from audio_triplet.web import projection
from audio_triplet.web.clips import Clips
from audio_triplet.web.colours import UNLABELLED, class_colour
from audio_triplet.web.excerpts import LIGHT
from audio_triplet.web.formatting import clean, spaced
from audio_triplet.web.queries import Segments

# Points on the map; each brings 6 kB of sound.
MAX_POINTS = 400

# About equal areas, so that no class looks heavier. `map.html` draws them.
SHAPES = ("circle", "square", "triangle", "diamond")


@dataclasses.dataclass(frozen=True)
class MapClass:
    """A class in the legend.

    Attributes:
      title: Its name.
      colour: Of its marks.
      shape: Of its marks, one of `SHAPES`.
      count: How many sounds of it are on the map.
    """

    title: str
    colour: str
    shape: str
    count: int


@dataclasses.dataclass(frozen=True)
class SoundMap:
    """The map as `map.html` draws it.

    Attributes:
      total: Test sounds that there are in all.
      width: Of the frame.
      height: Of the frame.
      classes: The legend.
      points: (class, x, y) of each sound.
      labels: (title, x, y, text-anchor) of the names on the map.
      data: Data for `map.js`.
    """

    total: int
    width: int
    height: int
    classes: list[MapClass]
    points: list[tuple[MapClass, float, float]]
    labels: list[tuple[str, float, float, str]]
    data: dict


def sound_map(
    segments: Segments, vectors: dict[str, np.ndarray], clips: Clips, seed: int
) -> SoundMap:
    """Lays the sounds out, and adds them to the page.

    Args:
      segments: The test sounds.
      vectors: `joint` and `log_mel` → float32[segments, dim].
      clips: The page's sounds.
      seed: Of the layout, and of the sample where there are more than `MAX_POINTS`.
    """
    chosen = np.arange(len(segments))
    if len(chosen) > MAX_POINTS:
        rng = np.random.default_rng([seed, 1])
        chosen = np.sort(rng.choice(len(chosen), MAX_POINTS, replace=False))
    excerpts = [segments.excerpts[index] for index in chosen]
    clips.add(excerpts, LIGHT)
    joint = projection.layout(vectors["joint"][chosen], seed)
    log_mel = projection.turned_to(projection.layout(vectors["log_mel"][chosen], seed), joint)
    height = projection.frame_height(joint)
    joint, log_mel = projection.to_frame(joint, height), projection.to_frame(log_mel, height)
    first = segments.first[chosen].tolist()
    # Only classes on the map, in the order of their names; unlabelled sounds come last.
    present = sorted(set(first), key=lambda label: (label < 0, label))
    kinds = [present.index(label) for label in first]
    classes = [
        MapClass(
            title=segments.classes[label] if label >= 0 else "no label",
            colour=class_colour(index) if label >= 0 else UNLABELLED,
            shape=SHAPES[index % len(SHAPES)],
            count=kinds.count(index),
        )
        for index, label in enumerate(present)
    ]
    titles = [spaced(kind.title) for kind in classes]
    return SoundMap(
        total=segments.total,
        width=projection.WIDTH,
        height=height,
        classes=classes,
        points=[(classes[kind], x, y) for kind, (x, y) in zip(kinds, joint, strict=True)],
        labels=[
            (titles[kind], x, y, anchor)
            for kind, x, y, anchor in projection.class_labels(joint, kinds, titles)
        ],
        data={
            "joint": np.round(joint).astype(int).tolist(),
            "log_mel": np.round(log_mel).astype(int).tolist(),
            "kind": kinds,
            "clip": [
                clips[excerpt].identifier if clips[excerpt].sound else "" for excerpt in excerpts
            ],
            "label": [spaced(clean(segments.label(index))) for index in chosen],
            "title": [clean(excerpt.title) for excerpt in excerpts],
        },
    )
