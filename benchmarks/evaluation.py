"""Time and memory of the evaluations at AudioSet's size, on synthetic embeddings.

    python -m benchmarks.evaluation                      # 20,000 segments, 527 classes
    python -m benchmarks.evaluation --segments=2000 --classes=50

The labels are drawn like AudioSet's evaluation set: two or three per segment, the largest class
(music, speech) on 30 % of all segments and most near the smallest, 59 in 20,000. The embeddings
are noisy class centres, so that scores are neither perfect nor chance. Query by example counts
every pair; a brute-force twin over scikit-learn, and growth, are shown at sizes it can bear. Goals:
query by example and classifier mAP together under 10 seconds and 2 GB on two cores.
"""

import time

import numpy as np
from absl import flags

from benchmarks import harness

_SEGMENTS = flags.DEFINE_integer("segments", 20_000, "Segments.", lower_bound=20)
_CLASSES = flags.DEFINE_integer("classes", 527, "Classes.", lower_bound=1)


def synthetic(segments: int, classes: int, dim: int = 128, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Synthetic data of AudioSet's shape.

    Args:
      segments: Number of segments.
      classes: Number of classes.
      dim: Embedding size.
      seed: Of the draws.

    Returns:
      Embeddings float32[segments, dim], labels bool[segments, classes] and the scores of a
      classifier, float32[segments, classes].
    """
    rng = np.random.default_rng(seed)
    share = np.maximum(0.3 / (1 + np.arange(classes)), 59 / 20_000)
    labels = rng.random((segments, classes)) < share
    centres = rng.normal(size=(classes, dim))
    embeddings = labels @ centres / 2 + 0.7 * rng.normal(size=(segments, dim))
    scores = embeddings @ centres.T
    return embeddings.astype(np.float32), labels, scores.astype(np.float32)


def whole(segments: int, classes: int) -> dict[str, dict[str, float]]:
    """Runs each evaluation once.

    Returns:
      Evaluation → `seconds`, `cpu_seconds`, `value`.
    """
    from audio_triplet.evaluation import metrics, retrieval

    embeddings, labels, scores = synthetic(segments, classes)
    evaluations = {
        "query by example mAP": lambda: retrieval.query_by_example_map(embeddings, labels).mean,
        "classifier mAP": lambda: metrics.mean_over_classes(
            metrics.average_precision_per_class(labels, scores)
        ),
        "classifier ROC AUC": lambda: metrics.mean_over_classes(
            metrics.roc_auc_per_class(labels, scores)
        ),
    }
    figures = {}
    for name, evaluation in evaluations.items():
        start, cpu = time.perf_counter(), time.process_time()
        value = float(evaluation())
        figures[name] = {
            "seconds": time.perf_counter() - start,
            "cpu_seconds": time.process_time() - cpu,
            "value": value,
        }
    return figures


def brute_force_query_by_example(embeddings: np.ndarray, labels: np.ndarray) -> float:
    """Query-by-example mAP as its definition reads, over scikit-learn."""
    from sklearn.metrics import average_precision_score

    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    first, second = np.triu_indices(len(unit), k=1)
    similarity = np.einsum("pd,pd->p", unit[first], unit[second])
    precisions = []
    for has in labels.T:
        seen = has[first] | has[second]
        both = has[first] & has[second]
        if both.any():
            precisions.append(average_precision_score(both[seen], similarity[seen]))
    return float(np.mean(precisions))


def measure() -> list[harness.Table]:
    """Whole size, then a peer and growth at smaller ones."""
    return [_whole_table(), _peer_table(), _growth_table()]


def _whole_table() -> harness.Table:
    segments, classes = _SEGMENTS.value, _CLASSES.value
    table = harness.Table(
        "Evaluation at AudioSet's size",
        f"{segments:,} segments × {classes} classes × 128 dimensions, every pair, once, all cores",
    )
    figures, gigabytes = harness.in_child(
        "benchmarks.evaluation:whole", segments=segments, classes=classes
    )
    for name, found in figures.items():
        more = {"CPU seconds": found["cpu_seconds"], "score": found["value"]}
        table.add(name, found["seconds"], "s", more=more)
    table.add("peak memory", gigabytes, "GB")
    scored = [figures[name]["seconds"] for name in ("query by example mAP", "classifier mAP")]
    table.goal("both mAPs, seconds", sum(scored), 10, at_most=True)
    table.goal("memory, GB", gigabytes, 2, at_most=True)
    return table


def _peer_table() -> harness.Table:
    from sklearn.metrics import average_precision_score

    from audio_triplet.evaluation import metrics, retrieval

    embeddings, labels, scores = synthetic(1000, 50)
    mean = retrieval.query_by_example_map(embeddings, labels).mean
    np.testing.assert_allclose(mean, brute_force_query_by_example(embeddings, labels), atol=1e-4)
    table = harness.Table(
        "Evaluation against scikit-learn", "1,000 segments × 50 classes; equal scores are checked"
    )
    pairs = {
        "query by example, ours": lambda: retrieval.query_by_example_map(embeddings, labels),
        "query by example, scikit-learn on all pairs": lambda: brute_force_query_by_example(
            embeddings, labels
        ),
    }
    table.compare(harness.interleaved(pairs, harness.repeats()), 1, "/s", "query by example, ours")
    classifier = {
        "classifier mAP, ours": lambda: metrics.average_precision_per_class(labels, scores),
        "classifier mAP, scikit-learn": lambda: average_precision_score(
            labels, scores, average=None
        ),
    }
    taken = harness.interleaved(classifier, harness.repeats())
    table.compare(taken, 1, "/s", "classifier mAP, ours")
    return table


def _growth_table() -> harness.Table:
    from audio_triplet.evaluation import retrieval

    table = harness.Table(
        "Growth of query by example", "time per pair (segments²) and per pair and class"
    )
    sizes = [(1000, 64), (2000, 64), (4000, 64), (4000, 128), (4000, 256)]
    data = {size: synthetic(*size) for size in sizes}
    calls = {
        size: (lambda found=found: retrieval.query_by_example_map(*found[:2]))
        for size, found in data.items()
    }
    for (segments, classes), taken in harness.interleaved(calls, repeats=3).items():
        pairs = segments * (segments - 1) / 2
        table.add(
            f"{segments:,} segments, {classes} classes",
            taken.median,
            "s",
            more={
                "ns a pair": taken.median / pairs * 1e9,
                "ns a pair and class": taken.median / pairs / classes * 1e9,
            },
        )
    return table


if __name__ == "__main__":
    harness.main(measure)
