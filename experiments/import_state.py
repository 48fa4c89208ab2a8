"""Makes what `run.py` of an exported step has trained a run of ours again.

    python -m experiments.import_state --step=STEP --output_dir=RUN

The newest state of STEP/run (or --state) becomes a checkpoint in RUN; the command that trains RUN,
`experiments.train_embedding` with the flags of the export, then continues or exports it.
"""

import os
import re

from absl import flags

from audio_triplet import storage
from audio_triplet.commands import terminal
from audio_triplet.errors import TrainingError
from experiments.lib import script, step_export


def define_flags() -> None:
    """Defines the script's flags."""
    flags.DEFINE_string("step", None, "Folder of the exported step.", required=True)
    flags.DEFINE_string("state", "", "A state; by default the newest in the step's `run`.")
    flags.DEFINE_string("output_dir", None, "Folder of the run.", required=True)


def main(argv: list[str]) -> None:
    """Runs the command."""
    del argv
    terminal.set_up_logging()
    with terminal.clear_errors("import_state"):
        values = flags.FLAGS
        manifest = read_manifest(values.step)
        state = values.state or newest_state(os.path.join(values.step, "run"))
        done = step_export.import_state(state, manifest, values.output_dir)
    print(f"{values.output_dir}: {done} steps from {state}")


def read_manifest(folder: str) -> dict:
    """The manifest of an exported step; TrainingError where there is none."""
    path = os.path.join(folder, step_export.MANIFEST)
    try:
        return storage.read_json(path)
    except (OSError, ValueError) as error:
        raise TrainingError(f"{path}: cannot be read; export the step again") from error


def newest_state(folder: str) -> str:
    """The newest state that the runner wrote; TrainingError where there is none."""
    names = os.listdir(folder) if os.path.isdir(folder) else []
    kept = sorted(name for name in names if re.fullmatch(r"state-\d+\.npz", name))
    if not kept:
        raise TrainingError(f"{folder}: has no state yet; run run.py, or give --state")
    return os.path.join(folder, kept[-1])


if __name__ == "__main__":
    script.start(define_flags, main)
