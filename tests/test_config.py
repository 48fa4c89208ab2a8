import dataclasses
import json

import pytest

from audio_triplet import config
from audio_triplet.config import (
    EncoderConfig,
    PrepareConfig,
    RunConfig,
    TrainingConfig,
    TripletConfig,
)
from audio_triplet.errors import ConfigError


def test_defaults_are_the_papers():
    triplets, training = TripletConfig(), TrainingConfig()
    assert (triplets.noise_sigma, triplets.max_mel_shift, triplets.mixing_alpha) == (0.5, 10, 0.25)
    assert triplets.max_seconds_apart == 10 and len(set(triplets.shares)) == 1
    assert (training.margin, training.learning_rate, training.mining) == (0.1, 1e-4, "semi_hard")
    assert EncoderConfig().embedding_size == 128


def test_written_and_read_back(tmp_path):
    run = RunConfig(
        corpus="esc50:x",
        splits=("a", "b"),
        triplets=TripletConfig(shares=(1.0, 2.0, 3.0, 4.0)),
        encoder=EncoderConfig("resnet50", width=0.5),
    )
    run.write(str(tmp_path))
    assert RunConfig.read(str(tmp_path)) == run
    assert json.loads((tmp_path / "config.json").read_text())["encoder"]["width"] == 0.5


@pytest.mark.parametrize("text", ["", "{", "[]", '{"tripletz": 1}', '{"training": {"steps": -1}}'])
def test_damaged_file_is_named(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ConfigError, match=r"config\.json: is damaged"):
        RunConfig.read(str(tmp_path))
    with pytest.raises(ConfigError, match="missing"):
        RunConfig.read(str(tmp_path / "nowhere"))


def test_what_may_differ_when_continuing():
    run = RunConfig(corpus="here", corpus_fingerprint="f")
    longer = dataclasses.replace(run, corpus="moved", training=TrainingConfig(steps=5000))
    longer.check_continues(run, "folder")
    for other in (
        dataclasses.replace(run, corpus_fingerprint="g"),
        dataclasses.replace(run, encoder=EncoderConfig(width=0.5)),
        dataclasses.replace(run, training=TrainingConfig(learning_rate=1.0)),
    ):
        with pytest.raises(ConfigError, match="folder: holds a run with another configuration"):
            other.check_continues(run, "folder")


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (TrainingConfig, {"mining": "hard"}),
        (TrainingConfig, {"schedule": "step"}),
        (TrainingConfig, {"steps": 0}),
        (PrepareConfig, {"resampler": "sox"}),
        (PrepareConfig, {"max_bad_share": 2.0}),
        (PrepareConfig, {"num_shards": -1}),
        (PrepareConfig, {"resampler": "none"}),
        (TripletConfig, {"shares": (0, 0, 0, 0)}),
        (TripletConfig, {"shares": (1, 1, 1)}),
        (TrainingConfig, {"learning_rate": float("nan")}),
        (TrainingConfig, {"precision": "float64"}),
        (EncoderConfig, {"embedding_size": 0}),
        (config.PipelineConfig, {"batch_size": 1}),
        (config.ClassifyConfig, {"folds": 1}),
        (config.EmbedConfig, {"granularity": "file"}),
        (config.EmbedConfig, {"hop_seconds": 0.015}),
        (config.CacheConfig, {"cache_gigabytes": -1.0}),
    ],
)
def test_wrong_values(kind, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        kind(**wrong)


def test_no_tensorflow_is_needed():
    import subprocess
    import sys

    code = (
        "import sys; import audio_triplet.config, audio_triplet.commands.terminal, "
        "audio_triplet.audio, audio_triplet.data.manifest, audio_triplet.corpora.registry, "
        "experiments.table1, experiments.evaluate; "
        "assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert config.CONSTRAINTS[3] == "proximity"


def test_fields_by_their_earlier_names_are_read():
    old = dataclasses.asdict(RunConfig(triplets=TripletConfig(augment=True, augment_gain=1.0)))
    old["triplets"]["vary"] = old["triplets"].pop("augment")
    old["triplets"]["vary_gain"] = old["triplets"].pop("augment_gain")
    old["encoder"]["input_level"] = True
    del old["encoder"]["normalize_loudness"]
    read = RunConfig.from_dict(old)
    assert read.triplets.augment and read.triplets.augment_gain == 1.0
    assert read.encoder.normalize_loudness
