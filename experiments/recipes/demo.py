"""The whole path on real recordings, as `make demo` takes it: `short`, narrower and shorter.

    python -m experiments.demo

Claim: two encoders trained, scored and shown on a page, in 2 to 14 minutes on two cores. Speech
and music are left out, because they have methods and corpora of their own.

Vary: --steps; --recipe=best for the better embedding.
"""

import dataclasses

from audio_triplet.config import EncoderConfig
from experiments.recipes import Recipe, short

RECIPE = Recipe(
    encoder=EncoderConfig(width=0.25),
    training=dataclasses.replace(short.RECIPE.training, steps=300),
    max_share={"speech": 0.0, "music": 0.0},
)
