"""Trains an exported step by jax alone, on whatever devices it finds: CPU, GPU or TPU.

`python run.py` needs jax and NumPy alone; the same command continues what was stopped.
"""

import argparse
import hashlib
import io
import json
import os
import pathlib
import signal
import sys
import time

import numpy as np

os.environ.setdefault("JAX_ENABLE_X64", "1")  # the step's number and keys have 64 bits
FORMAT = 1


class RunError(Exception):
    """What a user can fix, in one line: `WHAT: reason; fix`."""


def read_program(folder) -> tuple[dict, bytes]:
    """The manifest of an exported step, and its program."""
    try:
        manifest = json.loads(pathlib.Path(folder, "manifest.json").read_bytes())
        program = pathlib.Path(folder, "step.stablehlo").read_bytes()
    except (OSError, ValueError) as error:
        raise RunError(f"{folder}: cannot be read ({error}); export the step again") from error
    if (made := manifest.get("format")) != FORMAT:
        raise RunError(f"{folder}: is of format {made}; this runs {FORMAT}")
    if hashlib.sha256(program).hexdigest() != manifest["program"]:
        raise RunError(f"{folder}: step.stablehlo is not the manifest's; export the step again")
    return manifest, program


class Step:
    """A compiled program, and on its devices all that it reads and writes: `values` by name."""

    def __init__(self, folder, manifest, program, platform):
        import jax
        from jax.interpreters import mlir
        from jaxlib.xla_client import _xla as native  # noqa: PLC2701

        self.manifest, self.values = manifest, {}
        count, options = manifest["devices"], native.CompileOptions()
        try:
            found = jax.devices(platform or None)[:count]
        except RuntimeError as error:
            reason = f"no such device ({first_line(error)}); give another --platform"
            raise RunError(f"platform={platform}: {reason}") from error
        if len(found) < count:
            raise RunError(f"{folder}: is for {count} devices, {len(found)} found; export anew")
        self.device, client = found[0], found[0].client
        build = options.executable_build_options
        options.num_partitions = build.num_partitions = count
        build.use_spmd_partitioning = count > 1
        build.device_assignment = native.DeviceAssignment.create(np.array([[d.id for d in found]]))
        with mlir.make_ir_context():
            module = native.mlir.deserialize_portable_artifact(program)
            load = getattr(client, "compile_and_load", None)  # from jax 0.7 on
            on = [native.DeviceList(tuple(found))] if load else []
            self.program = (load or client.compile)(module, *on, options)
        mesh, spec = jax.sharding.Mesh(np.array(found), "all"), jax.sharding.PartitionSpec()
        self._place = jax.sharding.NamedSharding(mesh, spec) if count > 1 else self.device
        self._put, self._join = jax.device_put, jax.make_array_from_single_device_arrays
        for name in (f"corpus/{array}" for array in manifest["corpus"]):
            self.put({name: np.load(f"{folder}/{name}.npy", mmap_mode="r", allow_pickle=False)})

    def put(self, arrays) -> None:
        """Brings arrays to the devices."""
        self.values |= self._put(arrays, self._place)

    def call(self, step, visits) -> np.ndarray:
        """Makes the steps of some visits; their scalars, [most steps, scalars], not waited for."""
        visit = np.pad(visits, [(0, self.manifest["steps_per_call"] - len(visits)), (0, 0), (0, 0)])
        self.put({"step": np.int64(step), "count": np.int32(len(visits)), "visit": visit})
        given = [self.values[name] for name in self.manifest["parameters"]]
        parts = self.program.execute_sharded(given).disassemble_into_single_device_arrays()
        results = [self._join(p[0].shape, self._place, p) if len(p) > 1 else p[0] for p in parts]
        self.values |= dict(zip(self.manifest["results"], results, strict=True))
        return results[0]


def states_in(output: str) -> list[pathlib.Path]:
    """Paths of the states of a run, oldest first."""
    return sorted(pathlib.Path(output).glob(f"state-{'[0-9]' * 9}.npz"))


def newest_state(folder: str, output: str, program: str) -> tuple[int, dict[str, np.ndarray]]:
    """The state to go on from: the newest of a run that can be read, else the exported one."""
    for path in [*reversed(states_in(output)), pathlib.Path(folder, "state.npz")]:
        try:
            with np.load(path, allow_pickle=False) as file:
                state = dict(file)
            step, made_by = int(state.pop("step")), str(state.pop("program"))
        except Exception as error:  # a damaged file raises many types
            print(f"{path}: cannot be read ({first_line(error)})", file=sys.stderr)
            continue
        if made_by != program:
            raise RunError(f"{path}: is of another program; choose another --output_dir")
        return step, state
    raise RunError(f"{folder}: no state can be read; export the step again")


