"""Going on from a model with sound of your own: the recipe of `--init_model`.

The released model's pairs and objective at a tenth of its learning rate.

Claim: results/own_archive_search.md. On an hour of ESC-50, 586 steps, 0.799 → 0.814 and 0.393 →
0.430 (probe, per query) on a fold that was not heard; from nothing, on two, 0.686 and 0.338.

    python -m experiments.train_embedding --corpus=folders:DIR --output_dir=runs/mine \
        --init_model=released

Vary: --steps, --learning_rate, --frozen_layers.
"""

import dataclasses

from experiments.recipes import Recipe, debian_sounds

RECIPE = Recipe(
    triplets=debian_sounds.RECIPE.triplets,
    pipeline=debian_sounds.RECIPE.pipeline,
    encoder=debian_sounds.RECIPE.encoder,
    training=dataclasses.replace(debian_sounds.RECIPE.training, steps=500, learning_rate=1e-4),
)
