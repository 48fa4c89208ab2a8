import json

import numpy as np
import pytest
import soundfile

from audio_triplet import audio
from audio_triplet.data.manifest import key_of
from audio_triplet.errors import UsageError
from experiments import evaluate, levels
from experiments.lib import scored_corpus
from tests.conftest import RATE, flags_given, tone


@pytest.fixture(scope="module")
def changing(tmp_path_factory):
    """Tones that turn into noise half-way, so that a segment's patches differ."""
    root = tmp_path_factory.mktemp("changing")
    for label, hertz in (("low", 200), ("high", 3000)):
        (root / label).mkdir()
        for number in range(6):
            noise = np.random.default_rng(number).normal(0, 0.2, 2 * RATE)
            sound = np.concatenate([tone(2.0, hertz * (1 + 0.03 * number), number), noise])
            soundfile.write(root / label / f"{number}.wav", sound, RATE)
    return str(root)


def scored(small_model, changing, out, *more):
    arguments = [
        f"--model={small_model.path}",
        f"--corpus=folders:{changing}",
        f"--output_dir={out}",
        *more,
    ]
    with flags_given(levels.define_flags, arguments):
        return levels.make_table()


def test_levels_are_those_of_scaled_sound(small_model, changing, tmp_path):
    table = scored(small_model, changing, tmp_path, "--decibels=-30,6")
    assert json.loads((tmp_path / "levels.json").read_text()) == table
    rows = {row["name"]: row for row in table["rows"]}
    assert list(rows) == ["-30 dB", "as it is", "+6 dB", "mixed"]
    assert rows["as it is"]["cosine"] == pytest.approx(1, abs=1e-6)
    # The scaled files themselves, through the export.
    manifest = scored_corpus.labelled_manifest(f"folders:{changing}")
    test = manifest.frame[manifest.frame["split"] == "test"]

    def embedded(path, decibel):
        waveform = audio.load_audio(path) * np.float32(10 ** (decibel / 20))
        return small_model(waveform[None])["segment_embedding"][0].numpy()

    for name, decibel in (("-30 dB", -30), ("+6 dB", 6)):
        cosines = [embedded(path, decibel) @ embedded(path, 0) for path in test["path"]]
        assert rows[name]["cosine"] == pytest.approx(np.mean(cosines), abs=1e-4)
    drawn = [(0, -30, 6)[key_of(name, "mixed") % 3] for name in test["recording_id"]]
    cosines = [
        embedded(path, level) @ embedded(path, 0)
        for path, level in zip(test["path"], drawn, strict=True)
    ]
    assert rows["mixed"]["cosine"] == pytest.approx(np.mean(cosines), abs=1e-4)
    text = (tmp_path / "levels.md").read_text()
    assert f"| -30 dB | {rows['-30 dB']['probe_accuracy']:.3f} |" in text


def test_as_it_is_scores_what_evaluate_does(small_model, changing, tmp_path):
    rows = scored(small_model, changing, tmp_path, "--decibels=3")["rows"]
    arguments = [
        f"--model={small_model.path}",
        f"--corpus=folders:{changing}",
        f"--output_dir={tmp_path}",
    ]
    with flags_given(evaluate.define_flags, arguments):
        metrics = evaluate.evaluate()
    as_it_is = next(row for row in rows if row["name"] == "as it is")
    for score in levels.SCORES:
        assert as_it_is[score] == pytest.approx(metrics[score], abs=1e-6)


@pytest.mark.parametrize("decibels", ["loud", "0,3", "3,3", "inf"])
def test_levels_must_be_numbers_named_once(small_model, changing, tmp_path, decibels):
    with pytest.raises(UsageError, match="--decibels"):
        scored(small_model, changing, tmp_path, f"--decibels={decibels}")
