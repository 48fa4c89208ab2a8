"""How the cluster's work grows: memory against rows, rates of each engine, and what follows."""

import dataclasses
import os
import subprocess
import time

from benchmarks import harness
from benchmarks.cluster import hosts, work
from benchmarks.cluster.dask_cluster import DaskCluster
from benchmarks.cluster.settings import Settings
from benchmarks.scaling.watched import run_watched

# Hours of sound and seconds of a file: clips of ten seconds; an archive of long recordings.
_TASKS = {
    "AudioSet, 2 M clips of 10 s": (2_000_000 * 10 / 3600, 10),
    "100,000 hours in files of 10 min": (100_000.0, 600),
}
_WORKERS = (10, 100, 1000)
_DOLLARS_A_CORE_HOUR = 0.05


def measure(settings: Settings, folder: str) -> harness.Table:
    """Embedding: the driver's and a worker's memory, rates, and arithmetic from them."""
    table = harness.Table(
        "Growth of embedding by workers",
        "rows are files of ten seconds whose headers are not read; a job is what one worker gets "
        "at a time. Rates are of clips of both corpora on one machine's cores; what a clip takes "
        "is the difference of two runs, so start-up is not in it, and is processor time, which "
        "other work on the machine changes little. Arithmetic takes the processor time of one Dask "
        "worker, and of its driver, which mostly reads the headers of files before the workers "
        "begin; an index is not made here",
    )
    for rows in map(int, settings.rows):
        taken, memory = harness.in_child("benchmarks.cluster.growth:lay_out", rows=rows)
        read, worker_memory = harness.in_child("benchmarks.cluster.growth:read_job", rows=rows)
        table.add(
            f"{rows:,} rows",
            memory,
            "GB of the driver",
            more={
                "GB of a worker": worker_memory,
                "processor s of the driver": taken["seconds"],
                "jobs": taken["jobs"],
                "rows of a job": read["rows"],
                "GB of jobs on disk": taken["disk"],
            },
        )
    _tell_tasks(table, _rates(table, settings, folder))
    return table


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a clip takes.

    Attributes:
      driver: Processor seconds of the command, with the workers that are below it.
      worker: Processor seconds of workers elsewhere.
      sound: Seconds of sound.
    """

    driver: float
    worker: float
    sound: float


def _tell_tasks(table: harness.Table, clip: Cost) -> None:
    for name, (hours, seconds) in _TASKS.items():
        core_hours = hours * clip.worker / clip.sound
        driver = hours / seconds * clip.driver
        for workers in _WORKERS:
            table.add(
                f"{name}, by {workers:,} workers of a core",
                core_hours / workers + driver,
                "hours",
                more={"hours of the driver": driver},
                note=f"arithmetic; {core_hours:,.0f} core-hours, "
                f"${_DOLLARS_A_CORE_HOUR * core_hours:,.0f} at ${_DOLLARS_A_CORE_HOUR} each",
            )


def _rates(table: harness.Table, settings: Settings, folder: str) -> Cost:
    """Each engine's rate; what a clip takes of one Dask worker."""
    bench = _Bench(table, settings, folder)
    direct = "--runner=DirectRunner"
    with hosts.hosts():
        bench.rate("one process", [])
        bench.rate("DirectRunner, 1 worker", [direct, "--direct_num_workers=1"])
        bench.rate("DirectRunner, 2 workers", [direct, "--direct_num_workers=2"])
        costs = []
        for workers in (1, 2):
            cluster = DaskCluster(folder)
            cluster.start(workers)
            costs.append(bench.rate(f"DaskRunner, {workers} workers", cluster.flags, cluster))
            cluster.stop()
    return costs[0]


