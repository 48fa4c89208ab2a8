"""Loops over scores of pairs, compiled by Numba: one pass through memory where NumPy makes six.

Importing this module imports Numba (0.2 s), and the first calls compile the loops (two seconds):
for many pairs only. They run without Python's lock. Nothing compiled is kept on the disk.
"""

from __future__ import annotations

import numba
import numpy as np

# Transposing goes by squares, whose rows and columns both stay in the nearest cache.
_SQUARE = 64

DIGIT_BITS = 11  # three digits make a uint32
_DIGITS = 1 << DIGIT_BITS


@numba.njit(nogil=True)
def round_scores(high, low, unit, scores, mirrored) -> None:
    """Rounds cosines, as `cosines.as_scores` does, and writes them twice.

    Args:
      high: float64[rows, columns], cosines without their last bits.
      low: float64[rows, columns], those.
      unit: `cosines.UNIT`; a rounded cosine is an int32.
      scores: uint32[rows, columns], written.
      mirrored: uint32[at most columns, rows], written: the last columns of `scores`, transposed.
    """
    rows, columns = high.shape
    skipped = columns - mirrored.shape[0]
    one = np.uint32(unit + 1)
    for top in range(0, rows, _SQUARE):
        bottom = min(top + _SQUARE, rows)
        for left in range(0, columns, _SQUARE):
            right = min(left + _SQUARE, columns)
            for row in range(top, bottom):
                for column in range(left, right):
                    cosine = np.rint((low[row, column] + high[row, column]) * unit)
                    scores[row, column] = np.uint32(np.int32(cosine)) + one
            for column in range(max(left, skipped), right):
                for row in range(top, bottom):
                    mirrored[column - skipped, row] = scores[row, column]


@numba.njit(nogil=True)
def order_by_digit(scores, shift, ordered) -> None:
    """Puts scores in the order of one digit; among equal ones the order stays.

    Args:
      scores: uint32[n].
      shift: int, where the digit begins: `DIGIT_BITS` bits.
      ordered: uint32[n], written.
    """
    starts = np.zeros(_DIGITS + 1, np.int64)
    for score in scores:
        starts[((score >> shift) & (_DIGITS - 1)) + 1] += 1
    for digit in range(_DIGITS):
        starts[digit + 1] += starts[digit]
    for score in scores:
        digit = (score >> shift) & (_DIGITS - 1)
        ordered[starts[digit]] = score
        starts[digit] += 1


@numba.njit(nogil=True)
def distinct(scores) -> tuple[np.ndarray, np.ndarray]:
    """Distinct ones of ascending scores.

    Args:
      scores: uint32[n].

    Returns:
      uint32[t + 1], each score once, ascending, and one above all scores.
      uint32[t], how often each is there.
    """
    size = min(scores.size, 1)
    for position in range(1, scores.size):
        size += scores[position] != scores[position - 1]
    found = np.empty(size + 1, np.uint32)
    repeats = np.zeros(size, np.uint32)
    place = -1
    for position in range(scores.size):
        if position == 0 or scores[position] != scores[position - 1]:
            place += 1
            found[place] = scores[position]
        repeats[place] += 1
    found[size] = np.uint32(0xFFFFFFFF)
    return found, repeats


@numba.njit(nogil=True)
def table(thresholds, shift) -> np.ndarray:
    """Says where to look for a score among thresholds.

    Args:
      thresholds: uint32[t + 1], t > 0, as `distinct` makes them.
      shift: int. The range of scores from the first threshold on is cut into parts 2^shift wide.

    Returns:
      uint32[parts + 1]: how many thresholds lie below each part, and all of them.
    """
    lowest, highest = np.int64(thresholds[0]), np.int64(thresholds[-2])
    below = np.zeros(((highest - lowest) >> shift) + 3, np.uint32)  # the last part is above all
    for threshold in thresholds[:-1]:
        below[((np.int64(threshold) - lowest) >> shift) + 1] += 1
    for part in range(1, below.size):
        below[part] += below[part - 1]
    return below


@numba.njit(nogil=True)
def count(lines, chosen, thresholds, below, shift, counts) -> None:
    """Counts scores by how many of a class's thresholds they reach.

    Args:
      lines: uint32[lines, n], scores.
      chosen: int64[m], the lines to count.
      thresholds: uint32[t + 1], as `distinct` makes them.
      below: uint32[parts + 1], as `table` makes it.
      shift: see there.
      counts: int[t + 1], added to: scores that reach exactly so many thresholds.
    """
    lowest = np.int64(thresholds[0])
    last = below.size - 2
    for line in chosen:
        scores = lines[line]
        for position in range(scores.size):
            score = scores[position]
            part = min(max(np.int64(score) - lowest, 0) >> shift, last)
            # Nearly always the next threshold decides: no branch, so none that is guessed wrong.
            reached = np.int64(below[part])
            reached += thresholds[reached] <= score
            if thresholds[reached] <= score:
                high = np.int64(below[part + 1])
                while reached < high:
                    middle = (reached + high) >> 1
                    if thresholds[middle] <= score:
                        reached = middle + 1
                    else:
                        high = middle
            counts[reached] += 1


@numba.njit(nogil=True)
def put_in_rough_order(lines, chosen, lowest, shift, parts, ordered) -> None:
    """Puts scores of equal leading bits together, so that what they look up is near.

    Args:
      lines: uint32[lines, n], scores.
      chosen: int64[m], the lines that count.
      lowest: int. Scores below belong to the first part.
      shift: int. A part is 2^shift wide; the last one has all that is above.
      parts: int.
      ordered: uint32[m n], written.
    """
    starts = np.zeros(parts + 1, np.int64)
    for line in chosen:
        scores = lines[line]
        for position in range(scores.size):
            part = max(np.int64(scores[position]) - lowest, 0) >> shift
            starts[min(part, parts - 1) + 1] += 1
    for part in range(parts):
        starts[part + 1] += starts[part]
    for line in chosen:
        scores = lines[line]
        for position in range(scores.size):
            score = scores[position]
            part = min(max(np.int64(score) - lowest, 0) >> shift, parts - 1)
            ordered[starts[part]] = score
            starts[part] += 1


@numba.njit(nogil=True)
def precisions(repeats, counts) -> np.ndarray:
    """Precision at each threshold, times the targets that have it.

    Args:
      repeats: uint32[t], how many targets have each threshold.
      counts: int[t + 1], as `count` leaves it, of pairs between members and all segments: those
        of two members, the targets, are there twice.

    Returns:
      float64[t].
    """
    terms = np.empty(repeats.size)
    hits = reached = np.int64(0)
    for place in range(repeats.size - 1, -1, -1):
        hits += np.int64(repeats[place])
        reached += np.int64(counts[place + 1])
        terms[place] = repeats[place] * (hits / (reached - hits))  # of the hits and the others
    return terms
