import dataclasses

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score

from audio_triplet.data.manifest import Manifest
from audio_triplet.embeddings.embedding_set import EmbeddingSet
from audio_triplet.evaluation import retrieval
from audio_triplet.search.likeness import EXPONENT, Likeness, Moments
from experiments.lib import search_rows
from tests.search.archives import HOP, unit

CLASSES = ("a", "b", "c")


@pytest.fixture
def archive():
    """Thirty segments of five patches, one of them silent but for one patch, one silent."""
    rng = np.random.default_rng(0)
    labels = [CLASSES[number % 3] for number in range(30)]
    own = rng.normal(0.3, 1, (3, 1, 8))[np.arange(30) % 3]
    vectors = unit((own + 1.2 * rng.normal(size=(30, 5, 8))).reshape(-1, 8))
    energy = np.ones(150, np.float32)
    energy[5:9] = energy[10:15] = 0
    frame = pd.DataFrame(
        {
            "path": [f"/s/{n}.wav" for n in range(30)],
            "recording_id": [str(n // 2 * 3 + n % 3) for n in range(30)],
            "labels": labels,
        }
    )
    starts = np.tile(np.arange(5) * HOP, 30)
    index = np.repeat(np.arange(30, dtype=np.int32), 5)
    return EmbeddingSet(Manifest(frame), vectors, index, energy, start_seconds=starts)


ALONE = f"power 0.25, {search_rows.ALONE}"


def by_hand(archive, measure, silence=1e-3):
    """The formula, over whole segments, with scikit-learn's average precision."""
    labels = archive.manifest.frame["labels"].to_numpy()
    groups = archive.recording_ids
    patches, loud = [], []
    for number in range(len(labels)):
        own = archive.segment_index == number
        audible = own & (archive.energy > silence)
        chosen = audible if audible.any() else own
        patches.append(measure.mapped(archive.vectors[chosen]))
        loud.append(np.sqrt(np.maximum(archive.energy[chosen], 1e-30)))
    found = []
    for number, query in enumerate(patches):
        scores = np.array(
            [np.average((query @ other.T).max(axis=1), weights=loud[number]) for other in patches]
        )
        others = groups != groups[number]
        right = labels[others] == labels[number]
        found.append(average_precision_score(right, scores[others]))
    return np.mean(found)


def test_rows_are_by_the_formula(archive):
    rows = search_rows.score(archive, archive, CLASSES)
    found = {row["name"]: row["query_map"] for row in rows}
    audible = archive.energy > 1e-3
    audible[10:15] = True
    moments = Moments.of([archive.vectors[audible]], 8)
    for name, measure in (
        ("nearest patches (late interaction)", Likeness.plain(8)),
        ("the same, centred, deviations to the power 0", Likeness.of(moments, 0.0)),
        ("the same, centred, deviations to the power 1", Likeness.of(moments, 1.0)),
        (ALONE, Likeness.of(moments, EXPONENT)),
    ):
        # Queries with fewer than five patches have windows shorter than the segments.
        assert found[name] == pytest.approx(by_hand(archive, measure), abs=0.02), name
    full = dataclasses.replace(archive, energy=np.ones(150, np.float32))
    found = {row["name"]: row["query_map"] for row in search_rows.score(full, full, CLASSES)}
    expected = by_hand(full, Likeness.of(Moments.of([full.vectors], 8)))
    assert found[ALONE] == pytest.approx(expected, abs=1e-6)
    assert found[search_rows.SEARCHES] > expected + 0.02  # classes are clusters here
    assert rows[0]["name"] == "cosine of means" and len(rows) == 11


def test_louder_patches_count_more(archive):
    loud = np.random.default_rng(1).lognormal(0, 1.5, 150).astype(np.float32)
    uneven = dataclasses.replace(archive, energy=loud)
    found = {row["name"]: row["query_map"] for row in search_rows.score(uneven, uneven, CLASSES)}
    measure = Likeness.of(Moments.of([uneven.vectors], 8))
    assert found[ALONE] == pytest.approx(by_hand(uneven, measure), abs=0.01)
    means = np.stack(
        [
            np.average(
                uneven.vectors[5 * n : 5 * n + 5], axis=0, weights=np.sqrt(loud[5 * n :][:5])
            )
            for n in range(30)
        ]
    )
    labels = uneven.manifest.label_matrix(CLASSES)
    expected = retrieval.per_query_map(means, labels, uneven.recording_ids).mean
    assert found[search_rows.LOUD] == pytest.approx(expected, abs=1e-5)
    assert found[search_rows.LOUD] != found["cosine of means"]


def test_an_archive_is_asked_by_its_own_patches(archive):
    rows = search_rows.score(archive, archive, CLASSES)
    assert search_rows.as_it_searches(archive, CLASSES) == rows[-1]["query_map"]
    of_shards = dataclasses.replace(archive, start_seconds=None)  # side by side
    assert search_rows.as_it_searches(of_shards, CLASSES) == rows[-1]["query_map"]
    few = search_rows.as_it_searches(archive, CLASSES, 3)
    assert 0 < few <= 1 and few != rows[-1]["query_map"]
