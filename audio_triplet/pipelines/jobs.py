"""Jobs: a manifest in pieces, each written down for whoever does it."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from audio_triplet import storage
from audio_triplet.data.bad_files import BadFiles
from audio_triplet.data.manifest import Manifest

# In the folder that is filled; its name begins so that no folder of sound takes it.
WORK_DIR = ".in_progress"

# Seconds of sound in a job [D]: starting one and filling its last batch up costs some percent of
# the least; the most is what is lost with a worker, and as much as a part of an index should have.
LEAST_SECONDS, MOST_SECONDS = 600.0, 70 * 3600.0

# [D] So many jobs there are of a day's sound. Of more they are no longer than is usual, so that a
# thousand workers have one each, unless that makes more jobs than the driver should take over.
_JOBS, _MOST_JOBS, _USUAL_SECONDS = 64, 2048, 4 * 3600.0

_lock = threading.Lock()


def lay_out(
    folder: str,
    manifest: Manifest,
    seconds: np.ndarray,
    more: Callable[[np.ndarray], Mapping[str, Any]],
    keep: bool = False,
) -> dict[str, float]:
    """Writes jobs: each has whole files, so that no two workers write of one.

    Args:
      folder: Where to; it is emptied.
      manifest: What is to be done.
      seconds: float64[n], of sound in each of its rows.
      more: Rows of a job, int64[n] → what else it is told; of JSON.
      keep: Keep what was made by jobs that are laid out again.

    Returns:
      Name of a job → its seconds of sound. A name is of the content, so another job has another.
    """
    if not keep:
        clear(folder)
    files = pd.factorize(manifest.frame["path"])[0]
    of_file = np.bincount(files, seconds)
    # A file belongs to the job that its middle falls into.
    job_of_file = ((np.cumsum(of_file) - of_file / 2) // size(of_file.sum())).astype(int)
    job_of_row = job_of_file[files]
    order = np.argsort(job_of_row, kind="stable")
    edges = np.flatnonzero(np.diff(job_of_row[order])) + 1
    jobs = {}
    for number, rows in enumerate(np.split(order, edges)):
        jobs[write(folder, number, manifest.take(rows), more(rows))] = float(seconds[rows].sum())
    if keep:
        keep_only(folder, jobs)
    return jobs


def size(seconds: float) -> float:
    """Seconds of sound in a job, of so many in all."""
    most = min(max(_USUAL_SECONDS, seconds / _MOST_JOBS), MOST_SECONDS)
    return float(np.clip(seconds / _JOBS, LEAST_SECONDS, most))


def write(folder: str, number: int, manifest: Manifest, more: Mapping[str, Any]) -> str:
    """Writes a job down.

    Returns:
      Its name.
    """
    storage.make_folder(folder)
    frame = manifest.frame
    content = {
        "manifest": {name: frame[name].tolist() for name in frame.columns},
        "name": manifest.name,
        **more,
    }
    text = json.dumps(content)
    name = f"job-{number:05d}-{hashlib.blake2b(text.encode(), digest_size=6).hexdigest()}"
    storage.write_text(_path(folder, name), text)
    return name


def stamps(paths: Iterable[str]) -> list[list[int]]:
    """Size and time of change of files: in a job, they give it another name when one changes."""
    found = []
    for path in paths:
        status = os.stat(path)
        found.append([status.st_size, status.st_mtime_ns])
    return found


def keep_only(folder: str, jobs: Iterable[str]) -> None:
    """Removes what is of other jobs than these."""
    known = set(jobs)
    for name in os.listdir(folder):
        if name.partition(".")[0] not in known:
            os.unlink(os.path.join(folder, name))


def read(folder: str, name: str) -> tuple[Manifest, dict[str, Any]]:
    """What a job is: its part of the manifest, and what else it was told."""
    content = storage.read_json(_path(folder, name))
    frame = pd.DataFrame(content.pop("manifest"))
    return Manifest.of_checked(frame, content.pop("name")), content


def clear(folder: str) -> None:
    """Removes a folder of jobs, if it is there."""
    if storage.is_remote(folder):
        if storage.exists(folder):
            storage.remove_folder(folder)
    else:
        shutil.rmtree(folder, ignore_errors=True)


def finish(
    folder: str, name: str, bad_files: BadFiles, more: Mapping[str, Any] | None = None
) -> None:
    """Notes that a job is done, and what it found out about its files; `more` is of JSON."""
    content = report(bad_files) | dict(more or {})
    storage.write_json(_report(folder, name), content, indent=None, unique=True)


def is_done(folder: str, name: str) -> bool:
    """Whether `finish` was called for a job."""
    return storage.exists(_report(folder, name))


def finished(folder: str, name: str, bad_files: BadFiles) -> dict[str, Any]:
    """What a job that is done was finished with; what it found out about files is listed."""
    found = storage.read_json(_report(folder, name))
    take_over(found, bad_files)
    return found


def report(bad_files: BadFiles) -> dict[str, dict[str, str]]:
    """What a job found out about its files; of JSON."""
    return {
        "bad_files": bad_files.entries,
        "decoders": bad_files.log.decoders,
        "truncated": bad_files.log.truncated,
    }


def take_over(found: Mapping[str, dict[str, str]], bad_files: BadFiles) -> None:
    """Adds what a job found out to a list."""
    for path, reason in found["bad_files"].items():
        bad_files.add(path, reason)
    bad_files.log.update(found["decoders"], found["truncated"])


def settle_worker() -> None:
    """Keeps a worker to one thread, as there are as many workers as cores, and its log short."""
    import tensorflow as tf
    import threadpoolctl

    for name in ("apache_beam", "__main__"):
        logging.getLogger(name).setLevel(logging.WARNING)
    with _lock:
        threadpoolctl.threadpool_limits(1)
        try:
            tf.config.threading.set_intra_op_parallelism_threads(1)
            tf.config.threading.set_inter_op_parallelism_threads(1)
        except RuntimeError:  # this process has used it already
            pass


def _path(folder: str, name: str) -> str:
    return storage.join(folder, f"{name}.json")


def _report(folder: str, name: str) -> str:
    return storage.join(folder, f"{name}.done.json")
