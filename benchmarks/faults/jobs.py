"""The long commands that are disturbed, and the output that must be the same afterwards."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from audio_triplet import locks

if TYPE_CHECKING:
    from benchmarks.faults.bench import Bench


@dataclasses.dataclass(frozen=True)
class Job:
    """A command that may be stopped and run again.

    Attributes:
      module: The command, as `python -m` takes it.
      arguments: bench → its arguments, without the folder of its output.
      result: Folder of its output → the content that must not depend on stops.
      output: The flag that takes the folder.
    """

    module: str
    arguments: Callable[[Bench], list[str]]
    result: Callable[[str], dict]
    output: str = "output_dir"


SMALL = [
    "--batch_size=8",
    "--width=0.0625",
    "--log_steps=1",
    "--checkpoint_steps=2",
    "--precision=float32",
]


def checkpoint_bytes(folder: str) -> dict:
    """Name → bytes of every tensor in the newest checkpoint of a folder."""
    import tensorflow as tf

    reader = tf.train.load_checkpoint(folder)
    return {
        name: reader.get_tensor(name).tobytes()
        for name in reader.get_variable_to_shape_map()
        if "OBJECT_GRAPH" not in name and "save_counter" not in name
    }


def training_result(out: str) -> dict:
    """Losses and other metrics, weights, export and the names of all files."""
    from audio_triplet.training import metrics_log

    varying = ("patches_per_second", "input_wait")
    rows = [
        {k: v for k, v in row.items() if k not in varying} for row in metrics_log.read_metrics(out)
    ]
    weights = checkpoint_bytes(os.path.join(out, "checkpoints"))
    exported = checkpoint_bytes(os.path.join(out, "export", "variables", "variables"))
    names = sorted(os.listdir(out)) + sorted(os.listdir(os.path.join(out, "checkpoints")))
    return {"metrics": rows, "weights": weights, "export": exported, "files": names}


def _files_result(out: str) -> dict:
    """Name → bytes of all files, except the shard index that training leaves in the folder."""
    return {
        os.path.relpath(os.path.join(folder, name), out): read(os.path.join(folder, name))
        for folder, _, names in os.walk(out)
        for name in names
        if not name.startswith("index-")
    }


def _arrays_result(out: str) -> dict:
    """Name → arrays of all .npz files, and the names of the others."""
    import numpy as np

    found = {}
    for name, content in _files_result(out).items():
        if name.endswith(".npz"):
            with np.load(os.path.join(out, name), allow_pickle=False) as file:
                content = {key: file[key].tobytes() for key in file.files if key != "config"}
        found[name] = content if isinstance(content, dict) else ""
    return found


def _index_result(out: str) -> dict:
    """Path → its vectors and their times, regardless of the parts that hold them."""
    from audio_triplet.search.index import Index

    opened, found = Index(out), {}
    owners = opened.owners()[opened.mask()].tolist()
    segments = opened.tables.segments(owners)
    for owner in sorted(set(owners)):
        path = segments[owner].path
        vectors, start, end = opened.vectors_of_segments([owner])
        content = vectors.tobytes(), start.tobytes(), end.tobytes()
        is_twice = path in found or len(vectors) != owners.count(owner)
        found[path] = "it is there twice" if is_twice else content
    return found


def _table_result(out: str) -> dict:
    with open(os.path.join(out, "table1.json"), encoding="utf-8") as file:
        table = json.load(file)
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in table["rows"]]
    return {"rows": rows, "files": sorted(os.listdir(out))}


def read(path: str) -> bytes:
    """The bytes of a file."""
    with open(path, "rb") as file:
        return file.read()


JOBS = {
    "preparing": Job(
        "data_prep.prepare",
        lambda bench: [f"--corpus=folders:{bench.sounds()}", "--num_shards=6", "--engine=threads"],
        _files_result,
    ),
    "training": Job(
        "experiments.train_embedding",
        lambda bench: [f"--corpus={bench.reference('preparing')[0]}", "--steps=16", *SMALL],
        training_result,
    ),
    "table": Job(
        "experiments.table1",
        lambda bench: [
            f"--corpus={bench.reference('preparing')[0]}",
            "--rows=log_mel,joint",
            "--steps=4",
            "--noreport",
            *SMALL,
        ],
        _table_result,
    ),
    "embedding": Job(
        "audio_triplet",
        lambda bench: ["embed", bench.sounds(), f"--model={bench.reference('training')[0]}/export"],
        _arrays_result,
    ),
    "indexing": Job(
        "audio_triplet",
        lambda bench: ["index", bench.sounds(), f"--model={bench.reference('training')[0]}/export"],
        _index_result,
        output="index",
    ),
}


def differences(job: Job, out: str, reference: str) -> list[str]:
    """Differences between the output of a disturbed job and that of an undisturbed one."""
    try:
        actual = job.result(out)
    except Exception as error:
        return [f"its output cannot be read: {type(error).__name__}: {error}"]
    expected = job.result(reference)
    found = [f"{name} differs" for name in expected if actual.get(name) != expected[name]]
    found += [f"{name} is too much" for name in actual if name not in expected]
    return found + orphans(out)


def orphans(folder: str) -> list[str]:
    """Half-written files and locks that were left in a folder."""
    return [
        f"{os.path.join(current, name)} was left"
        for current, folders, names in os.walk(folder)
        for name in folders + names
        if name == locks.LOCK_FILE or locks.is_leftover(name)
    ]