def write(path: pathlib.Path, content: bytes) -> None:
    """Writes a file whole or not at all."""
    try:
        with open(f"{path}.tmp", "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(f"{path}.tmp", path)
    except OSError as error:
        raise RunError(f"{path}: cannot be written ({error.strerror}); make room, rerun") from error


def train(folder, output, steps, platform, save_every, log_every) -> None:
    """Makes the remaining steps; see the top."""
    manifest, code = read_program(folder)
    visits = np.load(f"{folder}/visits.npy", mmap_mode="r", allow_pickle=False)
    step, state = newest_state(folder, output, manifest["program"])
    first, scalars, steps = manifest["first_step"], manifest["scalars"], steps or manifest["steps"]
    if steps > first + len(visits):
        raise RunError(f"steps={steps}: the export has {first + len(visits)}; export with more")
    os.makedirs(output, exist_ok=True)
    metrics, rows = pathlib.Path(output, "metrics.csv"), [",".join(["step", *scalars])]
    if metrics.exists():
        rows += [r for r in metrics.read_text().splitlines()[1:] if int(r.split(",")[0]) < step]
    program = Step(folder, manifest, code, platform)
    program.put(state)
    stop, pending, done, began = [], [], step, time.monotonic()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda n, frame: os._exit(128 + n) if stop else stop.append(n))
    while step < steps:
        ends = min(steps, *(step - step % every + every for every in (save_every, log_every)))
        count = min(ends - step, manifest["steps_per_call"])
        pending.append(program.call(step, visits[step - first :][:count]))
        step += count
        if step < ends and not stop:
            continue
        values = np.concatenate(pending)[: step - done]  # a call of fewer steps ends in zeros
        losses = values[:, scalars.index("loss")]
        if not np.isfinite(losses).all():
            bad = f"the loss is not finite from step {done + np.isfinite(losses).argmin()}"
            raise RunError(f"{output}: {bad}; the last good state is kept; lower the learning rate")
        new = enumerate(values.tolist(), done)
        rows += [",".join([str(n), *(f"{value:.9g}" for value in row)]) for n, row in new]
        rate = len(values) * manifest["patches_per_step"] / (time.monotonic() - began)
        said = f"step {step}: loss {losses[-1]:.5f}, {rate:.0f} patches/s"
        print(f"{said}, {program.device.device_kind}", flush=True)
        pending, done, began = [], step, time.monotonic()
        if stop or step == steps or step % save_every == 0:
            write(metrics, ("\n".join(rows) + "\n").encode())
            arrays, file = {name: np.asarray(program.values[name]) for name in state}, io.BytesIO()
            np.savez(file, **arrays, step=np.array(step), program=np.array(manifest["program"]))
            write(pathlib.Path(output, f"state-{step:09d}.npz"), file.getvalue())
            for path in states_in(output)[:-2]:
                path.unlink()
        if stop and step < steps:
            raise KeyboardInterrupt(f"stopped at step {step} of {steps}; the same command goes on")


def first_line(error) -> str:
    """The first line of an error's message."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]


def main() -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", default=pathlib.Path(__file__).parent, help="exported step")
    parser.add_argument("--output_dir", dest="output", default="", help="FOLDER/run by default")
    parser.add_argument("--steps", type=int, default=0, help="in all; the export's by default")
    parser.add_argument("--platform", default="", help="cpu, gpu or tpu; the fastest by default")
    parser.add_argument("--save_every", type=int, default=1000, help="steps between states")
    parser.add_argument("--log_every", type=int, default=20, help="steps between reads of values")
    given = parser.parse_args()
    given.output = given.output or f"{given.folder}/run"
    try:
        train(**vars(given))
    except KeyboardInterrupt as stopped:
        print(f"run: {stopped}", file=sys.stderr)
        return 130
    except (RunError, OSError) as error:
        print(f"run: {first_line(error)}", file=sys.stderr)
        return 1
    except (RuntimeError, ValueError, MemoryError) as error:
        full = "RESOURCE_EXHAUSTED" in str(error) or isinstance(error, MemoryError)
        fix = "a smaller batch or corpus" if full else "jax of about the manifest's version"
        print(f"run: the device: {first_line(error)}; use {fix}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
