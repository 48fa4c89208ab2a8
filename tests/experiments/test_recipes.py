"""Recipes, settings, and which value goes before which."""

import ast
import dataclasses
import json

import pytest

from audio_triplet.config import RunConfig, TrainingConfig, TripletConfig
from audio_triplet.errors import UsageError
from experiments import recipes
from experiments.lib import shared_flags
from experiments.lib.settings import ExperimentSettings
from tests.conftest import flags_given


@dataclasses.dataclass
class FakeCorpus:
    """What `run_config` reads of a corpus."""

    name: str = "tones"
    fingerprint: str = "f"
    train_splits: tuple[str, ...] = ("train",)


def settings_of(*arguments, recipe="short", seed=True, on_the_fly=False):
    """Settings as if the arguments had been typed."""

    def define():
        shared_flags.define_corpus_flags(False, recipe)
        shared_flags.define_triplets_flag(recipe)
        shared_flags.define_initial_flags()
        shared_flags.define_training_flags(seed, recipe)

    with flags_given(define, ["--corpus=c", "--output_dir=o", *arguments]):
        return shared_flags.settings_from_flags(on_the_fly)


def test_the_paper_and_the_default():
    paper, short = settings_of("--recipe=paper"), settings_of()
    assert (paper.triplets, paper.training) == (TripletConfig(), TrainingConfig())
    assert short == dataclasses.replace(paper, training=TrainingConfig(learning_rate=3e-4))


def test_preset_is_another_name_of_recipe_and_given_flags_go_first():
    best = settings_of("--preset=best")
    assert best == settings_of("--recipe=best")
    assert best.triplets.constraints == "combined" and best.training.learning_rate == 1e-3
    given = settings_of("--preset=best", "--learning_rate=1e-4", "--triplets=joint", "--vary=false")
    assert given.training == dataclasses.replace(best.training, learning_rate=1e-4)
    assert given.triplets == TripletConfig()
    # A flag that repeats what the script shows as its default is given too.
    again = settings_of("--preset=best", "--learning_rate=3e-4")
    assert again.training.learning_rate == 3e-4


def test_a_scripts_own_recipe_gives_its_defaults():
    demo = settings_of(recipe="demo")
    assert (demo.encoder.width, demo.training.steps, demo.training.learning_rate) == (
        0.25,
        300,
        3e-4,
    )
    assert demo.max_share == {"speech": 0.0, "music": 0.0}
    released = settings_of(recipe="debian_sounds")
    assert released.test_splits == ("none",) and released.triplets.augment_gain == 1.0
    given = settings_of("--max_share=speech=0.5", "--test_splits=a,b", recipe="debian_sounds")
    assert given.max_share == {"speech": 0.5} and given.test_splits == ("a", "b")
    with pytest.raises(UsageError, match="write kind=share"):
        settings_of("--max_share=speech")


def test_flags_go_before_what_depends_on_the_run():
    assert settings_of(on_the_fly=True).pipeline.batches_per_visit == 4
    assert settings_of("--batches_per_visit=1", on_the_fly=True).pipeline.batches_per_visit == 1
    topline = settings_of("--topline_learning_rate=1e-5", "--memory=8")
    assert topline.run_config("joint", FakeCorpus(), 3).training.learning_rate == 3e-4
    run = topline.run_config("explicit", FakeCorpus(), 3)
    assert (run.training.learning_rate, run.training.memory) == (1e-5, 0)
    assert run.training.seed == run.pipeline.seed == 3 and run.splits == ("train",)


def test_settings_without_flags():
    made = ExperimentSettings.of_recipe(recipes.load("short"), "c", "o", strategy="cpu")
    assert made == dataclasses.replace(settings_of(), strategy="cpu")
    expected = RunConfig("tones", "f", ("train",), training=TrainingConfig(learning_rate=3e-4))
    assert made.run_config("joint", FakeCorpus(), 0) == expected
    assert made.summary(expected)["precision"] in ("float32", "mixed_bfloat16")


def test_fine_tuning_has_the_models_network_and_a_lower_rate():
    """The recipe is `fine_tune` unless one is given; the rate is its own unless one is given."""
    own, best = recipes.load("fine_tune"), recipes.load("best")
    tuned = settings_of("--init_model=released", "--frozen_layers=2")
    assert tuned.encoder.width == 0.25 and tuned.encoder.pooling == "layers"
    assert tuned.triplets == own.triplets
    assert tuned.training == dataclasses.replace(own.training, frozen_layers=2)
    assert own.training.learning_rate < best.training.learning_rate
    run = tuned.run_config("joint", FakeCorpus(), 0)
    assert run.init_model.endswith("debian-sounds") and len(run.init_model_digest) == 64
    rate = own.training.learning_rate
    other = settings_of("--init_model=released", "--recipe=best", "--steps=7", "--width=0.25")
    assert other.training == dataclasses.replace(best.training, steps=7, learning_rate=rate)
    given = settings_of("--init_model=released", "--learning_rate=0.5", "--triplets=explicit")
    assert given.run_config("explicit", FakeCorpus(), 0).training.learning_rate == 0.5
    with pytest.raises(UsageError, match=r"--width=0.5: the model of --init_model has 0.25"):
        settings_of("--init_model=released", "--width=0.5")
    assert settings_of().run_config("joint", FakeCorpus(), 0).init_model == ""


@pytest.mark.parametrize("name", recipes.names())
def test_a_recipe_says_how_it_is_used(name):
    """Claim, command and how to vary; its values make a run."""
    with open(f"{recipes.__path__[0]}/{name}.py", encoding="utf-8") as file:
        docstring = ast.get_docstring(ast.parse(file.read()))
    for part in ("Claim: ", "    python -m experiments.", "Vary: "):
        assert part in docstring
    assert f"| `{name}` |" in recipes.__doc__
    recipe = recipes.load(name)
    made = ExperimentSettings.of_recipe(recipe, "c", "o")
    assert made.run_config(recipe.triplets.constraints, FakeCorpus(), 0).encoder == recipe.encoder


def test_the_released_model_is_of_its_recipe():
    with open("models/debian-sounds/config.json", encoding="utf-8") as file:
        trained = json.load(file)["training"]
    fields = {field.name for field in dataclasses.fields(RunConfig)}
    run = RunConfig.from_dict({name: trained[name] for name in fields & set(trained)})
    recipe = recipes.load("debian_sounds")
    assert (run.triplets, run.pipeline) == (recipe.triplets, recipe.pipeline)
    assert (run.encoder, run.training) == (recipe.encoder, recipe.training)
