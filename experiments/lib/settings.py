"""The settings of an experiment as one object: from flags in scripts, by hand in notebooks.

    from experiments import recipes
    from experiments.lib.settings import ExperimentSettings

    settings = ExperimentSettings.of_recipe(recipes.load("short"), "esc50:DIR", "runs/mine")
    corpus = settings.open_corpus()
    config = settings.run_config("joint", corpus, seed=0)

No absl and no TensorFlow here; `experiments.lib.shared_flags` makes the object from flags.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from audio_triplet.config import (
    EXPLICIT,
    CacheConfig,
    EncoderConfig,
    PipelineConfig,
    PrepareConfig,
    RunConfig,
    TrainingConfig,
    TripletConfig,
)
from audio_triplet.errors import UsageError

if TYPE_CHECKING:
    import tensorflow as tf

    from audio_triplet.training.initial import InitialModel
    from experiments.lib.corpus import Corpus
    from experiments.recipes import Recipe


@dataclasses.dataclass(frozen=True)
class ExperimentSettings:
    """The corpus, the output folder, the device, and every value of the runs.

    Attributes:
      corpus: The sound, as `--corpus` has it.
      output_dir: Output folder.
      test_splits: Splits held out for testing; empty: chosen by `splits.train_test`.
      max_share: Kind of sound → its greatest share of the recordings.
      unlabelled: Another corpus to train on too, without its labels and splits.
      skip_damaged: Whether to skip damaged shards.
      prepare: How the corpus is prepared.
      strategy: Where to train, see `distribution.build_strategy`.
      tpu: Name or address of a TPU.
      triplets: How triplets are made; its `constraints` are those of scripts with one encoder.
      pipeline: Batches.
      encoder: Network.
      training: Optimisation.
      topline_learning_rate: The explicit-label topline's, if it differs.
      initial: The export whose weights the runs begin with; its network is `encoder`.
    """

    corpus: str
    output_dir: str
    test_splits: tuple[str, ...] = ()
    max_share: Mapping[str, float] = dataclasses.field(default_factory=dict)
    unlabelled: str = ""
    skip_damaged: bool = False
    prepare: PrepareConfig = PrepareConfig()
    strategy: str = "auto"
    tpu: str = ""
    triplets: TripletConfig = TripletConfig()
    pipeline: PipelineConfig = PipelineConfig()
    encoder: EncoderConfig = EncoderConfig()
    training: TrainingConfig = TrainingConfig()
    topline_learning_rate: float | None = None
    initial: InitialModel | None = None

    @classmethod
    def of_recipe(
        cls, recipe: Recipe, corpus: str, output_dir: str, **values: Any
    ) -> ExperimentSettings:
        """A recipe's values on a corpus.

        Args:
          recipe: From `experiments.recipes.load`.
          corpus: The sound, as `--corpus` has it.
          output_dir: Output folder.
          **values: Other attributes, which go before the recipe's.
        """
        return cls(corpus, output_dir, **recipe.settings() | values)

    def open_corpus(
        self,
        test_splits: tuple[str, ...] = (),
        decoder: str = "",
        cache: CacheConfig | None = None,
    ) -> Corpus:
        """Opens the corpus, preparing it below `output_dir` if it is not prepared.

        Args:
          test_splits: Splits to test on; empty: `self.test_splits`.
          decoder: What decodes sound files while training; empty: they are prepared first.
          cache: Keeps decoded sound.

        Raises:
          CorpusError: It cannot be found, prepared or split.
        """
        from experiments.lib.corpus import open_corpus

        return open_corpus(
            self.corpus,
            os.path.join(self.output_dir, "prepared"),
            test_splits or self.test_splits,
            self.prepare,
            self.max_share,
            self.unlabelled,
            skip_damaged=self.skip_damaged,
            decoder=decoder,
            cache=cache,
        )

    def run_config(self, constraints: str, corpus: Corpus, seed: int) -> RunConfig:
        """The configuration of one run.

        Args:
          constraints: Which triplets; `self.triplets.constraints` where there is one encoder.
          corpus: The opened corpus.
          seed: Seed of the weights and of all draws.
        """
        training = dataclasses.replace(self.training, seed=seed)
        if constraints == EXPLICIT:
            training = dataclasses.replace(training, memory=0)  # labels are not remembered
            if self.topline_learning_rate is not None:
                training = dataclasses.replace(training, learning_rate=self.topline_learning_rate)
        return RunConfig(
            corpus=corpus.name,
            corpus_fingerprint=corpus.fingerprint,
            splits=corpus.train_splits,
            triplets=dataclasses.replace(self.triplets, constraints=constraints),
            pipeline=dataclasses.replace(self.pipeline, seed=seed),
            encoder=self.encoder,
            training=training,
            init_model=self.initial.path if self.initial else "",
            init_model_digest=self.initial.digest if self.initial else "",
        )

    def build_strategy(self) -> tf.distribute.Strategy:
        """Where to train; of several workers, before any other use of TensorFlow."""
        from audio_triplet import distribution

        return distribution.build_strategy(self.strategy, self.tpu)

    def summary(self, config: RunConfig) -> dict:
        """A run as tables report it: its values, and the `precision` that the hardware gives."""
        from audio_triplet import distribution

        return dataclasses.asdict(config) | {
            "precision": distribution.choose_precision(
                config.training.precision, self.build_strategy()
            )
        }


def check_labelled(corpus: Corpus) -> Corpus:
    """The corpus; raises UsageError unless it has labels and a test side to score on."""
    if not corpus.manifest.classes or not corpus.test_splits:
        raise UsageError(f"{corpus.name}: scores need labels and a test split")
    return corpus
