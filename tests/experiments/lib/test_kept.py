import dataclasses

import pytest

from audio_triplet.config import EncoderConfig, RunConfig, TripletConfig
from audio_triplet.errors import UsageError
from experiments.lib import kept
from experiments.lib.kept import KeptScores


def test_a_score_of_other_settings_is_not_used(tmp_path):
    path = str(tmp_path / "row" / "labels1-draw0.json")
    asked = KeptScores(path, {"scratch": {"steps": 5}, "test_splits": ("a",)})
    assert asked.read() is None
    asked.write({"cls_map": 0.5})
    assert asked.read() == {"cls_map": 0.5}
    other = KeptScores(path, {"scratch": {"steps": 6}, "test_splits": ("a",)})
    assert other.read() is None


def test_settings_of_earlier_versions_are_the_same():
    """Written before fields were renamed, and before there were others."""
    now = {
        "run": dataclasses.asdict(RunConfig(triplets=TripletConfig(augment=True))),
        "corpus": "c",
    }
    earlier = kept.as_read(now)
    for part, name, old in (
        ("triplets", "augment", "vary"),
        ("encoder", "normalize_loudness", "input_level"),
    ):
        earlier["run"][part][old] = earlier["run"][part].pop(name)
    assert kept.are_same(earlier, now)
    earlier["run"]["triplets"]["vary"] = False
    assert not kept.are_same(earlier, now)
    untrained = {"run": None, "encoder": dataclasses.asdict(EncoderConfig()), "seed": 0}
    assert kept.are_same(kept.as_read(untrained), untrained)
    assert not kept.are_same(kept.as_read(untrained) | {"seed": 1}, untrained)


def test_settings_of_an_unknown_version_are_others():
    now = {"run": dataclasses.asdict(RunConfig())}
    earlier = kept.as_read(now)
    earlier["run"]["training"]["what_is_to_come"] = 1
    assert not kept.are_same(earlier, now)


def test_a_damaged_file_is_named(tmp_path):
    path = tmp_path / "scores.json"
    path.write_text("{")
    with pytest.raises(UsageError, match="scores.json: is damaged"):
        KeptScores(str(path), {}).read()
