"""Drawn pairs, against all of them."""

import numpy as np

from audio_triplet.evaluation import pairs
from audio_triplet.evaluation.cosines import Cosines
from audio_triplet.evaluation.pairs import Groups
from tests.evaluation.test_retrieval import corpus


def test_sampled_pairs_are_distinct_pairs_of_the_right_kind():
    # One dimension per segment and a unique angle per pair would be needed to tell pairs apart by
    # score; random directions do: their 60 x 59 / 2 cosines all differ.
    embeddings, labels, _ = corpus(seed=4)
    cosines = Cosines(embeddings)
    groups = Groups(None, len(embeddings))
    inside = labels[:, 0]
    everyone = np.arange(60)
    table = cosines.rows(everyone)
    kinds = {
        True: set(table[np.ix_(inside, inside)][np.triu_indices(inside.sum(), 1)]),
        False: set(table[np.ix_(inside, ~inside)].ravel()),
    }
    for within, allowed in kinds.items():
        total = len(allowed)
        for wanted in (1, total // 2, total - 1, total, total + 5):
            rng = np.random.default_rng(wanted)
            drawn = pairs.sampled_scores(cosines, groups, inside, wanted, rng, within)
            assert len(drawn) == len(set(drawn)) == min(wanted, total)
            assert set(drawn) <= allowed
