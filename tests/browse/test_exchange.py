"""What is taken away comes back: every form, read by this package's own commands too."""

import csv
import io
import zipfile

import numpy as np
import pytest

from audio_triplet.annotations import reading
from audio_triplet.browse import exporting, importing, logistic
from audio_triplet.browse.archive import Moment
from audio_triplet.browse.labels import Answer
from audio_triplet.classify import predictions


@pytest.fixture
def labelled(client, moments):
    """Answers of every kind: label → value of some moments."""
    low = [m for m in moments if "/low/" in m["path"]]
    high = [m for m in moments if "/high/" in m["path"]]
    wanted = [(m, "hum", True) for m in low[:3]] + [(m, "hum", False) for m in high[:3]]
    wanted += [(low[0], "near <b>", True), (high[0], "=1+1", True), (high[1], "near <b>", None)]
    for moment, label, value in wanted:
        answer = moment | {"label": label, "value": value}
        assert client.post("/api/labels", json=answer).status_code == 200
    return wanted


def state(client):
    found = client.get("/api/labels").json()["labels"]
    return {(a["path"], a["start_seconds"], a["label"]): a["value"] for a in found}


def export(client, form):
    found = client.get("/api/export", params={"form": form})
    assert found.status_code == 200, found.text
    assert found.headers["content-disposition"].startswith("attachment; ")
    return found.content


def import_(client, name, content, **fields):
    found = client.post("/api/import", files={"file": (name, content)}, data=fields)
    assert found.status_code == 200, found.text
    return found.json()


def take_all_back(client):
    while client.post("/api/undo", json={}).json()["undone"]:
        pass
    assert state(client) == {}


def test_answers_lose_nothing(client, labelled):
    before, content = state(client), export(client, "answers")
    again = import_(client, "answers.csv", content)
    assert (again["stored"], again["known"]) == (0, len(before))
    take_all_back(client)
    found = import_(client, "answers.csv", content)
    assert found["stored"] == len(before) and not found["unmatched_rows"]
    assert state(client) == before


@pytest.mark.parametrize("form", ["manifest", "raven", "audacity"])
def test_yes_comes_back(client, labelled, form, tmp_path):
    before, content = state(client), export(client, form)
    take_all_back(client)
    if form == "manifest":
        import_(client, "labels.csv", content)
    else:
        with zipfile.ZipFile(io.BytesIO(content)) as tables:
            names = [name for name in tables.namelist() if "/" in name]
            assert len(names) == len({path for (path, _, _), value in before.items() if value})
            for name in names:
                # Each of `low` and `high` has a file of that name, so Audacity's needs its path.
                stem = name.split("/", 1)[1].split(".")[0]
                path = next(path for path, _, _ in before if f"/{stem}." in path)
                fields = {"path": path} if form == "audacity" else {}
                import_(client, name, tables.read(name), **fields)
    expected = {key: True for key, value in before.items() if value}
    found = {key: value for key, value in state(client).items() if key[2] != "other"}
    assert found == expected


def test_the_manifest_teaches_classify_fit(client, labelled, tmp_path):
    path = tmp_path / "labels.csv"
    path.write_bytes(export(client, "manifest"))
    manifest = reading.read(path)
    assert manifest.classes == ("=1+1", "hum", "near <b>", "other")
    assert len(manifest) == 6 and "hum;near <b>" in manifest.frame["labels"].tolist()
    assert (manifest.frame["labels"] == "other").sum() == 2


def test_predictions_are_the_fits(client, session, labelled, tmp_path):
    content = export(client, "predictions").decode()
    rows = list(csv.reader(io.StringIO(content)))
    assert rows[0][:3] == ["path", "start_seconds", "end_seconds"]
    names = ["=1+1", "hum", "near <b>", "other"]
    assert rows[0][3:5] == ["top_class", "found"] and rows[0][5:9] == ["'=1+1", *names[1:]]
    assert rows[0][9:] == [*(f"probability {name}" for name in names), "clock_time"]
    fitted = session.fit("hum")
    expected = logistic.probability(fitted.logits)
    assert len(rows) - 1 == len(fitted.logits)
    np.testing.assert_allclose([float(row[6]) for row in rows[1:]], expected, atol=1e-4)
    for row in rows[1:]:
        values = [float(value) for value in row[5:9]]
        assert row[3] == rows[0][5 + int(np.argmax(values))] or values.count(max(values)) > 1
        assert row[13].startswith("2024-06-12T0") == ("20240612" in row[0])
    # As `classify check` and `estimate` read them: only "hum" has answers to learn a meaning from.
    path = tmp_path / "predictions.csv"
    path.write_text(content)
    found = predictions.read(path)
    assert found.classes == tuple(names) and found.found is not None
    known = ~np.isnan(found.probabilities)
    assert known[:, 1].all() and not known[:, [0, 2, 3]].any()
    meaning = fitted.meaning.probabilities(expected[:, None])[:, 0]
    np.testing.assert_allclose(found.probabilities[:, 1], meaning, atol=1e-4)


