"""The least that a user of a model alone writes: vectors on disk, and the nearest by cosine.

What `whole_birdnet` and `whole_aisfx` share. It imports nothing of ours, so that other environments
can load it.
"""

import json
import os
from collections.abc import Sequence

import numpy as np

_TOP = 10
_VECTORS, _MOMENTS = "vectors.npy", "moments.json"


def sounds_in(folder: str) -> list[str]:
    """Paths of the files of a folder."""
    return [os.path.join(folder, name) for name in sorted(os.listdir(folder))]


def save(folder: str, moments: Sequence[tuple[str, float]], vectors: np.ndarray) -> None:
    """Writes vectors of unit norm, and the file and the second that each begins at."""
    os.makedirs(folder, exist_ok=True)
    np.save(os.path.join(folder, _VECTORS), _of_unit_norm(vectors))
    with open(os.path.join(folder, _MOMENTS), "w", encoding="utf-8") as file:
        json.dump(list(moments), file)


def print_nearest(folder: str, query: np.ndarray) -> None:
    """Prints the moments that are nearest to the mean of a query's vectors."""
    vectors = np.load(os.path.join(folder, _VECTORS), allow_pickle=False)
    with open(os.path.join(folder, _MOMENTS), encoding="utf-8") as file:
        moments = json.load(file)
    scores = vectors @ _of_unit_norm(query.mean(axis=0))
    for number in np.argsort(-scores)[:_TOP]:
        path, second = moments[number]
        print(f"{scores[number]:.4f}  {path}  {second:.2f} s")


def _of_unit_norm(vectors: np.ndarray) -> np.ndarray:
    vectors = np.asarray(vectors, np.float32)
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.maximum(norms, 1e-12)
