"""Making Table 1: training, embedding and scoring what is missing, and writing the table."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from absl import logging

from audio_triplet.config import TripletConfig
from audio_triplet.errors import UsageError
from audio_triplet.evaluation import table_rows
from audio_triplet.evaluation.table_rows import BASELINE, JOINT, ROWS, SHUFFLED, extra_rows
from experiments.lib import embeddings, script, tables
from experiments.lib.kept import KeptScores
from experiments.lib.settings import ExperimentSettings, check_labelled
from experiments.lib.table1 import figures
from experiments.lib.table1.rows import Trial, chance_of, differences, rows_of
from experiments.lib.table1.text import markdown

if TYPE_CHECKING:
    from audio_triplet.embeddings.embedding_set import EmbeddingSet
    from experiments.lib.corpus import Corpus


@dataclasses.dataclass(frozen=True)
class Table1Options:
    """The extent of Table 1.

    Attributes:
      rows: Keys of the rows, in order.
      seeds: Every trained row is trained once for each of them, ascending.
      folds: Splits to test on in turn, each time training on all others; `("all",)`: every split
        with labels; empty: one table, of the settings' test side.
      name: Name of the table's files.
      report: Whether report.html is written.
      rescore: Whether kept embeddings are scored again, and nothing is trained.
    """

    rows: Sequence[str] = ROWS
    seeds: Sequence[int] = (0,)
    folds: Sequence[str] = ()
    name: str = "table1"
    report: bool = True
    rescore: bool = False


def make_table(settings: ExperimentSettings, options: Table1Options) -> dict:
    """Trains and scores missing trials, and writes the table.

    Args:
      settings: Corpus, folder, and how encoders are trained.
      options: The extent of the table.

    Returns:
      The content of table1.json.

    Raises:
      UsageError: Rows or folds are invalid, or an embedding is missing with `rescore`.
    """
    script.check_rows(options.rows, (*ROWS, *extra_rows()))
    making = tables.Making.begin(settings.output_dir)
    corpora = open_folds(settings, options.folds)
    last_fold, corpus = list(corpora.items())[-1]
    check_labelled(corpus)
    seed = options.seeds[0]
    # Wrong settings are reported before anything is scored.
    run_of_joint = settings.run_config(JOINT, corpus, seed)
    scores: dict[str, dict[Trial, dict]] = {
        row: {
            (fold, seed): _score_row(settings, side, row, seed, fold, options.rescore)
            for fold, side in corpora.items()
            for seed in (options.seeds if table_rows.of(row).seeded else options.seeds[:1])
        }
        for row in options.rows
    }
    table = {
        "rows": rows_of(scores),
        "differences": differences(scores),
        "chance": chance_of(scores),
        "config": making.config(
            corpus,
            folds=[fold for fold in corpora if fold],
            segments=len(corpus.manifest),
            run=settings.summary(run_of_joint),
            topline_learning_rate=settings.topline_learning_rate,
        ),
    }
    path = os.path.join(settings.output_dir, options.name)
    tables.write(path, table, markdown(table), figures.draw)
    if table["differences"]:
        figures.draw_classes(table, f"{path}_classes.png")
    if JOINT in options.rows:
        joint = _test_side(settings, corpus, embeddings.run_name(JOINT, seed, last_fold))
        figures.draw_map(joint, corpus.manifest.classes, f"{path}_map.png", seed)
        if options.report and BASELINE in options.rows:
            _write_report(settings, corpus, table, joint, last_fold, seed)
    return table


def open_folds(settings: ExperimentSettings, folds: Sequence[str]) -> dict[str, Corpus]:
    """The corpus, once for each test side.

    Args:
      settings: Names the corpus.
      folds: As `Table1Options.folds`.

    Returns:
      Fold → the corpus holding it out; without folds, "" → the corpus.

    Raises:
      UsageError: Test splits are given too, or no split has labels.
    """
    if not folds:
        return {"": settings.open_corpus()}
    if settings.test_splits:
        raise UsageError("--folds and --test_splits exclude each other")
    from experiments.lib.corpus import NONE

    corpus = settings.open_corpus((NONE,))
    folds = corpus.folds if list(folds) == ["all"] else tuple(folds)
    if not folds:
        raise UsageError(f"{settings.corpus}: no split has labels")
    return {fold: corpus.holding_out((fold,)) for fold in folds}


def _score_row(
    settings: ExperimentSettings, corpus: Corpus, row: str, seed: int, fold: str, rescore: bool
) -> dict:
    """Scores one row for one seed, or reads its scores of an earlier run with the same settings."""
    from audio_triplet.evaluation.probe import ProbeConfig
    from audio_triplet.evaluation.shallow_network import ClassifierConfig
    from experiments.lib import protocol

    classifier = ClassifierConfig(seed=seed if table_rows.of(row).seeded else 0)
    silence_energy = TripletConfig().silence_energy if row in (BASELINE, JOINT) else None
    run = embeddings.run_name(row, seed, fold)
    scores_of_run = KeptScores(
        os.path.join(settings.output_dir, "scores", f"{run}.json"),
        embeddings.origin(settings, corpus, row, seed)
        | {
            "test_splits": corpus.test_splits,
            "classifier": dataclasses.asdict(classifier),
            "probe": dataclasses.asdict(ProbeConfig()),
            "silence_energy": silence_energy,
        },
    )
    earlier = scores_of_run.read()
    # Map and report need the embeddings: a row without them is not finished.
    store = embeddings.EmbeddingStore.of(settings, rescore)
    embedded = os.path.exists(store.path(embeddings.embedded_as(row, seed, fold)))
    if earlier and embedded and not rescore:
        logging.info("%s: scored before", run)
        return earlier
    started = time.monotonic()
    everything = embeddings.of_row(settings, corpus, row, seed, fold, rescore)
    sides = protocol.split_sides(everything, corpus.test_splits)
    if row == SHUFFLED:
        sides = protocol.shuffle_labels(sides, seed)
    scores = protocol.score(sides, corpus.manifest.classes, classifier, silence_energy)
    scores["seconds"] = round(time.monotonic() - started, 1)
    scores_of_run.write(scores)
    logging.info(
        "%s: query by example %.3f, classification %.3f",
        run,
        scores["qbe_map"],
        scores["cls_map"],
    )
    return scores


def _test_side(settings: ExperimentSettings, corpus: Corpus, run: str) -> EmbeddingSet:
    """The embeddings of the test segments, as kept for a run."""
    from experiments.lib import protocol

    everything = embeddings.EmbeddingStore.of(settings, rescore=True).read(run, corpus)
    return protocol.split_sides(everything, corpus.test_splits).test


def _write_report(
    settings: ExperimentSettings,
    corpus: Corpus,
    table: dict,
    joint: EmbeddingSet,
    fold: str,
    seed: int,
) -> None:
    """Writes report.html for the last fold and the first seed."""
    from audio_triplet.training import metrics_log
    from audio_triplet.web import table_page

    runs = {
        row["name"]: metrics_log.read_metrics(
            os.path.join(settings.output_dir, "runs", embeddings.run_name(row["name"], seed, fold))
        )
        for row in table["rows"]
        if table_rows.of(row["name"]).trained and row["name"] != SHUFFLED
    }
    table_page.write_report(
        os.path.join(settings.output_dir, "report.html"),
        table,
        runs,
        _test_side(settings, corpus, BASELINE),
        joint,
        corpus.manifest.classes,
    )
