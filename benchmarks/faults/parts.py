"""Breaks things for as long as it is given, and counts what does not keep its promise.

    python -m benchmarks.faults --output_dir=results                 # hours
    python -m benchmarks.faults --output_dir=/tmp/faults --only=kill_training --trials=5

Each part states a promise and tries it: sound files are damaged by the thousand, commands are
killed, interrupted and starved of disk at random moments, finished files are damaged. The results
of each trial are kept in --work_dir, so that a part that is stopped goes on where it was, and
more --trials add to those that are there. Written to --output_dir after every part: faults.json
and faults.md; parts without trials there keep the rows that these files had. The quick part of all
this is `tests/robustness`.
"""

import contextlib
import dataclasses
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

from audio_triplet import storage
from audio_triplet.errors import UsageError
from benchmarks.faults import mutants
from benchmarks.faults.bench import NOBODY, Bench, Part, Trial
from benchmarks.faults.commands import Command
from benchmarks.faults.jobs import JOBS, SMALL, Job, differences, orphans, read, training_result

# --- the parts ------------------------------------------------------------------------------------


def corrupt_audio(bench: Bench, first: int, count: int) -> Iterator[Trial]:
    """Reads mutants in child processes, which are started again behind one that they die of."""
    output = bench.path("corrupt_audio", f"{first}.jsonl")
    last = first + count
    while first < last:
        open(output, "w").close()
        command = [
            sys.executable,
            "-m",
            "benchmarks.faults.mutants",
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
                raise UsageError("the child that reads mutants fails outside of them")
            mutant = lines[-1]
            cause = "hangs" if hangs else f"ends by {child.returncode}"
            problem = f"mutant {first} ({mutant['extension']}, {mutant['kind']}): reader {cause}"
            yield Trial(1, (problem,), "crashed")
            first += 1


def _watch(child: subprocess.Popen, output: str) -> bool:
    """Waits for a reader of mutants; kills it, and says so, if one takes too long.

    Time is the reader's own processor time, which other work on the machine does not stretch, or
    a great deal of everybody's, if it waits for something that does not come.
    """
    size, used, seen = -1, 0.0, time.monotonic()
    while child.poll() is None:
        time.sleep(0.2)
        now, cpu = os.path.getsize(output), _cpu_seconds(child.pid)
        if now != size:
            size, used, seen = now, cpu, time.monotonic()
        elif cpu - used > 2 * mutants.MAX_CPU_SECONDS or time.monotonic() - seen > 300:
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
    extensions = {entry[0] for entry in mutants.SEEDS}
    for number in range(first, first + count):
        sound, out = bench.path("corpus", "sound"), bench.path("corpus", "out")
        for folder in (sound, out):
            shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(bench.sounds(), sound)
        for mutant in range(50 * number, 50 * number + 50):
            extension, data, _ = made.make(mutant)
            assert extension in extensions or bench.recordings
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


def killed(name: str) -> Callable[[Bench, int, int], Iterator[Trial]]:
    """The part that kills a job by -9 up to five times, lets it finish, and compares."""

    def run(bench: Bench, first: int, count: int) -> Iterator[Trial]:
        reference, seconds = bench.reference(name)
        while count > 0:
            draw = random.Random(f"{name} {first}")
            out, kills, moments = bench.path(f"kill_{name}", "out"), 0, []
            shutil.rmtree(out, ignore_errors=True)
            code = -signal.SIGKILL
            while code == -signal.SIGKILL:
                command = bench.start(JOBS[name], out, f"kill_{name}/{first}.log")
                if kills < min(5, count):
                    begin = time.monotonic()
                    command.wait(draw.uniform(0, 0.7 * seconds))
                    if command.signal(signal.SIGKILL):
                        kills += 1
                        moments.append(f"{time.monotonic() - begin:.1f}")
                code = command.wait()
            problems = differences(JOBS[name], out, reference)
            if code:
                problems = [f"ends by {code}: {command.text[-500:]}"]
            where = f"run {first}, killed after {', '.join(moments)} s: "
            yield Trial(kills, tuple(where + problem for problem in problems))
            count, first = count - kills, first + max(1, kills)
            if not kills:  # it was quicker than its undisturbed run
                seconds /= 2

    return run


def interrupted(bench: Bench, first: int, count: int) -> Iterator[Trial]:
    """Ctrl-C or SIGTERM at a random moment; in every second trial, twice."""
    for number in range(first, first + count):
        draw, name, out, reference, seconds = bench.drawn("interrupt", number)
        command = bench.start(JOBS[name], out, f"interrupt/{number}.log")
        command.wait(draw.uniform(0.3, 0.8) * seconds)
        which, twice = draw.choice([signal.SIGINT, signal.SIGTERM]), number // len(JOBS) % 2
        problems, code = [], 0
        if command.signal(which):
            begin = time.monotonic()
            if twice:
                time.sleep(0.3)
                twice = command.signal(which)
                begin = time.monotonic()
            code = command.wait(120)
            took = time.monotonic() - begin
            bound = 5 if twice else 30
            if took > bound:
                problems.append(f"took {took:.0f} s to end")
            # -SIGALRM: it was kept alive by something and ended by its own watchdog.
            allowed = (0, 130, -signal.SIGALRM)
            # By the signal itself: told twice, or it had written everything and was on its way out.
            if twice or (code == -which and not differences(JOBS[name], out, reference)):
                allowed += (128 + which, -which)
            if code not in allowed or "Traceback" in command.text:
                problems.append(f"ends by {code}: {command.text[-500:]}")
            if (
                code == 130
                and not twice
                and not re.search(rf"continues: .*-m {re.escape(JOBS[name].module)} ", command.text)
            ):
                problems.append(f"does not say how to go on: {command.text[-500:]}")
            command.signal(signal.SIGKILL)
        if bench.start(JOBS[name], out, f"interrupt/{number}.log").wait():
            problems.append("the same command does not go on")
        else:
            problems += differences(JOBS[name], out, reference)
        where = f"trial {number}, {name}, {which.name}{' twice' if twice else ''}: "
        told = f"{name} ended by {code}" if code else f"{name} was done before"
        yield Trial(1, tuple(where + problem for problem in problems), told)


@contextlib.contextmanager
def _tmpfs(bench: Bench) -> Iterator[str]:
    """A file system of 64 MB in memory."""
    disk = bench.path("disk", "mounted")
    os.makedirs(disk, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", disk], check=True)
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


@contextlib.contextmanager
def _with_quota(bench: Bench) -> Iterator[str]:
    """A folder of a file system (btrfs, in a file) that keeps quotas."""
    if shutil.which("btrfs") is None:
        raise UsageError("the part quota needs btrfs: apt-get install btrfs-progs")
    disk, image = bench.path("quota", "mounted"), bench.path("quota", "image")
    os.makedirs(disk, exist_ok=True)
    with open(image, "wb") as file:
        file.truncate(256 << 20)
    subprocess.run(["mkfs.btrfs", "-q", "-f", image], check=True, capture_output=True)
    subprocess.run(["mount", "-o", "loop", image, disk], check=True)
    share = os.path.join(disk, "share")
    try:
        for words in (["quota", "enable", disk], ["subvolume", "create", share]):
            subprocess.run(["btrfs", *words], check=True, capture_output=True)
        yield share
    finally:
        subprocess.run(["umount", "-l", disk], check=True)
        os.unlink(image)


@dataclasses.dataclass(frozen=True)
class Trouble:
    """What happens to the folder that a command writes to.

    Attributes:
      disk: bench → the folder, for as long as it is needed.
      says: What the command has to say then.
      begin: (folder, output folder, the running command) → nothing; None for a folder that is not
        permitted from the start.
      mend: (folder) → nothing; the command is then run again, and must end as if undisturbed.
    """

    disk: Callable
    says: str
    begin: Callable[[str, str, Command], None] | None
    mend: Callable[[str], object] = lambda disk: None


def _read_only(disk: str, command: Command) -> None:
    # Refused while a file is open for writing; it will be closed before long.
    while (
        command.poll() is None
        and subprocess.run(
            ["mount", "-o", "remount,ro", disk], capture_output=True, check=False
        ).returncode
    ):
        time.sleep(0.02)


def _quota(share: str, most: str) -> None:
    # By number and from above: what is over its quota cannot be changed through itself.
    name = ["btrfs", "inspect-internal", "rootid", share]
    number = subprocess.run(name, check=True, capture_output=True, text=True).stdout.strip()
    limit = ["btrfs", "qgroup", "limit", most, f"0/{number}", os.path.dirname(share)]
    subprocess.run(limit, check=True, capture_output=True)


TROUBLES = {
    "full": Trouble(
        _tmpfs,
        r"no space left|No space left|free some",
        lambda disk, out, command: _fill(os.path.join(disk, "ballast")),
        lambda disk: os.unlink(os.path.join(disk, "ballast")),
    ),
    "read-only": Trouble(
        _tmpfs,
        r"[Rr]ead-only",
        lambda disk, out, command: _read_only(disk, command),
        lambda disk: subprocess.run(["mount", "-o", "remount,rw", disk], check=True),
    ),
    "vanished": Trouble(
        _tmpfs,
        r"No such file|not found|NOT_FOUND|does not exist|cannot be|missing",
        lambda disk, out, command: shutil.rmtree(out, ignore_errors=True),
    ),
    "not permitted": Trouble(_tmpfs, r"[Pp]ermission denied", None),
    "over quota": Trouble(
        _with_quota,
        r"no space left|quota",
        lambda disk, out, command: _quota(disk, "256K"),
        lambda disk: _quota(disk, "none"),
    ),
}


def starved(*names: str) -> Callable[[Bench, int, int], Iterator[Trial]]:
    """The part whose commands have the ground taken from under them in one of these ways."""

    def run(bench: Bench, first: int, count: int) -> Iterator[Trial]:
        for number in range(first, first + count):
            draw = random.Random(f"disk {number}")
            job = list(JOBS)[number % len(JOBS)]
            called = names[number // len(JOBS) % len(names)]
            with TROUBLES[called].disk(bench) as disk:
                log = f"starved/{called.replace(' ', '-')}-{number}.log"
                problems, code = _starve(bench, job, TROUBLES[called], disk, log, draw)
            where = f"trial {number}, {job}, {called}: "
            told = f"{called}: {'ended with an error' if code else 'was not in its way'}"
            yield Trial(1, tuple(where + problem for problem in problems), told)

    return run


def _starve(
    bench: Bench, name: str, trouble: Trouble, disk: str, log: str, draw: random.Random
) -> tuple[list[str], int]:
    """Runs a job into trouble, and again when it is mended; the problems, and how it ended."""
    (reference, seconds), out = bench.reference(name), os.path.join(disk, "out")
    problems, how = [], {}
    if trouble.begin is None:  # root may write everywhere, nobody may not
        os.makedirs(out, mode=0o755)
        how = {"user": NOBODY}
    command = bench.start(JOBS[name], out, log, **how)
    if trouble.begin is not None:
        command.wait(draw.uniform(0.2, 0.7) * seconds)
        trouble.begin(disk, out, command)
    code, text = command.wait(1800), command.text
    if code not in (0, 1) or "Traceback" in text:
        problems.append(f"ends by {code}: {text[-700:]}")
    elif code == 1 and not re.search(trouble.says, text.strip().split("\n")[-1]):
        problems.append(f"does not say why: {text[-500:]}")
    if trouble.begin is not None:
        trouble.mend(disk)
        again = bench.start(JOBS[name], out, log)
        if again.wait():
            problems.append(f"does not go on: {again.text[-500:]}")
        else:
            problems += differences(JOBS[name], out, reference)
    return problems, code


def _fill(path: str) -> None:
    """Writes until nothing more fits."""
    try:
        with open(path, "wb", buffering=0) as file:
            while file.write(bytes(1 << 16)):
                pass
    except OSError:
        pass


def raced(bench: Bench, first: int, count: int) -> Iterator[Trial]:
    """Two processes are told to write one folder, the second a little after the first."""
    for number in range(first, first + count):
        draw, name, out, reference, seconds = bench.drawn("race", number)
        one = bench.start(JOBS[name], out, f"race/{number}-one.log")
        time.sleep(draw.uniform(0, 0.6) * seconds)
        other = bench.start(JOBS[name], out, f"race/{number}-other.log")
        codes = [one.wait(), other.wait()]
        refused = [c for c in (one, other) if "another process is writing it" in c.text]
        problems = []
        for code, command in zip(codes, (one, other), strict=True):
            if code and (command not in refused or "Traceback" in command.text):
                problems.append(f"ends by {code}: {command.text[-500:]}")
        if len(refused) == 2:
            problems.append("both were refused")
        problems += differences(JOBS[name], out, reference)
        where = f"trial {number}, {name}: "
        yield Trial(1, tuple(where + p for p in problems), f"{len(refused)} of 2 refused")


def soaked(name: str, minutes: int) -> Callable[[Bench, int, int], Iterator[Trial]]:
    """The part that trains or embeds for so long, see `benchmarks.faults.soak`."""

    def run(bench: Bench, first: int, count: int) -> Iterator[Trial]:
        from benchmarks.faults import soak

        for number in range(first, first + count):
            folder = bench.path(f"soak_{name}", f"{number}")
            command = [
                sys.executable,
                "-m",
                "benchmarks.faults.soak",
                f"--output_dir={folder}",
                f"--{name}_minutes={minutes}",
            ]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                yield Trial(1, (f"ends by {done.returncode}: {done.stderr[-500:]}",), "ended early")
                continue
            told = json.loads(read(os.path.join(folder, "soak.json")))[name]
            yield Trial(
                1,
                tuple(soak.broken(told)),
                ", ".join(
                    f"{key} {' to '.join(map(str, value)) if isinstance(value, list) else value}"
                    for key, value in told.items()
                ),
            )

    return run


def quick_tests(*paths: str) -> Callable[[Bench, int, int], Iterator[Trial]]:
    """A part whose trials are the tests in some files, run by pytest."""

    def run(bench: Bench, first: int, count: int) -> Iterator[Trial]:
        del first, count
        report = bench.path("pytest.xml")
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", *paths],
            capture_output=True,
            text=True,
            check=False,
        )
        import xml.etree.ElementTree as tree

        for case in tree.parse(report).iter("testcase"):
            bad = [child for child in case if child.tag in ("failure", "error")]
            if any(child.tag == "skipped" for child in case):
                continue
            problem = tuple(f"{case.get('name')}: {child.get('message')}"[:500] for child in bad)
            yield Trial(1, problem, "passed" if not bad else "failed")
        if done.returncode not in (0, 1):
            yield Trial(1, (done.stdout[-500:],))

    return run


PARTS = (
    Part(
        "corrupt_audio",
        "A damaged sound file gives finite samples or one line that names it: no crash, no hang "
        "over 10 s, no NaN, not more than 512 MB",
        "tests/robustness/test_corrupt_audio.py",
        10_000,
        corrupt_audio,
    ),
    Part(
        "corrupt_corpus",
        "Training and export go on over damaged files, with finite losses, and list them",
        "tests/robustness/test_corrupt_audio.py",
        10,
        corrupt_corpus,
    ),
    *(
        Part(
            f"kill_{name}",
            f"{name.capitalize()} killed by -9 at random moments ends with the same bits as an "
            "undisturbed run, and leaves no half-written file",
            quick,
            trials,
            killed(name),
        )
        for name, trials, quick in (
            ("training", 25, "tests/test_training.py"),
            ("preparing", 20, "tests/data_prep/test_preparation.py"),
            ("table", 15, "tests/experiments/test_table1.py"),
            ("embedding", 15, "tests/test_archive.py"),
            ("indexing", 15, "tests/test_index.py"),
        )
    ),
    Part(
        "interrupt",
        "Ctrl-C and SIGTERM save, say how to go on and end within 30 s; a second one ends at once",
        "tests/test_cli.py, tests/test_training.py",
        16,
        interrupted,
    ),
    Part(
        "disk",
        "A disk that is full or read-only, a folder that vanishes or is not permitted: one line "
        "that says so; what was good stays, and the same command goes on when it can",
        "tests/robustness/test_disk.py",
        20,
        starved("full", "read-only", "vanished", "not permitted"),
    ),
    Part(
        "quota",
        "A quota that is used up: one line that says so; what was good stays, and the same command "
        "goes on when it is raised",
        "tests/robustness/test_disk.py",
        10,
        starved("over quota"),
    ),
    Part(
        "race",
        "Of two processes told to write one folder one wins, and the other says so",
        "tests/test_locks.py, tests/robustness/test_concurrency.py",
        8,
        raced,
    ),
    *(
        Part(
            f"soak_{name}",
            f"In {minutes} minutes of {name}, after a third to warm up, memory grows by less than "
            "1 MB a minute; open files, threads and pace stay",
            "tests/benchmarks/test_soak.py",
            1,
            soaked(name, minutes),
        )
        for name, minutes in (("training", 120), ("embedding", 60))
    ),
    Part(
        "artefacts",
        "Damaged shards, checkpoints, models, configurations and manifests are named, never "
        "silently used; nothing is unpickled, nothing is written outside its folder",
        "tests/robustness/test_artefacts.py",
        1,
        quick_tests("tests/robustness/test_artefacts.py"),
    ),
    Part(
        "numerics",
        "Silence, clipping, DC, impulses, denormals and 1e±30 give finite losses and unit vectors; "
        "bfloat16 stays near float32; batches without negatives have finite gradients",
        "tests/robustness/test_numerics.py",
        1,
        quick_tests("tests/robustness/test_numerics.py"),
    ),
    Part(
        "determinism",
        "The same seed on the same machine gives the same bits; threads and replicas a bound",
        "tests/robustness/test_determinism.py",
        1,
        quick_tests("tests/robustness/test_determinism.py"),
    ),
)
