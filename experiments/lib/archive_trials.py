"""Trials of training on one's own archive: its sound, its trials, their scores.

An archive is the sound of all folds but one, its labels taken away, cut down to some hours. The
fold that is left is sound of the same kind which no trial has heard; labels serve the scores only.
"""

from __future__ import annotations

import dataclasses
import os
import time
from typing import TYPE_CHECKING, Any

from audio_triplet.errors import UsageError
from experiments import recipes
from experiments.lib import kept

if TYPE_CHECKING:
    import tensorflow as tf

    from audio_triplet.config import RunConfig
    from audio_triplet.data.manifest import Manifest
    from audio_triplet.training.initial import InitialModel
    from experiments.lib.corpus import Corpus

RELEASED, NOTHING, TUNED = "released", "from nothing", "fine-tuned"
SCORES = ("probe_accuracy", "query_map", "search_map", "archive_search_map")

# So many segments of the archive are searched by.
_QUERIES = 400


@dataclasses.dataclass(frozen=True)
class Trial:
    """One way to an encoder, and the fold that it is scored on.

    Attributes:
      way: `released`, `from nothing` or `fine-tuned`.
      fold: The fold that is held out.
      hours: Of the archive; 0 for the released model.
      steps: Training steps.
      learning_rate: Adam's at its height.
      frozen_layers: Convolutions that are not trained.
      seed: Of the archive's draw and of the training.
    """

    way: str
    fold: str
    hours: float = 0.0
    steps: int = 0
    learning_rate: float = 0.0
    frozen_layers: int = 0
    seed: int = 0

    @property
    def name(self) -> str:
        """A name for its folder."""
        if self.way == RELEASED:
            return f"released-{self.fold}"
        return (
            f"{self.way.replace(' ', '_')}-{self.fold}-{self.hours:g}h-{self.steps}"
            f"-{self.learning_rate:g}-{self.frozen_layers}-seed{self.seed}"
        )


def draw(manifest: Manifest, fold: str, hours: float, seed: int) -> Manifest:
    """The archive: recordings of the other folds, without labels.

    Args:
      manifest: The corpus, of whole files or of parts with both ends.
      fold: The fold that is left out.
      hours: As many recordings, in an order drawn by the seed, as are not longer than this.
      seed: Of the order.

    Raises:
      UsageError: The other folds hold less.
    """
    import numpy as np

    from audio_triplet.data import chunks
    from audio_triplet.data.keys import key_of
    from audio_triplet.data.manifest import Manifest
    from audio_triplet.data.manifest_csv import TRAIN, UNUSED

    frame = manifest.frame[~manifest.frame["split"].isin([fold, UNUSED])]
    paths = list(dict.fromkeys(frame["path"]))
    lengths = {
        path: seconds for path, (seconds, _) in zip(paths, chunks.read_lengths(paths), strict=True)
    }
    whole = frame["path"].map(lengths).to_numpy(np.float64)
    ends = np.fmin(frame["end_seconds"].to_numpy(np.float64), whole)
    seconds = np.nan_to_num(ends - frame["start_seconds"].to_numpy(np.float64))
    by_recording = frame.assign(seconds=seconds).groupby("recording_id")["seconds"].sum()
    order = sorted(by_recording.index, key=lambda name: key_of("archive", seed, name))
    until = np.cumsum(by_recording[order].to_numpy())
    if until[-1] < 0.98 * hours * 3600:
        raise UsageError(
            f"--hours={hours:g}: without {fold} the corpus holds {until[-1] / 3600:.1f} h; ask less"
        )
    chosen = [name for name, end in zip(order, until, strict=True) if end <= hours * 3600]
    taken = frame[frame["recording_id"].isin(chosen)]
    return Manifest(taken.assign(labels="", split=TRAIN), manifest.name)


