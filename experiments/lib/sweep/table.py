"""Making a sweep: training and scoring missing runs, and writing the table."""

from __future__ import annotations

import dataclasses
import gc
import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from absl import logging

from audio_triplet.config import RunConfig
from audio_triplet.errors import UsageError
from experiments.lib import tables
from experiments.lib.embeddings import EmbeddingStore
from experiments.lib.kept import KeptScores
from experiments.lib.settings import ExperimentSettings, check_labelled
from experiments.lib.sweep import figure
from experiments.lib.sweep.parameters import DEFAULT, PARAMETERS, changed, plan
from experiments.lib.sweep.rows import rows_of
from experiments.lib.sweep.text import markdown

if TYPE_CHECKING:
    from audio_triplet.embeddings.representations import Representation
    from experiments.lib.corpus import Corpus


@dataclasses.dataclass(frozen=True)
class SweepOptions:
    """The extent of a sweep.

    Attributes:
      parameters: Keys of `PARAMETERS`.
      seeds: Every run is trained once for each of them, ascending.
      rescore: Whether kept embeddings are scored again, and nothing is trained.
    """

    parameters: Sequence[str] = tuple(DEFAULT)
    seeds: Sequence[int] = (0,)
    rescore: bool = False


def make_table(settings: ExperimentSettings, options: SweepOptions) -> dict:
    """Trains and scores what is missing, and writes the table.

    Args:
      settings: Corpus, folder, and the run that is the baseline.
      options: The extent of the sweep.

    Returns:
      The content of sweep.json.

    Raises:
      UsageError: A parameter is unknown, or an embedding is missing with `rescore`.
    """
    unknown = [name for name in options.parameters if name not in PARAMETERS]
    if unknown or not options.parameters:
        raise UsageError(
            f"--parameters={','.join(options.parameters)}: choose from {', '.join(PARAMETERS)}"
        )
    making = tables.Making.begin(settings.output_dir)
    corpus = check_labelled(settings.open_corpus())
    base = {
        seed: settings.run_config(settings.triplets.constraints, corpus, seed)
        for seed in options.seeds
    }
    first = base[options.seeds[0]]
    runs = plan(first, options.parameters)
    todo = [(label, seed) for label in runs for seed in options.seeds]
    found: dict[str, dict[int, dict]] = {label: {} for label in runs}
    for done, (label, seed) in enumerate(todo):
        config = changed(base[seed], runs[label])
        found[label][seed] = _score(settings, corpus, label, seed, config, options.rescore)
        logging.info(
            "%d of %d: %s, seed %d: per query %.3f, probe %.3f",
            done + 1,
            len(todo),
            label,
            seed,
            found[label][seed]["query_map"],
            found[label][seed]["probe_map"],
        )
    table = {
        "rows": rows_of(found, first, options.parameters),
        "config": making.config(corpus, seeds=list(options.seeds), run=settings.summary(first)),
    }
    tables.write(os.path.join(settings.output_dir, "sweep"), table, markdown(table), figure.draw)
    return table


def _score(
    settings: ExperimentSettings,
    corpus: Corpus,
    label: str,
    seed: int,
    config: RunConfig,
    rescore: bool,
) -> dict:
    """Scores of one run, and its cost; trains and embeds it if that was not done before."""
    from audio_triplet.evaluation.probe import ProbeConfig
    from experiments.lib import protocol

    run = f"{label.replace(' ', '_').replace(',', '')}-seed{seed}"
    origin = {"run": dataclasses.asdict(config), "corpus": corpus.fingerprint}
    scores_of_run = KeptScores(
        os.path.join(settings.output_dir, "scores", f"{run}.json"),
        origin
        | {
            "test_splits": corpus.test_splits,
            "probe": dataclasses.asdict(ProbeConfig()),
        },
    )
    earlier = scores_of_run.read()
    if earlier and not rescore:
        return earlier
    started = time.monotonic()
    everything, cost = EmbeddingStore.of(settings, rescore).get(
        run, corpus, origin, lambda: _train(settings, corpus, config, run)
    )
    sides = protocol.split_sides(everything, corpus.test_splits)
    train, test = sides.train.segment_means, sides.test.segment_means
    scores = protocol.retrieval_scores(test, sides, corpus.manifest.classes)
    scores |= protocol.probe_scores(train, test, sides, corpus.manifest.classes)
    scores |= cost | {"seconds": round(time.monotonic() - started, 1)}
    scores_of_run.write(scores)
    return scores


def _train(
    settings: ExperimentSettings, corpus: Corpus, config: RunConfig, run: str
) -> tuple[Representation, dict]:
    """Trains a run, without an export.

    Returns:
      The encoder, and what it cost: `patches_per_second` in training and `parameters`.
    """
    import keras
    import numpy as np

    from audio_triplet.training import checkpoints, loop
    from audio_triplet.training.trainer import Trainer

    keras.backend.clear_session()  # graphs of earlier runs
    gc.collect()
    run_dir = os.path.join(settings.output_dir, "runs", run)
    trainer = Trainer(config, settings.build_strategy())
    with loop.only_writer(trainer, run_dir):
        rows = loop.run(trainer, corpus.train, run_dir)
    # Tracing falls into the steps up to the first log.
    rates = [row["patches_per_second"] for row in rows[config.training.log_steps :]] or [
        row["patches_per_second"] for row in rows
    ]
    return checkpoints.load_encoder(run_dir), {
        "patches_per_second": float(np.median(rates)),
        "parameters": trainer.encoder.count_params(),
    }
