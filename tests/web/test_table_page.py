"""The report: what it shows is so, and it holds for odd tables, labels and file names."""

import json
import math
import os
import re

import numpy as np
import pandas as pd
import pytest

from audio_triplet.data.manifest import Manifest
from audio_triplet.embeddings.embedding_set import EmbeddingSet
from audio_triplet.evaluation import table_rows
from audio_triplet.web import queries as queries_module
from audio_triplet.web import sound_map, table_page
from tests.web.page_checks import HOSTILE, RATE, check_page, tone, write_wav

CLASSES = ("bell", "door_knock", "rain")
PER_CLASS = 6


def embeddings(frame, vectors):
    """One patch a segment."""
    count = len(frame)
    return EmbeddingSet(
        manifest=Manifest(frame, "test"),
        row=np.arange(count),
        vectors=np.asarray(vectors, np.float32),
        segment_index=np.arange(count, dtype=np.int32),
        energy=np.ones(count, np.float32),
    )


def corpus(folder, labels, names=None, seconds=0.3):
    """A sound for each label; two segments a recording, so that some neighbours are barred."""
    rng = np.random.default_rng(0)
    paths = []
    for index, label in enumerate(labels):
        name = names[index] if names else f"sound_{index}.wav"
        pitch = 300 + 40 * index + 900 * (CLASSES.index(label) if label in CLASSES else 5)
        wave = tone(pitch, seconds) + 0.01 * rng.standard_normal(round(seconds * RATE))
        paths.append(write_wav(folder / name, wave))
    return pd.DataFrame(
        {
            "path": paths,
            "labels": labels,
            "recording_id": [f"r{index // 2}" for index in range(len(labels))],
            "split": "test",
            "start_seconds": 0.0,
            "end_seconds": math.nan,
        }
    )


def clustered(labels, spread, seed, dim=12):
    """Vectors around a direction for each class."""
    rng = np.random.default_rng(seed)
    centres = {name: rng.standard_normal(dim) for name in (*CLASSES, "")}
    return np.array(
        [centres.get(label, np.zeros(dim)) + spread * rng.standard_normal(dim) for label in labels]
    )


def row(name, qbe, cls, **more):
    per_class = {label: qbe for label in CLASSES}
    return {
        "name": name,
        "qbe_map": qbe,
        "cls_map": cls,
        "query_map": qbe,
        "accuracy": cls,
        "recovery_qbe": 0.41,
        "recovery_cls": 0.84,
        "ratio_qbe": 0.5,
        "ratio_cls": 0.9,
        "seeds": [0],
        "spread": {"qbe_map": None},
        "qbe_per_class": per_class,
        "cls_per_class": {**per_class, "rain": None},
        **more,
    }


