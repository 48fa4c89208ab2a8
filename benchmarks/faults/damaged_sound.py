"""Damaged sound files: reading thousands of them, and training on them."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator

from audio_triplet import storage
from audio_triplet.errors import UsageError
from benchmarks.faults import mutants, read_mutants
from benchmarks.faults.bench import Bench, Trial
from benchmarks.faults.jobs import SMALL, Job, orphans, read, training_result


def corrupt_audio(bench: Bench, first: int, count: int) -> Iterator[Trial]:
    """Reads mutants in child processes; if one dies, the next starts after the fatal mutant."""
    output = bench.path("corrupt_audio", f"{first}.jsonl")
    last = first + count
    while first < last:
        open(output, "w").close()
        command = [
            sys.executable,
            "-m",
            "benchmarks.faults.read_mutants",
            f"--first={first}",
            f"--last={min(last, first + 500)}",
            f"--output={output}",
            f"--recordings={','.join(bench.recordings)}",
        ]
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            hangs = _watch(child, output)
        finally:
            child.kill()
            child.wait()
        lines = [json.loads(line) for line in read(output).decode().splitlines()]
        done = [line for line in lines if "outcome" in line]
        for line in done:
            what = f"mutant {line['number']} ({line['extension']}, {line['kind']}): "
            problems = tuple(what + problem for problem in line["problems"])
            yield Trial(1, problems, line["outcome"])
        first += len(done)
        if hangs or child.returncode:
            if len(lines) == 2 * len(done):
                raise UsageError("the child that reads mutants fails before or after them")
            mutant = lines[-1]
            cause = "hangs" if hangs else f"ends by {child.returncode}"
            problem = f"mutant {first} ({mutant['extension']}, {mutant['kind']}): reader {cause}"
            yield Trial(1, (problem,), "crashed")
            first += 1


def _watch(child: subprocess.Popen, output: str) -> bool:
    """Waits for a reader of mutants; kills it, and reports so, if a mutant takes too long.

    The limit is in the reader's own processor time, which does not depend on other work on the
    machine; a much longer limit in wall time is for a reader that waits for ever.
    """
    size, used, seen = -1, 0.0, time.monotonic()
    while child.poll() is None:
        time.sleep(0.2)
        now, cpu = os.path.getsize(output), _cpu_seconds(child.pid)
        if now != size:
            size, used, seen = now, cpu, time.monotonic()
        elif cpu - used > 2 * read_mutants.MAX_CPU_SECONDS or time.monotonic() - seen > 300:
            return True
    return False


def _cpu_seconds(pid: int) -> float:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def corrupt_corpus(bench: Bench, first: int, count: int) -> Iterator[Trial]:
    """Trains and exports, decoding on the fly, on corpora of 50 mutants and the whole sounds."""
    made = mutants.Mutants(1, bench.recordings)
    for number in range(first, first + count):
        sound, out = bench.path("corpus", "sound"), bench.path("corpus", "out")
        for folder in (sound, out):
            shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(bench.sounds(), sound)
        for mutant in range(50 * number, 50 * number + 50):
            extension, data, _ = made.make(mutant)
            with open(os.path.join(sound, "low", f"mutant{mutant}.{extension}"), "wb") as file:
                file.write(data)
        job = Job(
            "experiments.train_embedding",
            lambda bench, sound=sound: [
                f"--corpus=folders:{sound}",
                "--on_the_fly",
                "--steps=8",
                "--max_bad_share=1",
                *SMALL,
            ],
            training_result,
        )
        command = bench.start(job, out, f"corpus/{number}.log")
        problems = []
        if command.wait(1800) != 0:
            problems.append(f"ends by {command.returncode}: {command.text[-300:]}")
        else:
            rows = job.result(out)["metrics"]
            if len(rows) != 8 or any(not abs(row["loss"]) < 10 for row in rows):
                problems.append(f"its losses are {[row['loss'] for row in rows]}")
            listed = storage.read_text(os.path.join(out, "bad_files.csv"))
            if re.search(r"/\d+\.flac", listed):
                problems.append("a whole file is listed as a bad one")
            problems += orphans(out)
        yield Trial(50, tuple(f"corpus {number}: {problem}" for problem in problems))
