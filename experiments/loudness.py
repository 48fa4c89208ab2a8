"""Scores a SavedModel on sound that is louder or quieter than the sound its probe was fitted on.

    python -m experiments.loudness --model=models/debian-sounds --corpus=esc50:DIR \
        --output_dir=scores

Claim (results/levels.md; the paper has none): the probe's accuracy on ESC-50 falls from 0.762 to
0.593 where the test side is 20 dB quieter. People's recordings come at any loudness; the log offset
of the front end and the encoder's habits make an embedding depend on it.

The probe is fitted on the training side as it is, and scored on the test side at each loudness.
Retrieval ranks the test side at that loudness; in the row `mixed` each recording has a loudness of
its own, drawn from those of --decibels and 0. Vary with --decibels. Written: loudness.json,
loudness.md.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from absl import flags

from audio_triplet.commands import terminal
from audio_triplet.errors import UsageError
from experiments.lib import kept, scored_corpus, script, tables
from experiments.lib.scored_corpus import ScoringSettings

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf

    from audio_triplet.embeddings.saved_model import Model

SCORES = ("probe_accuracy", "probe_map", "query_map")
MIXED = "mixed"


def define_flags() -> None:
    """Defines the script's flags."""
    scored_corpus.define_flags("loudness.json and loudness.md")
    flags.DEFINE_list("decibels", ["-40", "-30", "-20", "-10", "10"], "Changes of loudness to try.")


def main(argv: list[str]) -> None:
    """Runs the command."""
    del argv
    terminal.set_up_logging()
    with terminal.clear_errors("loudness"):
        decibels = changes_of_loudness(flags.FLAGS.decibels)
        table = make_table(scored_corpus.settings_from_flags(), decibels)
    print(markdown(table))


def changes_of_loudness(given: Sequence[str]) -> tuple[float, ...]:
    """The value of --decibels as numbers.

    Raises:
      UsageError: It is something else, or has a number twice, or 0.
    """
    try:
        decibels = tuple(float(text) for text in given)
    except ValueError as error:
        raise UsageError(f"--decibels: {error}; write numbers, as -20,10") from error
    if len({0.0, *decibels}) <= len(decibels) or not all(abs(d) < float("inf") for d in decibels):
        raise UsageError("--decibels: name each finite change once; 0 is always there")
    return decibels


def make_table(settings: ScoringSettings, decibels: Sequence[float]) -> dict:
    """Embeds the test side at each loudness, scores it, and writes the table.

    Args:
      settings: Model and corpus.
      decibels: Changes of loudness to try, besides none.

    Returns:
      Content of loudness.json.

    Raises:
      UsageError: Files went bad while they were read again.
    """
    import numpy as np

    from audio_triplet import storage
    from audio_triplet.data.bad_files import BadFiles
    from audio_triplet.data.keys import key_of
    from audio_triplet.evaluation import probe
    from audio_triplet.provenance import provenance
    from experiments.lib import protocol

    made_by = provenance()
    embedded = scored_corpus.embed_corpus(settings)
    sides, classes = embedded.sides, embedded.classes
    labels = sides.train.manifest.label_matrix(classes)
    fitted = probe.fit_probe(sides.train.segment_means, labels, protocol.recordings(sides.train))

    def row(name: str, segment: np.ndarray) -> dict:
        found = protocol.retrieval_scores(segment, sides, classes)
        found |= protocol.scores_of_probe(fitted, segment, sides, classes)
        cosine = _mean_cosine(segment, sides.test.segment_means)
        return {"name": name, **{score: found[score] for score in SCORES}, "cosine": cosine}

    by_change, bad_files = {0.0: sides.test.segment_means}, BadFiles()
    for change in decibels:
        louder = _Louder(embedded.model, 10 ** (change / 20))
        again = scored_corpus.embed_files(louder, sides.test.manifest, bad_files)
        if len(again.manifest) != len(sides.test.manifest):
            raise UsageError(f"{settings.corpus}: files went bad while they were read; try again")
        by_change[change] = again.segment_means
    rows = [
        row(f"{change:+g} dB" if change else "as it is", by_change[change])
        for change in sorted(by_change)
    ]
    drawn = [key_of(name, MIXED) % len(by_change) for name in protocol.recordings(sides.test)]
    mixed = np.stack(list(by_change.values()))[drawn, np.arange(len(drawn))]
    rows.append(row(MIXED, mixed))
    table = {"rows": rows, "config": embedded.summary | made_by}
    kept.write_json(os.path.join(settings.output_dir, "loudness.json"), table)
    storage.write_text(os.path.join(settings.output_dir, "loudness.md"), markdown(table))
    return table


def _mean_cosine(left: np.ndarray, right: np.ndarray) -> float:
    """Mean over segments of the cosine between two embeddings of each.

    Means of unit vectors are not unit vectors.
    """
    import numpy as np

    norms = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    return float(np.mean(np.sum(left * right, axis=1) / np.maximum(norms, 1e-12)))


class _Louder:
    """A model whose input is made louder."""

    def __init__(self, model: Model, gain: float):
        self._model, self._gain = model, gain

    def __call__(self, waveform: tf.Tensor) -> dict:
        return self._model(waveform * self._gain)


def markdown(table: dict) -> str:
    """The table as Markdown."""
    config = table["config"]
    lines = tables.heading(
        "test side", "probe accuracy", "probe mAP", "per-query mAP", "cosine to as it is"
    )
    for row in table["rows"]:
        cells = (tables.cell(row[name]) for name in (*SCORES, "cosine"))
        lines.append(tables.line(row["name"], *cells))
    lines += [
        "",
        f"{config['model']} on {config['corpus']}, tested on "
        f"{tables.listed(config['test_splits'])} ({config['segments']['test']} segments); the "
        f"probe was fitted on the other {config['segments']['train']} as they are. In the last row "
        "each recording has one of these changes.",
        "",
        *tables.how_to_repeat(config),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    script.start(define_flags, main)
