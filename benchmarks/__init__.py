"""Benchmarks: the speed of each stage compared with its peers, scaling, and robustness to damage.

    python -m benchmarks.run --corpus=esc50:DIR --output_dir=results       # every stage
    python -m benchmarks.STAGE                                             # one stage
    python -m benchmarks.scaling --corpus=esc50:DIR --output_dir=results   # two million clips
    python -m benchmarks.faults --output_dir=results                       # kills, damaged files
    python -m benchmarks.pieces --corpus=esc50:DIR                         # positions in files
    python -m benchmarks.whole --corpus=esc50:DIR --output_dir=results     # beside other models
    python -m benchmarks.accelerator_folders --corpus=PREPARED --output_dir=OUT
    python OUT/folder/accelerator.py             # on a machine with a GPU, and jax alone
    python -m benchmarks.pjrt_scores --corpus=esc50:DIR --output_dir=OUT   # trained by jax

A stage is a module with a function `measure`, from sound to search: `start_up`, `front_end`,
`resamplers`, `decode`, `feeding`, `mining`, `training_step` (with `torch_twin`, the same network in
PyTorch), `embedding`, `evaluation`, `index`. `harness` runs them: `timing` in turns, `tables` with
goals, `processes` pinned to cores, `sounds`. Written to --output_dir: benchmarks.json and .md,
scaling.json and .md, faults.json and .md, whole.json and .md.
"""
