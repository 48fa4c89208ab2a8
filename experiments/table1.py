"""Table 1: query by example and classification for every kind of triplet.

All rows share corpus, steps, encoder, optimizer and evaluation; only the triplets differ. On a
2-core machine, ESC-50 (folds 1-4 unlabelled for training, fold 5 for testing):

    python -m experiments.table1 --corpus=esc50:DIR --output_dir=runs/table1 --width=0.25

Every fold in turn as the test side, all others for training, means over folds:

    python -m experiments.table1 --corpus=esc50:DIR --output_dir=runs/table1 --width=0.25 \
        --folds=all --rows=log_mel,log_mel_stats,random,joint,shuffled,explicit

Vary with --rows, --seeds, --folds or --test_splits, and every flag of train_embedding. Rows that
are finished are kept when the command is run again; a row that was stopped goes on. With --rescore
all figures are made again from the saved embeddings, in minutes and without training.

Written to --output_dir: table1.json, table1.md, table1.png, table1_classes.png, table1_map.png (the
joint embedding of the test side in the plane), report.html (a page to look at and to listen to);
runs/ROW-seedN/ (checkpoints, metrics, SavedModel), embeddings/, scores/; with --folds these are
ROW-FOLD-seedN.
"""

import dataclasses
import os
import time
from collections.abc import Sequence

from absl import app, flags, logging

from audio_triplet.config import TripletConfig
from audio_triplet.errors import UsageError
from experiments.lib import shared_flags, tables
from experiments.lib.embeddings import (
    embedded_as,
    embeddings_path,
    made_of,
    open_embeddings,
    run_name,
)
from experiments.lib.table1_figures import draw, draw_classes, draw_map, test_side
from experiments.lib.table1_rows import chance_of, differences, rows_of
from experiments.lib.table_rows import (
    BASELINE,
    EXTRA_ROWS,
    FIXED,
    NAMES,
    PER_CLASS,
    ROWS,
    SHUFFLED,
    TITLES,
    UNTRAINED,
    Trial,
)


def define_flags(required: bool = True, recipe: str = shared_flags.DEFAULT_RECIPE) -> None:
    """Defines the script's flags.

    Args:
      required: Whether corpus and folder must be given.
      recipe: The script's own recipe.
    """
    shared_flags.define_corpus_flags(required, recipe)
    shared_flags.define_training_flags(seed=False, recipe=recipe)
    flags.DEFINE_list(
        "rows", list(ROWS), f"Rows of the table, in order; also {', '.join(EXTRA_ROWS)}."
    )
    flags.DEFINE_list("seeds", ["0"], "Every trained row is trained once for each of these seeds.")
    flags.DEFINE_list(
        "folds",
        [],
        "Splits to test on in turn, each time training on all others; all: every "
        "split with labels. Instead of --test_splits.",
    )
    flags.DEFINE_string("name", "table1", "Name of the table's files.")
    flags.DEFINE_boolean("report", True, "Write report.html.")
    tables.define_scoring_flags()


def main(argv):
    """Runs the command."""
    del argv
    tables.run_command("table1", make_table, markdown)


def make_table() -> dict:
    """Trains what is missing, evaluates, and writes the table.

    Returns:
      The content of table1.json.
    """
    values = flags.FLAGS
    tables.check_rows(values.rows, (*ROWS, *EXTRA_ROWS))
    seeds = tables.numbers("seeds", least=0)

    # Only now, for wrong flags should not have to wait for TensorFlow.
    from audio_triplet.provenance import provenance

    started, told = time.monotonic(), provenance()
    os.makedirs(values.output_dir, exist_ok=True)
    corpora = open_folds()
    corpus = shared_flags.check_labelled(list(corpora.values())[-1])
    # Wrong settings are told before anything is scored.
    run_of_joint = shared_flags.run_config("joint", corpus, seeds[0])
    scores: dict[str, dict[Trial, dict]] = {}
    for name in values.rows:
        scores[name] = {
            (fold, seed): _score_row(side, name, seed, fold)
            for fold, side in corpora.items()
            for seed in (seeds[:1] if name in FIXED else seeds)
        }
    table = {
        "rows": rows_of(scores),
        "differences": differences(scores),
        "chance": chance_of(scores),
        "config": told
        | {
            "corpus": values.corpus,
            "train_splits": corpus.train_splits,
            "test_splits": corpus.test_splits,
            "folds": [fold for fold in corpora if fold],
            "segments": len(corpus.manifest),
            "run": shared_flags.told(run_of_joint),
            "topline_learning_rate": values.topline_learning_rate,
            "seconds": round(time.monotonic() - started),
        },
    }
    path = os.path.join(values.output_dir, values.name)
    tables.write(path, table, markdown(table), draw)
    if table["differences"]:
        draw_classes(table, f"{path}_classes.png")
    if "joint" in values.rows:
        draw_map(corpus, f"{path}_map.png", list(corpora)[-1], seeds[0])
    if values.report and {BASELINE, "joint"} <= set(values.rows):
        _write_report(corpus, table, list(corpora)[-1], seeds[0])
    return table


