"""Sweeps: the effect of each value of the method on the joint embedding, one at a time.

The run with the flags' own values is the baseline, trained once for all parameters. In every other
run one parameter has another value. Short runs on the same corpus, scored by query by example and
the linear probe. On a 2-core machine:

    python -m experiments.sweep --corpus=esc50:DIR --output_dir=runs/sweep --steps=200 --width=0.25
    python -m experiments.sweep --corpus=esc50:DIR --output_dir=runs/without --recipe=best \
        --parameters=best_without --steps=300 --width=0.25

Claim (results/sweep_best_without.md): the augmentations matter most to the recipe `best`: it has
0.298 per query, and 0.194 without them. 21 minutes for these 13 runs on one core.

Vary with --parameters, --seeds, --triplets and every flag of train_embedding. Every score is saved
immediately: after a stop the same command continues. With --rescore all figures are made again from
the saved embeddings.

Written to --output_dir: sweep.json, sweep.md, sweep.png; runs/, embeddings/ and scores/, named
PARAMETER=VALUE-seedN.
"""

from absl import flags

from experiments.lib import script, shared_flags
from experiments.lib.sweep.parameters import DEFAULT
from experiments.lib.sweep.table import SweepOptions, make_table
from experiments.lib.sweep.text import markdown


def define_flags() -> None:
    """Defines the script's flags."""
    shared_flags.define_corpus_flags()
    shared_flags.define_triplets_flag()
    shared_flags.define_training_flags(seed=False)
    flags.DEFINE_list(
        "parameters",
        DEFAULT,
        "Parameters; also best_without (with --recipe=best) and "
        "paper_with: the differences between the recipes, one by one.",
    )
    script.define_seeds_flag("Every run is trained once for each of these seeds.")
    script.define_rescore_flag()


def options_from_flags() -> SweepOptions:
    """The options that the script's own flags give.

    Raises:
      UsageError: --seeds are not whole numbers.
    """
    values = flags.FLAGS
    return SweepOptions(
        parameters=tuple(values.parameters),
        seeds=script.whole_numbers("seeds", values.seeds, least=0),
        rescore=values.rescore,
    )


def main(argv: list[str]) -> None:
    """Runs the command."""
    del argv
    script.make_table(
        "sweep",
        flags.FLAGS.output_dir,
        lambda: make_table(shared_flags.settings_from_flags(), options_from_flags()),
        markdown,
    )


if __name__ == "__main__":
    script.start(define_flags, main)
