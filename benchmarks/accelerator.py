"""Measures exported training steps on the fastest device here: needs jax and NumPy alone.

    python FOLDER/accelerator.py [--seconds=220]

FOLDER is made by `benchmarks.accelerator_folders`, on a machine with TensorFlow; this file lies in
it. Written to FOLDER/results: accelerator.json and accelerator.md, anew after every measurement.

- Whether the first 20 losses in float32 are those of TensorFlow on the CPU.
- The largest rate of a bfloat16 matrix product.
- Patches per second of each step, its share of that rate (operations of the convolutions, forward
  and both gradients), and the memory that the program takes beyond corpus and state.
- The share of time that the host needs to start a step (the device waits where it nears 1), and the
  share that many steps in one call save: then nothing is between the steps.
"""

import os

os.environ.setdefault("NVIDIA_TF32_OVERRIDE", "0")  # float32 is float32; read when CUDA starts

import argparse
import importlib.util
import json
import sys
import time

import numpy as np


def load_runner(folder: str):
    """The runner in a folder, as a module."""
    spec = importlib.util.spec_from_file_location("runner", os.path.join(folder, "run.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def made_state(filling: dict[str, list], seed: int = 0) -> dict[str, np.ndarray]:
    """Arrays like those of a state: name → [shape, dtype, mean, deviation]."""
    random = np.random.default_rng(seed)
    return {
        name: (mean + deviation * random.standard_normal(shape)).astype(dtype)
        for name, (shape, dtype, mean, deviation) in filling.items()
    }


def peak_gigaflops(device, seconds: float = 1.0) -> float:
    """The largest rate of a bfloat16 matrix product on a device."""
    import jax
    import jax.numpy as jnp

    size = 512 if device.platform == "cpu" else 8192
    matrix = jax.device_put(jnp.ones((size, size), jnp.bfloat16), device)
    product = jax.jit(jnp.matmul)
    product(matrix, matrix).block_until_ready()
    best, end = np.inf, time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.monotonic()
        for _ in range(4):
            result = product(matrix, matrix)
        result.block_until_ready()
        best = min(best, (time.monotonic() - began) / 4)
    return 2 * size**3 / best / 1e9


def largest_difference(runner, folder: str, platform: str) -> tuple[float, int]:
    """Of a step's losses to those in `losses.json` beside it, relative; and of how many."""
    step = runner.Step(folder, *runner.read_program(folder), platform)
    first, state = runner.newest_state(folder, "", step.manifest["program"])
    step.put(state)
    visits = np.load(os.path.join(folder, "visits.npy"), allow_pickle=False)
    with open(os.path.join(folder, "losses.json"), encoding="utf-8") as file:
        expected = np.array(json.load(file))
    place = step.manifest["scalars"].index("loss")
    scalars = [step.call(first + n, visits[n : n + 1]) for n in range(len(expected))]
    losses = [float(np.asarray(found)[0, place]) for found in scalars]
    return float(np.max(np.abs(losses / expected - 1))), len(expected)


def measure(runner, folder: str, filling: dict, platform: str, seconds: float) -> dict:
    """Seconds per step, and what the host and the memory have to do with it."""
    began = time.monotonic()
    step = runner.Step(folder, *runner.read_program(folder), platform)
    step.put(made_state(filling))
    visits = np.load(os.path.join(folder, "visits.npy"), allow_pickle=False)
    many = step.manifest["steps_per_call"]
    blocks = [visits[n : n + many] for n in range(0, len(visits) - many + 1, many)]

    def timed(calls: int) -> tuple[float, float]:  # seconds of all, and until all were started
        start = time.monotonic()
        for n in range(calls):
            found = step.call(n * many, blocks[n % len(blocks)])
        started = time.monotonic()
        if not np.isfinite(np.asarray(found)).all():
            raise runner.RunError(f"{folder}: its values are not finite; make the folder again")
        return time.monotonic() - start, started - start

    timed(1)
    ready = time.monotonic() - began
    one = min(timed(1)[0] for _ in range(2))
    calls = max(2, min(1000, int(seconds / one)))
    whole, host = timed(calls)
    found = {
        "seconds_per_step": whole / calls / many,
        "host_share": host / whole,
        "seconds_to_start": ready,
    }
    stats = step.program.get_compiled_memory_stats()
    for name in ("temp", "argument"):
        found[f"{name}_bytes"] = getattr(stats, f"{name}_size_in_bytes", None)
    in_use = (step.device.memory_stats() or {}).get("peak_bytes_in_use")
    return found | {"peak_bytes_in_use": in_use}


def main() -> int:
    """Measures, and prints the table."""
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", default=here, help="what accelerator_folders made")
    parser.add_argument("--output_dir", default="", help="FOLDER/results by default")
    parser.add_argument("--platform", default="", help="cpu, gpu or tpu; the fastest by default")
    parser.add_argument("--seconds", type=float, default=220, help="begin nothing after these")
    parser.add_argument("--each", type=float, default=2, help="seconds of a measurement")
    given = parser.parse_args()
    end = time.monotonic() + given.seconds
    folder, output = given.folder, given.output_dir or os.path.join(given.folder, "results")
    os.makedirs(output, exist_ok=True)
    runner = load_runner(folder)
    import jax

    try:
        device = jax.devices(given.platform or None)[0]
        with open(os.path.join(folder, "index.json"), encoding="utf-8") as file:
            index = json.load(file)
    except (RuntimeError, OSError) as error:
        print(f"accelerator: {runner.first_line(error)}", file=sys.stderr)
        return 1
    result = {"device": device.device_kind, "platform": device.platform, "jax": jax.__version__}
    result |= {"made_by": index["made_by"], "rows": []}
    result["losses_differ_by"], result["losses"] = largest_difference(
        runner, os.path.join(folder, index["equal"]), given.platform
    )
    result["matrix_product_gigaflops"] = peak_gigaflops(device)
    for entry in index["steps"]:
        row = {name: value for name, value in entry.items() if name != "filling"}
        if time.monotonic() > end:
            row["failed"] = f"not run: {given.seconds:g} s were over"
        else:
            path = os.path.join(folder, entry["name"])
            try:
                row |= measure(runner, path, entry["filling"], given.platform, given.each)
            except (RuntimeError, ValueError, runner.RunError) as error:
                row["failed"] = runner.first_line(error)
        result["rows"].append(row)
        runner.write(
            os.path.join(output, "accelerator.json"), json.dumps(result, indent=1).encode()
        )
        runner.write(os.path.join(output, "accelerator.md"), markdown(result).encode())
    print(markdown(result))
    return 0


def markdown(result: dict) -> str:
    """The results as a page."""
    peak = result["matrix_product_gigaflops"]
    lines = [
        f"# {result['device']}, jax {result['jax']}",
        "",
        f"The first {result['losses']} losses in float32 are within "
        f"{result['losses_differ_by']:.1e} of TensorFlow's on a CPU. A bfloat16 matrix product "
        f"runs at {peak / 1000:.3g} TFLOP/s.",
        "",
        "| step | steps a call | patches/s | of the product's rate | host's share | memory | "
        "between steps |",
        "|---|---|---|---|---|---|---|",
    ]
    singles = {}
    for row in result["rows"]:
        name = f"{row['architecture']}, width {row['width']:g}, batch {row['batch_size']}"
        many = row["steps_per_call"]
        if "failed" in row:
            lines.append(f"| {name} | {many} | {row['failed']} | | | | |")
            continue
        rate = 2 * row["batch_size"] / row["seconds_per_step"]
        share = rate * row["flops_per_patch"] / 1e9 / peak
        memory = "" if row["temp_bytes"] is None else f"{row['temp_bytes'] / 1e9:.2f} GB"
        between = ""
        if many == 1:
            singles[name] = row["seconds_per_step"]
        elif name in singles:
            between = f"{max(0.0, 1 - row['seconds_per_step'] / singles[name]):.1%}"
        cells = [name, many, f"{rate:,.0f}", f"{share:.1%}", f"{row['host_share']:.1%}"]
        lines.append("| " + " | ".join(map(str, [*cells, memory, between])) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