def open_folds() -> dict[str, object]:
    """What --folds asks for: fold → the corpus holding it out; without folds, "" → the corpus."""
    values = flags.FLAGS
    if not values.folds:
        return {"": shared_flags.open_corpus_from_flags()}
    if values.test_splits:
        raise UsageError("--folds and --test_splits exclude each other")
    from experiments.lib.corpus import NONE

    corpus = shared_flags.open_corpus_from_flags((NONE,))
    folds = corpus.folds if values.folds == ["all"] else tuple(values.folds)
    if not folds:
        raise UsageError(f"{values.corpus}: no split has labels")
    return {fold: corpus.holding_out((fold,)) for fold in folds}


def _score_row(corpus, name: str, seed: int, fold: str) -> dict:
    """Scores one row for one seed, unless that was done before with the same configuration."""
    from audio_triplet.evaluation.probe import ProbeConfig
    from audio_triplet.evaluation.shallow_network import ClassifierConfig
    from experiments.lib import protocol

    classifier = ClassifierConfig(seed=0 if name in FIXED else seed)
    silence_energy = TripletConfig().silence_energy if name in (BASELINE, "joint") else None
    settings = made_of(corpus, name, seed) | {
        "test_splits": corpus.test_splits,
        "classifier": dataclasses.asdict(classifier),
        "probe": dataclasses.asdict(ProbeConfig()),
        "silence_energy": silence_energy,
    }
    called = run_name(name, seed, fold)
    path = os.path.join(flags.FLAGS.output_dir, "scores", f"{called}.json")
    earlier = tables.read_scores(path, settings)
    # The map and the report are of the embeddings: a row without them is not finished.
    there = os.path.exists(embeddings_path(embedded_as(name, seed, fold)))
    if earlier and there and not flags.FLAGS.rescore:
        logging.info("%s: scored before", called)
        return earlier
    started = time.monotonic()
    embeddings = open_embeddings(corpus, name, seed, fold)
    sides = protocol.split_sides(embeddings, corpus.test_splits)
    if name == SHUFFLED:
        sides = protocol.shuffle_labels(sides, seed)
    scores = protocol.score(sides, corpus.manifest.classes, classifier, silence_energy)
    scores["seconds"] = round(time.monotonic() - started, 1)
    tables.write_scores(path, settings, scores)
    logging.info(
        "%s: query by example %.3f, classification %.3f",
        called,
        scores["qbe_map"],
        scores["cls_map"],
    )
    return scores


def markdown(table: dict) -> str:
    """The table as Markdown, with how to repeat it below."""
    cell = tables.cell
    lines = [
        "| representation | QbE mAP | recovery | ratio | classification mAP | recovery | ratio | "
        "per-query mAP | accuracy | probe mAP | probe accuracy |",
        "|---" * 11 + "|",
    ]
    for row in table["rows"]:
        spread = row["spread"]
        lines.append(
            "| "
            + " | ".join(
                [
                    NAMES[row["name"]],
                    cell(row["qbe_map"], spread["qbe_map"]),
                    cell(row["recovery_qbe"], percent=True),
                    cell(row["ratio_qbe"], percent=True),
                    cell(row["cls_map"], spread["cls_map"]),
                    cell(row["recovery_cls"], percent=True),
                    cell(row["ratio_cls"], percent=True),
                    *(
                        cell(row[score], spread[score])
                        for score in ("query_map", "accuracy", "probe_map", "probe_accuracy")
                    ),
                ]
            )
            + " |"
        )
    by_chance = {score: cell(value) for score, value in table["chance"].items()}
    lines += [
        f"| *Chance* | {by_chance['qbe_map']} | | | {by_chance['cls_map']} | | | "
        f"{by_chance['query_map']} | {by_chance['accuracy']} | {by_chance['probe_map']} | "
        f"{by_chance['probe_accuracy']} |",
        "",
        *_intervals(table),
        *_silence(table["rows"]),
        _conditions(table),
        "Recovery is (score - log mel) / (topline - log mel); ratio is score / topline. "
        "Classification is by the paper's classifier, on patches; the probe is a logistic "
        "regression on the standardised segment embedding. The mean over all rankings is chance.",
        "",
        f"    {table['config']['command']}",
        "",
        tables.origin(table["config"]),
        "",
    ]
    return "\n".join(lines)