@pytest.mark.slow
def test_the_classifier_is_one_of_classify_fit(client, session, labelled, tmp_path, small_model):
    from audio_triplet.classify.classifier import SoundClassifier

    whole = {"path": labelled[0][0]["path"], "start_seconds": 0.0, "end_seconds": 2.4}
    client.post("/api/labels", json=whole | {"label": "hum", "value": True})
    with zipfile.ZipFile(io.BytesIO(export(client, "classifier"))) as files:
        assert "scores.json" in files.namelist()
        files.extractall(tmp_path)
    fitted = SoundClassifier.load(str(tmp_path / "classifier"))
    fitted.check_model(small_model)
    assert fitted.classes == ("=1+1", "hum", "near <b>", "other")
    archive = session.archives.now()
    moments = [Moment(*m.values()) for m, label, value in labelled if label == "hum"]
    vectors = np.stack([archive.vector_of(moment) for moment in moments])
    scores = fitted.classifier.predict_patches(vectors)[:, 1]
    assert scores[:3].min() > scores[3:].max()
    # An answer to several moments: then it is of descriptions, as `classify fit` makes it.
    described = fitted.classifier.described
    assert described.config.described and len(described.mean) == 3 * len(vectors.T)
    assert fitted.classifier.likeness
    assert len(fitted.metadata["calibration"]["patch"]["thresholds"]) == len(fitted.classes)
    assert {tuple(span) for span in fitted.metadata["fitted_on"]} == {
        *((moment.path, moment.start_seconds, moment.end_seconds) for moment in moments),
        tuple(whole.values()),
    }


def test_one_class_is_not_enough(client, moments):
    client.post("/api/labels", json=moments[0] | {"label": "a", "value": True})
    found = client.get("/api/export", params={"form": "classifier"})
    assert found.status_code == 409 and "answer some with no" in found.json()["error"]


def test_tables_of_others_are_matched_by_the_end_of_their_paths(client, sounds, session):
    table = (
        "path,start_seconds,end_seconds,labels\n"
        "C:\\data\\archive\\low\\20240612_053000.wav,0.5,1.5,bark\n"
        '/elsewhere/high/20240612_053000.wav,0,,"bark;yap"\n'
        "20240612_053000.wav,0,1,two files are called so\n"
        "fast.flac,0,1,bark\n"
        "missing.wav,0,1,bark\n"
        "high/20240612_063000.wav,0,1,\n"
    )
    found = import_(client, "mine.csv", table.encode())
    assert found["stored"] == 4
    assert sorted(found["unmatched"]) == ["20240612_053000.wav", "missing.wav"]
    low, high = (str(sounds / kind / "20240612_053000.wav") for kind in ("low", "high"))
    assert state(client) == {
        (low, 0.5, "bark"): True,
        (high, 0.0, "bark"): True,
        (high, 0.0, "yap"): True,
        (str(sounds / "fast.flac"), 0.0, "bark"): True,
    }
    found = import_(client, "no.csv", b"path,labels\nfast.flac,dog\n", value="false")
    assert found["stored"] == 1
    assert state(client)[str(sounds / "fast.flac"), 0.0, "dog"] is False


def test_an_audacity_table_by_its_name(client, sounds):
    found = import_(client, "fast.txt", b"0.5\t1.0\thum\n1.2\t1.9\tbuzz\n")
    assert found["stored"] == 2
    found = client.post("/api/import", files={"file": ("20240612_053000.txt", b"0\t1\tx\n")})
    assert found.status_code == 409 and "send the field path" in found.json()["error"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\0\1\2 nothing", "bad.csv"),
        (b"path,start_seconds,end_seconds\nfast.flac,x,1\n", "bad.csv"),
        (",".join(exporting.ANSWERS).encode() + b"\na.wav,0,1,dog,perhaps,,\n", "line 2"),
    ],
)
def test_tables_that_are_none(client, content, words):
    found = client.post("/api/import", files={"file": ("../bad.csv", content)})
    assert found.status_code == 415, found.text
    assert words in found.json()["error"] and "/tmp" not in found.json()["error"]


def test_text_that_a_spreadsheet_would_compute_is_guarded():
    odd = Answer(Moment("=cmd.wav", 0.0, 1.0), "+1", True, "@me", "")
    rows = list(csv.reader(io.StringIO(exporting.answers_csv([odd]).decode())))
    assert rows[1] == ["'=cmd.wav", "0.0", "1.0", "'+1", "yes", "'@me", ""]
    assert importing.ANSWERS == exporting.ANSWERS
