"""Scores a SavedModel on a corpus: query by example, and a classifier on its frozen embeddings.

    python -m experiments.evaluate --model=runs/mine/export --corpus=esc50:DIR --output_dir=scores

The model hears the sound files themselves; it needs not have been trained on this corpus. Written
to --output_dir: metrics.json.
"""

import os

from absl import app, flags

from audio_triplet.commands import terminal
from experiments.lib.scored_corpus import define_scored_flags, embedded_sides


def define_flags() -> None:
    """Defines the script's flags."""
    define_scored_flags("metrics.json")
    flags.DEFINE_integer("seed", 0, "Seed of the classifier.")


def main(argv):
    """Runs the command."""
    del argv
    terminal.quiet_tensorflow()
    with terminal.clear_errors("evaluate"):
        metrics = evaluate()
    print(
        f"query by example mAP {metrics['qbe_map']:.4f}, per-query mAP {metrics['query_map']:.4f}, "
        f"classification mAP {metrics['cls_map']:.4f}"
        + "".join(
            f", {name} {metrics[key]:.4f}"
            for key, name in (("roc_auc", "ROC AUC"), ("d_prime", "d′"), ("accuracy", "accuracy"))
            if metrics[key] is not None
        )
    )


def evaluate() -> dict:
    """Embeds both sides of the corpus, scores, and writes metrics.json.

    Returns:
      Its content.
    """
    from audio_triplet import storage
    from audio_triplet.evaluation.shallow_network import ClassifierConfig
    from audio_triplet.provenance import provenance
    from experiments.lib import protocol

    values = flags.FLAGS
    _, sides, classes, told = embedded_sides()
    scores = protocol.score(sides, classes, ClassifierConfig(seed=values.seed))
    metrics = scores | told | provenance()
    path = os.path.join(values.output_dir, "metrics.json")
    storage.write_json(path, metrics)
    return metrics


def run() -> None:
    """Entry point of the command."""
    define_flags()
    app.run(main)


if __name__ == "__main__":
    run()
