"""Runs every stage against its peers and its goals.

    python -m benchmarks.run --output_dir=results
    python -m benchmarks.run --output_dir=/tmp/results --only=front_end,decode --corpus=esc50:DIR

Each stage runs in a process of its own, as `python -m benchmarks.STAGE` would run it; its time is
printed. Written to --output_dir after each: benchmarks.json and benchmarks.md, with machine,
commit, versions and command; stages that were not run keep their earlier results. Peers come with
`pip install -e '.[bench]'`; missing ones are named.
"""

import json
import os
import subprocess
import sys
import tempfile
import time

from absl import app, flags

from audio_triplet.commands import terminal
from audio_triplet.errors import UsageError
from benchmarks import harness

STAGES = (
    "start_up",
    "front_end",
    "resamplers",
    "decode",
    "feeding",
    "mining",
    "training_step",
    "embedding",
    "evaluation",
    "index",
    "index_tables",
    "growth",
)


def define_flags() -> None:
    """Defines the script's flags."""
    harness.define_flags()
    flags.DEFINE_list("only", [], f"Stages to run, of {', '.join(STAGES)}; all by default.")


def main(argv):
    """Runs the stages and writes their results."""
    if len(argv) > 1:
        raise app.UsageError(f"unknown arguments: {argv[1:]}")
    values = flags.FLAGS
    unknown = sorted(set(values.only) - set(STAGES))
    if unknown:
        raise app.UsageError(f"--only={','.join(unknown)}: the stages are {', '.join(STAGES)}")
    with terminal.clear_errors("benchmarks"):
        goals = []
        for stage in values.only or STAGES:
            tables = run_stage(stage)
            goals += [goal for table in tables for goal in table.goals]
            if values.output_dir:
                harness.write({stage: tables}, values.output_dir, "benchmarks", STAGES)
    print(f"{sum(not goal.met for goal in goals)} of {len(goals)} goals missed")


def run_stage(stage: str) -> list[harness.Table]:
    """Runs a stage in a process of its own.

    Raises:
      UsageError: It failed; its own message is on standard error.
    """
    values = flags.FLAGS
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            f"benchmarks.{stage}",
            f"--output_dir={folder}",
            f"--repeats={values.repeats}",
        ]
        if values.corpus:
            command.append(f"--corpus={values.corpus}")
        if subprocess.run(command, check=False).returncode:
            raise UsageError(f"stage {stage} failed; --only= names the stages to run")
        with open(os.path.join(folder, f"{stage}.json"), encoding="utf-8") as file:
            content = json.load(file)["parts"][stage]
            tables = [harness.Table.from_dict(table) for table in content["tables"]]
    harness.progress(f"{stage}: {time.monotonic() - begin:.0f} s")
    return tables


if __name__ == "__main__":
    define_flags()
    app.run(main)
