"""Time and memory of the evaluations at AudioSet's size, on synthetic embeddings.

    python -m benchmarks.evaluation                      # 20,000 segments, 527 classes
    python -m benchmarks.evaluation --segments=2000 --classes=50

The labels are drawn like AudioSet's evaluation set: two or three a segment, the largest class
(music, speech) on 30 % of all segments and most near the smallest, 59 in 20,000. The embeddings
are noisy class centres, so that scores are neither perfect nor chance. Goals: query by example
and classifier mAP under 2 minutes and 4 GB on two cores, every pair counted.
"""

import json
import resource
import sys
import time

import numpy as np
from absl import app, flags

_SEGMENTS = flags.DEFINE_integer("segments", 20_000, "Segments.", lower_bound=2)
_CLASSES = flags.DEFINE_integer("classes", 527, "Classes.", lower_bound=1)
_DIM = flags.DEFINE_integer("dim", 128, "Embedding size.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "Of labels and embeddings.")
_WORKERS = flags.DEFINE_integer("workers", None, "Threads; default: one a processor.")
_MAX_PAIRS = flags.DEFINE_integer("max_pairs", None, "Sample pairs; default: exact.")
_PER_QUERY = flags.DEFINE_bool("per_query", False, "Also per-query retrieval.")
_OUTPUT = flags.DEFINE_string("output", None, "Write the figures to this JSON file too.")


def synthetic(segments: int, classes: int, dim: int, seed: int) -> tuple[np.ndarray, ...]:
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


def peak_gigabytes() -> float:
    """Largest resident memory of this process so far."""
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def main(argv):
    """Runs each evaluation once and prints a line for it."""
    if len(argv) > 1:
        raise app.UsageError(f"unknown arguments: {argv[1:]}")
    from audio_triplet.evaluation import metrics, retrieval  # after --help

    embeddings, labels, scores = synthetic(_SEGMENTS.value, _CLASSES.value, _DIM.value, _SEED.value)
    print(
        f"{len(labels):,} segments x {labels.shape[1]} classes, {labels.sum():,} labels, "
        f"largest class {labels.sum(axis=0).max():,}; {peak_gigabytes():.2f} GB before"
    )
    stages = {
        "query by example": lambda: (
            retrieval.query_by_example_map(
                embeddings, labels, max_pairs=_MAX_PAIRS.value, workers=_WORKERS.value
            ).mean
        ),
        "classifier mAP": lambda: metrics.mean_over_classes(
            metrics.average_precision_per_class(labels, scores)
        ),
        "classifier ROC AUC": lambda: metrics.mean_over_classes(
            metrics.roc_auc_per_class(labels, scores)
        ),
    }
    if _PER_QUERY.value:
        stages["per query"] = lambda: (
            retrieval.per_query_map(embeddings, labels, workers=_WORKERS.value).mean
        )
    figures = {}
    for name, stage in stages.items():
        start, cpu = time.perf_counter(), time.process_time()
        value = stage()
        figures[name] = {
            "seconds": round(time.perf_counter() - start, 2),
            "cpu_seconds": round(time.process_time() - cpu, 2),
            "peak_gigabytes": round(peak_gigabytes(), 2),
            "value": value,
        }
        print(
            f"{name:20} {figures[name]['seconds']:8.1f} s "
            f"{figures[name]['cpu_seconds']:8.1f} CPU s  "
            f"peak {figures[name]['peak_gigabytes']:.2f} GB  value {value:.4f}",
            flush=True,
        )
    if _OUTPUT.value:
        settings = {"segments": _SEGMENTS.value, "classes": _CLASSES.value, "dim": _DIM.value}
        with open(_OUTPUT.value, "w", encoding="utf-8") as file:
            json.dump({"settings": settings, "figures": figures}, file, indent=2)


if __name__ == "__main__":
    app.run(main)
