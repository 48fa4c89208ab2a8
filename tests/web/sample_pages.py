"""One page of each kind, made of tones in a second or two; none needs a model."""

import dataclasses
import json
import math
import os
import types

import numpy as np
import pandas as pd

from audio_triplet.annotations.moments import Moment
from audio_triplet.classify import comparison
from audio_triplet.classify.annotated import Tables
from audio_triplet.classify.check_config import CheckConfig
from audio_triplet.classify.cross_validation import Checked
from audio_triplet.classify.examples import Examples
from audio_triplet.classify.listening import Asked
from audio_triplet.config import RunConfig, TrainingConfig
from audio_triplet.data.manifest import Manifest
from audio_triplet.embeddings.embedding_set import EmbeddingSet
from audio_triplet.search.index import Hit
from audio_triplet.search.sound_index import Found
from audio_triplet.training.trainer import SCALARS
from audio_triplet.web import (
    check_page,
    classifier_page,
    listen_page,
    runs_page,
    search_page,
    table_page,
)
from tests.conftest import tone
from tests.web.page_checks import write_wav

CLASSES = ("bell", "door_knock", "rain")
PER_CLASS = 6


def make_pages(folder) -> dict[str, str]:
    """Writes a page of each kind; returns name → path."""
    frame = _corpus(folder)
    paths = {
        name: str(folder / f"{name}.html")
        for name in ("table", "classifier", "suggestions", "listen", "check", "search", "runs")
    }
    _table(paths["table"], frame)
    _classifier(paths["classifier"], frame)
    _suggestions(paths["suggestions"], frame)
    _listen(paths["listen"], frame)
    _check(paths["check"], frame)
    _search(paths["search"], frame)
    _runs(paths["runs"], folder)
    return paths


def _corpus(folder) -> pd.DataFrame:
    labels = [label for label in CLASSES for _ in range(PER_CLASS)]
    paths = [
        write_wav(folder / f"sound_{index}.wav", tone(1.0, 300 + 100 * index))
        for index in range(len(labels))
    ]
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


def _metrics(scale: float) -> list[dict[str, float]]:
    names = (*SCALARS, "patches_per_second", "input_wait")
    return [{"step": step} | {name: scale / (1 + step) for name in names} for step in range(50)]


def _embeddings(frame: pd.DataFrame, dim: int, rng: np.random.Generator) -> EmbeddingSet:
    """One patch per segment."""
    count = len(frame)
    return EmbeddingSet(
        manifest=Manifest(frame, "test"),
        row=np.arange(count),
        vectors=rng.standard_normal((count, dim)).astype(np.float32),
        segment_index=np.arange(count, dtype=np.int32),
        energy=np.ones(count, np.float32),
    )


def _table(path: str, frame: pd.DataFrame) -> None:
    per_class = {label: 0.2 + 0.1 * index for index, label in enumerate(CLASSES)}
    scores = ("qbe_map", "cls_map", "query_map", "accuracy", "recovery_qbe", "ratio_qbe")
    rows = [
        {"name": name, "seeds": [0, 1], "spread": dict.fromkeys(scores, 0.01)}
        | dict.fromkeys(scores, score)
        | {"qbe_per_class": {label: score * value for label, value in per_class.items()}}
        | {"cls_per_class": {label: 1 - score * value for label, value in per_class.items()}}
        for name, score in (("log_mel", 0.2), ("gaussian_noise", 0.3), ("joint", 0.4))
    ]
    config = {"command": "python -m experiments.table1", "run": {"training": {"steps": 300}}}
    rng = np.random.default_rng(0)
    log_mel, joint = (_embeddings(frame, 6, rng) for _ in range(2))
    runs = {"joint": _metrics(0.3), "gaussian_noise": _metrics(0.1)}
    table_page.write_report(path, {"rows": rows, "config": config}, runs, log_mel, joint, CLASSES)