def _intervals(table: dict) -> list[str]:
    """95 % intervals over classes of all rows, and of joint's difference from log mel."""

    def between(interval):
        return "–" if interval is None else f"{interval[0]:.3f} … {interval[1]:.3f}"

    lines = [
        "| 95 % bootstrap interval over classes | "
        + " | ".join(TITLES[score] for score in PER_CLASS)
        + " |",
        "|---" * (len(PER_CLASS) + 1) + "|",
    ]
    for row in table["rows"]:
        cells = [between(row["interval"][score]) for score in PER_CLASS]
        lines.append(f"| {NAMES[row['name']]} | " + " | ".join(cells) + " |")
    if table["differences"]:
        cells = [
            f"{told['mean']:+.3f} ({between(told['interval'])}), "
            f"{told['better']} of {told['classes']} classes better"
            for told in (table["differences"][score] for score in PER_CLASS)
        ]
        lines.append("| Joint less log mel | " + " | ".join(cells) + " |")
    return [*lines, ""]


def _silence(rows: Sequence[dict]) -> list[str]:
    """What leaving silent patches out of a segment's mean would change."""
    told = []
    for row in rows:
        heard = row.get("audible")
        if heard:
            told.append(
                f"{NAMES[row['name']]} from {row['query_map']:.3f} to {heard['query_map']:.3f} "
                "per query and from "
                + " to ".join(
                    tables.cell(
                        one["probe_map"] if one["probe_accuracy"] is None else one["probe_accuracy"]
                    )
                    for one in (row, heard)
                )
                + " by the probe"
            )
    if not told:
        return []
    share = next(row["audible"]["silent_share"] for row in rows if row.get("audible"))
    return [
        f"{round(100 * share)} % of the test segments have a silent patch; leaving those out of a "
        f"segment's mean takes {'; '.join(told)}.",
        "",
    ]


def _conditions(table: dict) -> str:
    config = table["config"]
    seeds = sorted({seed for row in table["rows"] for seed in row["seeds"]})
    folds = config["folds"]
    sides = (
        f"tested on each of {', '.join(folds)} in turn, trained on the others"
        if folds
        else f"trained on {', '.join(config['train_splits'])}, tested on "
        f"{', '.join(config['test_splits'])}"
    )
    over = " and ".join(
        word for word, given in (("folds", folds), ("seeds", seeds)) if len(given) > 1
    )
    return (
        f"Corpus {config['corpus']}, {config['segments']} segments; {sides}; "
        f"{tables.training_in_words(config['run'], config['topline_learning_rate'])}; "
        f"seeds {', '.join(map(str, seeds))}"
        + (f" (mean ± standard deviation over {over})" if over else "")
        + "."
    )


def _write_report(corpus, table: dict, fold: str, seed: int) -> None:
    """Writes report.html for the last fold and the first seed."""
    from audio_triplet.training import metrics_log
    from audio_triplet.web import table_page

    output_dir = flags.FLAGS.output_dir
    trained = [row["name"] for row in table["rows"] if row["name"] not in (*UNTRAINED, SHUFFLED)]
    runs = {
        name: metrics_log.read_metrics(os.path.join(output_dir, "runs", run_name(name, seed, fold)))
        for name in trained
    }

    table_page.write_report(
        os.path.join(output_dir, "report.html"),
        table,
        runs,
        test_side(corpus, BASELINE),
        test_side(corpus, run_name("joint", seed, fold)),
        corpus.manifest.classes,
    )


def run() -> None:
    """Entry point of the command."""
    define_flags()
    app.run(main)


if __name__ == "__main__":
    run()
