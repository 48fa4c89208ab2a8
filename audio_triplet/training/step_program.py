"""The training step as one XLA program, with everything that it reads and writes.

TensorFlow lowers `Trainer`'s step on a resident corpus to HLO. Its parameters are the step's
number, which chunks it visits, and the variables that it reads; its results are the scalars, and
the variables that it writes. What runs it needs no TensorFlow: see `pjrt_runner`. A program may
make many steps in a call, and it may be of several devices: then every device holds the corpus and
the state, and XLA divides the batch and what is made of it, with the sums and gathers that this
needs, so that mining and normalisation are the global batch's.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import numpy as np
import tensorflow as tf

from audio_triplet import draws
from audio_triplet.config import EXPLICIT, TripletConfig
from audio_triplet.data.resident import ResidentFeed
from audio_triplet.errors import ConfigError, ExportError
from audio_triplet.training.trainer import Trainer

STEP, COUNT, VISIT, SCALARS = "step", "count", "visit", "scalars"
CORPUS = "corpus/"


@dataclasses.dataclass(frozen=True, eq=False)
class StepProgram:
    """A training step for XLA.

    Attributes:
      hlo: A serialised HloModuleProto.
      parameters: Names, in order: `step` int64, the first; of many steps in a call `count` int32,
        how many to make; `visit` int32[steps, batch, columns]; variables as `named_variables` and
        `corpus/…` call them.
      results: Names, in order: `scalars` float32[steps, those of the trainer in their order], then
        variables, which are to replace the parameters of the same name.
      variables: Name → variable, of those among the parameters.
    """

    hlo: bytes
    parameters: tuple[str, ...]
    results: tuple[str, ...]
    variables: dict[str, tf.Variable]


def named_variables(trainer: Trainer) -> dict[str, tf.Variable]:
    """What a step of a trainer may read and write, by names that are the same in every process."""
    parts = {"encoder": trainer.encoder, "optimizer": trainer.optimizer}
    named = {
        f"{part}/{number}/{variable.name}": variable.value
        for part, owner in parts.items()
        for number, variable in enumerate(owner.variables)
    }
    return named | {f"memory/{name}": v for name, v in trainer.memory_variables.items()}


def visit_array(feed: ResidentFeed, triplets: TripletConfig, first: int, steps: int) -> np.ndarray:
    """What the host sends for each of some steps.

    Args:
      feed: The feed.
      triplets: How pairs are drawn.
      first: The first step.
      steps: How many.

    Returns:
      int32[steps, batch, columns]: handle and epoch of the visited chunk; of pairs in two chunks
      two handles, two epochs, and the label if there is one.
    """
    width = 2 if triplets.in_two_chunks else 1
    rows = []
    for visit in feed.visits(first).take(steps).as_numpy_iterator():
        columns = [visit["handles"][:, :width], visit["epochs"][:, :width]]
        if "label" in visit:
            columns.append(visit["label"][:, None])
        rows.append(np.concatenate(columns, axis=1).astype(np.int32))
    return np.stack(rows)


def lower(
    trainer: Trainer, feed: ResidentFeed, steps_per_call: int = 1, devices: int = 1
) -> StepProgram:
    """Lowers a trainer's step on a resident corpus.

    Args:
      trainer: On one replica, whatever the number of devices.
      feed: The corpus.
      steps_per_call: Most steps that a call makes.
      devices: Devices that share a batch.

    Raises:
      ConfigError: The trainer has several replicas, or the batch cannot be divided.
      ExportError: TensorFlow made a constant of a parameter.
    """
    if not trainer.replicas.alone:
        raise ConfigError("a step is exported from one replica; use --strategy=cpu")
    triplets = trainer.config.triplets
    explicit = triplets.constraints == EXPLICIT
    columns = 2 * (1 + triplets.in_two_chunks) + explicit
    batch_size = trainer.config.pipeline.batch_size
    if batch_size % devices:
        raise ConfigError(
            f"batch_size={batch_size}: not a multiple of {devices} devices; make it one"
        )

    def one(step, visit):
        visit = tf.cast(visit, tf.int64)
        if triplets.in_two_chunks:
            made = {"handles": visit[:, :2], "epochs": visit[:, 2:4]}
            made |= {"label": visit[:, 4]} if explicit else {}
        else:
            twice = tf.repeat(visit, 2, axis=1)
            made = {"handles": twice[:, :2], "epochs": twice[:, 2:]}
        with draws.for_xla():
            batch = feed.batch(made | {"step": step})
        batch = {name: _divided(value, devices) for name, value in batch.items()}
        values = trainer.replica_step(batch)
        return tf.stack([values[name] for name in trainer.scalars])

    def many(step, count, visits):
        values = tf.TensorArray(tf.float32, steps_per_call, element_shape=[len(trainer.scalars)])

        def body(number, values):
            made = one(step + tf.cast(number, tf.int64), visits[number])
            return number + 1, values.write(number, made)

        _, values = tf.while_loop(
            lambda number, values: number < count, body, (0, values), parallel_iterations=1
        )
        return values.stack()

    arguments = {
        STEP: tf.zeros([], tf.int64),
        COUNT: tf.zeros([], tf.int32),
        VISIT: tf.zeros([steps_per_call, batch_size, columns], tf.int32),
    }
    if steps_per_call == 1:
        del arguments[COUNT]

    @tf.function(autograph=False, jit_compile=True)
    def program(*given):
        return many(*given) if steps_per_call > 1 else one(given[0], given[1][0])[None]

    concrete = program.get_concrete_function(*arguments.values())
    intermediate = program.experimental_get_compiler_ir(*arguments.values())
    known = named_variables(trainer)
    known |= {CORPUS + name: variable for name, variable in feed.patches.arrays.items()}
    by_handle = {id(variable.handle): name for name, variable in known.items()}
    captured = [by_handle[id(handle)] for handle in concrete.captured_inputs]
    parameters = (*arguments, *captured)
    hlo = intermediate(stage="hlo")
    expected = len(re.findall(r" parameter\(\d+\)", hlo[hlo.index("ENTRY") :]))
    if expected != len(parameters):
        raise ExportError(
            f"the step's program has {expected} parameters and not {len(parameters)}: something "
            "became a constant; report it with the run's config.json"
        )
    replaced = _aliases(hlo)
    order = [parameters[replaced[1 + n]] for n in range(len(replaced))]
    return StepProgram(
        hlo=intermediate(stage="hlo_serialized"),
        parameters=parameters,
        results=(SCALARS, *order),
        variables={name: known[name] for name in captured},
    )


def _divided(value: tf.Tensor, devices: int) -> tf.Tensor:
    """Marks a tensor of a batch for XLA: each device has its part of it."""
    if devices == 1:
        return value
    from tensorflow.python.compiler.xla.experimental import xla_sharding  # has no public name

    return xla_sharding.split(value, 0, devices, use_sharding_op=True)


def _aliases(hlo: str) -> dict[int, int]:
    """Result → parameter that it replaces, from the header of a module's text."""
    header: Any = re.search(r"input_output_alias=\{(.*?)\}, \w+_", hlo.splitlines()[0])
    if not header:
        return {}
    pairs = re.findall(r"\{(\d+)\}: \((\d+),", header[1])
    return {int(result): int(parameter) for result, parameter in pairs}
