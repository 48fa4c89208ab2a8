"""Scores a SavedModel on a corpus: query by example, and a classifier on its frozen embeddings.

    python -m experiments.evaluate --model=runs/mine/export --corpus=esc50:DIR --output_dir=scores

Claim: the scores of Table 1, for any model of ours. The released model has a probe accuracy of
0.782 and 0.380 per query on ESC-50's fold 5 (results/robustness.md). It was not trained on any
sound of ESC-50.

Beside the probe on each segment's mean stands the same on its description (mean, deviation and
maximum of its patches), which is what `audio-triplet classify` learns from.

Beside the plain cosine stand the parts of what `audio-triplet search` does, per query over the test
side, by the code that searches; with --search=all over the whole corpus, which for ESC-50 and the
released model is the table of docs/lab_notes.md (0.343 to 0.387, 0.506 diffused).

The model reads the sound files themselves; it may have been trained on another corpus. Vary with
--test_splits. Written to --output_dir: metrics.json.
"""

import os

from absl import flags

from audio_triplet.commands import terminal
from experiments.lib import kept, scored_corpus, script
from experiments.lib.scored_corpus import ScoringSettings


def define_flags() -> None:
    """Defines the script's flags."""
    scored_corpus.define_flags("metrics.json")
    flags.DEFINE_integer("seed", 0, "Seed of the classifier.")
    flags.DEFINE_enum(
        "search",
        "test",
        ("none", "test", "all"),
        "Which side of the corpus the parts of a search are scored on.",
    )


def main(argv: list[str]) -> None:
    """Runs the command."""
    del argv
    terminal.set_up_logging()
    with terminal.clear_errors("evaluate"):
        metrics = evaluate(
            scored_corpus.settings_from_flags(), flags.FLAGS.seed, flags.FLAGS.search
        )
    print(
        f"query by example mAP {metrics['qbe_map']:.4f}, per-query mAP {metrics['query_map']:.4f}, "
        f"classification mAP {metrics['cls_map']:.4f}"
        + "".join(
            f", {name} {metrics[key]:.4f}"
            for key, name in (("roc_auc", "ROC AUC"), ("d_prime", "d′"), ("accuracy", "accuracy"))
            if metrics[key] is not None
        )
    )
    loud = metrics["loud"]
    print(f"mean by loudness: per-query mAP {loud['query_map']:.4f}")
    for name, of in (
        ("mean", metrics),
        ("mean by loudness", loud),
        ("description", metrics["described"]),
    ):
        accuracy = of["probe_accuracy"]
        print(
            f"linear probe on each segment's {name}: mAP {of['probe_map']:.4f}"
            + (f", accuracy {accuracy:.4f}" if accuracy is not None else "")
        )
    for row in metrics.get("search", ()):
        print(f"per-query mAP {row['query_map']:.4f}: {row['name']}")


def evaluate(settings: ScoringSettings, seed: int = 0, search: str = "none") -> dict:
    """Embeds both sides of the corpus, scores, and writes metrics.json.

    Args:
      settings: Model and corpus.
      seed: Of the classifier.
      search: `test` or `all`: score what searches on this side, too.

    Returns:
      The content of metrics.json: the result of `protocol.score`, with model and corpus; `search`:
      the rows of `search_rows.score`.
    """
    from audio_triplet.evaluation.shallow_network import ClassifierConfig
    from audio_triplet.provenance import provenance
    from experiments.lib import protocol, search_rows

    embedded = scored_corpus.embed_corpus(settings)
    scores = protocol.score(
        embedded.sides, embedded.classes, ClassifierConfig(seed=seed), described=True
    )
    if search != "none":
        archive = embedded.sides.test if search == "test" else embedded.whole
        queries = search_rows.at_half_hop(embedded.model, archive.manifest)
        rows = search_rows.score(archive, queries, embedded.classes)
        scores |= {"search": rows, "searched": search}
    metrics = scores | embedded.summary | provenance()
    kept.write_json(os.path.join(settings.output_dir, "metrics.json"), metrics)
    return metrics


if __name__ == "__main__":
    script.start(define_flags, main)
