"""Preparing with kills at random moments, which must end with the same bytes."""

import json
import os
import random
import shutil
import signal
import subprocess
import time

from audio_triplet import locks
from benchmarks import harness
from benchmarks.scaling.clips import digests, prepare_command, run_whole
from benchmarks.scaling.settings import Settings


def measure(settings: Settings, clips: str, undisturbed: str, folder: str) -> harness.Table:
    """Kills runs at random moments, and compares their final output with an undisturbed run's."""
    table = harness.Table(
        "Killed while preparing",
        f"{settings.few_clips} clips; kill -9 at moments drawn evenly "
        "from the time an undisturbed run takes, start-up excluded; then the run is started once "
        "more and not killed",
    )
    (killed, ended, resumed), _ = harness.in_child(
        "benchmarks.scaling.kills:kill_threads",
        clips=clips,
        output=os.path.join(folder, "killed"),
        undisturbed=undisturbed,
        kills=settings.kills,
        seed=settings.seed,
    )
    table.add(
        "kills of a process and its threads",
        killed,
        more={"with finished shards": resumed},
        note=f"{ended} runs had ended before their moment came, and were compared too",
    )
    if settings.beam_kills:
        resumed = kill_beam(settings, clips, os.path.join(folder, "killed-beam"))
        table.add(
            "kills of a Beam pipeline",
            settings.beam_kills,
            more={"with finished shards": resumed},
            note="in turns its driver alone, and driver and workers",
        )
    whole = digests(undisturbed)
    for name in ("killed", "killed-beam") if settings.beam_kills else ("killed",):
        same = digests(os.path.join(folder, name)) == whole
        table.goal(f"{name}: all files byte for byte as undisturbed (1: yes)", float(same), 1)
    return table


def kill_threads(
    clips: str, output: str, undisturbed: str, kills: int, seed: int
) -> tuple[int, int, int]:
    """Forks runs and kills them; for a process of its own, whose TensorFlow has done nothing yet.

    Returns:
      Kills, runs that ended before, and runs that were killed when they had finished shards.
    """
    import tensorflow  # noqa: F401  Once, and not in every fork.

    from audio_triplet.config import PrepareConfig
    from audio_triplet.corpora import registry
    from data_prep import preparation

    manifest = registry.load_corpus(f"folders:{clips}")

    def start() -> int:
        child = os.fork()
        if child == 0:
            try:
                config = PrepareConfig(num_shards=4)
                preparation.prepare(manifest, output, config, progress=False)
                os._exit(0)
            finally:
                os._exit(1)
        return child

    def ended_well(status: int) -> bool:
        return os.waitstatus_to_exitcode(status) == 0 and digests(output) == digests(undisturbed)

    begin = time.monotonic()
    assert ended_well(os.waitpid(start(), 0)[1])
    span, draw = time.monotonic() - begin, random.Random(seed)
    shutil.rmtree(output)
    done = ended = resumed = 0
    while done < kills:
        child = start()
        time.sleep(draw.uniform(0, span))
        over, status = os.waitpid(child, os.WNOHANG)
        if over:
            assert ended_well(status)
            ended += 1
            shutil.rmtree(output)
            continue
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        done += 1
        if os.path.isdir(output):
            resumed += any(name.endswith(".tfrecord") for name in os.listdir(output))
    assert ended_well(os.waitpid(start(), 0)[1])
    return done, ended, resumed


def kill_beam(settings: Settings, clips: str, output: str) -> int:
    """Kills Beam pipelines, then lets one end; how many had finished shards when killed."""
    draw, done, resumed = random.Random(settings.seed), 0, 0
    arguments = prepare_command(clips, output, "--direct_num_workers=2")
    while done < settings.beam_kills:
        process = subprocess.Popen(
            arguments,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while process.poll() is None and holder(output) != process.pid:
            time.sleep(0.02)
        moment = time.monotonic() + draw.uniform(0, settings.beam_kill_seconds)
        while process.poll() is None and time.monotonic() < moment:
            time.sleep(0.02)
        if process.poll() is not None:
            shutil.rmtree(output)
            continue
        resumed += any(name.endswith(".tfrecord") for name in os.listdir(output))
        if done % 2:
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        end_session(process.pid)
        done += 1
    run_whole(arguments)
    return resumed


def holder(folder: str) -> int | None:
    """The process that holds the lock of a folder."""
    try:
        with open(os.path.join(folder, locks.LOCK_FILE), encoding="utf-8") as file:
            return json.load(file)["process"]
    except (OSError, ValueError):
        return None


def end_session(leader: int) -> None:
    """Waits for workers whose driver was killed to end by themselves; ends them after a while."""
    for _ in range(300):
        try:
            os.killpg(leader, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    os.killpg(leader, signal.SIGKILL)
