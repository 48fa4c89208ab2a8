"""A training step as a folder that jax alone can run, and its state back as a checkpoint."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import os
import re

import numpy as np

from audio_triplet import storage
from audio_triplet.config import RunConfig
from audio_triplet.errors import ConfigError, ExportError, TrainingError, UsageError
from audio_triplet.provenance import provenance

FORMAT = 1
PROGRAM, STATE, VISITS, MANIFEST = "step.stablehlo", "state.npz", "visits.npy", "manifest.json"
# Read by every StableHLO since 2024.
_STABLEHLO = "1.0.0"


def export_step(
    trainer,
    source,
    folder: str,
    steps_per_call: int = 1,
    devices: int = 1,
    corpus_bits: int = 16,
) -> dict:
    """Writes a step and its state, see `audio_triplet.training.pjrt_runner`.

    Args:
      trainer: On one device, new or restored.
      source: Prepared shards on this machine.
      folder: Is replaced, whole or not at all.
      steps_per_call: Most steps that the runner makes in a call.
      devices: That share a batch.
      corpus_bits: Of a mel energy, see `resident.ResidentPatches`.

    Returns:
      The manifest.

    Raises:
      ConfigError: The corpus cannot be resident, or no step is left.
      UsageError: There is no jax.
    """
    from audio_triplet.data import resident
    from audio_triplet.training import pjrt_runner, step_program

    config, first = trainer.config, trainer.steps_done
    left = config.training.steps - first
    if left <= 0:
        raise ConfigError(f"steps={config.training.steps}: all of them are done; give more")
    feed = resident.ResidentFeed(source, config.triplets, config.pipeline, bits=corpus_bits)
    program = step_program.lower(trainer, feed, steps_per_call, devices)
    stablehlo = to_stablehlo(program)
    state, corpus = {}, {}
    for name, variable in program.variables.items():
        is_corpus = name.startswith(step_program.CORPUS)
        (corpus if is_corpus else state)[name] = variable.numpy()
    manifest = {
        "format": FORMAT,
        "program": hashlib.sha256(stablehlo).hexdigest(),
        "parameters": program.parameters,
        "results": program.results,
        "scalars": list(trainer.scalars),
        "steps_per_call": steps_per_call,
        "devices": devices,
        "corpus": [name.removeprefix(step_program.CORPUS) for name in corpus],
        "corpus_bytes": sum(array.nbytes for array in corpus.values()),
        "first_step": first,
        "steps": config.training.steps,
        "patches_per_step": 2 * config.pipeline.batch_size,
        "precision": trainer.precision,
        "config": dataclasses.asdict(config),
        **provenance(),
    }
    visits = step_program.visit_array(feed, config.triplets, first, left)
    with storage.replacing(folder) as path:
        os.makedirs(os.path.join(path, "corpus"))
        for name, array in corpus.items():
            name = name.removeprefix(step_program.CORPUS)
            np.save(os.path.join(path, "corpus", f"{name}.npy"), array)
        np.save(os.path.join(path, VISITS), visits)
        state |= {"step": np.array(first), "program": np.array(manifest["program"])}
        np.savez(os.path.join(path, STATE), **state)
        with open(os.path.join(path, PROGRAM), "wb") as file:
            file.write(stablehlo)
        with open(pjrt_runner.__file__, encoding="utf-8") as file:
            storage.write_text(os.path.join(path, "run.py"), file.read())
        storage.write_json(os.path.join(path, MANIFEST), manifest)
    return manifest


def to_stablehlo(program) -> bytes:
    """A `step_program.StepProgram` as portable StableHLO; state that it replaces is donated.

    Raises:
      ExportError: It is not portable.
      UsageError: There is no jax.
    """
    try:
        from jax.interpreters import mlir
        from jaxlib.mlir import ir
    except ImportError as error:
        raise UsageError(
            "jax is not installed, which writes StableHLO; pip install 'audio_triplet[pjrt]'"
        ) from error
    try:
        from jaxlib import _jax as native  # type: ignore[attr-defined]
    except ImportError:  # before jax 0.7
        from jaxlib import xla_extension as native

    if hasattr(native.mlir, "hlo_to_stablehlo"):
        module = native.mlir.hlo_to_stablehlo(program.hlo)
    else:
        module = native.mlir.xla_computation_to_mlir_module(native.XlaComputation(program.hlo))
    with mlir.make_ir_context():
        parsed = ir.Module.parse(module)
        (main,) = (op for op in parsed.body.operations if str(op.name) == '"main"')
        place = {name: number for number, name in enumerate(program.parameters)}
        donated = {place[name]: n for n, name in enumerate(program.results) if name in place}
        number = ir.IntegerType.get_signless(32)
        attributes = [
            {"tf.aliasing_output": ir.IntegerAttr.get(number, donated[n])} if n in donated else {}
            for n in range(len(place))
        ]
        main.arg_attrs = ir.ArrayAttr.get([ir.DictAttr.get(each) for each in attributes])
        text = parsed.operation.get_asm(enable_debug_info=False)
    check_portable(text)
    return native.mlir.serialize_portable_artifact(text, _STABLEHLO)


def check_portable(stablehlo: str) -> None:
    """Raises ExportError for a program that calls what only some kind of device has."""
    foreign = sorted(set(re.findall(r"custom_call\s+@(\w+)", stablehlo)) - {"Sharding"})
    if foreign:
        raise ExportError(
            f"the step's program calls {', '.join(foreign)}, which not every device has; report it "
            "with the run's config.json"
        )


def import_state(path: str, manifest: dict, output_dir: str) -> int:
    """Makes a state that the runner wrote a checkpoint of a run.

    Args:
      path: A state of the runner; `metrics.csv` beside it goes into the run's.
      manifest: Of the exported step.
      output_dir: Folder of the run, new or with the same configuration.

    Returns:
      Steps done.

    Raises:
      TrainingError: The state is damaged, or of another program.
    """
    import tensorflow as tf

    from audio_triplet import distribution, locks
    from audio_triplet.training import checkpoints, step_program
    from audio_triplet.training.metrics_log import MetricsLog
    from audio_triplet.training.trainer import Trainer

    try:
        with np.load(path, allow_pickle=False) as file:
            state = {name: file[name] for name in file.files}
        step, made_by = int(state.pop("step")), str(state.pop("program"))
    except Exception as error:  # a damaged file raises many types
        raise TrainingError(f"{path}: cannot be read ({error}); give an earlier state") from error
    if made_by != manifest["program"]:
        raise TrainingError(f"{path}: is of another program than the manifest's; give its own")
    config = RunConfig.from_dict(manifest["config"])
    trainer = Trainer(config, distribution.build_strategy("cpu"))
    variables = step_program.named_variables(trainer)
    for name, value in state.items():
        variables[name].assign(value)
    with locks.exclusive(output_dir):
        if storage.exists(storage.join(output_dir, "config.json")):
            config.check_continues(RunConfig.read(output_dir), output_dir)
        config.write(output_dir)
        manager = tf.train.CheckpointManager(
            trainer.checkpoint(),
            storage.join(output_dir, "checkpoints"),
            max_to_keep=checkpoints.KEPT_CHECKPOINTS,
        )
        log = MetricsLog(output_dir, manifest["first_step"])
        rows = _metrics(os.path.join(os.path.dirname(path), "metrics.csv"), step)
        if rows:
            log.add(rows, 0.0, 0.0)
            log.flush()
        manager.save(step)
    return step


def _metrics(path: str, steps: int) -> list[tuple[int, dict[str, float]]]:
    """The rows that the runner wrote for the first steps; empty if there are none."""
    if not os.path.exists(path):
        return []
    with open(path, newline="", encoding="utf-8") as file:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    return [(int(row.pop("step")), row) for row in rows if row["step"] < steps]
