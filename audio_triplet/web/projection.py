"""Embeddings in the plane: a layout by t-SNE, fitted into a frame, with the names of classes on it.

[D] scikit-learn's t-SNE rather than openTSNE or umap-learn: of 400 sounds of ESC-50 all three keep
as many of the five nearest in their class (0.80, 0.80, 0.81), and it is installed anyway. openTSNE
is made for tens of thousands of points and was slower; umap-learn brings 200 MB of numba and LLVM,
and compiles before the first map.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

WIDTH = 640
_MIN_HEIGHT, _MAX_HEIGHT = 420, 640
_EDGE = 16


def layout(vectors: np.ndarray, seed: int) -> np.ndarray:
    """Lays vectors out in the plane so that near ones (by cosine) stay near.

    t-SNE (van der Maaten and Hinton, 2008) of unit vectors reduced to at most 50 principal
    components; a handful of vectors, or vectors without any variance, are laid out by the first two
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
    if unit.std() < 1e-9:  # a single vector, or all the same
        return np.zeros((len(unit), 2))
    # One thread: 400 points take 2 s, but minutes if threads wait for each other on a busy machine.
    with threadpoolctl.threadpool_limits(1):
        reduced = PCA(components, random_state=seed).fit_transform(unit)
        if len(reduced) < 10 or components < 2:
            positions = np.pad(reduced, ((0, 0), (0, 1)))[:, :2]
        else:
            # Both first components alike: the usual start from one long axis leaves a long map.
            start = 1e-4 * reduced[:, :2] / np.maximum(reduced[:, :2].std(axis=0), 1e-12)
            tsne = TSNE(
                2, perplexity=min(30.0, (len(reduced) - 1) / 3), init=start, random_state=seed
            )
            positions = tsne.fit_transform(reduced)
    return PCA(2).fit_transform(positions.astype(np.float64))  # the long axis across


def turned_to(positions: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Turns or mirrors a layout so that its points lie near the same points of another.

    Args:
      positions: float[n, 2], mean zero.
      target: float[n, 2], mean zero.

    Returns:
      float64[n, 2].
    """
    from scipy.linalg import orthogonal_procrustes

    rotation, _ = orthogonal_procrustes(positions, target)
    return positions @ rotation


def frame_height(positions: np.ndarray) -> int:
    """Height of the frame, `WIDTH` wide, that a layout float[n, 2] fills, within bounds."""
    width, height = np.ptp(positions, axis=0)
    height = WIDTH * height / width if width > 0 else _MIN_HEIGHT
    return round(min(max(height, _MIN_HEIGHT), _MAX_HEIGHT))


def to_frame(positions: np.ndarray, height: int) -> np.ndarray:
    """Fits a layout float[n, 2] into a frame of `WIDTH` and this height without distorting it."""
    low, high = positions.min(axis=0), positions.max(axis=0)
    frame = np.array([WIDTH, height])
    scale = min((frame - 2 * _EDGE) / np.maximum(high - low, 1e-9))
    return (positions - (low + high) / 2) * scale + frame / 2


def class_labels(
    positions: np.ndarray, kinds: Sequence[int] | np.ndarray, titles: Sequence[str]
) -> list[tuple[int, float, float, str]]:
    """Names for the map, where they do not overlap: classes that keep together first.

    Args:
      positions: float[n, 2], in the frame.
      kinds: Class of each.
      titles: Name of each class.

    Returns:
      (class, x, y, text-anchor) of the names that fit. Names near a side are anchored there: on a
      phone letters are larger relative to the map, and must not grow over its edge.
    """
    kinds = np.asarray(kinds)
    wanted = []
    for kind in range(len(titles)):
        own = positions[kinds == kind]
        centre = np.median(own, axis=0)
        scatter = np.median(np.linalg.norm(own - centre, axis=1))
        if len(own) > 2 and scatter < WIDTH / 8:
            wanted.append((scatter, kind, centre))
    kept: list[tuple[int, float, float, str]] = []
    boxes: list[tuple[float, float, float]] = []
    for _, kind, (x, y) in sorted(wanted, key=lambda entry: entry[:2]):
        half = 4.0 * min(len(titles[kind]), 24) + 6
        x = min(max(x, half), WIDTH - half)
        if all(abs(x - bx) > half + bh or abs(y - by) > 17 for bx, by, bh in boxes):
            boxes.append((x, y, half))
            if x < WIDTH / 3:
                kept.append((kind, x - half, y + 4, "start"))
            elif x > WIDTH * 2 / 3:
                kept.append((kind, x + half, y + 4, "end"))
            else:
                kept.append((kind, x, y + 4, "middle"))
    return kept
