"""What a classifier's scores mean on sound that it was not fitted on, before and after calibration.

    python -m experiments.calibration --model=models/debian-sounds --corpus=esc50:DIR \
        --output_dir=scores

Claim (the paper has none): probabilities that `classify fit` learns on held-out recordings of the
training side come true on the test side more often than its scores do, and thresholds chosen for
--precision reach it there. Written: calibration.json, calibration.md.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from absl import flags

from audio_triplet.commands import terminal
from audio_triplet.config import ClassifyConfig
from experiments.lib import kept, scored_corpus, script, tables
from experiments.lib.scored_corpus import ScoringSettings

if TYPE_CHECKING:
    import numpy as np

    from audio_triplet.classify.calibration import Calibration
    from audio_triplet.classify.examples import Examples

MEASURES = ("error_of_top", "error", "brier", "cross_entropy")


def define_flags() -> None:
    """Defines the script's flags."""
    scored_corpus.define_flags("calibration.json and calibration.md")
    flags.DEFINE_float("precision", 0.9, "What the thresholds are to reach.", 0.01, 1.0)


def main(argv: list[str]) -> None:
    """Runs the command."""
    del argv
    terminal.set_up_logging()
    with terminal.clear_errors("calibration"):
        table = make_table(scored_corpus.settings_from_flags(), flags.FLAGS.precision)
    print(markdown(table))


def make_table(settings: ScoringSettings, precision: float) -> dict:
    """Fits on the training side, scores the test side, and writes the table.

    Args:
      settings: Model and corpus.
      precision: What the thresholds are to reach.

    Returns:
      Content of calibration.json.
    """
    from audio_triplet import storage
    from audio_triplet.classify.examples import Examples
    from audio_triplet.provenance import provenance

    made_by = provenance()
    embedded = scored_corpus.embed_corpus(settings)
    train = Examples.of(embedded.sides.train)
    test = Examples.of(embedded.sides.test, train.classes)
    table = rows(train, test, precision) | {
        "config": embedded.summary | made_by | {"precision": precision}
    }
    kept.write_json(os.path.join(settings.output_dir, "calibration.json"), table)
    storage.write_text(os.path.join(settings.output_dir, "calibration.md"), markdown(table))
    return table


def rows(train: Examples, test: Examples, precision: float) -> dict:
    """Measures of scores and of probabilities of the test side, and of its thresholds.

    Args:
      train: What is fitted and calibrated on.
      test: What is measured, of the same classes.
      precision: What the thresholds are to reach.

    Returns:
      `rows`, one for scores and probabilities of segments and of patches, and `thresholds`.
    """
    from audio_triplet.classify import calibration, classifier, cross_validation

    config = ClassifyConfig()
    fitted = classifier.fit(train, config)
    checked = cross_validation.cross_validate(train, config)
    meaning = calibration.calibrate(
        checked.scores,
        checked.patch_scores,
        train.segment_index,
        train.labels,
        train.groups,
        checked.fold,
        precision,
    )
    of = test.segment_index
    sides = {
        "segment": (classifier.predict(fitted, test), test.labels, test.groups),
        "patch": (
            fitted.classifier.predict_patches(test.vectors),
            test.labels[of],
            test.groups[of],
        ),
    }
    table: dict = {"rows": [], "thresholds": []}
    plural = {"segment": "segments", "patch": "patches"}
    for name, (scores, labels, groups) in sides.items():
        probabilities = meaning[name].probabilities(scores)
        table["rows"] += [
            {"name": f"{plural[name]}: scores", **_measures(scores, labels)},
            {"name": f"{plural[name]}: probabilities", **_measures(probabilities, labels)},
        ]
        found = _found(meaning[name], scores, labels, groups)
        table["thresholds"].append({"name": plural[name], **found})
    return table


def _measures(values: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """How far values are from what is true; all but `error_of_top` over all pairs with classes."""
    import numpy as np

    from audio_triplet.classify import calibration

    known = ~np.isnan(values)
    flat, truth = values[known].astype(np.float64), labels[known]
    clipped = np.clip(flat, 1e-6, 1 - 1e-6)
    losses = -np.where(truth, np.log(clipped), np.log1p(-clipped))
    error = calibration.calibration_error
    return {
        "error_of_top": error(calibration.reliability(*calibration.top_class(values, labels))),
        "error": error(calibration.reliability(flat, truth)),
        "brier": float(((flat - truth) ** 2).sum() / len(values)),
        "cross_entropy": float(losses.sum() / len(values)),
    }


def _found(meaning: Calibration, scores: np.ndarray, labels: np.ndarray, groups: np.ndarray):
    """What thresholds find: pairs of a sound and a class."""
    import numpy as np

    from audio_triplet.classify.proportions import share_interval

    found = meaning.found(scores)
    of = np.broadcast_to(groups[:, None], found.shape)
    right, interval = share_interval(labels[found], of[found])
    recall, recall_interval = share_interval(found[labels], of[labels])
    return {
        "classes": len(meaning.thresholds),
        "reached": sum(limit.score is not None for limit in meaning.thresholds),
        "found": int(found.sum()),
        "precision": right,
        "precision_interval": interval,
        "recall": recall,
        "recall_interval": recall_interval,
    }


def markdown(table: dict) -> str:
    """The table as Markdown."""
    config = table["config"]
    lines = tables.heading(
        "test side", "error of the top class", "error of all pairs", "Brier", "cross-entropy"
    )
    for row in table["rows"]:
        cells = (tables.cell(row[name]) for name in MEASURES)
        lines.append(tables.line(row["name"], *cells))
    lines += [""]
    lines += tables.heading("thresholds", "classes that reach it", "found", "precision", "recall")
    for row in table["thresholds"]:
        cells = [f"{row['reached']} of {row['classes']}", str(row["found"])]
        for name in ("precision", "recall"):
            low, high = row[f"{name}_interval"]
            cells.append(f"{tables.cell(row[name])} ({low:.3f} to {high:.3f})")
        lines.append(tables.line(row["name"], *cells))
    lines += [
        "",
        f"{config['model']} on {config['corpus']}, measured on "
        f"{tables.listed(config['test_splits'])} ({config['segments']['test']} segments); fitted "
        f"and calibrated on the other {config['segments']['train']}, by recordings held out of "
        "them. Error: expected calibration error, 15 bins of equal width. Brier score and "
        f"cross-entropy are sums over classes. Thresholds are for precision "
        f"{config['precision']:g}, chosen on the training side.",
        "",
        *tables.how_to_repeat(config),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    script.start(define_flags, main)
