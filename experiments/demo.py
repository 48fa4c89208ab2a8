"""The whole path on real recordings, in one command: `make demo`.

Downloads recorded sounds from Debian packages, trains an embedding on them without labels and one
with labels, scores both beside log mel, exports a SavedModel, and writes a page to look at and to
listen to, demo/report.html. It is `experiments.table1` with other defaults: a small corpus, a
quarter of the encoder's width, few steps. 15 to 20 minutes on two cores.
"""

import os

from absl import app, flags

from experiments import table1

# The values are those of experiments/recipes/demo.py.
RECIPE = "demo"
DEFAULTS = {"rows": ["log_mel", "joint", "explicit"], "output_dir": "demo"}


def run() -> None:
    """Entry point of the command."""
    table1.define_flags(required=False, recipe=RECIPE)
    for name, value in DEFAULTS.items():
        flags.FLAGS.set_default(name, value)
    app.run(main)


def main(argv):
    """Runs the command."""
    values = flags.FLAGS
    if values.corpus is None:
        values.corpus = f"debian-sounds:{os.path.join(values.output_dir, 'debian_sounds')}"
    table1.main(argv)
    print(f"now open {os.path.join(values.output_dir, 'report.html')}")


if __name__ == "__main__":
    run()
