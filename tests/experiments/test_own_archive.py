"""Training on one's own archive: what is drawn, tried and told."""

import dataclasses
import json

import numpy as np
import pytest
import soundfile

from audio_triplet import models
from audio_triplet.config import EncoderConfig
from audio_triplet.corpora import registry
from audio_triplet.data.splits import split_by_recording
from audio_triplet.embeddings import saved_model
from audio_triplet.errors import UsageError
from experiments import own_archive, recipes
from experiments.lib import archive_trials, kept
from experiments.lib.archive_trials import NOTHING, RELEASED, TUNED
from experiments.own_archive import Options
from tests.conftest import flags_given


def of_folds(folder):
    """The tones with a fold for each number that files end with, 0 to 2."""
    manifest = registry.load_corpus(f"folders:{folder}")
    folds = [f"fold{int(path[-5]) % 3}" if path[-5].isdigit() else "" for path in
             manifest.frame["path"]]  # fmt: skip
    kept = [number for number, fold in enumerate(folds) if fold]
    frame = manifest.take(kept).frame.assign(split=[folds[number] for number in kept])
    return dataclasses.replace(manifest, frame=frame)


def test_an_archive_is_other_folds_without_labels(tone_folder):
    manifest = of_folds(tone_folder)
    seconds = {path: soundfile.info(path).duration for path in manifest.frame["path"]}
    others = manifest.frame[manifest.frame["split"] != "fold1"]
    whole = sum(seconds[path] for path in others["path"]) / 3600
    archive = archive_trials.draw(manifest, "fold1", whole * 1.001, 0)
    assert set(archive.frame["path"]) == set(others["path"])
    assert set(archive.frame["labels"]) == {""} and set(archive.frame["split"]) == {"train"}
    half = [archive_trials.draw(manifest, "fold1", whole / 2, seed).frame for seed in (0, 0, 1)]
    taken = [sum(seconds[path] for path in frame["path"]) / 3600 for frame in half]
    assert all(0.25 * whole < hours <= whole / 2 for hours in taken)
    assert set(half[0]["path"]) == set(half[1]["path"]) != set(half[2]["path"])
    with pytest.raises(UsageError, match=r"--hours=1: without fold1 the corpus holds 0\.0 h"):
        archive_trials.draw(manifest, "fold1", 1.0, 0)


def test_minutes_are_steps_and_every_combination_is_tried():
    options = Options(("a", "b"), (0.5,), (1.0, 10.0), (0, 1), (1e-4, 1e-3), (0, 3), 256.0)
    trials = options.trials()
    batch = recipes.load("fine_tune").pipeline.batch_size
    assert {trial.steps for trial in trials} == {0, 60 * 128 // batch, 600 * 128 // batch}
    count = {way: sum(trial.way == way for trial in trials) for way in (RELEASED, NOTHING, TUNED)}
    assert count == {RELEASED: 2, NOTHING: 2 * 2 * 2, TUNED: 2 * 2 * 2 * 4}
    assert len({trial.name for trial in trials}) == len(trials)
    assert {t.learning_rate for t in trials if t.way == NOTHING} == {1e-3}


def test_means_are_over_folds_and_seeds_and_gains_over_the_same_folds():
    def row(way, fold, seed, probe, query):
        fields = dataclasses.asdict(archive_trials.Trial(way, fold, 1.0, 9, 1e-4, 0, seed))
        scores = {"probe_accuracy": probe, "query_map": query}
        scores |= {"search_map": query / 2, "archive_search_map": 0.5}
        return fields | scores | {"patches": 5, "cpu_seconds": None}

    rows = [row(RELEASED, "a", 0, 0.5, 0.3), row(RELEASED, "b", 0, 0.7, 0.5)]
    rows += [row(TUNED, "a", 0, 0.6, 0.2), row(TUNED, "a", 1, 0.7, 0.2), row(TUNED, "b", 0, 0.8, 1)]
    released, tuned = own_archive.means(rows)
    assert released["probe_accuracy"] == pytest.approx(0.6) and released["folds"] == ["a", "b"]
    assert tuned["probe_accuracy"] == pytest.approx(0.7)
    assert tuned["probe_accuracy_gain"] == pytest.approx((0.1 + 0.2 + 0.1) / 3)
    assert tuned["query_map_gain"] == pytest.approx((-0.1 - 0.1 + 0.5) / 3)
    assert (tuned["seeds"], tuned["cpu_seconds"]) == ([0, 1], None)
    assert own_archive.means(rows[2:])[0]["query_map_gain"] is None


def test_flags_become_options():
    given = ["--corpus=c", "--output_dir=o", "--hours=0.5,3", "--frozen_layers=0,2", "--seeds=1"]
    with flags_given(own_archive.define_flags, given):
        options = own_archive.options_from_flags()
    assert options == Options(hours=(0.5, 3.0), frozen_layers=(0, 2), seeds=(1,))
    for wrong in ("--hours=0", "--minutes=long", "--learning_rates=nan", "--ways=guessed"):
        with flags_given(own_archive.define_flags, [*given, wrong]), pytest.raises(UsageError):
            own_archive.options_from_flags()


@pytest.mark.slow
def test_a_table_of_trials_is_made_once(tone_folder, tmp_path, monkeypatch):
    """Each way on one fold; the second call reads what the first has kept."""
    network = EncoderConfig(width=0.0625, embedding_size=16)
    model = str(tmp_path / "model")
    told = {"model": dataclasses.asdict(network)}
    saved_model.export(models.build(network, seed=1), model, told)
    manifest = split_by_recording(of_folds(tone_folder))
    corpus = tmp_path / "corpus.csv"
    manifest.frame.to_csv(corpus, index=False)
    options = Options(("fold1",), (0.004,), (0.001,), patches_per_second=1.0)
    out = str(tmp_path / "out")
    table = own_archive.make_table(f"manifest:{corpus}", out, options, model, "cpu")
    rows = {row["way"]: row for row in table["rows"]}
    assert list(rows) == [RELEASED, TUNED, NOTHING]
    assert [rows[way]["steps"] for way in rows] == [0, 1, 1]
    assert [rows[way]["patches"] for way in rows] == [0, 256, 256]
    configs = {
        path.parent.name: json.loads(path.read_text())
        for path in (tmp_path / "out" / "runs").glob("*/config.json")
    }
    digests = {
        name.split("-fold")[0]: config["init_model_digest"] for name, config in configs.items()
    }
    assert digests == {"fine-tuned": saved_model.Model(model).digest, "from_nothing": ""}
    assert {config["encoder"]["width"] for config in configs.values()} == {0.0625}
    assert json.loads((tmp_path / "out" / "own_archive.json").read_text()) == kept.as_read(table)
    text = (tmp_path / "out" / "own_archive.md").read_text()
    assert (
        f"| {rows[NOTHING]['probe_accuracy']:.3f} |" in text
        and "| from nothing | 0.004 h |" in text
    )
    assert f"--init_model={model} ({saved_model.Model(model).digest[:12]})" in text
    monkeypatch.setattr(archive_trials.Trials, "_make", lambda *_: pytest.fail("made again"))
    again = own_archive.make_table(f"manifest:{corpus}", out, options, model, "cpu")
    assert again["rows"] == table["rows"]
    for score in archive_trials.SCORES:
        assert np.isfinite([row[score] for row in again["rows"]]).all()
    with pytest.raises(UsageError, match="--folds=fold9"):
        own_archive.make_table(f"manifest:{corpus}", out, Options(("fold9",)), model, "cpu")