@dataclasses.dataclass(frozen=True)
class Trials:
    """What all trials share.

    Attributes:
      corpus: The whole corpus, prepared: what encoders are scored on.
      sound: Its sound files.
      released: The model that fine-tuning begins with.
      output_dir: Folder of archives, runs and scores.
      from_nothing: Recipe of training from nothing; its network is the released model's.
      tuning: Recipe of fine-tuning.
      strategy: Where to train.
    """

    corpus: Corpus
    sound: Manifest
    released: InitialModel
    output_dir: str
    strategy: tf.distribute.Strategy
    from_nothing: recipes.Recipe = dataclasses.field(default_factory=lambda: recipes.load("best"))
    tuning: recipes.Recipe = dataclasses.field(default_factory=lambda: recipes.load("fine_tune"))

    def run(self, trial: Trial) -> dict[str, Any]:
        """Trains and scores, or reads the scores of an earlier call.

        Returns:
          The trial's fields, its scores, `patches`, and `cpu_seconds` of training with all that it
          needs (None if it was stopped in between).
        """
        config = self.config_of(trial)
        settings = {
            "trial": dataclasses.asdict(trial),
            "run": dataclasses.asdict(config),
            "corpus": self.corpus.fingerprint,
            "released": self.released.digest,
        }
        path = os.path.join(self.output_dir, "scores", f"{trial.name}.json")
        store = kept.KeptScores(path, settings)
        if (scores := store.read()) is None:
            scores = self._make(trial, config)
            store.write(scores)
        return dataclasses.asdict(trial) | scores

    def config_of(self, trial: Trial) -> RunConfig:
        """The run of a trial; of the released model, one that is never trained."""
        from audio_triplet.config import RunConfig

        recipe = self.from_nothing if trial.way == NOTHING else self.tuning
        values: dict[str, Any] = {"seed": trial.seed, "frozen_layers": trial.frozen_layers}
        if trial.steps:
            values |= {"steps": trial.steps, "learning_rate": trial.learning_rate}
        begin: dict[str, Any] = {}
        if trial.way != NOTHING:
            begin = {"init_model": self.released.path, "init_model_digest": self.released.digest}
        return RunConfig(
            corpus=self.corpus.name,
            splits=("train",),
            triplets=recipe.triplets,
            pipeline=dataclasses.replace(recipe.pipeline, seed=trial.seed),
            encoder=self.released.network,
            training=dataclasses.replace(recipe.training, **values),
            **begin,
        )

    def _make(self, trial: Trial, config: RunConfig) -> dict[str, Any]:
        from audio_triplet.embeddings import embed
        from audio_triplet.training import checkpoints, initial
        from audio_triplet.training.trainer import Trainer
        from experiments.lib import protocol, search_rows

        told: dict[str, Any] = {"patches": 0, "cpu_seconds": 0.0}
        if trial.way == RELEASED:
            trainer = Trainer(config, self.strategy)
            initial.apply(trainer)
            encoder, precision = trainer.encoder, trainer.precision
        else:
            told, precision = self._train(trial, config)
            encoder = checkpoints.load_encoder(self._run_dir(trial), precision)
        found = embed.embed_shards(self.corpus.everything, self.corpus.manifest, encoder)
        sides = protocol.split_sides(found, (trial.fold,))
        classes = self.corpus.manifest.classes
        train, test = sides.train.segment_means, sides.test.segment_means
        scores = protocol.retrieval_scores(test, sides, classes)
        scores |= protocol.probe_scores(train, test, sides, classes)
        scores["search_map"] = search_rows.as_it_searches(sides.test, classes)
        scores["archive_search_map"] = search_rows.as_it_searches(sides.train, classes, _QUERIES)
        return {name: scores[name] for name in SCORES} | told | {"precision": precision}

    def _run_dir(self, trial: Trial) -> str:
        return os.path.join(self.output_dir, "runs", trial.name)

    def _train(self, trial: Trial, config: RunConfig) -> tuple[dict[str, Any], str]:
        """Trains a trial's encoder; returns its cost, and its precision."""
        from audio_triplet.data import shard_source
        from audio_triplet.training import loop
        from audio_triplet.training.trainer import Trainer
        from data_prep.preparation import prepare

        name = f"{trial.fold}-{trial.hours:g}h-seed{trial.seed}"
        folder = os.path.join(self.output_dir, "archives", name)
        prepare(draw(self.sound, trial.fold, trial.hours, trial.seed), folder, progress=False)
        run_dir, whole = self._run_dir(trial), not os.path.exists(self._run_dir(trial))
        began = time.process_time()
        trainer = Trainer(config, self.strategy)
        source = shard_source.ShardChunks(folder, config.splits)
        with loop.only_writer(trainer, run_dir):
            loop.run(trainer, source, run_dir)
        told = {
            "patches": 2 * config.pipeline.batch_size * trial.steps,
            "cpu_seconds": round(time.process_time() - began, 1) if whole else None,
        }
        return told, trainer.precision
