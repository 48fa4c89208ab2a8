import csv
import dataclasses
import json
import os
import re
import shutil

import numpy as np
import pandas as pd
import pytest

import audio_triplet
from audio_triplet import audio, models
from audio_triplet.annotations import reading
from audio_triplet.classify import adaptation, classifier, predictions, together
from audio_triplet.commands import inputs
from audio_triplet.commands.classify import fit, predict, suggest
from audio_triplet.config import ClassifyConfig, EmbedConfig
from audio_triplet.data.manifest import Manifest
from audio_triplet.embeddings import saved_model
from audio_triplet.errors import ClassifierError, CorpusError, ExportError, UsageError
from tests.conftest import flags_given, tone

CONFIG = ClassifyConfig(folds=2, precision=0.7)


@pytest.fixture(scope="module")
def fitted(tone_folder, small_model, tmp_path_factory):
    """A fitted classifier with its page: (folder, what the user was told)."""
    out = tmp_path_factory.mktemp("fitted")
    manifest, _ = inputs.load_inputs([tone_folder])
    return out, fit.fit(manifest, small_model.path, str(out), CONFIG, compare_log_mel=True)


def read_csv(path) -> list[list[str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


@pytest.mark.slow
def test_fit_says_and_writes_what_it_is_worth(fitted, small_model):
    out, printed = fitted
    scores = json.loads((out / "scores.json").read_text())
    assert "3 classes, 20 labelled sounds of 20 recordings" in printed
    assert f"mAP {scores['score']['map']:.3f} (95 %: " in printed and "log mel, 2 folds" in printed
    assert scores["score"]["map"] > 0.6  # low, middle and high tones, even unlearned
    low, high = scores["score"]["map_interval"]
    assert low <= scores["score"]["map"] <= high
    assert set(scores["learning_curve"]) == {"embedding", "log_mel"} and scores["likeness"]
    assert scores["learning_curve"]["embedding"]["1"]
    saved = classifier.SoundClassifier.load(str(out / "classifier"))
    assert saved.classes == ("high", "low", "middle")
    assert saved.model_digest == small_model.digest
    assert not (out / "bad_files.csv").exists()


def test_page_of_a_classifier(fitted):
    page = (fitted[0] / "classifier.html").read_text()
    assert "Content-Security-Policy" in page and "://" not in page
    for identifier in ("classes", "meaning", "mixups", "curve", "mistakes", "made"):
        assert f'id="{identifier}"' in page
    counted = re.findall(r'title="(\d+) of (\d+) (\w+) taken for (\w+)">(\d+)</td>', page)
    assert sum(int(row[0]) for row in counted) == 20 and all(r[0] == r[4] for r in counted)
    right = sum(int(row[0]) for row in counted if row[2] == row[3])
    scores = json.loads((fitted[0] / "scores.json").read_text())
    assert right / 20 == pytest.approx(scores["score"]["accuracy"])


@pytest.mark.parametrize("level", ["patch", "segment"])
def test_predictions_are_the_scores_of_the_embeddings(fitted, tone_folder, tmp_path, level):
    out, _ = fitted
    manifest, _ = inputs.load_inputs([f"{tone_folder}/high"])
    printed = predict.predict(
        manifest, str(out / "classifier"), str(tmp_path), EmbedConfig(granularity=level)
    )
    head, *rows = read_csv(tmp_path / "predictions.csv")
    classes = ["high", "low", "middle"]
    assert head == [
        *("path", "start_seconds", "end_seconds", "top_class", "found", *classes),
        *(f"probability {name}" for name in classes),
    ]
    assert f"{len(rows)} rows for 7 files" in printed
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)  # in the inputs' order
    saved = classifier.SoundClassifier.load(str(out / "classifier"))
    path = f"{tone_folder}/high/high3.wav"
    sound = audio.load_audio(path)
    model = saved_model.Model(saved.metadata["model"])
    vectors = model(sound[None])["patch_embeddings"][0].numpy()
    assert saved.classifier.described.config.described and len(vectors) > 1
    expected = (
        saved.classifier.predict_patches(vectors)
        if level == "patch"
        else saved.classifier.predict_segments(vectors, np.zeros(len(vectors), int), 1)
    )
    mine = [row for row in rows if row[0] == path]
    np.testing.assert_allclose([[float(v) for v in row[5:8]] for row in mine], expected, atol=1e-3)
    meaning = saved.calibration(level)
    probabilities = meaning.probabilities(expected)
    np.testing.assert_allclose(
        [[float(v) for v in row[8:]] for row in mine], probabilities, atol=1e-3
    )
    for row, values in zip(mine, expected, strict=True):
        assert row[3] == saved.classes[values.argmax()]
        least = [of.score if of.score is not None else 2 for of in meaning.thresholds]
        named = [name for name, v, of in zip(classes, values, least, strict=True) if v >= of]
        assert row[4] == ";".join(named)
    assert any(row[4] for row in rows) and meaning.decides
    read = predictions.read(tmp_path / "predictions.csv")
    assert read.classes == tuple(classes) and len(read) == len(rows)
    np.testing.assert_array_equal(read.scores, [[float(v) for v in row[5:8]] for row in rows])
    np.testing.assert_array_equal(read.found.any(axis=1), [bool(row[4]) for row in rows])
    np.testing.assert_array_equal(read.probabilities[0], [float(v) for v in rows[0][8:]])
    starts = [float(row[1]) for row in mine]
    np.testing.assert_allclose(starts, 0.96 * np.arange(len(mine)), atol=1e-3)
    assert float(mine[-1][2]) <= len(sound) / 16000 + 1e-3


def test_predictions_have_the_clock_time_and_are_filtered_by_it(fitted, tone_folder, tmp_path):
    for name in ("A/20240612_045959.wav", "A/20240612_120000.wav", "B/20240612_045959.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(f"{tone_folder}/low/low5.wav", tmp_path / name)  # 3.95 s
    shutil.copy(f"{tone_folder}/low/low5.wav", tmp_path / "B" / "x.wav")
    (tmp_path / "B" / "20240612_050001.wav").write_bytes(b"no sound at all")
    out = tmp_path / "out"

    def predicted(*arguments):
        out.mkdir(exist_ok=True)
        given = [f"--classifier={fitted[0] / 'classifier'}", f"--output_dir={out}", *arguments]
        with flags_given(predict.define_flags, given):
            predict.main(["predict", str(tmp_path / "A"), str(tmp_path / "B")])
        with open(out / "predictions.csv", newline="", encoding="utf-8") as file:
            return [(row["path"][-21:], row["clock_time"]) for row in csv.DictReader(file)]

    every = predicted()
    assert len(every) == 16 and every[1] == ("A/20240612_045959.wav", "2024-06-12T04:59:59.960")
    assert every[-1][0].endswith("x.wav") and every[-1][1] == ""
    after = [row for row in every if row[1] and row[1][11:13] == "05"]
    assert predicted("--hours=5-7") == after and len(after) == 4
    assert "050001" in (out / "bad_files.csv").read_text()
    assert predicted("--hours=5-7", "--path=B/*") == after[2:]
    assert len(predicted("--hours=5-7", "--path=B/*", "--granularity=segment")) == 1
    assert predicted("--after=2024-06-12T12:00:01.8") == [every[6], every[7]]
    with pytest.raises(UsageError, match="holds no sound of those times and paths"):
        predicted("--after=2025-01-01")


@pytest.mark.parametrize("level", ["patch", "segment"])
def test_sounds_are_scored_together(fitted, tone_folder, tmp_path, level):
    """The same rows as without, their scores those that `together.spread` makes of them."""
    tables = []
    for name, arguments in (("alone", []), ("together", ["--together"])):
        given = [f"--classifier={fitted[0] / 'classifier'}", f"--output_dir={tmp_path / name}"]
        (tmp_path / name).mkdir()
        with flags_given(predict.define_flags, [*given, f"--granularity={level}", *arguments]):
            predict.main(["predict", str(tone_folder)])
        tables.append(read_csv(tmp_path / name / "predictions.csv"))
    (head, *alone), (same, *both) = tables
    assert head == same and [row[:3] for row in alone] == [row[:3] for row in both]
    before, after = (np.array([row[5:8] for row in rows], float) for rows in (alone, both))
    saved = classifier.SoundClassifier.load(str(fitted[0] / "classifier"))
    model = audio_triplet.load(saved.metadata["model"])  # bit by bit what `predict` has
    sounds = []
    for path in dict.fromkeys(row[0] for row in both):
        vectors = model.embed(path).patches
        silent = path.endswith("silent.wav")  # shares nothing
        apart = [vectors] if level == "segment" else [vector[None] for vector in vectors]
        sounds += [sound[:0] if silent else sound for sound in apart]
    numbers = np.unique([row[0] for row in both], return_inverse=True)[1]
    np.testing.assert_allclose(after, together.spread(before, sounds, numbers), atol=2e-3)
    assert np.abs(after - before).max() > 0.01


@pytest.mark.parametrize("level", ["patch", "segment"])
def test_sounds_are_brought_to_the_labelled_ones(fitted, tone_folder, tmp_path, level):
    manifest, _ = inputs.load_inputs([f"{tone_folder}/high", f"{tone_folder}/low"])
    where = str(fitted[0] / "classifier")
    config = EmbedConfig(granularity=level)
    for name, adapt in (("alone", False), ("adapted", True)):
        (tmp_path / name).mkdir()
        predict.predict(manifest, where, str(tmp_path / name), config, adapt=adapt)
    (head, *alone), (same, *moved) = (
        read_csv(tmp_path / name / "predictions.csv") for name in ("alone", "adapted")
    )
    assert head == same and [row[:3] for row in alone] == [row[:3] for row in moved]
    saved = classifier.SoundClassifier.load(where).classifier
    model = audio_triplet.load(classifier.SoundClassifier.load(where).metadata["model"])
    sounds = [model.embed(path) for path in manifest.frame["path"]]

    def scores(vectors, owner, count, energy):
        if level == "patch":
            return saved.predict_patches(vectors)
        return saved.predict_segments(vectors, owner, count, energy=energy)

    patches, energies = [of.patches for of in sounds], [of.energy for of in sounds]
    move = adaptation.find(saved.ground, scores, patches, energies)
    owner = np.repeat(np.arange(len(sounds)), [len(of) for of in patches])
    expected = scores(move(np.concatenate(patches)), owner, len(sounds), np.concatenate(energies))
    found = np.array([row[5:8] for row in moved], float)
    np.testing.assert_allclose(found, expected, atol=2e-3)
    assert np.abs(found - np.array([row[5:8] for row in alone], float)).max() > 0.01
    together_too = predict.predict(
        manifest, where, str(tmp_path / "adapted"), config, together=True, adapt=True
    )
    assert f"{len(moved)} rows" in together_too
    assert [row[:3] for row in read_csv(tmp_path / "adapted" / "predictions.csv")[1:]] == [
        row[:3] for row in moved
    ]


@pytest.mark.parametrize("together", [False, True])
def test_it_is_told_what_lies_apart(fitted, tone_folder, tmp_path, monkeypatch, together):
    manifest, _ = inputs.load_inputs([f"{tone_folder}/high"])
    given = manifest, str(fitted[0] / "classifier"), str(tmp_path), EmbedConfig()
    told = "try --adapt"
    assert told not in predict.predict(*given, together=together)  # seven sounds say little
    monkeypatch.setattr(adaptation, "SOUNDS_TO_TELL", 7)
    monkeypatch.setattr(adaptation, "APART", 0.0)
    assert told in predict.predict(*given, together=together)
    assert told not in predict.predict(*given, together=together, adapt=True)


def test_classifiers_of_earlier_versions_do_not_adapt(fitted, tone_folder, tmp_path):
    shutil.copytree(fitted[0] / "classifier", tmp_path / "classifier")
    (tmp_path / "classifier" / "ground.npz").unlink()
    manifest, _ = inputs.load_inputs([f"{tone_folder}/high"])
    given = manifest, str(tmp_path / "classifier"), str(tmp_path), EmbedConfig()
    assert "7 files" in predict.predict(*given)
    with pytest.raises(ClassifierError, match=r"which --adapt needs; fit it again"):
        predict.predict(*given, adapt=True)


@pytest.mark.parametrize("flag", ["--together", "--adapt"])
def test_workers_score_each_sound_by_itself(fitted, tone_folder, tmp_path, flag):
    pytest.importorskip("apache_beam")
    given = [f"--classifier={fitted[0] / 'classifier'}", f"--output_dir={tmp_path}", flag]
    with flags_given(predict.define_flags, [*given, "--runner=DirectRunner"]):
        with pytest.raises(UsageError, match="leave --runner out"):
            predict.main(["predict", str(tone_folder)])


def test_predicting_passes_over_what_is_no_sound(fitted, tone_folder, tmp_path):
    for name in ('a low one, "quoted"\nnewline.wav', "z.wav"):
        shutil.copy(f"{tone_folder}/low/low1.wav", tmp_path / name)
    (tmp_path / "m.wav").write_bytes(b"no sound at all")
    manifest, _ = inputs.load_inputs([str(tmp_path)])
    printed = predict.predict(
        manifest, str(fitted[0] / "classifier"), str(tmp_path), EmbedConfig(granularity="segment")
    )
    _, first, second = read_csv(tmp_path / "predictions.csv")
    assert "newline.wav" in first[0] and second[0].endswith("z.wav") and first[3:] == second[3:]
    assert "1 files could not be used" in printed
    assert "m.wav" in (tmp_path / "bad_files.csv").read_text()


def test_a_quarter_of_the_files_missing_stops_fit_unless_allowed(
    tone_folder, tmp_path, small_model
):
    whole, _ = inputs.load_inputs([tone_folder])
    frame = whole.frame.copy()
    for row in range(0, 20, 4):
        frame.loc[row, "path"] += ".gone.wav"
    table = Manifest(frame.drop(columns="recording_id"), "labels.csv")
    out = tmp_path / "out"
    with pytest.raises(CorpusError, match=r"labels.csv: 5 of 20 .* 5% \(--max_bad_share\).*gone"):
        fit.fit(table, small_model.path, str(out), CONFIG, page=False)
    assert len(read_csv(out / "bad_files.csv")) == 6
    assert not (out / "classifier").exists()
    printed = fit.fit(table, small_model.path, str(out), CONFIG, page=False, max_bad_share=0.25)
    assert "15 labelled sounds" in printed


def test_a_label_track_of_one_recording_is_learned_and_what_it_cuts_said(
    tmp_path, small_model, caplog
):
    import soundfile

    soundfile.write(tmp_path / "a.wav", tone(6.0, 500), 16000)
    (tmp_path / "a.txt").write_text("0\t1\tlow\n1.5\t1.5\tlow\n2\t4\thigh\n4\t9\thigh\n")
    manifest, _ = inputs.load_inputs([str(tmp_path / "a.txt")])
    caplog.set_level("WARNING", logger="absl")
    printed = fit.fit(manifest, small_model.path, str(tmp_path), CONFIG)
    assert "2 classes, 4 labelled sounds of 1 recordings" in printed and "not checked" in printed
    said = [record.getMessage() for record in caplog.records]
    assert any("1 segments end past the end of their file" in text for text in said)


def test_predictions_as_tables_of_other_programs(fitted, tone_folder, tmp_path):
    classifier_dir, forms = str(fitted[0] / "classifier"), ["raven", "audacity", "csv", "json"]
    manifest, _ = inputs.load_inputs([f"{tone_folder}/high"])
    printed = predict.predict(manifest, classifier_dir, str(tmp_path), EmbedConfig(), forms=forms)
    _, *rows = read_csv(tmp_path / "predictions.csv")
    expected = sorted(
        (row[0], float(row[1]), float(row[2]), label)
        for row in rows
        for label in row[4].split(";")
        if label
    )
    best = sorted((row[0], float(row[1]), float(row[2]), row[3]) for row in rows)
    assert expected and expected != best  # several classes, or none, of a row
    for name in ("predictions.selections.txt", "predictions.labels.csv", "predictions.json"):
        assert str(tmp_path / name) in printed
        moments = reading.read_moments(tmp_path / name)
        found = [(m.path, m.start_seconds, m.end_seconds, m.label) for m in moments]
        assert [row[::3] for row in found] == [row[::3] for row in expected]
        np.testing.assert_allclose(
            [row[1:3] for row in found], [row[1:3] for row in expected], atol=1e-9
        )
    tracks = sorted(path.name for path in (tmp_path / "predictions-audacity").iterdir())
    assert tracks == sorted({f"{row[0].split('/')[-1][:-4]}.labels.txt" for row in expected})


def test_a_classifier_of_an_earlier_version_predicts_as_before(fitted, tone_folder, tmp_path):
    folder = tmp_path / "classifier"
    shutil.copytree(fitted[0] / "classifier", folder)
    content = json.loads((folder / "sounds.json").read_text())
    whole = json.dumps(content)
    for name in ("calibration", "reliability", "precision"):
        del content[name]
    (folder / "sounds.json").write_text(json.dumps(content))
    manifest, _ = inputs.load_inputs([f"{tone_folder}/high"])
    predict.predict(manifest, str(folder), str(tmp_path), EmbedConfig(), forms=["csv"])
    head, *rows = read_csv(tmp_path / "predictions.csv")
    assert head == ["path", "start_seconds", "end_seconds", "top_class", "high", "low", "middle"]
    moments = reading.read_moments(tmp_path / "predictions.labels.csv")
    assert [row.label for row in moments] == [row[3] for row in sorted(rows)]
    read = predictions.read(tmp_path / "predictions.csv")
    assert read.found is None and read.probabilities is None
    # One that is damaged is said, in one line.
    (folder / "sounds.json").write_text(whole.replace('"logistic"', "7").replace('"x"', '"y"'))
    with pytest.raises(ClassifierError, match="what scores mean is damaged .*; fit again"):
        predict.predict(manifest, str(folder), str(tmp_path), EmbedConfig())


def test_a_precision_that_no_class_reaches_is_said(tone_folder, tmp_path, small_model):
    manifest, _ = inputs.load_inputs([tone_folder])
    strict = dataclasses.replace(CONFIG, precision=0.99)
    printed = fit.fit(manifest, small_model.path, str(tmp_path), strict, page=False)
    assert "precision 0.99 is reached by 0 of 3 classes" in printed
    few, _ = inputs.load_inputs([f"{tone_folder}/high"])
    printed = predict.predict(few, str(tmp_path / "classifier"), str(tmp_path), EmbedConfig())
    assert "no class reaches precision 0.99: tables have the best class of each row" in printed
    read = predictions.read(tmp_path / "predictions.csv")
    assert not read.found.any() and not np.isnan(read.probabilities).any()


def test_suggestions_go_back_into_fit(fitted, tmp_path, small_model):
    import soundfile

    out, _ = fitted
    folder = tmp_path / "<b>ün&label;ed"
    folder.mkdir()
    for number in range(4):
        soundfile.write(folder / f"{number}.wav", tone(2.0, 400 + 300 * number, number), 16000)
    soundfile.write(folder / "long.wav", tone(11.5, 700), 16000)
    manifest, _ = inputs.load_inputs([str(folder)])
    printed = suggest.suggest(
        manifest, str(out / "classifier"), str(tmp_path), 5, 4.0, forms=["raven"]
    )
    assert "5 of 7 sounds to label" in printed  # 4, and 3 windows of the long one
    suggested = Manifest.read(tmp_path / "suggest.csv")
    frame = suggested.frame
    to_fill = reading.read(tmp_path / "suggest.selections.txt").frame
    assert set(to_fill["path"]) == set(frame["path"]) and (to_fill["labels"] == "").all()
    assert len(set(frame["path"])) == 5 and (frame["labels"] == "").all()
    long = frame[frame["path"].str.endswith("long.wav")].iloc[0]
    assert long["start_seconds"] in (0, 4, 8)
    page = (tmp_path / "suggest.html").read_text()
    assert "<b>ün" not in page and page.count('list="classes"') == 5
    assert page.count('<button type="button" class="clip"') == 5
    block = re.search(r'id="rows">(.*?)</script>', page)[1]
    assert [row[0] for row in json.loads(block)["rows"]] == frame["path"].tolist()

    frame = pd.read_csv(tmp_path / "suggest.csv")
    frame["labels"] = ["low", "high", "low", "high", "new;low"]
    frame.to_csv(tmp_path / "labelled.csv", index=False)
    again, _ = inputs.load_inputs([str(tmp_path / "labelled.csv")])
    few = fit.few_of(again, 1, seed=0).frame  # one of each; a segment counts for all it has
    assert len(few) <= 3 and set(";".join(few["labels"]).split(";")) == {"low", "high", "new"}
    (tmp_path / "again").mkdir()
    printed = fit.fit(again, small_model.path, str(tmp_path / "again"), CONFIG, page=False)
    assert "3 classes, 5 labelled sounds" in printed and "with a single recording: new" in printed
    assert not (tmp_path / "again" / "classifier.html").exists()


def test_suggestions_leave_out_what_has_a_label(fitted, tone_folder, tmp_path):
    manifest, _ = inputs.load_inputs([tone_folder])
    with pytest.raises(UsageError, match="every sound has a label;"):
        suggest.suggest(manifest, str(fitted[0] / "classifier"), str(tmp_path), 5)


def test_an_archive_of_sites_is_not_labelled(fitted, tone_folder, tmp_path):
    for site in ("low", "high"):  # called as a class is, and none
        (tmp_path / "archive" / site).mkdir(parents=True)
        shutil.copy(f"{tone_folder}/low/low1.wav", tmp_path / "archive" / site / "a.wav")
    (tmp_path / "out").mkdir()
    with flags_given(suggest.define_flags, _suggest_arguments(fitted, tmp_path)):
        suggest.main(["suggest", str(tmp_path / "archive")])
    assert len(read_csv(tmp_path / "out" / "suggest.csv")) == 3
    with flags_given(
        suggest.define_flags, [*_suggest_arguments(fitted, tmp_path), "--labels=folders"]
    ):
        with pytest.raises(UsageError, match="every sound has a label;"):
            suggest.main(["suggest", str(tmp_path / "archive")])


def _suggest_arguments(fitted, tmp_path):
    return [f"--classifier={fitted[0] / 'classifier'}", f"--output_dir={tmp_path / 'out'}"]


@pytest.mark.slow
def test_what_does_not_fit_together_is_said(fitted, tone_folder, tmp_path):
    unlabelled, _ = inputs.load_inputs([f"{tone_folder}/low"])
    with pytest.raises(UsageError, match="no sound has a label"):
        fit.fit(unlabelled, "/nowhere", str(tmp_path), CONFIG)
    other = str(tmp_path / "other")
    saved_model.export(models.build_encoder(width=0.0625, embedding_size=24, seed=9), other, {})
    for command in (predict.predict, suggest.suggest):
        arguments = [unlabelled, str(fitted[0] / "classifier"), str(tmp_path)]
        rest = [EmbedConfig()] if command is predict.predict else [5]
        with pytest.raises(ClassifierError, match="is not the model that the classifier was"):
            command(*arguments, *rest, model_path=other)
        with pytest.raises(ExportError, match="holds no saved_model"):
            command(*arguments, *rest, model_path="/nowhere")
    assert not (tmp_path / "predictions.csv").exists()


def test_predictions_mark_truncated_files(fitted, tone_folder, tmp_path):
    for name in ("cut.wav", "whole.wav"):
        shutil.copy(f"{tone_folder}/low/low5.wav", tmp_path / name)
    data = (tmp_path / "cut.wav").read_bytes()
    (tmp_path / "cut.wav").write_bytes(data[: len(data) * 8 // 10])
    manifest, _ = inputs.load_inputs([str(tmp_path)])
    out = tmp_path / "out"
    out.mkdir()
    told = predict.predict(manifest, str(fitted[0] / "classifier"), str(out), EmbedConfig())
    assert f"1 truncated files were used as far as they go, see {out}/truncated.csv" in told
    head, *rows = read_csv(out / "predictions.csv")
    assert head[3] == "top_class" and head[-1] == "truncated"
    assert {(os.path.basename(row[0]), row[-1]) for row in rows} == {
        ("cut.wav", "yes"),
        ("whole.wav", ""),
    }
    assert predictions.read(out / "predictions.csv").classes == ("high", "low", "middle")
    refused = predict.predict(
        manifest, str(fitted[0] / "classifier"), str(out), EmbedConfig(), truncated="refuse"
    )
    assert "1 files could not be used" in refused
    assert "truncated" not in read_csv(out / "predictions.csv")[0]


def test_fit_refuses_truncated_files_unless_told(tone_folder, small_model, tmp_path):
    shutil.copytree(tone_folder, tmp_path / "sound")
    path = tmp_path / "sound" / "low" / "low5.wav"
    path.write_bytes(path.read_bytes()[:-40_000])
    manifest, _ = inputs.load_inputs([str(tmp_path / "sound")])
    for truncated, sounds in (("refuse", 19), ("use", 20)):
        out = tmp_path / truncated
        told = fit.fit(
            manifest, small_model.path, str(out), CONFIG, page=False, truncated=truncated
        )
        assert f"{sounds} labelled sounds" in told
