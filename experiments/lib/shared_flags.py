"""Flags that the experiments share, and what they say as arguments."""

import dataclasses
import os

from absl import flags

from audio_triplet.commands import config_flags
from audio_triplet.config import (
    COMBINED,
    CONSTRAINTS,
    EXPLICIT,
    PRESETS,
    EncoderConfig,
    PipelineConfig,
    PrepareConfig,
    RunConfig,
    TrainingConfig,
    TripletConfig,
)
from audio_triplet.corpora import registry
from audio_triplet.errors import UsageError
from data_prep.prepare import define_preparing_flags


def define_triplets_flag() -> None:
    """Defines the flag of scripts that train one encoder."""
    flags.DEFINE_enum(
        "triplets",
        "joint",
        ["joint", *CONSTRAINTS, EXPLICIT, COMBINED],
        "Which triplets to train on.",
    )


def define_corpus_flags(required: bool = True) -> None:
    """Defines the flags of every script that trains on a corpus.

    Args:
      required: Whether corpus and folder must be given.
    """
    flags.DEFINE_string(
        "corpus", None, f"The sound: {registry.accepted_forms()}.", required=required
    )
    flags.DEFINE_string("output_dir", None, "Folder for all that is written.", required=required)
    flags.DEFINE_list(
        "max_share",
        [],
        "Greatest shares of the recordings for kinds of sound, such as "
        "speech=0.1,music=0 (kinds as in the manifest's column `kind`).",
    )
    flags.DEFINE_list(
        "test_splits",
        [],
        "Splits held out for testing. By default test or eval; the last fold; "
        "or, without splits, a fifth of the recordings. Unlabelled sound is all trained on; none: "
        "everything is.",
    )
    flags.DEFINE_string(
        "unlabelled",
        "",
        "Another corpus to train on too, without its labels and splits; in the "
        "forms of --corpus that are not prepared.",
    )
    flags.DEFINE_boolean(
        "skip_damaged",
        False,
        "Do without damaged shards, which are named and counted (all are "
        "read once at the start); else the first that is met stops the run.",
    )
    define_preparing_flags()


def define_training_flags(seed: bool = True) -> None:
    """Defines the flags of every script that trains encoders.

    Args:
      seed: Whether there is a flag for the seed.
    """
    flags.DEFINE_enum(
        "strategy",
        "auto",
        ["auto", "cpu", "mirrored", "multi_worker", "tpu"],
        "Where to train: auto takes a TPU if --tpu is set, else all GPUs, else the CPU; "
        "multi_worker: the processes named in TF_CONFIG, which share --output_dir.",
    )
    flags.DEFINE_enum(
        "preset",
        None,
        list(PRESETS),
        "Values for all flags below that are not given: paper, as "
        "the paper has it; best, what was found to work best without labels.",
    )
    flags.DEFINE_string("tpu", "", "Name or grpc address of a TPU; local on a TPU VM.")
    flags.DEFINE_float(
        "topline_learning_rate",
        None,
        "The explicit-label topline's, where it is to differ: at "
        "rates that the other triplets stand it may collapse.",
        lower_bound=1e-9,
    )
    config_flags.define_flags(TripletConfig, skip=("constraints",))
    config_flags.define_flags(PipelineConfig, skip=() if seed else ("seed",))
    config_flags.define_flags(EncoderConfig)
    config_flags.define_flags(TrainingConfig, skip=("seed",), learning_rate=3e-4)


def shares_from_flags() -> dict[str, float]:
    """What --max_share says: kind → share."""
    shares = {}
    for entry in flags.FLAGS.max_share:
        kind, _, share = entry.partition("=")
        try:
            shares[kind.strip()] = float(share)
        except ValueError as error:
            raise UsageError(f"--max_share={entry}: write kind=share, as speech=0.1") from error
    return shares


def open_corpus_from_flags(test_splits: tuple[str, ...] = (), decoder: str = "", cache=None):
    """Opens --corpus, preparing it below --output_dir if it is not prepared.

    Args:
      test_splits: Splits to test on; empty: what --test_splits says.
      decoder: What decodes sound files while training instead of preparing them; empty: nothing.
      cache: Where decoded sound is kept.
    """
    from experiments.lib.corpus import open_corpus

    values = flags.FLAGS
    return open_corpus(
        values.corpus,
        os.path.join(values.output_dir, "prepared"),
        test_splits or tuple(values.test_splits),
        config_flags.from_flags(PrepareConfig),
        shares_from_flags(),
        values.unlabelled,
        skip_damaged=values.skip_damaged,
        decoder=decoder,
        cache=cache,
    )


def check_labelled(corpus):
    """The corpus; raises UsageError unless it has labels and a test side to score on."""
    if not corpus.manifest.classes or not corpus.test_splits:
        raise UsageError(f"{corpus.name}: scores need labels and a test split")
    return corpus


def run_config(constraints: str, corpus, seed: int) -> RunConfig:
    """The configuration that the flags describe.

    Args:
      constraints: Which triplets.
      corpus: An `experiments.data.Corpus`.
      seed: Seed of the weights and of all that is drawn.

    Returns:
      The configuration of a run.
    """
    values = flags.FLAGS
    preset = PRESETS.get(values.preset, {})
    differing = {"seed": seed}
    if constraints == EXPLICIT:
        differing["memory"] = 0  # labels are not remembered
        if values.topline_learning_rate is not None:
            differing["learning_rate"] = values.topline_learning_rate
    return RunConfig(
        corpus=corpus.name,
        corpus_fingerprint=corpus.fingerprint,
        splits=corpus.train_splits,
        triplets=config_flags.from_flags(TripletConfig, preset, constraints=constraints),
        pipeline=config_flags.from_flags(PipelineConfig, preset, seed=seed),
        encoder=config_flags.from_flags(EncoderConfig, preset),
        training=config_flags.from_flags(TrainingConfig, preset, **differing),
    )


def told(config: RunConfig) -> dict:
    """A configuration as tables tell it, with the `precision` that the hardware makes of it."""
    from audio_triplet import distribution

    return dataclasses.asdict(config) | {
        "precision": distribution.choose_precision(config.training.precision, build_strategy())
    }


def chosen_triplets() -> str:
    """Which triplets the flags ask for."""
    flag = flags.FLAGS["triplets"]
    return (
        flag.value
        if flag.present
        else PRESETS.get(flags.FLAGS.preset, {}).get("constraints", flag.value)
    )


def build_strategy():
    """The strategy that the flags ask for; of several workers, before any use of TensorFlow."""
    from audio_triplet import distribution

    return distribution.build_strategy(flags.FLAGS.strategy, flags.FLAGS.tpu)