TABLE = {
    "rows": [row("log_mel", 0.2, 0.3), row("joint", 0.4, 0.5), row("explicit", 0.6, 0.7)],
    "config": {
        "command": "python -m experiments.table1",
        "commit": "abc123",
        "machine": "two cores",
        "versions": {"python": "3.11", "numpy": "1.26"},
        "date": "2026-01-02",
        "seconds": 754,
        "corpus": "esc50:DIR",
        "test_splits": ["fold5"],
        "run": {"training": {"steps": 300}},
    },
}
METRICS = [
    {
        "step": step,
        "loss": 0.1 / (1 + step),
        "positive_distance": 0.1,
        "active": 0.5,
        "negative_distance": 0.5,
        "embedding_variance": 0.3,
        "valid": 1.0,
    }
    for step in range(200)
]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A report of 18 sounds, and what it was made of."""
    folder = tmp_path_factory.mktemp("sounds")
    labels = [label for label in CLASSES for _ in range(PER_CLASS)]
    frame = corpus(folder, labels)
    joint, log_mel = clustered(labels, 1.3, 1), clustered(labels, 3.0, 2)
    path = str(folder / "report.html")
    table_page.write_report(
        path,
        TABLE,
        {"joint": METRICS, "explicit": METRICS},
        embeddings(frame, log_mel),
        embeddings(frame, joint),
        CLASSES,
    )
    with open(path, encoding="utf-8") as file:
        content = file.read()
    return frame, {"joint": joint, "log_mel": log_mel}, content


def write_and_check(folder, frame, joint, log_mel, table=TABLE, runs=None, classes=CLASSES):
    path = str(folder / "report.html")
    table_page.write_report(
        path, table, runs or {}, embeddings(frame, log_mel), embeddings(frame, joint), classes
    )
    with open(path, encoding="utf-8") as file:
        content = file.read()
    assert (
        "nan"
        not in re.sub(
            r'"[A-Za-z0-9+/=]{40,}"|base64,[^"]*|<script>.*?</script>', "", content, flags=re.S
        ).lower()
    )
    return check_page(content), content


def test_the_page_has_all_its_parts(made):
    _, _, content = made
    page = check_page(content)
    text = "".join(page.text)
    assert [a["href"] for a in page.all("a")][1:] == [
        "#scores",
        "#classes",
        "#queries",
        "#mixups",
        "#map",
        "#training",
        "#made",
    ]
    assert "0.400 against 0.200" in text and "41\u202f% of the way to the 0.600" in text
    assert len(page.all("polyline")) == 6
    assert "12 min 34 s" in text and "python 3.11, numpy 1.26" in text and '"steps": 300' in text
    assert len(content) < 2_000_000
    assert "AudioSet" in text and "not the comparison" in " ".join(text.split())


def articles(content):
    """(query's file, representation → files found) of every query."""
    for article in re.findall(r'<article class="query">(.*?)</article>', content, re.S):
        heads = re.split(r'<div class="found k-(\w+)">', article)
        files = [re.findall(r'aria-label="Play [^"]*, ([^",]+)"', part) for part in heads]
        yield files[0][0], {heads[i]: files[i + 1] for i in range(1, len(heads), 2)}, article


def test_neighbours_are_the_nearest_of_other_recordings(made):
    frame, vectors, content = made
    spaced = [os.path.basename(path).replace("_", " ") for path in frame["path"]]
    queries = list(articles(content))
    assert 3 <= len(queries) <= 12 and len({query for query, _, _ in queries}) == len(queries)
    for query, found, article in queries:
        mine = spaced.index(query)
        for representation, values in vectors.items():
            unit = values / np.linalg.norm(values, axis=1, keepdims=True)
            cosine = unit @ unit[mine]
            cosine[frame["recording_id"] == frame["recording_id"][mine]] = -2
            order = np.argsort(-cosine)[:5]
            assert found[representation] == [spaced[index] for index in order]
            right = (frame["labels"][order] == frame["labels"][mine]).sum()
            part = article.split(f"k-{representation}")[1].split("</div>")[0]
            assert f"{right} of 5" in part
            assert part.count("same class") == right and part.count("other class") == 5 - right
            assert part.count("✓") == right and part.count("✗") == 5 - right


def test_mix_ups_are_counted(made):
    frame, vectors, content = made
    labels = frame["labels"].to_numpy(str)
    unit = vectors["joint"] / np.linalg.norm(vectors["joint"], axis=1, keepdims=True)
    cosine = unit @ unit.T
    recordings = frame["recording_id"].to_numpy(str)
    cosine[recordings[:, None] == recordings] = -2
    found = np.argsort(-cosine, axis=1)[:, :5]
    expected = {}
    for query, neighbours in enumerate(found):
        for neighbour in neighbours[labels[neighbours] != labels[query]]:
            pair = tuple(label.replace("_", " ") for label in (labels[query], labels[neighbour]))
            count, best = expected.get(pair, (0, -2))
            expected[pair] = (count + 1, max(best, cosine[query, neighbour]))
    section = content.split('id="mixups"')[1].split("</section>")[0]
    rows = re.findall(
        r'scope="row"><bdi>(.*?)</bdi>.*?<bdi>(.*?)</bdi>.*?<span>(\d+) of 30</span>'
        r".*?<span>(-?[\d.]+)</span>",
        section,
        re.S,
    )
    assert rows and {(a, b): (int(n), float(c)) for a, b, n, c in rows} == {
        pair: (count, pytest.approx(best, abs=0.0051)) for pair, (count, best) in expected.items()
    }
    counts = [int(n) for _, _, n, _ in rows]
    assert counts == sorted(counts, reverse=True)


def test_the_map_shows_every_sound_once(made):
    frame, _, content = made
    page = check_page(content)
    data = page.json("map-data")
    count = len(frame)
    assert [len(data[key]) for key in ("joint", "log_mel", "kind", "clip", "label", "title")] == (
        [count] * 6
    )
    assert data["label"] == [label.replace("_", " ") for label in frame["labels"]]
    assert set(data["clip"]) <= set(page.json("clips")["clips"])
    assert len(page.json("clips")["clips"]) == count
    height = int(re.search(r'id="chart" viewBox="0 0 640 (\d+)"', content).group(1))
    for layout in ("joint", "log_mel"):
        places = np.array(data[layout])
        assert (places >= 0).all() and (places <= [640, height]).all()
    legend = page.all("button", **{"data-kind": None})
    assert len(legend) == len(CLASSES) and all(b["aria-pressed"] == "false" for b in legend)


def test_the_same_seed_makes_the_same_page(tmp_path, made):
    frame, vectors, content = made
    _, again = write_and_check(
        tmp_path,
        frame,
        vectors["joint"],
        vectors["log_mel"],
        runs={"joint": METRICS, "explicit": METRICS},
    )
    assert again == content


def test_class_bars_are_in_order_of_gain(tmp_path, made):
    frame, vectors, _ = made
    table = json.loads(json.dumps(TABLE))
    table["rows"][1]["qbe_per_class"] = {"bell": 0.1, "door_knock": 0.9, "rain": 0.3}
    page, content = write_and_check(tmp_path, frame, vectors["joint"], vectors["log_mel"], table)
    panel = content.split('class="panel p-qbe"')[1].split('class="panel')[0]
    assert re.findall(r"<bdi>(.*?)</bdi>", panel) == ["door knock", "rain", "bell"]
    assert re.findall(r'<em class="(\w+)">(.*?)</em>', panel) == [
        ("up", "+0.70"),
        ("up", "+0.10"),
        ("down", "−0.10"),
    ]
    assert "2 of 3 classes" in "".join(page.text)
    assert "1 without a figure" in content.split('class="panel p-cls"')[1]


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [row("joint", 0.4, 0.5)],
        [row("log_mel", 0.2, 0.3), row("joint", 0.1, None)],
        [{"name": "joint"}, {"name": "of_the_future", "qbe_map": math.nan, "seeds": None}],
        [row("log_mel", None, math.nan, spread=None, qbe_per_class=None, cls_per_class={})],
        [
            row(name, 0.4, 0.5, seeds=[0, 1, 2], spread={"qbe_map": 0.01, "accuracy": None})
            for name in table_rows.ROWS
        ],
    ],
)
def test_missing_rows_and_figures(tmp_path, made, rows):
    frame, vectors, _ = made
    page, content = write_and_check(
        tmp_path, frame, vectors["joint"], vectors["log_mel"], {"rows": rows}
    )
    names = [r["name"] for r in rows]
    assert ('id="scores"' in content) == bool(rows)
    scores = content.split('<div class="scores">')[-1].split("</table>")[0] if rows else ""
    assert scores.count('<th role="rowheader"') == len(rows)
    assert ("±0.010" in content) == ("explicit" in names)
    if len(rows) == 2 and names == ["log_mel", "joint"]:
        assert "does not beat log mel: 0.100 against 0.200" in "".join(page.text)


