"""An earlier name of `experiments.robustness`, which made results/levels*.md."""

import runpy

if __name__ == "__main__":
    runpy.run_module("experiments.robustness", run_name="__main__", alter_sys=True)
