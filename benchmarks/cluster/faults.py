"""The cluster's work while workers, links and the scheduler fail, at random moments.

A fault counts only if it hits in the middle of the work: it waits until that share of the jobs is
done that was drawn, and then the scheduler is asked which workers have jobs at that moment. One of
these is killed, or cut off; the scheduler is killed only while one of them has a job. If none has,
or no job is left, the run is done again.
"""

import dataclasses
import itertools
import os
import random
import re
import shutil
import subprocess
import time

from benchmarks import harness
from benchmarks.cluster import hosts, work
from benchmarks.cluster.dask_cluster import DaskCluster
from benchmarks.cluster.settings import Settings

_LONG_SECONDS, _RATE = 150, 16_000
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
      done: Share of the jobs that were done when the fault came.
      line: What it said last, if it did not make it.
    """

    same: bool
    by_itself: bool
    seconds: float
    done: float
    line: str = ""


def measure(settings: Settings, folder: str) -> harness.Table:
    """Each fault some times, in turns while clips are prepared, embedded and indexed."""
    manifest = work.write_manifest(settings, settings.few_clips, os.path.join(folder, "few.csv"))
    _add_long_recording(manifest, os.path.join(folder, "long.wav"))
    table = harness.Table(
        "The cluster with faults",
        f"{settings.few_clips} clips, and a recording of {_LONG_SECONDS} s that is cut over the "
        "workers, prepared, embedded and indexed in turns, on three hosts; the fault comes when a "
        "share of the jobs is done that is drawn evenly, and hits a worker that has one, or the "
        f"scheduler while one has; a cut link is restored after {settings.cut_seconds:g} s. A "
        "command that stops is started again. In the end it is compared with what one process "
        "makes without a cluster: shards and embeddings by all their bytes, an index by the bytes "
        "of each file's vectors and times",
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


def _add_long_recording(manifest: str, path: str) -> None:
    """Writes a recording of the first clips, one after the other, and lists it."""
    import numpy as np
    import pandas as pd
    import soundfile

    from audio_triplet import audio

    frame, found = pd.read_csv(manifest), np.zeros(0, np.float32)
    for clip in itertools.cycle(frame["path"]):
        found = np.concatenate([found, audio.load_audio(clip)])
        if len(found) >= _LONG_SECONDS * _RATE:
            break
    soundfile.write(path, found[: _LONG_SECONDS * _RATE].clip(-1, 1), _RATE)
    pd.concat([frame, pd.DataFrame({"path": [os.path.abspath(path)]})]).to_csv(
        manifest, index=False
    )


def _tell(table: harness.Table, fault: str, outcomes: list[Outcome]) -> None:
    stopped = [outcome for outcome in outcomes if not outcome.by_itself]
    more: dict[str, float | str] = {
        "jobs done when it came": _range([outcome.done for outcome in outcomes]),
        "ended by itself": len(outcomes) - len(stopped),
        "s to the end": _seconds([outcome for outcome in outcomes if outcome.by_itself]),
        "s to the end of those that stopped": _seconds(stopped),
    }
    lines = {re.sub(r"\d+ of \d+", "N of M", outcome.line) for outcome in stopped}
    table.add(
        _TITLES[fault],
        len(outcomes),
        "times",
        more=more,
        note="; ".join(sorted(filter(None, lines))),
    )
    same = sum(outcome.same for outcome in outcomes)
    table.goal(f"{_TITLES[fault]}: in the end as undisturbed", same, len(outcomes))


def _seconds(outcomes: list[Outcome]) -> str:
    seconds = [outcome.seconds for outcome in outcomes]
    return f"{min(seconds):.1f} to {max(seconds):.1f}" if seconds else ""


def _range(shares: list[float]) -> str:
    return f"{100 * min(shares):.0f} to {100 * max(shares):.0f} %"


class _Bench:
    """The cluster, what it makes undisturbed, and how long that takes."""

    def __init__(self, settings: Settings, folder: str, manifest: str):
        self._settings, self._folder, self._manifest = settings, folder, manifest
        self.cluster = DaskCluster(folder)
        self._draw = random.Random(settings.seed)
        self._content: dict[str, dict[str, str]] = {}
        self._stages: dict[str, set[str]] = {kind: set() for kind in work.KINDS}

    def _command(self, kind: str, output: str, alone: bool = False) -> list[str]:
        flags = [] if alone else self.cluster.flags
        seconds = self._settings.job_seconds
        return work.command(kind, self._manifest, output, flags, seconds)

    def run_undisturbed(self, kind: str) -> None:
        """Makes what the others are compared with, by this machine alone and by the cluster."""
        for alone in (True, False):
            output = os.path.join(self._folder, f"{'alone' if alone else 'undisturbed'}-{kind}")
            process = work.start(self._command(kind, output, alone), f"{output}.log")
            while process.poll() is None:
                self._stages[kind].update(work.stages(output))
                time.sleep(0.02)
            if process.returncode:
                raise RuntimeError(work.said(f"{output}.log", 3000))
            made = work.content(kind, output)
            if self._content.setdefault(kind, made) != made:
                raise RuntimeError(f"{kind}: the cluster makes something else than one machine")
        stages = ", ".join(sorted(self._stages[kind]))
        harness.progress(f"{kind}: {len(made)} parts, the same without a cluster; jobs in {stages}")

    def disturbed(self, fault: str, kind: str, number: int) -> Outcome:
        """One run with a fault; a run whose moment did not serve is done again."""
        output = os.path.join(self._folder, f"{fault}-{number}")
        log = f"{output}.log"
        while True:
            self.cluster.start()
            process = work.start(self._command(kind, output), log)
            stage = self._draw.choice(sorted(self._stages[kind]))
            done = self._wait_for_moment(process, os.path.join(output, stage))
            victims = self.cluster.at_work()
            if fault == "link":  # the first host is the scheduler's and the command's
                victims = [host for host in victims if host != 1]
            if process.poll() is None and done < 1 and victims:
                break
            work.wait(process)
            shutil.rmtree(output)
        begin = time.monotonic()
        what = self._break(fault, self._draw.choice(victims))
        code = work.wait(process)
        seconds = time.monotonic() - begin
        line = ""
        if code:
            line = work.last_line(log)
            self.cluster.start()
            work.run_to_end(self._command(kind, output), log)
        same = work.content(kind, output) == self._content[kind]
        harness.progress(
            f"{kind}, {100 * done:.0f} % done, {what}: {seconds:.0f} s to the end, exit {code}, "
            f"same: {same} {line}"
        )
        if same:
            shutil.rmtree(output)
        return Outcome(same, code == 0, seconds, done, line)

    def _wait_for_moment(self, process: subprocess.Popen, folder: str) -> float:
        """Until a share of the jobs of a stage is done that is drawn here; the share that is."""
        wanted, share = self._draw.random(), 0.0
        while process.poll() is None:
            done, count = work.jobs_done(folder)
            share = done / count if count else 0.0
            if done and share >= wanted:
                break
            time.sleep(0.01)
        return share

    def _break(self, fault: str, host: int) -> str:
        if fault == "worker":
            self.cluster.kill_worker(host)
            return f"worker {host} killed"
        if fault == "scheduler":
            self.cluster.kill_scheduler()
            return "scheduler killed"
        hosts.cut(host)
        try:
            time.sleep(self._settings.cut_seconds)
        finally:
            hosts.restore(host)
        return f"host {host} cut off"
