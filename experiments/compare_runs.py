"""Compares training runs on one page: their curves, their different settings, and their scores.

    python -m experiments.compare_runs runs/a runs/b --output_dir=compared

Each folder is one that train_embedding wrote. If experiments.evaluate has scored the run's export
into a folder, name that too, as runs/a=scores/a; scored runs are compared class by class with the
first. Takes seconds. Written to --output_dir: compare.html.
"""

import os

from absl import flags

from audio_triplet import locks
from audio_triplet.commands import terminal
from audio_triplet.errors import UsageError
from audio_triplet.web import runs_page
from experiments.lib import script


def define_flags() -> None:
    """Defines the script's flags."""
    flags.DEFINE_string("output_dir", None, "Folder for compare.html.", required=True)


def main(argv: list[str]) -> None:
    """Runs the command."""
    terminal.set_up_logging()
    with terminal.clear_errors("compare_runs"):
        path = compare(argv[1:], flags.FLAGS.output_dir)
    print(path)


def compare(runs: list[str], output_dir: str) -> str:
    """Writes the page.

    Args:
      runs: Folders of runs, each RUN or RUN=SCORES.
      output_dir: Folder for compare.html.

    Returns:
      Its path.

    Raises:
      UsageError: There are no runs, or more than a chart can show.
    """
    if not runs:
        raise UsageError("name the folders of at least one run")
    if len(runs) > runs_page.MAX_RUNS:
        raise UsageError(f"a chart shows at most {runs_page.MAX_RUNS} runs; name fewer")
    loaded = runs_page.load_runs(runs)
    with locks.exclusive(output_dir):
        path = os.path.join(output_dir, "compare.html")
        runs_page.write_page(path, loaded)
    return path


if __name__ == "__main__":
    script.start(define_flags, main)