def test_hostile_labels_and_file_names(tmp_path):
    hostile = HOSTILE.replace(";", "")
    labels = [hostile] * 4 + ["é 犬 <i>"] * 4
    names = [f"{index} </script><b>'\"&.wav".replace("/", "\u2215") for index in range(8)]
    frame = corpus(tmp_path, labels, names)
    rng = np.random.default_rng(0)
    table = {
        "rows": [
            {**row(name, 0.2, 0.3), "qbe_per_class": {hostile: 0.3}, "cls_per_class": {hostile: 1}}
            for name in ("log_mel", "joint", hostile)
        ],
        "config": {"command": hostile, hostile: hostile, "run": {hostile: hostile}},
    }
    page, content = write_and_check(
        tmp_path,
        frame,
        rng.standard_normal((8, 5)),
        rng.standard_normal((8, 5)),
        table,
        {hostile: METRICS},
        (hostile, "é 犬 <i>"),
    )
    assert hostile in page.json("map-data")["label"]
    # Bold and italic are this page's own: none with a handler (checked), none from a label.
    assert hostile in "".join(page.text) and "<i>" not in re.sub(r"<i[ >][^<]*</i>", "", content)


def test_some_segments_without_labels(tmp_path):
    labels = ["bell", "", "bell", "rain", "", "rain;bell", "rain", ""] * 2
    frame = corpus(tmp_path, labels)
    rng = np.random.default_rng(1)
    joint = rng.standard_normal((16, 6))
    page, content = write_and_check(tmp_path, frame, joint, rng.standard_normal((16, 6)))
    assert "no label" in page.json("map-data")["label"]
    assert "rain, bell" in page.json("map-data")["label"] or "bell, rain" in content
    shown = {query for query, _, _ in articles(content)}
    unlabelled = {f"sound {index}.wav" for index, label in enumerate(labels) if not label}
    assert shown and not shown & unlabelled


