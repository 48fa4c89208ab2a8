"""Scores a model on sound that is not as its probe was fitted on: quieter, coded, noisy, in a room.

    python -m experiments.robustness --model=models/debian-sounds --corpus=esc50:DIR \
        --output_dir=scores

Claim (results/robustness.md; the paper has none): of the probe's accuracy of 0.800 on ESC-50's fold
5 a telephone's band leaves 0.698 and pink noise 0.588; loudness and MP3 cost nothing. What
`classify fit` finds has 0.840, 0.745 and 0.693, and with `predict --adapt` 0.843, 0.750 and 0.770.
The first model released, without --normalize_loudness, fell from 0.762 to 0.593 by 20 dB.

The probe, and the classifier of `classify fit`, are fitted on the training side as it is, and
scored on the test side after each change of --changes: `level` (--decibels), a `telephone` band,
`mp3`, `noise`, `reverberation`, and a `second_sound` of another class mixed in;
experiments/lib/sound_changes.py says how. Retrieval ranks the test side after the change; in the
row `mixed` each recording has a loudness of its own, drawn from those of --decibels and 0. Changed
sound is written to a temporary folder and read as any file is, so that --model may be one of others
too. Written: robustness.json, robustness.md.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from absl import flags

from audio_triplet.commands import terminal
from audio_triplet.errors import UsageError
from experiments.lib import kept, scored_corpus, script, sound_changes, tables
from experiments.lib.scored_corpus import ScoringSettings

if TYPE_CHECKING:
    import numpy as np

    from audio_triplet.classify.combined import CombinedClassifier
    from audio_triplet.data.manifest import Manifest
    from audio_triplet.embeddings.embedding_set import EmbeddingSet
    from experiments.lib.sound_changes import Change

SCORES = ("probe_accuracy", "probe_map", "classified", "adapted", "query_map")
MIXED = "mixed"
LEVEL = "level"
DECIBELS = ("-40", "-30", "-20", "-10", "10")


class Heard(NamedTuple):
    """The test side after a change.

    Attributes:
      means: float32[segments, dim].
      right: bool[segments], whether the classifier of `classify fit` finds its class.
      adapted: bool[segments], whether it does with `predict --adapt`.
    """

    means: np.ndarray
    right: np.ndarray
    adapted: np.ndarray


def define_flags() -> None:
    """Defines the script's flags."""
    scored_corpus.define_flags("robustness.json and robustness.md")
    flags.DEFINE_list("decibels", list(DECIBELS), "Changes of loudness to try.")
    flags.DEFINE_list("changes", [LEVEL, *sound_changes.CHANGES], "Which kinds of changes to try.")


def main(argv: list[str]) -> None:
    """Runs the command."""
    del argv
    terminal.set_up_logging()
    with terminal.clear_errors("robustness"):
        decibels = changes_of_loudness(flags.FLAGS.decibels)
        kinds = kinds_of_change(flags.FLAGS.changes)
        table = make_table(scored_corpus.settings_from_flags(), decibels, kinds)
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


def kinds_of_change(given: Sequence[str]) -> tuple[str, ...]:
    """The value of --changes.

    Raises:
      UsageError: One is unknown.
    """
    known = (LEVEL, *sound_changes.CHANGES)
    unknown = [kind for kind in given if kind not in known]
    if unknown:
        raise UsageError(f"--changes={','.join(unknown)}: choose from {', '.join(known)}")
    return tuple(kind for kind in known if kind in given)


def make_table(
    settings: ScoringSettings,
    decibels: Sequence[float],
    kinds: Sequence[str] = (LEVEL, *sound_changes.CHANGES),
) -> dict:
    """Embeds the test side after each change, scores it, and writes the table.

    Args:
      settings: Model and corpus.
      decibels: Changes of loudness to try, besides none.
      kinds: Keys of `sound_changes.CHANGES`, and `level`.

    Returns:
      Content of robustness.json.

    Raises:
      UsageError: Files went bad while they were read again.
    """
    import numpy as np

    from audio_triplet import storage
    from audio_triplet.classify import classifier
    from audio_triplet.classify.examples import Examples
    from audio_triplet.config import ClassifyConfig
    from audio_triplet.data.keys import key_of
    from audio_triplet.evaluation import probe
    from audio_triplet.provenance import provenance
    from experiments.lib import protocol

    made_by = provenance()
    embedded = scored_corpus.embed_corpus(settings)
    sides, classes = embedded.sides, embedded.classes
    labels = sides.train.manifest.label_matrix(classes)
    fitted = probe.fit_probe(sides.train.segment_means, labels, protocol.recordings(sides.train))

    classified = classifier.fit(Examples.of(sides.train, classes), ClassifyConfig())
    asked = sides.test.manifest.label_matrix(classes)

    def heard(test: EmbeddingSet) -> Heard:
        adapted = _adapted(classified.classifier, test)
        right = [
            asked[np.arange(len(asked)), classifier.predict(classified, given).argmax(axis=1)]
            for given in (Examples(each, asked, classes) for each in (test, adapted))
        ]
        return Heard(test.segment_means, *right)

    def row(name: str, test: Heard) -> dict:
        found = protocol.retrieval_scores(test.means, sides, classes)
        found |= protocol.scores_of_probe(fitted, test.means, sides, classes)
        found["classified"] = float(test.right.mean())
        found["adapted"] = float(test.adapted.mean())
        cosine = _mean_cosine(test.means, sides.test.segment_means)
        return {"name": name, **{score: found[score] for score in SCORES}, "cosine": cosine}

    def changed(change: Change) -> Heard:
        return heard(_embed_changed(embedded.model, sides.test.manifest, change, settings))

    as_it_is = heard(sides.test)
    rows = [row("as it is", as_it_is)]
    if LEVEL in kinds and decibels:
        by_level = {0.0: as_it_is}
        by_level |= {level: changed(sound_changes.louder(level)) for level in decibels}
        rows = [
            row(f"{level:+g} dB" if level else "as it is", by_level[level])
            for level in sorted(by_level)
        ]
        drawn = [key_of(name, MIXED) % len(by_level) for name in protocol.recordings(sides.test)]
        of_all = (np.stack(each) for each in zip(*by_level.values(), strict=True))
        rows.append(row(MIXED, Heard(*(each[drawn, np.arange(len(drawn))] for each in of_all))))
    for kind, change in sound_changes.CHANGES.items():
        if kind in kinds:
            rows.append(row(change.title, changed(change)))
    table = {"rows": rows, "config": embedded.summary | made_by}
    kept.write_json(os.path.join(settings.output_dir, "robustness.json"), table)
    storage.write_text(os.path.join(settings.output_dir, "robustness.md"), markdown(table))
    return table


