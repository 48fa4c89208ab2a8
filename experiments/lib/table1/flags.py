"""Flags of the scripts that make Table 1: `experiments.table1`, and `experiments.demo`."""

from collections.abc import Sequence

from absl import flags

from audio_triplet.evaluation.table_rows import ROWS, extra_rows
from experiments.lib import script, shared_flags
from experiments.lib.table1.table import Table1Options


def define_flags(
    required: bool = True, recipe: str = shared_flags.DEFAULT_RECIPE, rows: Sequence[str] = ROWS
) -> None:
    """Defines the flags.

    Args:
      required: Whether corpus and folder must be given.
      recipe: The script's own recipe.
      rows: The script's own rows.
    """
    shared_flags.define_corpus_flags(required, recipe)
    shared_flags.define_training_flags(seed=False, recipe=recipe)
    flags.DEFINE_list(
        "rows", list(rows), f"Rows of the table, in order; also {', '.join(extra_rows())}."
    )
    script.define_seeds_flag("Every trained row is trained once for each of these seeds.")
    flags.DEFINE_list(
        "folds",
        [],
        "Splits to test on in turn, each time training on all others; all: every "
        "split with labels. Instead of --test_splits.",
    )
    flags.DEFINE_string("name", "table1", "Name of the table's files.")
    flags.DEFINE_boolean("report", True, "Write report.html.")
    script.define_rescore_flag()


def options_from_flags() -> Table1Options:
    """The options that the flags give.

    Raises:
      UsageError: Rows or seeds are invalid.
    """
    values = flags.FLAGS
    return Table1Options(
        rows=tuple(values.rows),
        seeds=script.whole_numbers("seeds", values.seeds, least=0),
        folds=tuple(values.folds),
        name=values.name,
        report=values.report,
        rescore=values.rescore,
    )
