"""What every registered constraint keeps, the fifth of CONTRIBUTING among them."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from audio_triplet import constraints, distribution, triplets
from audio_triplet.config import (
    CONSTRAINTS,
    EncoderConfig,
    PipelineConfig,
    RunConfig,
    TrainingConfig,
    TripletConfig,
)
from audio_triplet.data import shard_source
from audio_triplet.errors import ConfigError
from audio_triplet.training import loop
from audio_triplet.training.trainer import Trainer
from tests.batches import make_triplets
from tests.constraints.spectral_tilt import SpectralTilt

BATCH = 12
EVERY = constraints.names()
JOINT = constraints.joint_names()


def draws(energies=None, drawn=None, has_neighbour=None):
    """A batch of anchors, each of a recording of its own."""
    random = np.random.default_rng(5)
    energies = random.gamma(1.0, 1.0, [BATCH, 96, 64]) if energies is None else energies
    yes = np.ones(BATCH, bool)
    return {
        "anchor": tf.constant(energies, tf.float32),
        "neighbour": tf.constant(energies[::-1], tf.float32),
        "has_neighbour": tf.constant(yes if has_neighbour is None else has_neighbour),
        "drawn": tf.constant(yes if drawn is None else drawn),
        "recording": tf.range(BATCH, dtype=tf.int64),
    }


def made(name, seed=(1, 2), **kwargs):
    batch = make_triplets(draws(**kwargs), seed, TripletConfig(constraints=name))
    return {key: value.numpy() for key, value in batch.items()}


def test_the_papers_come_first_in_the_order_of_their_ids():
    assert EVERY[:6] == (*CONSTRAINTS, "explicit", "combined")
    assert JOINT[:4] == CONSTRAINTS and EVERY[6:] == ("spectral_tilt",) == JOINT[4:]
    for number, name in enumerate(EVERY):
        assert (made(name)["constraint"] == number).all()


@pytest.mark.parametrize("name", EVERY)
def test_positives_are_energies_of_the_same_shape(name):
    batch = made(name)
    assert batch["positive"].shape == (BATCH, 96, 64) and batch["positive"].dtype == np.float32
    assert np.isfinite(batch["positive"]).all() and (batch["positive"] >= 0).all()
    assert batch["valid"].all() and not np.array_equal(batch["positive"], batch["anchor"])


@pytest.mark.parametrize("name", EVERY)
def test_the_seed_decides(name):
    first, again, other = made(name), made(name), made(name, seed=(1, 3))
    for key in first:
        np.testing.assert_array_equal(first[key], again[key])
    # Neighbours are drawn with the anchors, not here.
    same = np.array_equal(first["positive"], other["positive"])
    assert same == constraints.get(name).needs_neighbour


@pytest.mark.parametrize("name", EVERY)
def test_silence_stays_silence(name):
    assert not made(name, energies=np.zeros([BATCH, 96, 64]))["positive"].any()


@pytest.mark.parametrize("name", EVERY)
def test_what_was_not_drawn_is_not_valid(name):
    drawn = np.arange(BATCH) % 3 > 0
    batch = made(name, drawn=drawn)
    np.testing.assert_array_equal(batch["valid"], batch["drawn"])
    named = batch["negative"] >= 0  # by the constraint itself: drawn, and of another recording
    assert batch["drawn"][batch["negative"][named & batch["valid"]]].all()
    lonely = made(name, has_neighbour=np.zeros(BATCH, bool))
    assert lonely["valid"].all() == (name not in ("proximity", "explicit"))


@pytest.mark.parametrize("name", EVERY)
def test_parameters_are_documented_numbers_with_defaults(name):
    kind = constraints.get(name)
    for field in dataclasses.fields(kind):
        assert isinstance(field.default, int | float) and f"  {field.name}: " in kind.__doc__
        if hasattr(TripletConfig(), field.name):  # one default, wherever it is read
            assert getattr(TripletConfig(), field.name) == field.default
    changed = TripletConfig(noise_sigma=0.75, constraint_parameters={"tilt_sigma": 2.0})
    assert triplets.constraint_of("gaussian_noise", changed).noise_sigma == 0.75
    assert triplets.constraint_of("spectral_tilt", changed) == SpectralTilt(2.0)


def test_a_name_is_given_once():
    class Other(constraints.Constraint):
        name = "mixing"

    with pytest.raises(ValueError, match="there is a constraint 'mixing' already"):
        constraints.register(Other)
    assert constraints.register(SpectralTilt) is SpectralTilt  # imported again: the same


def test_a_fifth_joins_joint_when_it_has_a_share():
    assert 6 not in triplets.pattern(TripletConfig(), 16)
    config = TripletConfig(shares=(1, 1, 1, 1, 4))
    np.testing.assert_array_equal(np.bincount(triplets.pattern(config, 16)), [2, 2, 2, 2, 0, 0, 8])
    batch = make_triplets(draws(), (1, 2), config)
    tilted = batch["constraint"].numpy() == 6
    gain = (batch["positive"] / batch["anchor"]).numpy()[tilted]
    np.testing.assert_allclose(gain, gain[:, :1] * np.ones_like(gain), rtol=1e-4)  # not over time
    np.testing.assert_allclose(
        gain[:, 0, 0] * gain[:, 0, -1], 1, rtol=1e-4
    )  # even about the middle
    with pytest.raises(ConfigError, match="shares needs 4 to 5 weights"):
        TripletConfig(shares=(1, 1, 1, 1, 1, 1))


@pytest.mark.slow
def test_a_fifth_is_trained_on_and_shown_in_tensorboard(prepared, tmp_path):
    config = RunConfig(
        splits=("train",),
        triplets=TripletConfig(shares=(1, 1, 1, 1, 1), constraint_parameters={"tilt_sigma": 1.5}),
        pipeline=PipelineConfig(batch_size=10),
        encoder=EncoderConfig(width=0.0625, embedding_size=8),
        training=TrainingConfig(steps=2, log_steps=1, precision="float32"),
    )
    trainer = Trainer(config, distribution.build_strategy("cpu"))
    source = shard_source.ShardChunks(prepared, ("train",))
    rows = loop.run(trainer, source, str(tmp_path), progress=False)
    assert RunConfig.read(str(tmp_path)) == config
    assert "loss/spectral_tilt" not in rows[0]  # the columns of metrics.csv stay
    events = b"".join(path.read_bytes() for path in (tmp_path / "tensorboard").glob("*"))
    for name in JOINT:
        assert f"loss/{name}".encode() in events


@pytest.mark.slow
def test_the_losses_of_constraints_have_the_loss_as_their_mean(prepared):
    from audio_triplet.data import batching

    config = RunConfig(
        pipeline=PipelineConfig(batch_size=8),
        encoder=EncoderConfig(width=0.0625, embedding_size=8),
        training=TrainingConfig(precision="float32"),
    )
    trainer = Trainer(config, distribution.build_strategy("cpu"))
    source = shard_source.ShardChunks(prepared, ("train",))
    batch = next(iter(batching.triplet_batches(source, config.triplets, config.pipeline)))
    scalars = {name: float(value) for name, value in trainer.step(batch).items()}
    counts = np.bincount(batch["constraint"].numpy()[batch["valid"].numpy()], minlength=4)
    each = [scalars[f"loss/{name}"] for name in CONSTRAINTS]
    assert scalars["loss"] == pytest.approx(np.average(each, weights=counts), rel=1e-5)


def test_flags_and_rows_come_from_the_registry():
    """In a process of its own: scripts read the registry when they are imported."""
    code = """
import json, sys
import tests.constraints.spectral_tilt
from absl import flags
from experiments import table1, train_embedding
from audio_triplet.evaluation import table_rows
from experiments.lib import shared_flags
train_embedding.define_flags()
flags.FLAGS(["x", "--corpus=c", "--output_dir=o", "--triplets=spectral_tilt", "--tilt_sigma=2"])
made = shared_flags.settings_from_flags().triplets
print(json.dumps([made.constraints, dict(made.constraint_parameters),
                  table_rows.of("spectral_tilt").name,
                  "spectral_tilt" in table_rows.extra_rows(),
                  flags.FLAGS["tilt_sigma"].help, "tensorflow" in sys.modules]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *made, text, tensorflow = json.loads(done.stdout)
    assert made == ["spectral_tilt", {"tilt_sigma": 2.0}, "Spectral tilt", True]
    assert text.startswith("Standard deviation of the gain's logarithm") and not tensorflow
