"""Scores of encoders that jax trained beside TensorFlow's: the same steps, table and seeds.

    python -m benchmarks.pjrt_scores --corpus=esc50:DIR --output_dir=OUT

Joint triplets, ESC-50's folds 1-4 for training and 5 for testing. TensorFlow trains as
`experiments.table1` does; jax runs the exported steps, on its CPU unless --platform says otherwise,
and its states become runs that `experiments.table1` only exports and scores. Written to OUT:
pjrt_scores.json, pjrt_scores.md. After a stop the same command continues.
"""

import json
import os
import subprocess
import sys
import time

from absl import flags

from audio_triplet.commands import terminal
from audio_triplet.errors import TrainingError
from experiments.lib import script

SCORES = {"qbe_map": "query by example", "query_map": "per query", "cls_map": "classification"}


def define_flags() -> None:
    """Defines the script's flags."""
    flags.DEFINE_string("corpus", None, "As of experiments.table1.", required=True)
    flags.DEFINE_string("output_dir", None, "Where to write.", required=True)
    flags.DEFINE_list("seeds", ["0", "1", "2"], "Seeds.")
    flags.DEFINE_float("width", 0.25, "Width of the encoder.")
    flags.DEFINE_integer("steps", 300, "Training steps.")
    flags.DEFINE_string("platform", "cpu", "Where jax trains: cpu, gpu or tpu.")


def main(argv: list[str]) -> None:
    """Runs the command."""
    del argv
    terminal.set_up_logging()
    values = flags.FLAGS
    out, width, steps = values.output_dir, values.width, values.steps
    with terminal.clear_errors("pjrt_scores"):
        prepared = os.path.join(out, "prepared")
        run("-m", "data_prep.prepare", f"--corpus={values.corpus}", f"--output_dir={prepared}")
        how = [f"--corpus={prepared}", f"--width={width}", f"--steps={steps}"]
        how += ["--recipe=short", "--precision=float32"]
        table = ["--rows=joint", f"--seeds={','.join(values.seeds)}", "--noreport"]
        under_jax = os.path.join(out, "jax")
        for seed in values.seeds:
            trained = os.path.join(under_jax, "runs", f"joint-seed{seed}")
            if os.path.isdir(trained):
                continue
            step = os.path.join(out, f"step-seed{seed}")
            if not os.path.isdir(os.path.join(step, "step")):
                run("-m", "experiments.export_step", *how, "--triplets=joint", f"--seed={seed}",
                    f"--output_dir={step}")  # fmt: skip
            run(os.path.join(step, "step", "run.py"), f"--platform={values.platform}")
            run("-m", "experiments.import_state", f"--step={step}/step", f"--output_dir={trained}")
        found = {}
        for name in ("jax", "tensorflow"):
            folder = os.path.join(out, name)
            run("-m", "experiments.table1", *how, *table, f"--output_dir={folder}")
            with open(os.path.join(folder, "table1.json"), encoding="utf-8") as file:
                (found[name],) = json.load(file)["rows"]
        page = markdown(found, f"width {width:g}, {steps} steps, seeds {', '.join(values.seeds)}")
        with open(os.path.join(out, "pjrt_scores.json"), "w", encoding="utf-8") as file:
            json.dump(found, file, indent=1)
        with open(os.path.join(out, "pjrt_scores.md"), "w", encoding="utf-8") as file:
            file.write(page)
    print(page)


def run(*arguments: str) -> None:
    """Runs Python; raises TrainingError if it fails."""
    began = time.monotonic()
    if subprocess.run([sys.executable, *arguments], check=False).returncode:
        raise TrainingError(f"{' '.join(arguments)}: failed, see above; then run this again")
    print(f"{arguments[1]}: {time.monotonic() - began:.0f} s", flush=True)


def markdown(rows: dict[str, dict], how: str) -> str:
    """The scores of the two side by side; each a table's row for joint triplets."""
    lines = [f"Joint triplets, {how}: mean over seeds, and each seed.", ""]
    lines += ["| trained by | " + " | ".join(SCORES.values()) + " |", "|---|---|---|---|"]
    for name, row in rows.items():
        cells = [
            f"{row[key]:.4f} ({', '.join(f'{each[key]:.4f}' for each in row['each'])})"
            for key in SCORES
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    script.start(define_flags, main)
