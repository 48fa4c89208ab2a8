"""Counting scores, against sorting them."""

import numpy as np
import pytest

from audio_triplet.evaluation import ranking
from audio_triplet.evaluation.cosines import EXCLUDED


@pytest.mark.parametrize("distinct", [3, 50, 5_000])
def test_counting_by_buckets_equals_sorting(distinct):
    rng = np.random.default_rng(distinct)
    # Clustered scores: whole buckets, buckets with thresholds in them, ties, excluded ones.
    scores = (rng.normal(2**30, 2**22, 600_000)).astype(np.uint32)
    thresholds = np.unique(rng.choice(scores, distinct))
    scores[::7] = EXCLUDED
    scores[1::50] = rng.choice(thresholds, len(scores[1::50]))
    bits = min(max(len(thresholds).bit_length() + 5, 18), 22)
    assert len(scores) > 1 << bits, "the test would not reach the buckets"
    expected = len(scores) - np.searchsorted(np.sort(scores), thresholds, side="left")
    counts = np.ones(len(thresholds), np.int64)
    ranking.add_counts(scores, thresholds, counts)
    np.testing.assert_array_equal(counts, expected + 1)
