"""Table 1: query by example and classification for every kind of triplet.

All rows share corpus, steps, encoder, optimizer and evaluation; only the triplets differ. On a
2-core machine, ESC-50 (folds 1-4 unlabelled for training, fold 5 for testing):

    python -m experiments.table1 --corpus=esc50:DIR --output_dir=runs/table1 --width=0.25 \
        --steps=600

Claim (results/table1.md): joint triplets have 0.100 in query by example, log mel 0.033, each
constraint alone less than joint, labels 0.162. 2 minutes per trained row and seed on one core.

Every fold in turn as the test side, all others for training, means over folds:

    python -m experiments.table1 --corpus=esc50:DIR --output_dir=runs/table1 --width=0.25 \
        --folds=all --rows=log_mel,log_mel_stats,random,joint,shuffled,explicit

Vary with --rows, --seeds, --folds or --test_splits, --recipe, and every flag of train_embedding.
After a stop the same command continues; finished rows are kept. With --rescore all figures are made
again from the saved embeddings, in minutes and without training.

Written to --output_dir: table1.json, table1.md, table1.png, table1_classes.png, table1_map.png (the
joint embedding of the test side in the plane), report.html (a page with pictures and players);
runs/ROW-seedN/ (checkpoints, metrics, SavedModel), embeddings/, scores/; with --folds these are
ROW-FOLD-seedN.
"""

from absl import flags

from experiments.lib import script, shared_flags
from experiments.lib.table1.flags import define_flags, options_from_flags
from experiments.lib.table1.table import make_table
from experiments.lib.table1.text import markdown


def main(argv: list[str]) -> None:
    """Runs the command."""
    del argv
    script.make_table(
        "table1",
        flags.FLAGS.output_dir,
        lambda: make_table(shared_flags.settings_from_flags(), options_from_flags()),
        markdown,
    )


if __name__ == "__main__":
    script.start(define_flags, main)
