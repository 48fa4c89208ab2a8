"""A picture of an embedding: every segment is a point, close to similar sounds."""

import numpy as np

from audio_triplet.web import projection
from audio_triplet.web.colours import UNLABELLED, class_colour
from audio_triplet.web.formatting import spaced
from experiments.lib import figures

_MARKERS = "os^D"
_MAX_POINTS = 3000


def draw(
    vectors: np.ndarray, first: np.ndarray, classes: tuple[str, ...], path: str, seed: int
) -> None:
    """Draws the layout that the report's map has, with the names of the classes that keep together.

    Args:
      vectors: float32[segments, dim], of the test side.
      first: int[segments], the class each is drawn as, -1 for none.
      classes: Names of the classes.
      path: PNG file to write.
      seed: Of the layout, and of the sample if there are too many segments for a picture.
    """
    if len(vectors) > _MAX_POINTS:
        rng = np.random.default_rng([seed, 1])
        chosen = np.sort(rng.choice(len(vectors), _MAX_POINTS, replace=False))
        vectors, first = vectors[chosen], first[chosen]
    positions = projection.layout(vectors, seed)
    height = projection.frame_height(positions)
    positions = projection.to_frame(positions, height)
    plt = figures.pyplot()
    figure, axis = plt.subplots(figsize=(9, 9 * height / projection.WIDTH))
    present = [label for label in range(-1, len(classes)) if np.any(first == label)]
    for label in present:
        own = positions[first == label]
        axis.scatter(
            own[:, 0],
            own[:, 1],
            s=22,
            marker=_MARKERS[label % len(_MARKERS)],
            linewidths=0,
            color=UNLABELLED if label < 0 else class_colour(label),
            alpha=0.8,
        )
    named = [label for label in present if label >= 0]
    kinds = [named.index(label) if label in named else len(named) for label in first.tolist()]
    titles = [spaced(classes[label]) for label in named]
    for kind, x, y, anchor in projection.class_labels(positions, kinds, titles):
        axis.text(
            x,
            y,
            titles[kind],
            fontsize=8,
            va="bottom",
            ha={"start": "left", "middle": "center", "end": "right"}[anchor],
            bbox={"facecolor": "white", "alpha": 0.65, "linewidth": 0, "pad": 0.6},
        )
    axis.set_xlim(0, projection.WIDTH)
    axis.set_ylim(height, 0)
    axis.set_axis_off()
    figure.tight_layout(pad=0)
    figures.save(figure, path)
