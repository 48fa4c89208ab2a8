"""Table 2: limited supervision, scores of embeddings when only a few clips are labelled.

The same few clips train the shallow classifier on each embedding, and the encoder's own network
from scratch. The embeddings of `joint` and `log_mel` saw no label; that of `explicit` was trained
on *all* labels of the training side and is an upper bound, not a competitor. On a 2-core machine,
ESC-50 (folds 1-4 unlabelled for training, fold 5 for testing), after table1 in the same folder:

    python -m experiments.table2 --corpus=esc50:DIR --output_dir=runs/table1 --width=0.25

Claim (results/table2.md): at 1 to 20 labelled clips per class the classifier on the joint embedding
has 0.208 to 0.559 mAP, on log mel 0.101 to 0.316, the network from scratch 0.190 to 0.489. The
paper's doubling of the network from scratch was not reproduced. About an hour for three draws, most
of it the networks from scratch.

With the flags and the --output_dir of a finished table1, no embedding is trained again. Vary with
--rows (scratch_plain is from scratch as the paper's, without augmentation; released the released
model), --labels_per_class, --draws, --seeds, --classify_by and every flag of train_embedding. Every
score is saved immediately: after a stop the same command continues, and logs how long it will take.
With --rescore the classifiers are fitted again on the saved embeddings; the networks from scratch,
which have no embedding, are kept.

Written to --output_dir: table2.json, table2.md, table2.png; few_labels/ROW/ (one score per file),
and the files of table1 for the rows (runs/, embeddings/).
"""

from absl import flags

from experiments.lib import script, shared_flags
from experiments.lib.table2.classify_by import CLASSIFY_BY
from experiments.lib.table2.scratch_config import ScratchConfig
from experiments.lib.table2.table import ROWS, Table2Options, known_rows, make_table
from experiments.lib.table2.text import markdown


def define_flags() -> None:
    """Defines the script's flags."""
    shared_flags.define_corpus_flags()
    shared_flags.define_training_flags(seed=False)
    flags.DEFINE_list("rows", list(ROWS), f"Rows, in order; of {', '.join(known_rows())}.")
    flags.DEFINE_list("labels_per_class", ["1", "2", "5", "10", "20"], "Labelled clips per class.")
    flags.DEFINE_integer("draws", 5, "Draws of the labelled clips.", lower_bound=1)
    script.define_rescore_flag()
    script.define_seeds_flag("Seeds of the trained embeddings; every draw is scored with each.")
    flags.DEFINE_enum(
        "classify_by",
        Table2Options.classify_by,
        list(CLASSIFY_BY),
        "What the classifier on an embedding is, for each row alike: "
        + "; ".join(f"{key}: {words}" for key, words in CLASSIFY_BY.items())
        + ".",
    )
    recipe = ScratchConfig()
    flags.DEFINE_integer(
        "scratch_steps",
        recipe.steps,
        "Most steps from scratch where clips can be held back "
        "(5 recordings per class); the best number of them is used.",
    )
    flags.DEFINE_integer(
        "scratch_fixed_steps",
        recipe.fixed_steps,
        "Steps from scratch with fewer clips than that; and the fewest with more.",
    )
    flags.DEFINE_integer("scratch_batch_size", recipe.batch_size, "Patches per step from scratch.")
    flags.DEFINE_float(
        "scratch_learning_rate", recipe.learning_rate, "AdamW's at the start, from scratch."
    )


def options_from_flags() -> Table2Options:
    """The options that the script's own flags give.

    Raises:
      UsageError, ConfigError: Their values are invalid.
    """
    values = flags.FLAGS
    return Table2Options(
        rows=tuple(values.rows),
        labels_per_class=script.whole_numbers("labels_per_class", values.labels_per_class, least=1),
        draws=values.draws,
        seeds=script.whole_numbers("seeds", values.seeds, least=0),
        scratch=ScratchConfig(
            steps=values.scratch_steps,
            fixed_steps=values.scratch_fixed_steps,
            batch_size=values.scratch_batch_size,
            learning_rate=values.scratch_learning_rate,
        ),
        classify_by=values.classify_by,
        rescore=values.rescore,
    )


def main(argv: list[str]) -> None:
    """Runs the command."""
    del argv
    script.make_table(
        "table2",
        flags.FLAGS.output_dir,
        lambda: make_table(shared_flags.settings_from_flags(), options_from_flags()),
        markdown,
    )


if __name__ == "__main__":
    script.start(define_flags, main)