def test_no_labels_at_all(tmp_path):
    frame = corpus(tmp_path, [""] * 6)
    rng = np.random.default_rng(1)
    _, content = write_and_check(
        tmp_path,
        frame,
        rng.standard_normal((6, 4)),
        rng.standard_normal((6, 4)),
        {"rows": [], "config": {}},
        classes=(),
    )
    assert len(list(articles(content))) == 6 and "same class" not in content
    assert 'id="mixups"' not in content


@pytest.mark.parametrize("count", [1, 2, 3])
def test_hardly_any_segments(tmp_path, count):
    frame = corpus(tmp_path, ["bell"] * count)
    vectors = np.eye(count, 4)
    _, content = write_and_check(tmp_path, frame, vectors, vectors)
    assert ('id="queries"' in content) == (count > 1)


def test_sound_that_has_gone_leaves_a_page(tmp_path):
    frame = corpus(tmp_path, ["bell", "rain"] * 4)
    for path in frame["path"][:3]:
        os.unlink(path)
    rng = np.random.default_rng(1)
    page, _ = write_and_check(
        tmp_path, frame, rng.standard_normal((8, 4)), rng.standard_normal((8, 4))
    )
    assert "3 of 8 sounds could not be read" in "".join(page.text)
    assert page.json("map-data")["clip"].count("") == 3


def test_large_test_sides_are_sampled(tmp_path, monkeypatch, made):
    frame, vectors, _ = made
    monkeypatch.setattr(queries_module, "MAX_SEGMENTS", 12)
    monkeypatch.setattr(sound_map, "MAX_POINTS", 7)
    page, _ = write_and_check(tmp_path, frame, vectors["joint"], vectors["log_mel"])
    assert len(page.json("map-data")["kind"]) == 7
    text = "".join(page.text)
    assert "7 of 18 test sounds" in text and "12 test sounds drawn from 18" in text


def test_embeddings_of_different_segments_are_refused(tmp_path, made):
    frame, vectors, _ = made
    other = frame.iloc[::-1].reset_index(drop=True)
    with pytest.raises(ValueError, match="different segments"):
        table_page.write_report(
            str(tmp_path / "r.html"),
            TABLE,
            {},
            embeddings(other, vectors["log_mel"]),
            embeddings(frame, vectors["joint"]),
            CLASSES,
        )
