"""Parts that train or embed for hours, and parts that run the quick tests."""

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator

from benchmarks.faults import soak
from benchmarks.faults.bench import Bench, Trial
from benchmarks.faults.jobs import read


def soaked(name: str, minutes: int) -> Callable[[Bench, int, int], Iterator[Trial]]:
    """The part that trains or embeds for some minutes, see `benchmarks.faults.soak`."""

    def run(bench: Bench, first: int, count: int) -> Iterator[Trial]:
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
            found = json.loads(read(os.path.join(folder, "soak.json")))[name]
            yield Trial(
                1,
                tuple(soak.broken(found)),
                ", ".join(
                    f"{key} {' to '.join(map(str, value)) if isinstance(value, list) else value}"
                    for key, value in found.items()
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
        for case in ElementTree.parse(report).iter("testcase"):
            bad = [child for child in case if child.tag in ("failure", "error")]
            if any(child.tag == "skipped" for child in case):
                continue
            problem = tuple(f"{case.get('name')}: {child.get('message')}"[:500] for child in bad)
            yield Trial(1, problem, "passed" if not bad else "failed")
        if done.returncode not in (0, 1):
            yield Trial(1, (done.stdout[-500:],))

    return run