def _adapted(classifier: CombinedClassifier, test: EmbeddingSet) -> EmbeddingSet:
    """The segments as `classify predict --adapt` brings them to where the labelled ones lie."""
    import dataclasses

    import numpy as np

    from audio_triplet.classify import adaptation

    borders = np.flatnonzero(np.diff(test.segment_index)) + 1
    sounds, energies = (np.split(rows, borders) for rows in (test.vectors, test.energy))
    ground, scores = classifier.ground, classifier.predict_segments
    move = ground and adaptation.find(ground, scores, sounds, energies)
    return dataclasses.replace(test, vectors=move(test.vectors)) if move else test


def _embed_changed(
    model, manifest: Manifest, change: Change, settings: ScoringSettings
) -> EmbeddingSet:
    """The segments after a change.

    Raises:
      UsageError: A file went bad.
    """
    import numpy as np

    from audio_triplet.data.bad_files import BadFiles
    from audio_triplet.data.manifest import Manifest

    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for number, sound in enumerate(_changed_sound(manifest, change, settings.truncated)):
            paths.append(os.path.join(folder, f"{number}{change.suffix}"))
            sound_changes.write(paths[-1], sound)
        frame = manifest.frame.assign(path=paths, start_seconds=0.0, end_seconds=np.nan)
        there = Manifest(frame, manifest.name)
        found = scored_corpus.embed_files(model, there, BadFiles(settings.truncated))
    if len(found.manifest) != len(manifest):
        raise UsageError(f"{settings.corpus}: files went bad while they were read; try again")
    return found


def _changed_sound(manifest: Manifest, change: Change, truncated: str) -> Iterator[np.ndarray]:
    """Each segment's sound after a change, float[samples] at the rate of `sound_changes`."""
    import numpy as np

    from audio_triplet.data.keys import key_of
    from audio_triplet.embeddings import sounds

    def sound_of(row) -> np.ndarray:
        end = None if np.isnan(row.end_seconds) else row.end_seconds
        blocks = sounds.open_sound(
            row.path, None, row.start_seconds, end, truncated, sound_changes.RATE
        )
        return np.concatenate(list(blocks)).astype(np.float64)

    rows = list(manifest.frame.itertuples())
    for row in rows:
        draws = np.random.default_rng(key_of(os.path.basename(row.path), row.start_seconds))
        others = [other for other in rows if other.labels != row.labels] or rows
        other = others[draws.integers(len(others))]
        second = sound_of(other) if change.key == "second_sound" else np.zeros(1)
        yield change.make(sound_of(row), draws, second)


def _mean_cosine(left: np.ndarray, right: np.ndarray) -> float:
    """Mean over segments of the cosine between two embeddings of each.

    Means of unit vectors are not unit vectors.
    """
    import numpy as np

    norms = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    return float(np.mean(np.sum(left * right, axis=1) / np.maximum(norms, 1e-12)))


def markdown(table: dict) -> str:
    """The table as Markdown."""
    config = table["config"]
    lines = tables.heading(
        "test side",
        "probe accuracy",
        "probe mAP",
        "accuracy by `classify fit`",
        "the same, `predict --adapt`",
        "per-query mAP",
        "cosine to as it is",
    )
    for row in table["rows"]:
        cells = (tables.cell(row[name]) for name in (*SCORES, "cosine"))
        lines.append(tables.line(row["name"], *cells))
    lines += [
        "",
        f"{config['model']} on {config['corpus']}, tested on "
        f"{tables.listed(config['test_splits'])} ({config['segments']['test']} segments); the "
        f"probe and the classifier were fitted on the other {config['segments']['train']} as they "
        "are. In the row `mixed` each recording has one of these changes of loudness.",
        "",
        *tables.how_to_repeat(config),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    script.start(define_flags, main)
