"""Commands that are killed, interrupted, or started on a folder that another is writing."""

import random
import re
import shutil
import signal
import time
from collections.abc import Callable, Iterator

from benchmarks.faults.bench import Bench, Trial
from benchmarks.faults.jobs import JOBS, differences


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
            # By the signal itself: sent twice, or it had written everything and was on its way out.
            if twice or (code == -which and not differences(JOBS[name], out, reference)):
                allowed += (128 + which, -which)
            if code not in allowed or "Traceback" in command.text:
                problems.append(f"ends by {code}: {command.text[-500:]}")
            if (
                code == 130
                and not twice
                and not re.search(rf"continues: .*-m {re.escape(JOBS[name].module)} ", command.text)
            ):
                problems.append(f"does not say how to continue: {command.text[-500:]}")
            command.signal(signal.SIGKILL)
        if bench.start(JOBS[name], out, f"interrupt/{number}.log").wait():
            problems.append("the same command does not continue")
        else:
            problems += differences(JOBS[name], out, reference)
        where = f"trial {number}, {name}, {which.name}{' twice' if twice else ''}: "
        outcome = f"{name} ended by {code}" if code else f"{name} was done before"
        yield Trial(1, tuple(where + problem for problem in problems), outcome)


def raced(bench: Bench, first: int, count: int) -> Iterator[Trial]:
    """Starts two processes that write the same folder, the second a little after the first."""
    for number in range(first, first + count):
        draw, name, out, reference, seconds = bench.drawn("race", number)
        earlier = bench.start(JOBS[name], out, f"race/{number}-earlier.log")
        time.sleep(draw.uniform(0, 0.6) * seconds)
        later = bench.start(JOBS[name], out, f"race/{number}-later.log")
        codes = [earlier.wait(), later.wait()]
        refused = [c for c in (earlier, later) if "another process is writing it" in c.text]
        problems = []
        for code, command in zip(codes, (earlier, later), strict=True):
            if code and (command not in refused or "Traceback" in command.text):
                problems.append(f"ends by {code}: {command.text[-500:]}")
        if len(refused) == 2:
            problems.append("both were refused")
        problems += differences(JOBS[name], out, reference)
        where = f"trial {number}, {name}: "
        yield Trial(1, tuple(where + p for p in problems), f"{len(refused)} of 2 refused")
