"""How the cluster's work grows: memory against rows, clips per second, and what follows."""

import os
import subprocess
import time

from benchmarks import harness
from benchmarks.cluster import hosts, work
from benchmarks.cluster.dask_cluster import DaskCluster
from benchmarks.cluster.settings import Settings

# Clips of ten seconds, and hours of long recordings.
_AUDIOSET_HOURS, _ARCHIVE_HOURS = 2_000_000 * 10 / 3600, 100_000.0
_WORKERS = (10, 100, 1000)
_DOLLARS_A_CORE_HOUR = 0.05


def measure(settings: Settings, folder: str) -> harness.Table:
    """Embedding: the driver's and a worker's memory, rates, and arithmetic from them."""
    table = harness.Table(
        "Growth of embedding by workers",
        "rows are files of ten seconds whose headers are not read; a job is what one worker gets "
        "at a time. Rates are of clips of both corpora, start-up of the command included but where "
        "it says otherwise, on one machine's cores",
    )
    serial = 0.0
    for rows in map(int, settings.rows):
        taken, memory = harness.in_child("benchmarks.cluster.growth:lay_out", rows=rows)
        read, worker_memory = harness.in_child("benchmarks.cluster.growth:read_job", rows=rows)
        serial = taken["seconds"] / rows
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
    rate = _rates(table, settings, folder)
    for name, hours in (("AudioSet", _AUDIOSET_HOURS), ("100,000 hours", _ARCHIVE_HOURS)):
        core_hours = hours / rate
        for workers in _WORKERS:
            headers = serial * hours * 360 / 3600
            table.add(
                f"{name} by {workers:,} workers of a core",
                core_hours / workers + headers,
                "hours",
                more={"of these the driver alone": headers},
                note=f"arithmetic; {core_hours:,.0f} core-hours, "
                f"${_DOLLARS_A_CORE_HOUR * core_hours:,.0f} at ${_DOLLARS_A_CORE_HOUR} each",
            )
    return table


def _rates(table: harness.Table, settings: Settings, folder: str) -> float:
    """Clips per second of each engine; hours of sound per hour of one Dask worker."""
    sizes = max(10, settings.clips // 20), max(20, settings.clips // 5)
    manifests = [
        work.write_manifest(settings, size, os.path.join(folder, f"{size}.csv")) for size in sizes
    ]
    hours = _hours(manifests[1]) - _hours(manifests[0])
    direct = "--runner=DirectRunner"
    engines = {
        "one process": [],
        "DirectRunner, 1 worker": [direct, "--direct_num_workers=1"],
        "DirectRunner, 2 workers": [direct, "--direct_num_workers=2"],
    }
    with hosts.hosts():
        for name, flags in engines.items():
            _rate(table, name, manifests, sizes, flags, folder)
        rate = 0.0
        for workers in (1, 2):
            cluster = DaskCluster(folder)
            cluster.start(workers)
            # Once before, so that the workers have loaded TensorFlow and the model.
            _seconds(manifests[0], cluster.flags, os.path.join(folder, f"warm-{workers}"))
            title = f"DaskRunner, {workers} workers"
            clips = _rate(table, title, manifests, sizes, cluster.flags, folder)
            if workers == 1:
                rate = hours * clips / (sizes[1] - sizes[0]) * 3600
            cluster.stop()
    return rate


def _rate(
    table: harness.Table,
    name: str,
    manifests: list[str],
    sizes: tuple[int, int],
    flags: list[str],
    folder: str,
) -> float:
    few, many = (
        _seconds(manifest, flags, os.path.join(folder, f"{name}-{size}".replace(" ", "-")))
        for manifest, size in zip(manifests, sizes, strict=True)
    )
    # Of clips that are too few, start-up is all that is measured.
    rate = (sizes[1] - sizes[0]) / (many - few) if many > few else float("nan")
    table.add(
        name,
        sizes[1] / many,
        "clips/s",
        more={"without start-up": rate, f"s for {sizes[0]} clips": few},
    )
    return rate


def _seconds(manifest: str, flags: list[str], output: str) -> float:
    begin = time.monotonic()
    work.run_to_end(work.command("embed", manifest, output, flags), f"{output}.log")
    return time.monotonic() - begin


def _hours(manifest: str) -> float:
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
    return seconds / 3600


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
