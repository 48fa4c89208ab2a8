"""The earlier name of `experiments.loudness`, which made results/levels*.md."""

import runpy

if __name__ == "__main__":
    runpy.run_module("experiments.loudness", run_name="__main__", alter_sys=True)
