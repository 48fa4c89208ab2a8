"""Flags that the experiments share, and the settings that they describe.

Flags are read in `main` alone, by `settings_from_flags`; all other functions take its result. For
the order of precedence see `experiments.recipes`.
"""

import dataclasses
from collections.abc import Callable

from absl import flags, logging

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
from audio_triplet.training import initial
from experiments import recipes
from experiments.lib.settings import ExperimentSettings

DEFAULT_RECIPE = "short"
FINE_TUNING = "fine_tune"


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
        (TrainingConfig, values.training, ("seed", "frozen_layers")),
    ):
        config_flags.define_flags(kind, skip, **dataclasses.asdict(part))
    for kind in _further_constraints():
        config_flags.define_flags(kind, **values.triplets.constraint_parameters)


def define_initial_flags() -> None:
    """Defines the flags of a script that can begin with an earlier model."""
    flags.DEFINE_string(
        "init_model",
        "",
        "Begin with the weights, the band scaling and the network of this export "
        f"(OUTPUT_DIR/export of a run; {initial.RELEASED}: the released model), to fine-tune it on "
        f"--corpus. Without --recipe the recipe is then {FINE_TUNING}, and without "
        "--learning_rate the rate is that recipe's.",
    )
    others = {field.name for field in dataclasses.fields(TrainingConfig)} - {"frozen_layers"}
    config_flags.define_flags(TrainingConfig, skip=tuple(others))


def settings_from_flags(on_the_fly: bool = False) -> ExperimentSettings:
    """The values of given flags, and else those of the recipe.

    Args:
      on_the_fly: Whether sound files are decoded while training.

    Raises:
      UsageError: --max_share is not of the form kind=share.
      ConfigError: A dataclass does not allow a value.
      ExportError: --init_model is not an export of ours.
    """
    values = flags.FLAGS

    def given(name: str) -> bool:
        return name in values and bool(values[name].present)

    start = None
    recipe = recipes.load(values.recipe)
    if "init_model" in values and values.init_model:
        start = initial.describe(values.init_model)
        recipe = _fine_tuning(start, recipe if given("recipe") else None, given)
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
        initial=start,
    )


def _fine_tuning(
    start: initial.InitialModel, recipe: recipes.Recipe | None, given: Callable[[str], bool]
) -> recipes.Recipe:
    """The recipe with a model's network and the lower learning rate; says so in a line.

    Args:
      start: The model.
      recipe: The recipe that was asked for, if any.
      given: Whether a flag was given.

    Raises:
      UsageError: A flag asks for another network.
    """
    own = recipes.load(FINE_TUNING)
    asked = config_flags.from_flags(EncoderConfig)
    network = dataclasses.asdict(start.network)
    for name, held in network.items():
        if given(name) and (value := getattr(asked, name)) != held:
            raise UsageError(
                f"--{name}={value}: the model of --init_model has {held}; leave the flag out"
            )
    rate = own.training.learning_rate
    logging.info(
        "begins with %s: its network (%s), weights and band scaling%s%s",
        start.path,
        ", ".join(f"{name}={value}" for name, value in network.items()),
        "" if recipe else f"; recipe {FINE_TUNING}",
        "" if given("learning_rate") else f"; learning rate {rate:g}, lower than from nothing",
    )
    recipe = recipe or own
    training = dataclasses.replace(recipe.training, learning_rate=rate)
    return dataclasses.replace(
        recipe, encoder=start.network, training=training, topline_learning_rate=None
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
