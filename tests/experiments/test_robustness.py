import json

import numpy as np
import pytest
import soundfile

from audio_triplet import audio
from audio_triplet.classify import classifier
from audio_triplet.classify.examples import Examples
from audio_triplet.config import ClassifyConfig
from audio_triplet.data.keys import key_of
from audio_triplet.errors import UsageError
from experiments import evaluate, robustness
from experiments.lib import protocol, scored_corpus, sound_changes
from experiments.lib.scored_corpus import ScoringSettings
from tests.conftest import RATE, tone


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


def settings_of(small_model, changing, out):
    return ScoringSettings(small_model.path, f"folders:{changing}", str(out))


def test_rows_are_those_of_scaled_sound(small_model, changing, tmp_path):
    table = robustness.make_table(
        settings_of(small_model, changing, tmp_path), (-30.0, 6.0), ("level",)
    )
    assert json.loads((tmp_path / "robustness.json").read_text()) == table
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
        embedded(path, decibel) @ embedded(path, 0)
        for path, decibel in zip(test["path"], drawn, strict=True)
    ]
    assert rows["mixed"]["cosine"] == pytest.approx(np.mean(cosines), abs=1e-4)
    text = (tmp_path / "robustness.md").read_text()
    assert f"| -30 dB | {rows['-30 dB']['probe_accuracy']:.3f} |" in text


def test_as_it_is_scores_what_evaluate_does(small_model, changing, tmp_path):
    settings = settings_of(small_model, changing, tmp_path)
    rows = robustness.make_table(settings, (), list(sound_changes.CHANGES))["rows"]
    metrics = evaluate.evaluate(settings)
    as_it_is = next(row for row in rows if row["name"] == "as it is")
    for score in {*robustness.SCORES} - {"classified", "adapted"}:
        assert as_it_is[score] == pytest.approx(metrics[score], abs=1e-6)
    embedded = scored_corpus.embed_corpus(settings)
    loud = embedded.sides.train.loud_segment_means, embedded.sides.test.loud_segment_means
    found = protocol.retrieval_scores(loud[1], embedded.sides, embedded.classes)
    assert metrics["loud"]["query_map"] == found["query_map"]
    found = protocol.probe_scores(*loud, embedded.sides, embedded.classes)
    assert metrics["loud"]["probe_accuracy"] == found["probe_accuracy"]
    sides = embedded.sides.train, embedded.sides.test
    train, test = (Examples.of(side, embedded.classes) for side in sides)
    fitted = classifier.fit(train, ClassifyConfig()).classifier
    right = []
    for segment, labels in enumerate(test.labels):  # one after the other, not all at once
        own = test.segment_index == segment
        vectors, energy = test.vectors[own], test.embeddings.energy[own]
        scores = fitted.predict_segments(vectors, np.zeros(len(vectors), int), 1, energy=energy)
        right.append(labels[scores[0].argmax()])
    assert as_it_is["classified"] == pytest.approx(np.mean(right)) and any(right)
    assert [row["name"] for row in rows[1:]] == [c.title for c in sound_changes.CHANGES.values()]
    cosines = {row["name"]: row["cosine"] for row in rows}
    assert cosines["MP3, 64 kbit/s"] > 0.95  # the least of the changes
    assert min(cosines.values()) < max(cosines[row["name"]] for row in rows[1:]) < 1


@pytest.mark.parametrize("decibels", ["loud", "0,3", "3,3", "inf"])
def test_changes_must_be_numbers_named_once(decibels):
    with pytest.raises(UsageError, match="--decibels"):
        robustness.changes_of_loudness(decibels.split(","))


def test_changes_in_the_order_given():
    assert robustness.changes_of_loudness(["-20", "6.5"]) == (-20, 6.5)


def test_kinds_of_change_are_known():
    assert robustness.kinds_of_change(["mp3", "level"]) == ("level", "mp3")
    with pytest.raises(UsageError, match="--changes=flood: choose from level, telephone"):
        robustness.kinds_of_change(["flood"])
