"""What the program computed at version 0.1.0, before the code was rearranged, it still computes.

`pins.json` holds, for a small generated corpus: the keys and energies of prepared shards, the
losses of a short run, scores of a table, and the released model's embeddings of ten sounds. It is
made again, when a change of results is intended and said in the CHANGELOG, by

    python -m tests.test_same_program > tests/pins.json

Machines round differently, so that numbers are compared within bounds; keys are compared exactly.
"""

import csv
import json
import pathlib
import sys

import numpy as np
import pytest
import soundfile

from benchmarks.faults.commands import Commands

pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).resolve().parents[1]
PINS = pathlib.Path(__file__).with_name("pins.json")
RATE = 16000
SHORT = ("--steps=5", "--batch_size=8", "--width=0.0625", "--precision=float32", "--log_steps=1")


def sounds(folder: pathlib.Path) -> None:
    """Three classes of five recordings: chirps in noise, and decaying ones."""
    for label, hertz in (("low", 600), ("middle", 700), ("high", 800)):
        (folder / label).mkdir(parents=True)
        for number in range(5):
            time = np.arange(round(RATE * (1.2 + 1.1 * number))) / RATE
            noise = np.random.default_rng(number).normal(size=time.size)
            wave = np.sin(2 * np.pi * hertz * (1 + 0.06 * number) * time * (1 + 0.05 * time))
            wave = (0.3 * wave + 0.2 * noise) * np.exp(-time * (number % 3))
            soundfile.write(folder / label / f"{number}.wav", wave, RATE, "PCM_16")


def run(commands: Commands, log: pathlib.Path, module: str, *arguments) -> None:
    process = commands.start(module, [str(argument) for argument in arguments], str(log))
    assert process.wait(600) == 0, process.text[-3000:]


def shard_records(folder: pathlib.Path) -> list[dict]:
    """Every record of the training split: its keys, and sums of its energies."""
    import tensorflow as tf

    found = []
    for path in sorted(folder.glob("train-*.tfrecord")):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            feature = tf.train.Example.FromString(record).features.feature
            energies = np.frombuffer(feature["mel_energies"].bytes_list.value[0], "<f2")
            energies = energies.reshape(-1, 64).astype(np.float64)
            names = ("frames", "recording", "piece", "turn", "turns", "segment", "position")
            found.append(
                {name: int(feature[name].int64_list.value[0]) for name in names}
                | {"labels": list(feature["labels"].int64_list.value)}
                | {"total": float(energies.sum()), "band_32": float(energies[:, 32].sum())}
            )
    return found


def measured(commands: Commands, folder: pathlib.Path) -> dict:
    """All that is compared with the pins."""
    sounds(folder / "sound")
    corpus, out = f"--corpus=folders:{folder / 'sound'}", folder / "out"
    log = folder / "log"
    options = [corpus, f"--output_dir={out}", "--rows=log_mel,log_mel_stats,joint", "--noreport"]
    run(commands, log, "experiments.table1", *options, *SHORT)
    table = json.loads((out / "table1.json").read_text())["rows"]
    with open(out / "runs" / "joint-seed0" / "metrics.csv", newline="") as file:
        metrics = list(csv.DictReader(file))
    model = f"--model={ROOT / 'models' / 'debian-sounds'}"
    run(commands, log, "audio_triplet.commands.main", "embed", folder / "sound" / "low",
        folder / "sound" / "high", model,
        f"--output_dir={out / 'embeddings'}", "--form=npz")  # fmt: skip
    with np.load(out / "embeddings" / "embeddings.npz") as file:
        order = np.lexsort((file["start_seconds"], file["path"][file["segment"]]))
        embeddings = file["embeddings"][order]
    return {
        "records": shard_records(out / "prepared"),
        "losses": [[float(row["loss"]), float(row["negative_distance"])] for row in metrics],
        "scores": {row["name"]: [row["qbe_map"], row["cls_map"]] for row in table},
        "embeddings": np.round(embeddings, 4).tolist(),
    }


@pytest.fixture(scope="module")
def now(commands, tmp_path_factory):
    return measured(commands, tmp_path_factory.mktemp("same"))


@pytest.fixture(scope="module")
def pinned():
    return json.loads(PINS.read_text())


def test_shards_hold_the_same_records(now, pinned):
    assert len(now["records"]) == len(pinned["records"])
    for record, pin in zip(now["records"], pinned["records"], strict=True):
        sums = {"total", "band_32"}
        assert {k: v for k, v in record.items() if k not in sums} == {
            k: v for k, v in pin.items() if k not in sums
        }
        for name in sums:
            assert record[name] == pytest.approx(pin[name], rel=1e-3)


def test_a_run_has_the_same_losses(now, pinned):
    np.testing.assert_allclose(now["losses"], pinned["losses"], rtol=1e-4)


def test_a_table_has_the_same_scores(now, pinned):
    assert now["scores"].keys() == pinned["scores"].keys()
    for name in ("log_mel", "log_mel_stats"):  # nothing is trained; ties aside they are exact
        np.testing.assert_allclose(now["scores"][name], pinned["scores"][name], atol=2e-3)
    np.testing.assert_allclose(now["scores"]["joint"], pinned["scores"]["joint"], atol=0.02)


def test_the_released_model_says_the_same(now, pinned):
    vectors, pins = np.array(now["embeddings"]), np.array(pinned["embeddings"])
    assert vectors.shape == pins.shape
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(pins, axis=1)
    cosines = (vectors * pins).sum(1) / lengths
    assert cosines.min() > 0.9999


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as temporary, Commands() as server:
        json.dump(measured(server, pathlib.Path(temporary)), sys.stdout, indent=1)