class _Bench:
    """Embeds few clips and many, and adds a line for each engine."""

    def __init__(self, table: harness.Table, settings: Settings, folder: str):
        self._table, self._folder = table, folder
        self._sizes = max(10, settings.clips // 20), max(20, settings.clips // 3)
        self._manifests = [
            work.write_manifest(settings, size, os.path.join(folder, f"{size}.csv"))
            for size in self._sizes
        ]
        few, many = map(_seconds_of_sound, self._manifests)
        self._clips = self._sizes[1] - self._sizes[0]
        self._sound = (many - few) / self._clips
        self._alone = 0.0  # processor seconds a clip of the first engine

    def rate(self, name: str, flags: list[str], cluster: DaskCluster | None = None) -> Cost:
        """Adds an engine; those workers that stay are first given some clips to start up."""
        if cluster:
            self._run(0, flags, f"{name}-warm")
        taken = []
        for size in (0, 1):
            before = sum(cluster.processor_seconds()) if cluster else 0.0
            taken.append(self._run(size, flags, name))
            now = sum(cluster.processor_seconds()) if cluster else 0.0
            taken[-1]["worker"] = now - before
        few, many = taken
        driver, worker = (
            (many[part] - few[part]) / self._clips for part in ("processor", "worker")
        )
        self._alone = self._alone or driver + worker
        more = {
            "processor ms a clip": 1000 * (driver + worker),
            "of these more than one process": 1000 * (driver + worker - self._alone),
            "of these the driver": 1000 * driver if cluster else "",
            "processor s of start-up": few["processor"] - driver * self._sizes[0],
            "GB of the command": many["most"],
            "GB of a worker": cluster.gigabytes() if cluster else "",
        }
        rate = self._sizes[1] / many["seconds"]
        self._table.add(name, rate, "clips/s, start-up included", more=more)
        return Cost(driver, worker, self._sound)

    def _run(self, size: int, flags: list[str], name: str) -> dict[str, float]:
        output = os.path.join(self._folder, f"{name}-{self._sizes[size]}".replace(" ", "-"))
        command = work.command("embed", self._manifests[size], output, flags)
        return run_watched(command, harness.cores())


def _seconds_of_sound(manifest: str) -> float:
    import pandas as pd

    from audio_triplet import audio
    from audio_triplet.errors import AudioError

    paths = pd.read_csv(manifest)["path"]
    seconds = 0.0
    for path in paths:
        try:
            seconds += audio.probe(path, "use").duration_seconds
        except AudioError:
            continue
    return seconds


def lay_out(rows: int) -> dict[str, float]:
    """Lays the jobs of so many files out; for a process of its own."""
    import tempfile

    import numpy as np

    from audio_triplet.pipelines import jobs

    manifest, begin = _manifest(rows), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        paths = manifest.frame["path"]

        def told(chosen: np.ndarray) -> dict:
            return {"outputs": {path: f"{path}.npz" for path in paths.iloc[chosen]}}

        found = jobs.lay_out(os.path.join(folder, "jobs"), manifest, np.full(rows, 10.0), told)
        seconds = time.process_time() - begin
        disk = subprocess.run(
            ["du", "-sb", folder], capture_output=True, text=True, check=True
        ).stdout
    return {"seconds": seconds, "jobs": len(found), "disk": int(disk.split()[0]) / 1e9}


def read_job(rows: int) -> dict[str, float]:
    """What a worker does with a job before it embeds; for a process of its own."""
    import tempfile

    import numpy as np

    from audio_triplet.pipelines import jobs

    share = jobs.size(rows * 10.0) / (rows * 10.0)
    manifest = _manifest(max(1, round(rows * share)))
    with tempfile.TemporaryDirectory() as folder:
        paths = manifest.frame["path"].tolist()
        more = {"outputs": {path: f"{path}.npz" for path in paths}}
        name = jobs.write(folder, 0, manifest, more)
        del manifest
        read, _ = jobs.read(folder, name)
    return {"rows": len(np.asarray(read.frame["path"]))}


def _manifest(rows: int):
    import pandas as pd

    from audio_triplet.data.manifest import Manifest

    paths = [f"/shared/sounds/{row % 1000:03d}/Y{row:011d}_30.flac" for row in range(rows)]
    return Manifest(pd.DataFrame({"path": paths}), "rows")
