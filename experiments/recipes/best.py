"""What was found to work best without labels, for its cost (the lab notes, "What helps") [D].

Every pair is two patches of one recording, both augmented in all the paper's ways at once; each is
compared with all other patches of the batch. Claim: ESC-50, five folds, width 0.25, 500 steps, no
labels: query by example 0.171, classification mAP 0.761 (results/table1_best_folds.md), in 48
minutes for the five on the machine named there.

    python -m experiments.table1 --corpus=esc50:DIR --output_dir=runs/best --recipe=best \
        --width=0.25 --steps=500 --rows=combined --folds=all

Vary: --steps and --width help most; --normalize_loudness for recordings of mixed loudness.
"""

from audio_triplet.config import (
    COMBINED,
    EncoderConfig,
    PipelineConfig,
    TrainingConfig,
    TripletConfig,
)
from experiments.recipes import Recipe

RECIPE = Recipe(
    triplets=TripletConfig(constraints=COMBINED, augment=True),
    pipeline=PipelineConfig(batch_size=128),
    encoder=EncoderConfig(normalisation="batch", pooling="time", input_scaling=True),
    training=TrainingConfig(
        objective="contrastive",
        learning_rate=1e-3,
        schedule="cosine",
        warmup_steps=20,
        steps=1000,
    ),
)
