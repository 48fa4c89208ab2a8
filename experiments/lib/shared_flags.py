"""Flags that the experiments share, and the settings that they describe.

Flags are read in `main` alone, by `settings_from_flags`; all other functions take its result. For
the order of precedence see `experiments.recipes`.
"""

import dataclasses

from absl import flags

from audio_triplet import constraints
from audio_triplet.commands import config_flags
from audio_triplet.config import (
    STRATEGIES,
    EncoderConfig,
    PipelineConfig,
    PrepareConfig,
    TrainingConfig,
    TripletConfig,
)
from audio_triplet.corpora import registry
from audio_triplet.errors import UsageError
from experiments import recipes
from experiments.lib.settings import ExperimentSettings

DEFAULT_RECIPE = "short"


def define_triplets_flag(recipe: str = DEFAULT_RECIPE) -> None:
    """Defines the flag of scripts that train one encoder.

    Args:
      recipe: The script's own recipe.
    """
    flags.DEFINE_enum(
        "triplets",
        recipes.load(recipe).triplets.constraints,
        ["joint", *constraints.names()],
        "Which triplets to train on.",
    )


def define_corpus_flags(required: bool = True, recipe: str = DEFAULT_RECIPE) -> None:
    """Defines the flags of every script that trains on a corpus.

    Args:
      required: Whether corpus and folder must be given.
      recipe: The script's own recipe.
    """
    values = recipes.load(recipe)
    flags.DEFINE_string(
        "corpus", None, f"The sound: {registry.accepted_forms()}.", required=required
    )
    flags.DEFINE_string("output_dir", None, "Output folder.", required=required)
    flags.DEFINE_list(
        "max_share",
        [f"{kind}={share:g}" for kind, share in values.max_share.items()],
        "Greatest shares of the recordings for kinds of sound, such as "
        "speech=0.1,music=0 (kinds as in the manifest's column `kind`).",
    )
    flags.DEFINE_list(
        "test_splits",
        list(values.test_splits),
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
        "Skip damaged shards, with a log of their names and number (all "
        "shards are read once at the start); else the first damaged one stops the run.",
    )
    config_flags.define_flags(PrepareConfig, skip=("seed",))


def define_training_flags(seed: bool = True, recipe: str = DEFAULT_RECIPE) -> None:
    """Defines the flags of every script that trains encoders.

    Args:
      seed: Whether there is a flag for the seed.
      recipe: The script's own recipe: its values are what `--help` shows as defaults.
    """
    values = recipes.load(recipe)
    flags.DEFINE_enum(
        "strategy",
        "auto",
        STRATEGIES,
        "Where to train: auto takes a TPU if --tpu is set, else all GPUs, else the CPU; "
        "multi_worker: the processes named in TF_CONFIG, which share --output_dir.",
    )
    flags.DEFINE_enum(
        "recipe",
        recipe,
        recipes.names(),
        "Values of all flags below that are not given, see experiments/recipes: paper, as the "
        "paper has it; short, the same with a higher learning rate; best, what was found to work "
        "best without labels.",
    )
    flags.DEFINE_alias("preset", "recipe")
    flags.DEFINE_string("tpu", "", "Name or grpc address of a TPU; local on a TPU VM.")
    flags.DEFINE_float(
        "topline_learning_rate",
        values.topline_learning_rate,
        "The explicit-label topline's, if it differs: it may collapse "
        "at rates that suit the other triplets.",
        lower_bound=1e-9,
    )
    for kind, part, skip in (
        (TripletConfig, values.triplets, ("constraints",)),
        (PipelineConfig, values.pipeline, () if seed else ("seed",)),
        (EncoderConfig, values.encoder, ()),
        (TrainingConfig, values.training, ("seed",)),
    ):
        config_flags.define_flags(kind, skip, **dataclasses.asdict(part))
    for kind in _further_constraints():
        config_flags.define_flags(kind, **values.triplets.constraint_parameters)


def settings_from_flags(on_the_fly: bool = False) -> ExperimentSettings:
    """The values of given flags, and else those of the recipe.

    Args:
      on_the_fly: Whether sound files are decoded while training.

    Raises:
      UsageError: --max_share is not of the form kind=share.
      ConfigError: A dataclass does not allow a value.
    """
    values = flags.FLAGS
    recipe = recipes.load(values.recipe)

    def given(name: str) -> bool:
        return name in values and bool(values[name].present)

    pipeline = recipe.pipeline
    if on_the_fly and pipeline.batches_per_visit == 1:
        pipeline = dataclasses.replace(pipeline, batches_per_visit=recipes.FILES_BATCHES_PER_VISIT)
    triplets = config_flags.from_flags(
        TripletConfig,
        dataclasses.asdict(recipe.triplets),
        constraints=values.triplets if given("triplets") else recipe.triplets.constraints,
        constraint_parameters=dict(recipe.triplets.constraint_parameters)
        | {
            field.name: values[field.name].value
            for kind in _further_constraints()
            for field in dataclasses.fields(kind)
            if given(field.name)
        },
    )
    return ExperimentSettings(
        corpus=values.corpus,
        output_dir=values.output_dir,
        test_splits=tuple(values.test_splits) if given("test_splits") else recipe.test_splits,
        max_share=_shares(values.max_share) if given("max_share") else recipe.max_share,
        unlabelled=values.unlabelled,
        skip_damaged=values.skip_damaged,
        prepare=config_flags.from_flags(PrepareConfig),
        strategy=values.strategy,
        tpu=values.tpu,
        triplets=triplets,
        pipeline=config_flags.from_flags(PipelineConfig, dataclasses.asdict(pipeline)),
        encoder=config_flags.from_flags(EncoderConfig, dataclasses.asdict(recipe.encoder)),
        training=config_flags.from_flags(TrainingConfig, dataclasses.asdict(recipe.training)),
        topline_learning_rate=(
            values.topline_learning_rate
            if given("topline_learning_rate")
            else recipe.topline_learning_rate
        ),
    )


def _further_constraints() -> list[type[constraints.Constraint]]:
    """Constraints whose parameters are not fields of TripletConfig."""
    known = {field.name for field in dataclasses.fields(TripletConfig)}
    kinds = map(constraints.get, constraints.names())
    return [kind for kind in kinds if known.isdisjoint(f.name for f in dataclasses.fields(kind))]


def _shares(entries: list[str]) -> dict[str, float]:
    """The value of --max_share: kind → share."""
    shares = {}
    for entry in entries:
        kind, _, share = entry.partition("=")
        try:
            shares[kind.strip()] = float(share)
        except ValueError as error:
            raise UsageError(f"--max_share={entry}: write kind=share, as speech=0.1") from error
    return shares
