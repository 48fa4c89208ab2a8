"""Benchmarks: how quickly each stage works, beside its peers; what scales; what survives damage.

    python -m benchmarks.run --corpus=esc50:DIR --output_dir=results       # every stage
    python -m benchmarks.STAGE                                             # one
    python -m benchmarks.scaling --corpus=esc50:DIR --output_dir=results   # two million clips
    python -m benchmarks.faults --output_dir=results                       # what survives damage
    python -m benchmarks.pieces --corpus=esc50:DIR                         # are positions right

A stage is a module with a function `measure`, from sound to search: `start_up`, `front_end`,
`resamplers`, `decode`, `feeding`, `mining`, `training_step` (with `torch_twin`, the same network in
PyTorch), `embedding`, `evaluation`, `index`. `harness` is what they are run by: `timing` in turns,
`tables` with goals, `processes` pinned to cores, `sounds`. Written are results/benchmarks.json and
.md, scaling.json and .md, faults.json and .md.
"""
