"""Made-up archives: parts of random vectors."""

import dataclasses

import numpy as np

from audio_triplet.search.index_format import SPAN

HOP = 0.96


@dataclasses.dataclass
class MadePart:
    """A part as `scanning.Vectors` has it."""

    vectors: np.ndarray
    spans: np.ndarray
    owners: np.ndarray


def unit(rows):
    """float32 rows of unit norm."""
    rows = np.asarray(rows, np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def part(seed, lengths, dim=8, first_owner=0, gaps=0.0):
    """A part with segments of so many vectors; a share `gaps` of the hops is left out as silent."""
    rng = np.random.default_rng(seed)
    owners = np.repeat(np.arange(len(lengths)) + first_owner, lengths).astype(np.int32)
    starts = []
    for length in lengths:
        steps = 1 + rng.geometric(1 - gaps, length - 1) - 1 if gaps else np.ones(length - 1)
        starts.append(np.concatenate([[0], np.cumsum(np.maximum(steps, 1))]) * HOP)
    spans = np.zeros(len(owners), SPAN)
    spans["start"] = np.concatenate(starts)
    spans["end"] = spans["start"] + 0.975
    return MadePart(unit(rng.normal(0.3, 1, (len(owners), dim))), spans, owners)
