"""The paper's values, those of its sections on sampling, model and optimisation.

Claim: none of ours; the paper trains on AudioSet for millions of steps. On a corpus as small as
ESC-50 its learning rate needs several times the steps of `short` for the same loss.

    python -m experiments.table1 --corpus=audioset:DIR --output_dir=runs/paper --recipe=paper \
        --steps=1000000 --strategy=tpu --tpu=NAME

Vary: --steps; --architecture=resnet50 for the paper's encoder.
"""

from experiments.recipes import Recipe

RECIPE = Recipe()
