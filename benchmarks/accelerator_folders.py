"""Makes the folder that `benchmarks.accelerator` measures on another machine, without TensorFlow.

    python -m benchmarks.accelerator_folders --corpus=PREPARED --output_dir=DIR

Writes DIR/folder: steps of the recipe `best` by width, architecture and batch in bfloat16; one in
float32 with the losses that TensorFlow has from it on this machine; the corpus, once; the runner
and `accelerator.py`. And the same as DIR/parts/part-00 …, each below --part_megabytes, for ways of
copying that have a limit: `cat part-* | tar x` there, then `python folder/accelerator.py`.
Weights of the large steps are not copied but drawn there, by their mean and deviation.
"""

import dataclasses
import os
import shutil
import tarfile
import tempfile

from absl import flags

from audio_triplet.commands import terminal
from experiments.lib import script

LOSSES = 20
_VISITED = 40


@dataclasses.dataclass(frozen=True)
class Kind:
    """A step to measure.

    Attributes:
      architecture: Of the encoder.
      width: Its width.
      batch_size: Triplets.
      steps_per_call: Steps that a call makes.
    """

    architecture: str
    width: float
    batch_size: int
    steps_per_call: int = 1

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.architecture}-{self.width:g}-{self.batch_size}-{self.steps_per_call}"


# What matters most comes first: time may end.
KINDS = (
    Kind("vggish", 1, 1024),
    Kind("vggish", 0.5, 1024),
    Kind("vggish", 0.25, 1024),
    Kind("vggish", 0.25, 1024, 20),
    Kind("resnet50", 1, 512),
    Kind("vggish", 1, 4096),
    Kind("vggish", 1, 128),
    Kind("vggish", 0.25, 128),
    Kind("vggish", 0.25, 128, 20),
)


def define_flags() -> None:
    """Defines the script's flags."""
    flags.DEFINE_string("corpus", None, "A prepared folder.", required=True)
    flags.DEFINE_string("output_dir", None, "Where to write.", required=True)
    flags.DEFINE_integer("part_megabytes", 48, "Largest part.", lower_bound=1)


def main(argv: list[str]) -> None:
    """Runs the command."""
    del argv
    terminal.set_up_logging()
    values = flags.FLAGS
    with terminal.clear_errors("accelerator_folders"):
        folder = os.path.join(values.output_dir, "folder")
        make(values.corpus, folder, KINDS, equal=Kind("vggish", 0.25, 64))
        parts = write_parts(folder, os.path.join(values.output_dir, "parts"), values.part_megabytes)
    print(f"{folder}; {len(parts)} parts beside it")


def make(prepared: str, folder: str, kinds, equal: Kind) -> None:
    """Makes a folder to measure.

    Args:
      prepared: A prepared corpus, all of which is taken.
      folder: Is replaced.
      kinds: Steps to measure, in order.
      equal: The step whose losses are compared, in float32.
    """
    from audio_triplet import provenance, storage
    from audio_triplet.data import shard_source
    from audio_triplet.training import pjrt_runner
    from benchmarks import accelerator

    source = shard_source.ShardChunks(prepared, ("train",))
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    index = {"equal": equal.name, "steps": [], "made_by": provenance.provenance()}
    _export(source, folder, equal, "float32")
    storage.write_json(
        os.path.join(folder, equal.name, "losses.json"), _losses(source, equal, prepared)
    )
    for kind in kinds:
        index["steps"].append(_export(source, folder, kind, "mixed_bfloat16"))
        step = os.path.join(folder, kind.name)
        for name in ("corpus", "state.npz", "run.py"):  # one for all, or made there
            path = os.path.join(step, name)
            shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)
        os.symlink(os.path.join("..", equal.name, "corpus"), os.path.join(step, "corpus"))
    storage.write_json(os.path.join(folder, "index.json"), index)
    shutil.copy(pjrt_runner.__file__, os.path.join(folder, "run.py"))
    shutil.copy(accelerator.__file__, folder)


def write_parts(folder: str, output_dir: str, megabytes: int) -> list[str]:
    """A folder as a tar file in parts of at most so many million bytes; their paths."""
    shutil.rmtree(output_dir, ignore_errors=True)
    os.makedirs(output_dir)
    parts = []
    with tempfile.TemporaryFile() as whole:
        with tarfile.open(fileobj=whole, mode="w") as tar:
            tar.add(folder, arcname=os.path.basename(folder))
        whole.seek(0)
        while content := whole.read(megabytes * 10**6):
            parts.append(os.path.join(output_dir, f"part-{len(parts):02d}"))
            with open(parts[-1], "wb") as file:
                file.write(content)
    return parts


def _config(kind: Kind, precision: str, corpus: str = ""):
    from audio_triplet.config import RunConfig
    from experiments import recipes

    best = recipes.load("best")
    return RunConfig(
        corpus=corpus,
        splits=("train",),
        triplets=best.triplets,
        pipeline=dataclasses.replace(best.pipeline, batch_size=kind.batch_size),
        encoder=dataclasses.replace(
            best.encoder, architecture=kind.architecture, width=kind.width, input_scaling=False
        ),
        training=dataclasses.replace(
            best.training,
            precision=precision,
            steps=max(_VISITED, LOSSES),
            learning_rate=1e-4,
            log_steps=1,
        ),
    )


def _export(source, folder: str, kind: Kind, precision: str) -> dict:
    """Exports a step; what `accelerator` has to know of it."""
    import numpy as np

    from audio_triplet import distribution
    from audio_triplet.training import step_program
    from audio_triplet.training.trainer import Trainer
    from benchmarks import training_step
    from experiments.lib import step_export

    trainer = Trainer(_config(kind, precision), distribution.build_strategy("cpu"))
    path = os.path.join(folder, kind.name)
    step_export.export_step(trainer, source, path, steps_per_call=kind.steps_per_call)
    filling = {}
    for name, variable in step_program.named_variables(trainer).items():
        value = variable.numpy()
        numbers = np.asarray(value, np.float64)
        mean, deviation = float(numbers.mean()), float(numbers.std())
        filling[name] = [list(value.shape), str(value.dtype), mean, deviation]
    return dataclasses.asdict(kind) | {
        "name": kind.name,
        "flops_per_patch": training_step.training_flops(trainer.encoder),
        "filling": filling,
    }


def _losses(source, kind: Kind, prepared: str) -> list[float]:
    """The first losses of TensorFlow on this machine."""
    from audio_triplet import distribution
    from audio_triplet.training import loop
    from audio_triplet.training.trainer import Trainer

    config = _config(kind, "float32", prepared)
    trainer = Trainer(config, distribution.build_strategy("cpu"))
    with tempfile.TemporaryDirectory() as folder:
        rows = loop.run(trainer, source, folder, progress=False, feed="pipeline")
    return [row["loss"] for row in rows[:LOSSES]]


if __name__ == "__main__":
    script.start(define_flags, main)
