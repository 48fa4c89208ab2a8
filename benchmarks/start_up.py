"""Start-up: the time that a user waits before anything happens.

    python -m benchmarks.start_up

`--help` of every script (TensorFlow is imported only when needed); a cold search, the command from
its start to the hits, for a query of 5 s in an index of the released model; the import of
TensorFlow for comparison; and the time from starting a process to its first finished training step:
that import, building the encoder, tracing the step, and one step.
"""

import os
import pathlib
import subprocess
import sys
import tempfile

from audio_triplet.commands.main import COMMAND
from benchmarks import harness
from benchmarks.sounds import generated

_RATE = 44100
_SEARCH = "cold search: 5 s of Vorbis, to the hits"
_ROOT = pathlib.Path(__file__).parent.parent


def scripts() -> list[str]:
    """The commands of this repository, as they follow `python -m`: experiments and verbs."""
    paths = [*_ROOT.glob("data_prep/*.py"), *_ROOT.glob("experiments/*.py")]
    modules = [
        f"{path.parent.name}.{path.stem}"
        for path in sorted(paths)
        if '__name__ == "__main__"' in path.read_text(encoding="utf-8")
    ]
    verbs = [" ".join(["audio_triplet", *names]) for names in COMMAND.paths()]
    return [*modules, *verbs, "benchmarks.run"]


def measure() -> list[harness.Table]:
    """Times `--help` of all scripts, and a first step."""

    def command(*arguments):
        def call():
            done = subprocess.run(
                [sys.executable, *arguments],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                cwd=_ROOT,
                check=False,
            )
            if done.returncode not in (0, 1):  # absl's --help exits with 1
                raise RuntimeError(f"{arguments}: {done.stderr.decode()[-500:]}")

        return call

    table = harness.Table("Start-up", "wall time of a process, files in the page cache")
    calls = {f"{name} --help": command("-m", *name.split(), "--help") for name in scripts()}
    taken = harness.interleaved(calls, repeats=2)
    slowest = max(taken, key=lambda name: taken[name].median)
    table.add(f"slowest of {len(taken)} scripts: {slowest}", taken[slowest].median, "s")
    quickest = min(measurement.median for measurement in taken.values())
    table.add("quickest", quickest, "s")
    with tempfile.TemporaryDirectory() as folder:
        waveforms = [generated(5 * _RATE, _RATE, seed) for seed in range(20)]
        query, *_ = harness.write_sounds(os.path.join(folder, "sounds"), waveforms, _RATE, "ogg")
        index = f"--index={folder}/an.index"
        command("-m", "audio_triplet", "index", os.path.dirname(query), index)()
        search = {_SEARCH: command("-m", "audio_triplet", "search", query, index)}
        cold = harness.interleaved(search, repeats=7)[_SEARCH].median
        table.add(_SEARCH, cold, "s")
    others = {
        "import tensorflow": command("-c", "import tensorflow"),
        "to the first training step done": command("-m", "benchmarks.start_up", "first_step"),
    }
    for name, measurement in harness.interleaved(others, repeats=2).items():
        table.add(name, measurement.median, "s")
    table.goal("cold search, seconds", cold, 0.8, at_most=True)
    table.goal("--help of any script, seconds", taken[slowest].median, 1.0, at_most=True)
    verbs = [name for name in taken if name.startswith("audio_triplet")]
    slowest = max(verbs, key=lambda name: taken[name].median)
    table.goal(f"slowest verb: {slowest}, seconds", taken[slowest].median, 0.5, at_most=True)
    return [table]


def first_step() -> None:
    """One training step of the quarter-width encoder, on generated patches."""
    import tensorflow as tf

    from audio_triplet.config import EncoderConfig, PipelineConfig, RunConfig
    from audio_triplet.training.trainer import Trainer
    from benchmarks.training_step import random_batch

    trainer = Trainer(RunConfig(pipeline=PipelineConfig(16), encoder=EncoderConfig(width=0.25)))
    tf.debugging.check_numerics(trainer.step(random_batch(16))["loss"], "loss")


if __name__ == "__main__":
    if sys.argv[1:] == ["first_step"]:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        first_step()
    else:
        harness.main(measure)
