"""Settings of experiments that take seconds."""

import dataclasses

from audio_triplet.config import EncoderConfig, PipelineConfig
from experiments import recipes
from experiments.lib.settings import ExperimentSettings

# The same as flags.
FLAGS = ("--steps=4", "--batch_size=8", "--width=0.0625", "--log_steps=4")


def small_settings(corpus, output_dir, steps=4, log_steps=4, **values) -> ExperimentSettings:
    """The default recipe, with a narrow encoder and a few steps.

    Args:
      corpus: As --corpus has it.
      output_dir: Where to write.
      steps: How many.
      log_steps: Steps per row of metrics.csv.
      **values: Other attributes of the settings.
    """
    recipe = recipes.load("short")
    return ExperimentSettings.of_recipe(
        recipe,
        str(corpus),
        str(output_dir),
        pipeline=PipelineConfig(batch_size=8),
        encoder=EncoderConfig(width=0.0625),
        training=dataclasses.replace(recipe.training, steps=steps, log_steps=log_steps),
        **values,
    )
