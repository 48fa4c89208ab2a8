"""Sounds that are scored together: those that are alike share their scores.

With a few labels a classifier is sure of what is near to them and of little else; an archive has
many more sounds, and those between carry what is known to those beyond (label spreading: Zhou et
al. 2004). Each sound is tied to the sounds of other recordings that are most like it, as a search
measures it, and takes on a part of what they have, and they of what theirs have. No label
beyond the classifier's is used. docs/lab_notes.md has what it gains, and where it does not.

No TensorFlow here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from audio_triplet.embeddings.loudness import shares_of
from audio_triplet.errors import UsageError
from audio_triplet.search.diffusion import Sounds, thinned
from audio_triplet.search.likeness import Likeness, Moments

if TYPE_CHECKING:
    import scipy.sparse

    from audio_triplet.classify.scoring import Scored

# [D] Each sound is tied to so many others, by their likeness to this power, and takes on this part
# in each of so many steps.
TIES = 5
POWER = 6.0
PASSED_ON = 0.5
STEPS = 10

# [D] So many vectors of a sound are compared with others, fewer where all would be more than the
# second number: their products grow with its square (40,000: 20 s of two cores, 0.7 GB).
MOST_VECTORS = 8
MOST_OF_ALL = 200_000

_PRODUCTS = 1 << 24  # made at once, 64 MB; five times that is held


def together(scored: Iterable[Scored], recordings: Sequence[str]) -> list[Scored]:
    """The same segments with the scores that they have together.

    Args:
      scored: Segments with `sounds`.
      recordings: By row of the manifest. Sounds of one recording are not tied.

    Raises:
      UsageError: They are too many.
    """
    given = list(scored)
    counts = [len(segment.scores) for segment in given]
    if not sum(counts):
        return given
    numbers = {name: number for number, name in enumerate(dict.fromkeys(recordings))}
    found = spread(
        np.concatenate([segment.scores for segment in given]),
        [sound for segment in given for sound in segment.sounds],
        np.repeat([numbers[recordings[segment.row]] for segment in given], counts),
        [energy for segment in given for energy in segment.energies],
    )
    parts = np.split(found, np.cumsum(counts)[:-1])
    return [
        dataclasses.replace(segment, scores=part, sounds=(), energies=())
        for segment, part in zip(given, parts, strict=True)
    ]


def spread(
    scores: np.ndarray,
    sounds: Sequence[np.ndarray],
    recordings: np.ndarray,
    energies: Sequence[np.ndarray] | None = None,
) -> np.ndarray:
    """The scores of sounds, once those that are alike share them.

    Args:
      scores: float[n, classes].
      sounds: For each float32[vectors, dim], raw; none of a silent one, which shares nothing.
      recordings: int[n]. Sounds of one recording are not tied.
      energies: For each float[vectors]: louder ones count more; None: all alike.

    Returns:
      float32[n, classes]. Where all scores of a class are equal they stay so.

    Raises:
      UsageError: They are too many.
    """
    return passed_on(ties(sounds, recordings, energies), scores)


def passed_on(ties: scipy.sparse.csr_array, scores: np.ndarray) -> np.ndarray:
    """The scores when ties have passed them on: float[n, classes] → float32[n, classes]."""
    own = passed = np.asarray(scores, np.float32)
    for _ in range(STEPS):
        passed = PASSED_ON * (ties @ passed) + (1 - PASSED_ON) * own
    return passed


def ties(
    sounds: Sequence[np.ndarray],
    recordings: np.ndarray,
    energies: Sequence[np.ndarray] | None = None,
) -> scipy.sparse.csr_array:
    """What each sound takes on from which others.

    Args:
      sounds: As for `spread`.
      recordings: As for `spread`.
      energies: As for `spread`.

    Returns:
      float32[n, n], rows of sum 1.

    Raises:
      UsageError: They are too many.
    """
    import scipy.sparse

    if len(sounds) > MOST_OF_ALL:
        raise UsageError(
            f"{len(sounds):,} moments are too many to score together, of which {MOST_OF_ALL:,} can "
            "be; score whole files (--granularity=segment) or fewer at a time"
        )
    count = len(sounds)
    heard = np.flatnonzero([len(sound) > 0 for sound in sounds])
    both = scipy.sparse.csr_array((count, count))
    if len(heard) > 1:
        energies = energies or [np.ones(len(sound)) for sound in sounds]
        given = [sounds[n] for n in heard], [energies[n] for n in heard]
        others, weights = _nearest(*given, np.asarray(recordings)[heard])
        rows = np.repeat(heard, others.shape[1])
        content = (np.maximum(weights, 0.0) ** POWER).ravel(), (rows, heard[others.ravel()])
        one_way = scipy.sparse.csr_array(content, (count, count))
        both = one_way + one_way.T
    sums = np.asarray(both.sum(axis=1)).ravel()
    # A sound that is like no other keeps what it has.
    alone = np.flatnonzero(sums <= 0)
    own = scipy.sparse.csr_array((np.ones(len(alone)), (alone, alone)), (count, count))
    found = (both + own).tocsr()
    sums[alone] = 1.0
    found.data /= np.repeat(sums, np.diff(found.indptr))
    return found.astype(np.float32)


def _nearest(
    sounds: Sequence[np.ndarray], energies: Sequence[np.ndarray], recordings: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The sounds of other recordings that are most like each: their numbers, and how like they are.

    Returns:
      others: int64[n, ties].
      weights: float32[n, ties], 0 where there is no such sound.
    """
    most = max(1, min(MOST_VECTORS, MOST_OF_ALL // len(sounds)))
    thin = [thinned(sound, most) for sound in sounds]
    vectors = np.concatenate(thin)
    measure = Likeness.of(Moments.of([vectors], vectors.shape[1]))
    borders = np.cumsum([len(sound) for sound in thin])[:-1]
    shares = [shares_of(thinned(energy, most)) for energy in energies]
    every = Sounds(np.split(measure.mapped(vectors), borders), shares)
    count, kept = len(sounds), min(TIES, len(sounds) - 1)
    others = np.empty((count, kept), np.int64)
    weights = np.empty((count, kept), np.float32)
    order = np.argsort(recordings, kind="stable")
    low = np.searchsorted(recordings[order], recordings)
    high = np.searchsorted(recordings[order], recordings, side="right")
    for begin, alike in every.alike(max(1, _PRODUCTS // len(sounds))):
        block = slice(begin, begin + len(alike))
        for row, (first, last) in enumerate(zip(low[block], high[block], strict=True)):
            alike[row, order[first:last]] = 0.0
        others[block] = np.argpartition(-alike, kept - 1, axis=1)[:, :kept]
        weights[block] = np.take_along_axis(alike, others[block], axis=1)
    return others, weights
