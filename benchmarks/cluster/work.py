"""What the cluster makes of clips: shards, embeddings, an index; and what is in them."""

import contextlib
import hashlib
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd

from audio_triplet.errors import UsageError
from benchmarks import harness
from benchmarks.cluster import hosts
from benchmarks.cluster.dask_cluster import DaskCluster
from benchmarks.cluster.settings import Settings

KINDS = ("prepare", "embed", "index")
LIMIT_SECONDS = 1800


def measure(settings: Settings, folder: str) -> harness.Table:
    """All clips, undisturbed, on three workers."""
    manifest = write_manifest(settings, settings.clips, os.path.join(folder, "clips.csv"))
    table = harness.Table(
        "Three hosts on this machine",
        f"{settings.clips} clips of ESC-50 and of Debian's sounds, prepared, embedded and indexed "
        "by Dask workers on three network namespaces that share a folder and the cores of one "
        "machine; start-up of the command included, that of the workers not",
    )
    with hosts.hosts():
        cluster = DaskCluster(folder)
        cluster.start()
        for kind in KINDS:
            output = os.path.join(folder, kind)
            arguments = command(kind, manifest, output, cluster.flags)
            before, begin = cluster.processor_seconds(), time.monotonic()
            run_to_end(arguments, os.path.join(folder, f"{kind}.log"))
            seconds = time.monotonic() - begin
            taken = np.subtract(cluster.processor_seconds(), before)
            made = len(content(kind, output))
            table.add(
                kind,
                settings.clips / seconds,
                "clips/s",
                more={
                    "seconds": seconds,
                    "made": made,
                    "processor s of the workers": f"{taken.min():.0f} to {taken.max():.0f}",
                },
            )
            if kind != "prepare":  # of which shards are counted
                table.goal(f"{kind}: clips in it", made, settings.clips)
            table.goal(f"{kind}: least busy worker, of the busiest", taken.min() / taken.max(), 0.3)
        cluster.stop()
    return table


def write_manifest(settings: Settings, count: int, path: str) -> str:
    """Writes a manifest of so many clips, two thirds of them of the first corpus."""
    from audio_triplet.corpora import registry

    if not (settings.esc50 and settings.debian):
        raise UsageError("--esc50 and --debian: name both corpora, as for --corpus")
    paths: list[str] = []
    for corpus, wanted in (
        (settings.esc50, count * 2 // 3),
        (settings.debian, count - count * 2 // 3),
    ):
        found = sorted(set(registry.load_corpus(corpus).frame["path"]))
        if len(found) < wanted:
            raise UsageError(f"{corpus}: has {len(found)} files, and {wanted} are wanted")
        chosen = np.linspace(0, len(found) - 1, wanted).astype(int)
        paths += [os.path.abspath(found[number]) for number in chosen]
    pd.DataFrame({"path": paths}).to_csv(path, index=False)
    return path


def command(
    kind: str, manifest: str, output: str, flags: list[str], job_seconds: float | None = None
) -> list[str]:
    """The command that makes something of clips, on the first host."""
    if kind == "prepare":
        program = ["data_prep.prepare", f"--corpus=manifest:{manifest}", "--max_bad_share=0.2"]
        program += [f"--output_dir={output}", "--num_shards=12"]
    else:
        target = f"--index={output}" if kind == "index" else f"--output_dir={output}"
        small = [] if job_seconds is None else ["benchmarks.cluster.small_jobs", str(job_seconds)]
        program = [*(small or ["audio_triplet"]), kind, manifest, target]
    return hosts.inside(1, [sys.executable, "-m", *program, *flags])


def start(arguments: list[str], log: str) -> subprocess.Popen:
    """Starts a command; what it says goes to a file."""
    with open(log, "ab") as file:
        return subprocess.Popen(
            arguments, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )


def run_to_end(arguments: list[str], log: str) -> None:
    """Runs a command, which must end well."""
    if wait(start(arguments, log)):
        raise RuntimeError(f"{' '.join(arguments)} failed:\n{said(log, 2000)}")


def wait(process: subprocess.Popen) -> int:
    """The exit status of a command; one that hangs is ended, and has -9."""
    try:
        return process.wait(LIMIT_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return process.wait()


def last_line(log: str) -> str:
    """The last line of what a command said."""
    lines = [line for line in said(log, 4000).splitlines() if line.strip()]
    return lines[-1] if lines else ""


def said(log: str, most: int = 200) -> str:
    """The end of what a command said."""
    with open(log, encoding="utf-8", errors="replace") as file:
        return file.read()[-most:]


def stages(output: str) -> list[str]:
    """The folders of jobs that a command has at this moment, one for each of its stages."""
    with contextlib.suppress(OSError):
        return [name for name in os.listdir(output) if name.lstrip(".").startswith("in_progress")]
    return []


def jobs_done(folder: str) -> tuple[int, int]:
    """How many jobs of a stage are done, and how many it has; (0, 0) before it, and after it."""
    try:
        names = os.listdir(folder)
    except OSError:
        return 0, 0
    done = sum(name.endswith((".done.json", ".index")) for name in names)
    told = sum(bool(re.fullmatch(r"job-[^.]+\.json|.+\.work\.json", name)) for name in names)
    return done, told


def content(kind: str, folder: str) -> dict[str, str]:
    """What was made: name → digest of its bytes; of an index, sound file → digest of its vectors.

    The parts of an index have names drawn by lot, and its tables are as they were filled, so its
    bytes differ from run to run.
    """
    if kind == "index":
        return _index_content(folder)
    found = {}
    for current, _, names in os.walk(folder):
        for name in names:
            if name.endswith((".npz", ".tfrecord", "manifest.csv")):
                path = os.path.join(current, name)
                with open(path, "rb") as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
                found[os.path.relpath(path, folder)] = digest
    return found


def _index_content(folder: str) -> dict[str, str]:
    from audio_triplet.search.index import Index
    from audio_triplet.search.index_format import Part

    index = Index(folder)
    found: dict[str, str] = {}
    for info in index.info.parts:
        part = Part(folder, info, index.info.dim)
        ids = np.unique(part.owners).tolist()
        names = index.tables.segments(ids)
        for place in index.tables.places(ids):
            if place.part != info.id:  # its file has changed
                continue
            own = slice(place.first, place.first + place.count)
            digest = hashlib.sha256(part.vectors[own].tobytes())
            digest.update(part.spans[own].tobytes())
            name = f"{names[place.segment].path}:{part.spans['start'][place.first]}"
            if name in found:
                raise RuntimeError(f"{folder}: holds {name} twice")
            found[name] = digest.hexdigest()
    return found