def _classifier(path: str, frame: pd.DataFrame) -> None:
    labels = Manifest(frame, "sounds").label_matrix(CLASSES)
    rng = np.random.default_rng(1)
    scores = np.clip(0.3 * labels + 0.7 * rng.random(labels.shape), 0, 1).astype(np.float32)
    checked = Checked(
        scores, np.arange(len(frame)) % 2, 0.8, (0.7, 0.9), np.full(3, 0.8), 0.75, (0.6, 0.9)
    )
    examples = Examples(_embeddings(frame, 4, rng), labels, CLASSES)
    score = {
        "map": 0.8,
        "map_interval": [0.7, 0.9],
        "accuracy": 0.75,
        "accuracy_interval": [0.6, 0.9],
        "folds": 2,
        "per_class": dict.fromkeys(CLASSES, 0.8),
    }
    limit = {"found": 5, "right": 4, "recall": 0.7, "recall_interval": [0.3, 0.9]}
    limit |= {"precision": 0.8, "precision_interval": [0.3, 0.99], "score": 0.6}
    bins = [{"probability": x / 4, "share": x / 5, "count": 4} for x in range(5)]
    meaning = {
        "precision": 0.9,
        "calibration": {"segment": {"thresholds": [limit, limit, limit | {"score": None}]}},
        "reliability": {
            "scores": {"error": 0.2, "bins": bins},
            "probabilities": {"error": 0.1, "bins": bins[1:]},
        },
    }
    summary = meaning | {
        "model": "models/debian-sounds",
        "labelling": "single",
        "hidden_units": 0,
        "likeness": True,
        "seed": 0,
        "regularised": "L2 penalty",
        "labels_per_class": 6.0,
        "segments": len(frame),
        "recordings": 9,
        "score": score,
        "log_mel": score | {"map": 0.5, "per_class": dict.fromkeys(CLASSES, 0.6)},
        "unchecked_classes": ["owl"],
        "learning_curve": {"embedding": {"1": [0.4, 0.5], "2": [0.6]}, "log_mel": {"1": [0.3]}},
        "command": "audio-triplet classify fit",
        "commit": "abc123",
        "machine": "two cores",
        "date": "2026-01-02",
    }
    classifier_page.write_report(path, summary, examples, Manifest(frame, "sounds"), checked)


def _suggestions(path: str, frame: pd.DataFrame) -> None:
    chosen = frame.iloc[::5]
    scores = np.random.default_rng(2).random((len(chosen), 3))
    classifier_page.write_suggestions(path, chosen, scores, CLASSES, len(frame))


def _listen(path: str, frame: pd.DataFrame) -> None:
    asked = [
        Asked(row, sound, 0.0, 0.96, 0.1 * row, row % 3 + 1)
        for row, sound in enumerate(frame["path"].iloc[::4])
    ]
    listen_page.write_listening(path, "door_knock", asked, ["5 moments to listen to"])


def _check(path: str, frame: pd.DataFrame) -> None:
    events = [
        Moment(row.path, 0.0, 0.5, row.labels, score=0.1 * (number % 7))
        for number, row in enumerate(frame.itertuples())
    ]
    sounds = frame["path"].tolist()
    truth = Tables((*sounds[1:], "/gone.wav"), tuple(events[1::2]))
    predicted = Tables(tuple(sounds), (*events[::3], dataclasses.replace(events[3], label="owl")))
    found = comparison.compare(predicted, truth, CheckConfig(), lambda _: 1.0)
    report = {"predictions": ["p.csv"], "truth": ["t.txt"], "config": {"min_overlap": 0.5}}
    report |= {"command": "c", "commit": "abc123", "machine": "two cores", "date": "2026-01-02"}
    check_page.write_check(path, found, report)


def _search(path: str, frame: pd.DataFrame) -> None:
    sounds = frame["path"].tolist()
    hits = [
        Hit(0.9 - 0.05 * index, sound, 0.0, 0.975, f"r{index}", ("bell", "door_knock"))
        for index, sound in enumerate(sounds[2:8])
    ]
    info = types.SimpleNamespace(model="models/debian-sounds", model_digest="0123456789abcdef")
    queries = [(sounds[0], 0.0, math.nan)]
    search_page.write_page(path, Found(queries, [sounds[1]], hits, "index", info, 18, True, 0.1))


def _runs(path: str, folder) -> None:
    arguments = []
    for name, rate in (("slow", 1e-4), ("fast", 3e-4)):
        run = folder / name
        run.mkdir()
        config = RunConfig(corpus="folders:x", training=TrainingConfig(learning_rate=rate))
        config.write(str(run))
        rows = _metrics(1000 * rate)
        lines = [",".join(rows[0]), *(",".join(str(v) for v in row.values()) for row in rows)]
        (run / "metrics.csv").write_text("\n".join(lines) + "\n")
        scores = dict.fromkeys(("qbe_map", "query_map", "cls_map"), 2000 * rate)
        per_class = {label: 1000 * rate * index for index, label in enumerate(CLASSES, 1)}
        content = scores | {"accuracy": None, "corpus": "esc50:x", "cls_per_class": per_class}
        (run / "metrics.json").write_text(json.dumps(content))
        arguments.append(f"{run}={run}")
    runs_page.write_page(path, runs_page.load_runs(arguments))


if __name__ == "__main__":
    import pathlib
    import sys

    os.makedirs(sys.argv[1])
    print(make_pages(pathlib.Path(sys.argv[1])))
