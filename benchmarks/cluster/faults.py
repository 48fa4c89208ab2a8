"""The cluster's work while workers, links and the scheduler fail, at random moments."""

import dataclasses
import os
import random
import shutil
import subprocess
import time

from benchmarks import harness
from benchmarks.cluster import hosts, work
from benchmarks.cluster.dask_cluster import DaskCluster
from benchmarks.cluster.settings import Settings

FAULTS = ("worker", "link", "scheduler")
_TITLES = {
    "worker": "a worker killed",
    "link": "the link of a host cut",
    "scheduler": "the scheduler killed",
}


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a disturbed run ended.

    Attributes:
      same: Whether in the end all was there, and as undisturbed.
      by_itself: Whether the first command made it.
      seconds: From the fault to the end of the first command.
      line: What it said last, if it did not make it.
    """

    same: bool
    by_itself: bool
    seconds: float
    line: str = ""


def measure(settings: Settings, folder: str) -> harness.Table:
    """Each fault some times, in turns while clips are prepared, embedded and indexed."""
    manifest = work.write_manifest(settings, settings.few_clips, os.path.join(folder, "few.csv"))
    table = harness.Table(
        "The cluster with faults",
        f"{settings.few_clips} clips prepared, embedded and indexed in turns, on three hosts; the "
        f"fault comes at a moment drawn evenly from the time that an undisturbed run works; a cut "
        f"link is restored after {settings.cut_seconds:g} s. A command that stops is started "
        "again. Shards and embeddings are compared by all their bytes, an index by the bytes of "
        "each file's vectors and times",
    )
    with hosts.hosts():
        bench = _Bench(settings, folder, manifest)
        bench.cluster.start()
        for kind in work.KINDS:
            bench.run_undisturbed(kind)
        for turn, fault in enumerate(FAULTS):
            outcomes = [
                bench.disturbed(fault, work.KINDS[(number + turn) % len(work.KINDS)], number)
                for number in range(settings.times)
            ]
            _tell(table, fault, outcomes)
        bench.cluster.stop()
    return table


def _tell(table: harness.Table, fault: str, outcomes: list[Outcome]) -> None:
    stopped = [outcome for outcome in outcomes if not outcome.by_itself]
    lines = sorted({outcome.line for outcome in stopped})
    table.add(
        _TITLES[fault],
        len(outcomes),
        "times",
        more={
            "ended by itself": sum(outcome.by_itself for outcome in outcomes),
            "s to the end, most": max(outcome.seconds for outcome in outcomes),
            "s to the end of those that stopped, most": max(
                (outcome.seconds for outcome in stopped), default=float("nan")
            ),
        },
        note="; ".join(lines),
    )
    same = sum(outcome.same for outcome in outcomes)
    table.goal(f"{_TITLES[fault]}: in the end as undisturbed", same, len(outcomes))


class _Bench:
    """The cluster, what it makes undisturbed, and how long that takes."""

    def __init__(self, settings: Settings, folder: str, manifest: str):
        self._settings, self._folder, self._manifest = settings, folder, manifest
        self.cluster = DaskCluster(folder)
        self._draw = random.Random(settings.seed)
        self._spans: dict[str, float] = {}
        self._content: dict[str, dict[str, str]] = {}

    def _command(self, kind: str, output: str) -> list[str]:
        seconds = self._settings.job_seconds
        return work.command(kind, self._manifest, output, self.cluster.flags, seconds)

    def run_undisturbed(self, kind: str) -> None:
        """Makes what the others are compared with; the second run, of warm workers, is timed."""
        for number in range(2):
            output = os.path.join(self._folder, f"undisturbed-{kind}-{number}")
            process = work.start(self._command(kind, output), f"{output}.log")
            self._wait_for_jobs(process, output)
            begin = time.monotonic()
            if work.wait(process):
                raise RuntimeError(work.said(f"{output}.log", 3000))
            self._spans[kind] = time.monotonic() - begin
            made = work.content(kind, output)
            if self._content.setdefault(kind, made) != made:
                raise RuntimeError(f"{kind}: two undisturbed runs differ")
        harness.progress(f"{kind}: {len(made)} parts, {self._spans[kind]:.0f} s of work")

    def disturbed(self, fault: str, kind: str, number: int) -> Outcome:
        """One run with a fault; a run that has ended before its moment comes is done again."""
        output = os.path.join(self._folder, f"{fault}-{number}")
        log, span = f"{output}.log", self._spans[kind]
        while True:
            self.cluster.start()
            process = work.start(self._command(kind, output), log)
            self._wait_for_jobs(process, output)
            time.sleep(self._draw.uniform(0, span))
            if process.poll() is None:
                break
            shutil.rmtree(output)
            span *= 0.7
        begin = time.monotonic()
        what = self._break(fault)
        code = work.wait(process)
        seconds = time.monotonic() - begin
        line = ""
        if code:
            line = work.last_line(log)
            self.cluster.start()
            work.run_to_end(self._command(kind, output), log)
        same = work.content(kind, output) == self._content[kind]
        harness.progress(
            f"{kind}, {what}: {seconds:.0f} s to the end, exit {code}, same: {same} {line}"
        )
        if same:
            shutil.rmtree(output)
        return Outcome(same, code == 0, seconds, line)

    def _break(self, fault: str) -> str:
        if fault == "worker":
            return f"{self.cluster.kill_worker(self._draw)} killed"
        if fault == "scheduler":
            self.cluster.kill_scheduler()
            return "scheduler killed"
        host = self._draw.choice([2, 3])
        hosts.cut(host)
        try:
            time.sleep(self._settings.cut_seconds)
        finally:
            hosts.restore(host)
        return f"host {host} cut off"

    def _wait_for_jobs(self, process: subprocess.Popen, output: str) -> None:
        """Until workers have jobs; what a command does before that belongs to no worker."""
        work_dirs = [os.path.join(output, name) for name in (".in_progress", "in_progress")]
        while process.poll() is None and not any(map(os.path.isdir, work_dirs)):
            time.sleep(0.05)
