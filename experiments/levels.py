"""The earlier name of `experiments.loudness`, which results/levels*.md were made by."""

from experiments.lib import script
from experiments.loudness import define_flags, main

if __name__ == "__main__":
    script.start(define_flags, main)
