"""Lays an archive out in the plane, in a process of its own: it takes a minute of computing.

    python -m audio_triplet.browse.mapping INDEX MAP.npz

Some thousand moments are laid out by t-SNE; each other one is put between those that it is nearest
to. So 100,000 take as long as the few.
"""

from __future__ import annotations

import json
import os
import sys

import numpy as np

from audio_triplet import storage
from audio_triplet.browse.archive import Archive
from audio_triplet.browse.clock_table import ClockTable
from audio_triplet.web import projection

MOST_POINTS = 100_000
_LANDMARKS = 2_500
_NEAREST = 4
_BLOCK = 4_096
_SEED = 0


def positions(vectors: np.ndarray, landmarks: int = _LANDMARKS, seed: int = _SEED) -> np.ndarray:
    """Places of vectors in the plane; near ones (by cosine) stay near.

    Args:
      vectors: float32[n, dim], of unit norm.
      landmarks: How many are laid out by t-SNE.
      seed: Of the draw and of t-SNE.

    Returns:
      float32[n, 2], in −1 … 1.
    """
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.permutation(len(vectors))[:landmarks])
    fixed = projection.layout(vectors[chosen], seed)
    found = np.empty((len(vectors), 2))
    near = min(_NEAREST, len(chosen))
    for first in range(0, len(vectors), _BLOCK):
        cosines = vectors[first : first + _BLOCK] @ vectors[chosen].T  # [block, landmarks]
        best = np.argpartition(-cosines, near - 1, axis=1)[:, :near]
        distance = 1 - np.take_along_axis(cosines, best, 1)
        weight = 1 / (np.maximum(distance, 0) ** 2 + 1e-6)
        weight /= weight.sum(axis=1, keepdims=True)
        # Far from all landmarks the mean would lie in no man's land: the nearest one counts most.
        found[first : first + _BLOCK] = (fixed[best] * weight[:, :, None]).sum(axis=1)
    found[chosen] = fixed
    return (found / max(float(np.abs(found).max(initial=0)), 1e-9)).astype(np.float32)


def write(folder: str, path: str, most: int = MOST_POINTS) -> None:
    """Computes the map of an index, and writes it whole or not at all.

    Args:
      folder: The index.
      path: The file.
      most: Points; of a larger archive as many are drawn.
    """
    archive = Archive(folder)
    numbers = np.flatnonzero(archive.file_of >= 0)
    of_vectors = len(numbers)
    if of_vectors > most:
        numbers = np.sort(np.random.default_rng(_SEED).permutation(numbers)[:most])
    places = positions(archive.vectors(numbers)) if len(numbers) else np.zeros((0, 2), np.float32)
    used, file = np.unique(archive.file_of[numbers], return_inverse=True)
    names = json.dumps([archive.paths[number] for number in used])
    storage.save_arrays(
        path,
        {
            "x": places[:, 0],
            "y": places[:, 1],
            "file": file.astype(np.uint32),
            "start": archive.start[numbers],
            "end": archive.end[numbers],
            "minute": ClockTable.of(archive).minute[numbers],
            "paths": np.frombuffer(names.encode(), np.uint8),
            "version": np.frombuffer(archive.version.encode(), np.uint8),
            "of_vectors": np.array([of_vectors]),
        },
        unique=True,
    )


if __name__ == "__main__":
    if hasattr(os, "nice"):
        os.nice(5)  # whoever searches meanwhile comes first
    write(sys.argv[1], sys.argv[2])
