"""Training over two of the hosts, of which one is cut off; batches made by the others."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

from audio_triplet.errors import UsageError
from benchmarks import harness
from benchmarks.cluster import hosts, work
from benchmarks.cluster.dask_cluster import processor_seconds
from benchmarks.cluster.settings import Settings

_PORT, _SERVICE_PORT = 2222, 5050
_STEPS, _CHECKPOINT_STEPS = 60, 5

# The coordination service of TensorFlow gives a worker up that is silent for so long.
_STOP_SECONDS = 120.0


def measure(settings: Settings, folder: str) -> harness.Table:
    """Cuts one of two workers off; then lets both go on; then a run with a tf.data service."""
    prepared = _prepare(settings, folder)
    table = harness.Table(
        "Training over hosts",
        f"{settings.few_clips} clips, VGGish of an eighth of the width, {_STEPS} steps of 16 "
        "triplets; `multi_worker` on two hosts, of which the second is cut off after the first "
        "checkpoint, and stays so until the first has ended",
    )
    with hosts.hosts():
        _cut_off(table, prepared, folder)
        _by_service(table, prepared, folder)
    return table


def _cut_off(table: harness.Table, prepared: str, folder: str) -> None:
    output = os.path.join(folder, "trained")
    workers = _start_workers(prepared, output, folder)
    while _steps(output) < _CHECKPOINT_STEPS:
        _check_running(workers, folder)
        time.sleep(0.2)
    hosts.cut(2)
    begin = time.monotonic()
    told, processor = _watch_end(workers[0], _log(folder, 1))
    seconds, code = time.monotonic() - begin, workers[0].returncode
    table.add(
        "the first, from the cut to its line", told, "s", note=work.last_line(_log(folder, 1))
    )
    table.add(
        "the first, from the cut to its end",
        seconds,
        "s",
        more={"processor s": processor},
        note=f"exit status {code}",
    )
    hosts.restore(2)
    other = work.wait(workers[1])
    table.add(
        "the second, from the cut to its end",
        time.monotonic() - begin,
        "s",
        note=f"exit status {other}: {work.last_line(_log(folder, 2))}",
    )
    table.goal("s from the cut to the first one's end", seconds, _STOP_SECONDS, at_most=True)
    table.goal("it ends with status 1 (1: yes)", float(code == 1), 1)
    reached = _steps(output)
    codes = [work.wait(worker) for worker in _start_workers(prepared, output, folder)]
    table.add("steps before the cut", reached)
    table.add("steps of both, started again", _steps(output), note=f"exit status {codes}")
    table.goal("steps in the end", _steps(output), _STEPS)


def _watch_end(worker: subprocess.Popen, log: str) -> tuple[float, float]:
    """Waits for a worker's end.

    Returns:
      Seconds until it says that another worker is gone; and its processor seconds from now on.
    """
    begin, told, first = time.monotonic(), float("nan"), processor_seconds(worker.pid)
    last = first
    while worker.poll() is None and time.monotonic() - begin < work.LIMIT_SECONDS:
        with contextlib.suppress(OSError):  # it has just ended
            last = processor_seconds(worker.pid)
        if told != told and "another worker is gone" in work.said(log, 2000):
            told = time.monotonic() - begin
        time.sleep(0.1)
    work.wait(worker)
    return told, last - first


def _by_service(table: harness.Table, prepared: str, folder: str) -> None:
    """A dispatcher on the first host, workers on the others, training on the first."""
    service = [
        _start(
            1,
            folder,
            "dispatcher",
            "experiments.data_service",
            "--workers=0",
            f"--port={_SERVICE_PORT}",
        )
    ]
    time.sleep(5)
    for host in (2, 3):
        service.append(
            _start(
                host,
                folder,
                f"service{host}",
                "experiments.data_service",
                f"--dispatcher={hosts.address(1)}:{_SERVICE_PORT}",
                f"--address={hosts.address(host)}",
                "--port=5051",
            )
        )
    output = os.path.join(folder, "served")
    begin = time.monotonic()
    run = _start(
        1,
        folder,
        "served",
        *_training(prepared, output),
        f"--data_service=grpc://{hosts.address(1)}:{_SERVICE_PORT}",
    )
    code = work.wait(run)
    table.add(
        "steps with batches of a tf.data service on two other hosts",
        _steps(output),
        more={"s": time.monotonic() - begin},
        note=f"exit status {code}",
    )
    table.goal("steps by the service", _steps(output), _STEPS)
    for process in service:
        process.send_signal(signal.SIGTERM)


def _prepare(settings: Settings, folder: str) -> str:
    manifest = work.write_manifest(settings, settings.few_clips, os.path.join(folder, "few.csv"))
    prepared = os.path.join(folder, "prepared")
    program = ["data_prep.prepare", f"--corpus=manifest:{manifest}", f"--output_dir={prepared}"]
    program += ["--engine=threads", "--num_shards=16", "--max_bad_share=0.2"]
    work.run_to_end([sys.executable, "-m", *program], os.path.join(folder, "prepared.log"))
    return prepared


def _training(prepared: str, output: str) -> list[str]:
    return [
        "experiments.train_embedding",
        f"--corpus={prepared}",
        f"--output_dir={output}",
        "--triplets=joint",
        f"--steps={_STEPS}",
        "--batch_size=16",
        "--width=0.125",
        "--precision=float32",
        f"--checkpoint_steps={_CHECKPOINT_STEPS}",
        "--log_steps=1",
    ]


def _start_workers(prepared: str, output: str, folder: str) -> list[subprocess.Popen]:
    cluster = {"worker": [f"{hosts.address(host)}:{_PORT}" for host in (1, 2)]}
    found = []
    for host in (1, 2):
        task = json.dumps({"cluster": cluster, "task": {"type": "worker", "index": host - 1}})
        found.append(
            _start(
                host,
                folder,
                f"trained{host}",
                *_training(prepared, output),
                "--strategy=multi_worker",
                environment={"TF_CONFIG": task},
            )
        )
    return found


def _start(
    host: int, folder: str, name: str, *program: str, environment: dict[str, str] | None = None
) -> subprocess.Popen:
    with open(os.path.join(folder, f"{name}.log"), "ab") as file:
        return subprocess.Popen(
            hosts.inside(host, [sys.executable, "-m", *program]),
            stdout=file,
            stderr=subprocess.STDOUT,
            env=os.environ | (environment or {}),
            start_new_session=True,
        )


def _log(folder: str, host: int) -> str:
    return os.path.join(folder, f"trained{host}.log")


def _check_running(workers: list[subprocess.Popen], folder: str) -> None:
    for number, worker in enumerate(workers, 1):
        if worker.poll() is not None:
            raise UsageError(f"a worker has ended: {work.said(_log(folder, number), 1000)}")


def _steps(output: str) -> int:
    """How many steps a run has logged."""
    try:
        with open(os.path.join(output, "metrics.csv"), encoding="utf-8") as file:
            return 1 + int(file.read().strip().splitlines()[-1].split(",")[0])  # steps from 0 on
    except (OSError, ValueError, IndexError):
        return 0
