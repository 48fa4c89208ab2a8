"""The whole path on real recordings, in one command: `make demo`.

    python -m experiments.demo

Downloads recorded sounds from Debian packages, trains an embedding on them without labels and one
with labels, scores both and log mel, exports a SavedModel, and writes a page with pictures and
players, demo/report.html. It is Table 1 with the values of experiments/recipes/demo.py: a small
corpus, a quarter of the encoder's width, few steps. 2 to 14 minutes on two cores. Vary with every
flag of `experiments.table1`.
"""

import dataclasses
import os

from absl import flags

from audio_triplet.config import EXPLICIT
from audio_triplet.evaluation.table_rows import BASELINE, JOINT
from experiments.lib import script, shared_flags
from experiments.lib.table1 import flags as table1_flags
from experiments.lib.table1.table import make_table
from experiments.lib.table1.text import markdown

RECIPE = "demo"
ROWS = (BASELINE, JOINT, EXPLICIT)
OUTPUT_DIR = "demo"


def define_flags() -> None:
    """Defines the script's flags: those of Table 1, none required."""
    table1_flags.define_flags(required=False, recipe=RECIPE, rows=ROWS)
    flags.FLAGS.set_default("output_dir", OUTPUT_DIR)


def main(argv: list[str]) -> None:
    """Runs the command."""
    del argv
    output_dir = flags.FLAGS.output_dir

    def make() -> dict:
        settings = shared_flags.settings_from_flags()
        if settings.corpus is None:
            corpus = f"debian-sounds:{os.path.join(output_dir, 'debian_sounds')}"
            settings = dataclasses.replace(settings, corpus=corpus)
        return make_table(settings, table1_flags.options_from_flags())

    script.make_table("demo", output_dir, make, markdown)
    print(f"now open {os.path.join(output_dir, 'report.html')}")


if __name__ == "__main__":
    script.start(define_flags, main)
