"""Compares training runs on one page: their curves, what was set differently, and their scores.

    python -m experiments.compare_runs runs/a runs/b --output_dir=compared

Each folder is one that train_embedding wrote. Where experiments.evaluate has scored the run's
export into a folder, name that too, as runs/a=scores/a; runs that were scored are compared class by
class with the first. Written: compare.html.
"""

import os
import sys

from absl import app, flags

from audio_triplet import locks
from audio_triplet.commands import terminal
from audio_triplet.errors import UsageError
from audio_triplet.web.runs_page import _STYLES, load_runs, write_page


def define_flags() -> None:
    """Defines the script's flags."""
    flags.DEFINE_string("output_dir", None, "Folder for compare.html.", required=True)


def main(argv):
    """Runs the command."""
    terminal.quiet_tensorflow()
    with terminal.clear_errors("compare_runs"):
        if len(argv) < 2:
            raise UsageError("name the folders of at least one run")
        if len(argv) - 1 > len(_STYLES):
            raise UsageError(f"at most {len(_STYLES)} runs can be told apart on a chart")
        runs = load_runs(argv[1:])
        with locks.exclusive(flags.FLAGS.output_dir):
            path = os.path.join(flags.FLAGS.output_dir, "compare.html")
            write_page(path, runs)
        print(path)


def run() -> None:
    """Entry point of the command."""
    define_flags()
    app.run(main)


if __name__ == "__main__":
    sys.exit(run())
