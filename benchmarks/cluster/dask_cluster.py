"""A Dask scheduler and workers on the hosts."""

import os
import signal
import subprocess
import sys
import time

from benchmarks import harness
from benchmarks.cluster import hosts

_PORT = 8786
_START_SECONDS = 120


class DaskCluster:
    """The scheduler on the first host, and a worker on each.

    Args:
      folder: For their logs and scratch files.
    """

    def __init__(self, folder: str):
        self._folder, self._count = folder, 0
        self._scheduler: subprocess.Popen | None = None
        self._watcher: subprocess.Popen | None = None
        self._workers: dict[int, subprocess.Popen] = {}
        self._logs: dict[int, str] = {}

    @property
    def flags(self) -> list[str]:
        """What a command is told."""
        return ["--runner=DaskRunner", f"--dask_client_address={self._address}"]

    @property
    def _address(self) -> str:
        return f"tcp://{hosts.address(1)}:{_PORT}"

    def start(self, count: int = hosts.COUNT) -> None:
        """Starts what does not run: the scheduler, and workers on the first hosts."""
        if self._scheduler is None or self._scheduler.poll() is not None:
            for worker in self._workers.values():
                _kill(worker)
            self._workers = {}
            self._scheduler, log = self._run(
                1,
                "dask_scheduler",
                f"--host={hosts.address(1)}",
                f"--port={_PORT}",
                "--no-dashboard",
            )
            self._wait(self._scheduler, log, "Scheduler at:")
            self._watch()
        for host in range(1, count + 1):
            worker = self._workers.get(host)
            if worker is None or worker.poll() is not None:
                self._workers[host], self._logs[host] = self._run(
                    host,
                    "dask_worker",
                    self._address,
                    f"--host={hosts.address(host)}",
                    "--nthreads=1",
                    "--no-nanny",
                    "--no-dashboard",
                    f"--local-directory={os.path.join(self._folder, f'scratch{host}')}",
                )
        for host in range(1, count + 1):
            self._wait(self._workers[host], self._logs[host], "Registered to:")

    def at_work(self) -> list[int]:
        """The hosts whose workers have jobs at this moment, as the scheduler has it."""
        assert self._watcher is not None and self._watcher.stdin and self._watcher.stdout
        self._watcher.stdin.write("\n")
        self._watcher.stdin.flush()
        found = self._watcher.stdout.readline().split()
        return [host for host in sorted(self._workers) if any(_is_of(host, at) for at in found)]

    def kill_worker(self, host: int) -> None:
        """Kills the worker of a host."""
        _kill(self._workers[host])

    def kill_scheduler(self) -> None:
        """Kills the scheduler."""
        assert self._scheduler is not None
        _kill(self._scheduler)

    def processor_seconds(self) -> list[float]:
        """What each worker has taken so far."""
        return [processor_seconds(worker.pid) for worker in self._workers.values()]

    def gigabytes(self) -> float:
        """The most memory that one of the workers has taken so far."""
        return max(harness.peak_gigabytes(worker.pid) for worker in self._workers.values())

    def stop(self) -> None:
        """Ends all."""
        apart = filter(None, [self._watcher, self._scheduler])
        for process in [*self._workers.values(), *apart]:
            _kill(process)
        self._workers, self._scheduler, self._watcher = {}, None, None

    def _watch(self) -> None:
        """Starts what `at_work` asks."""
        if self._watcher is not None:
            _kill(self._watcher)
        command = [sys.executable, "-m", "benchmarks.cluster.at_work", self._address]
        self._watcher = subprocess.Popen(
            hosts.inside(1, command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )

    def _run(self, host: int, program: str, *arguments: str) -> tuple[subprocess.Popen, str]:
        self._count += 1
        log = os.path.join(self._folder, f"{self._count:04d}-{program}-{host}.log")
        with open(log, "wb") as file:
            command = [sys.executable, "-m", f"distributed.cli.{program}", *arguments]
            process = subprocess.Popen(
                hosts.inside(host, command),
                stdout=file,
                stderr=subprocess.STDOUT,
                env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
                start_new_session=True,
            )
        return process, log

    def _wait(self, process: subprocess.Popen, log: str, words: str) -> None:
        until = time.monotonic() + _START_SECONDS
        while True:
            with open(log, encoding="utf-8", errors="replace") as file:
                text = file.read()
            if words in text:
                return
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{log}: has not started:\n{text[-2000:]}")
            time.sleep(0.2)


def processor_seconds(process: int) -> float:
    """What a process has taken so far."""
    with open(f"/proc/{process}/stat", encoding="utf-8") as file:
        user, system = file.read().rsplit(")", 1)[1].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _is_of(host: int, worker: str) -> bool:
    return worker.startswith(f"tcp://{hosts.address(host)}:")


def _kill(process: subprocess.Popen) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGKILL)
    process.wait()
