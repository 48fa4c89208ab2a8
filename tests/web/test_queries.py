"""Which queries are shown."""

import itertools

import numpy as np

from audio_triplet.web.queries import choose_queries


def test_queries_by_hand():
    """Segments 0..7 of classes 0,0,1,1,2,2,3,3; segment 7 has nothing to find.

    Gaps joint - log mel: 4, 3, 1, 0, -1, 0, 1, -. `helps` with one query a class: 0 (gap 4), then
    2 or 6 (gap 1; class 0 is used, so 1 with gap 3 must wait). `fails` needs fewer than half of
    five: 3 (0 right, cosine 0.9), 4 (1 right), 5 (0 right, cosine 0.5). Class 1 or 3 may be used
    by then, 2 is not: 5, with none right, comes before 4.
    """
    chosen = choose_queries(
        joint=np.array([5, 5, 3, 0, 1, 0, 3, 0]),
        log_mel=np.array([1, 2, 2, 0, 2, 0, 2, 0]),
        similarity=np.array([0.9, 0.9, 0.9, 0.9, 0.9, 0.5, 0.9, 0.9]),
        first=np.array([0, 0, 1, 1, 2, 2, 3, 3]),
        eligible=np.arange(8) != 7,
        per_kind=2,
        seed=0,
    )
    assert chosen["helps"][0] == 0 and chosen["helps"][1] in (2, 6)
    assert chosen["fails"][0] == (5 if chosen["helps"][1] == 2 else 3)
    assert chosen["fails"][1] == (5 if chosen["helps"][1] == 6 else 3)
    everything = [*itertools.chain.from_iterable(chosen.values())]
    assert len(everything) == len(set(everything)) == 6 and 7 not in everything


def test_classes_are_used_evenly_and_ties_depend_on_the_seed():
    first = np.repeat(np.arange(4), 10)
    picks = []
    for seed in range(5):
        chosen = choose_queries(
            np.full(40, 2), np.full(40, 2), np.ones(40), first, np.ones(40, bool), 4, seed
        )
        assert chosen["helps"] == []
        assert sorted(first[chosen["fails"]]) == sorted(first[chosen["typical"]]) == [0, 1, 2, 3]
        picks.append(tuple(chosen["fails"]))
    assert len(set(picks)) > 1
