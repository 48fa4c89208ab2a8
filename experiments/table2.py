"""Table 2: limited supervision. What an embedding is worth when only a few clips are labelled.

The same few clips train the shallow classifier on each embedding, and the encoder's own network
from scratch. The embeddings of `joint` and `log_mel` saw no label; that of `explicit` was trained
on *all* labels of the training side and is an upper bound, not a competitor. On a 2-core machine,
ESC-50 (folds 1-4 unlabelled for training, fold 5 for testing), after table1 in the same folder:

    python -m experiments.table2 --corpus=esc50:DIR --output_dir=runs/table1 --width=0.25

With the flags and the --output_dir of a finished table1, no embedding is trained again. Vary with
--rows, --labels_per_class, --draws, --seeds and every flag of train_embedding. Every score is kept
as soon as it is there: the same command goes on where it was stopped, and says how long it will
take. With --rescore the classifiers are fitted again on the saved embeddings; the networks from
scratch, which have no embedding, are kept.

Written to --output_dir: table2.json, table2.md, table2.png; few_labels/ROW/ (one score a file), and
what table1 writes for the rows (runs/, embeddings/).
"""

import dataclasses
import os
import time

from absl import app, flags, logging

from audio_triplet.config import EXPLICIT
from experiments.lib import embeddings, shared_flags, table_rows, tables
from experiments.lib.scratch_config import ScratchConfig
from experiments.lib.table2_rows import SCORES, SCRATCH, doubling, rows_of
from experiments.lib.table_rows import BASELINE, EXTRA_ROWS, FIXED, NAMES, SHUFFLED

ROWS = ("joint", BASELINE, EXPLICIT, SCRATCH)

_KNOWN_ROWS = (*table_rows.ROWS, *(row for row in EXTRA_ROWS if row != SHUFFLED), SCRATCH)
_NAMES = NAMES | {
    "explicit": "Explicit label (saw all labels)",
    SCRATCH: "Network from scratch",
}
_TITLES = {"cls_map": "classification mAP", "accuracy": "accuracy"}
_COLOURS = {
    "joint": "#1a73e8",
    "log_mel": "#9aa0a6",
    "explicit": "#202124",
    SCRATCH: "#d93025",
}


def define_flags() -> None:
    """Defines the script's flags."""
    shared_flags.define_corpus_flags()
    shared_flags.define_training_flags(seed=False)
    flags.DEFINE_list("rows", list(ROWS), f"Rows, in order; of {', '.join(_KNOWN_ROWS)}.")
    flags.DEFINE_list("labels_per_class", ["1", "2", "5", "10", "20"], "Labelled clips per class.")
    flags.DEFINE_integer("draws", 5, "Draws of the labelled clips.", lower_bound=1)
    tables.define_scoring_flags()
    flags.DEFINE_list(
        "seeds", ["0"], "Seeds of the trained embeddings; every draw is scored with each."
    )
    recipe = ScratchConfig()
    flags.DEFINE_integer(
        "scratch_steps",
        recipe.steps,
        "Most steps from scratch where clips can be held back "
        "(5 recordings a class); the best number of them is used.",
    )
    flags.DEFINE_integer(
        "scratch_fixed_steps",
        recipe.fixed_steps,
        "Steps from scratch with fewer clips than that; and the fewest with more.",
    )
    flags.DEFINE_integer("scratch_batch_size", recipe.batch_size, "Patches a step from scratch.")
    flags.DEFINE_float(
        "scratch_learning_rate", recipe.learning_rate, "AdamW's at the start, from scratch."
    )


def main(argv):
    """Runs the command."""
    del argv
    tables.run_command("table2", make_table, markdown)


def make_table() -> dict:
    """Trains and scores what is missing, and writes the table.

    Returns:
      The content of table2.json.
    """
    values = flags.FLAGS
    tables.check_rows(values.rows, _KNOWN_ROWS)
    counts, seeds = (tables.numbers(*one) for one in (("labels_per_class", 1), ("seeds", 0)))
    recipe = _scratch_config()

    # Only now, for wrong flags should not have to wait for TensorFlow.
    from audio_triplet.evaluation.shallow_network import ClassifierConfig
    from audio_triplet.provenance import provenance

    started, told = time.monotonic(), provenance()
    os.makedirs(values.output_dir, exist_ok=True)
    corpus = shared_flags.check_labelled(shared_flags.open_corpus_from_flags())
    cells = []
    for name in values.rows:
        if name == SCRATCH:
            cells += _score_scratch(corpus, counts, recipe)
            continue
        for seed in seeds[:1] if name in FIXED else seeds:
            cells += _score_embedding(corpus, name, seed, counts)
    table = {
        "rows": rows_of(cells),
        "config": told
        | {
            "corpus": values.corpus,
            "train_splits": corpus.train_splits,
            "test_splits": corpus.test_splits,
            "segments": len(corpus.manifest),
            "classes": len(corpus.manifest.classes),
            "run": shared_flags.told(shared_flags.run_config("joint", corpus, seeds[0])),
            "topline_learning_rate": values.topline_learning_rate,
            "classifier": dataclasses.asdict(ClassifierConfig()),
            "scratch": dataclasses.asdict(recipe),
            "seconds": round(time.monotonic() - started),
            "seconds_of_cells": round(sum(cell["seconds"] for cell in cells)),
        },
    }
    path = os.path.join(values.output_dir, "table2")
    tables.write(path, table, markdown(table), draw)
    return table


def _scratch_config() -> ScratchConfig:
    values = flags.FLAGS
    return ScratchConfig(
        steps=values.scratch_steps,
        fixed_steps=values.scratch_fixed_steps,
        batch_size=values.scratch_batch_size,
        learning_rate=values.scratch_learning_rate,
    )


@dataclasses.dataclass(frozen=True)
class _Cell:
    """One score to be found: where it is kept, and what it depends on."""

    path: str
    settings: dict
    labels_per_class: int
    draw: int

    def read(self) -> dict | None:
        """The score as found earlier with the same settings."""
        return tables.read_scores(self.path, self.settings)

    def write(self, scores: dict) -> None:
        tables.write_scores(self.path, self.settings, scores)


def _cells(corpus, run: str, counts: list[int], origin: dict) -> list[_Cell]:
    """The cells of one run, draw by draw."""
    folder = os.path.join(flags.FLAGS.output_dir, "few_labels", run)
    return [
        _Cell(
            os.path.join(folder, f"labels{count}-draw{draw}.json"),
            origin | {"test_splits": corpus.test_splits, "labels": count, "draw": draw},
            count,
            draw,
        )
        for draw in range(flags.FLAGS.draws)
        for count in counts
    ]


def _fill(run: str, row: str, seed: int | None, cells: list[_Cell], scorer) -> list[dict]:
    """Scores of the cells: read where they are there, else found and kept.

    Args:
      run: Name of the run, for the log.
      row: The row.
      seed: Seed of the row's encoder; None where it has none.
      cells: The cells.
      scorer: Makes, when first needed, a function cell → scores.

    Returns:
      The scores, each with `name`, `seed`, `labels_per_class`, `draw`.
    """

    def kept(cell):
        return None if flags.FLAGS.rescore and row != SCRATCH else cell.read()

    found = {cell.path: kept(cell) for cell in cells}
    pending = [cell for cell in cells if found[cell.path] is None]
    score, spent = scorer(pending) if pending else None, 0.0
    for done, cell in enumerate(pending):
        started = time.monotonic()
        scores = score(cell)
        scores["seconds"] = round(time.monotonic() - started, 1)
        spent += time.monotonic() - started
        cell.write(scores)
        found[cell.path] = scores
        logging.info(
            "%s, %d labels per class, draw %d: mAP %.3f; about %.0f min left for the row's %d more",
            run,
            cell.labels_per_class,
            cell.draw,
            scores["cls_map"],
            _seconds_left(spent, done + 1, pending) / 60,
            len(pending) - done - 1,
        )
    return [
        {"name": row, "seed": seed, "labels_per_class": cell.labels_per_class, "draw": cell.draw}
        | found[cell.path]
        for cell in cells
    ]


def _seconds_left(spent: float, done: int, pending: list[_Cell]) -> float:
    """An estimate from the cells that are done, as if all took as long.

    So cells are visited draw by draw: each draw has all numbers of labels.
    """
    return spent / done * (len(pending) - done)


def _score_embedding(corpus, name: str, seed: int, counts: list[int]) -> list[dict]:
    """The shallow classifier on one embedding, for every count and draw."""
    from audio_triplet.evaluation import classification
    from audio_triplet.evaluation.shallow_network import ClassifierConfig
    from experiments.lib import protocol

    def config(draw):
        return ClassifierConfig(seed=draw)

    def scorer(pending):
        del pending
        sides = protocol.split_sides(
            embeddings.open_embeddings(corpus, name, seed), corpus.test_splits
        )

        def score(cell):
            drawn, told = _draw(sides.train.manifest, corpus.manifest.classes, cell)
            train = sides.train.select(drawn)
            classifier = classification.fit_classifier(
                train.vectors,
                train.segment_index,
                train.manifest.label_matrix(corpus.manifest.classes),
                segment_groups=train.manifest.frame["recording_id"].to_numpy(str),
                config=config(cell.draw),
            )
            test = sides.test
            scores = classifier.predict_segments(
                test.vectors, test.segment_index, len(test.manifest)
            )
            return (
                told
                | _evaluate(scores, test.manifest, corpus.manifest.classes)
                | {"rounds": classifier.rounds, "held_back": bool(classifier.validation_map)}
            )

        return score

    run = embeddings.run_name(name, seed)
    origin = embeddings.made_of(corpus, name, seed) | {
        "classifier": dataclasses.asdict(config(0)) | {"seed": "draw"}
    }
    cells = _cells(corpus, run, counts, origin)
    return _fill(run, name, None if name in FIXED else seed, cells, scorer)


def _score_scratch(corpus, counts: list[int], recipe: ScratchConfig) -> list[dict]:
    """The network from scratch, for every count and draw."""
    encoder = shared_flags.run_config("joint", corpus, 0).encoder

    def scorer(pending):
        import numpy as np

        from experiments.lib import protocol, scratch

        # The log mel baseline holds the very patches that the embeddings are made from.
        sides = protocol.split_sides(
            embeddings.open_embeddings(corpus, BASELINE, 0), corpus.test_splits
        )
        classes, train, test = corpus.manifest.classes, sides.train, sides.test
        labels = train.manifest.label_matrix(classes)
        recordings = train.manifest.frame["recording_id"].to_numpy(str)
        draws = {cell.path: _draw(train.manifest, classes, cell) for cell in pending}
        ever = np.any([drawn for drawn, _ in draws.values()], axis=0)
        energies = scratch.read_energies(corpus.train, train.row[ever])
        single = bool((labels.sum(axis=1) == 1).all())
        network = scratch.FromScratch(encoder, len(classes), single, recipe)
        patches = test.vectors.reshape(len(test.vectors), -1, scratch.MELS)

        def score(cell):
            drawn, told = draws[cell.path]
            network.fit(
                scratch.Clips(
                    [energies[row] for row in train.row[drawn]], labels[drawn], recordings[drawn]
                ),
                seed=cell.draw,
            )
            scores = network.predict_segments(patches, test.segment_index, len(test.manifest))
            return (
                told
                | _evaluate(scores, test.manifest, classes)
                | {"steps": network.steps, "held_back": bool(network.validation_map)}
            )

        return score

    origin = {
        "corpus": corpus.fingerprint,
        "encoder": dataclasses.asdict(encoder),
        "scratch": dataclasses.asdict(recipe),
    }
    cells = _cells(corpus, SCRATCH, counts, origin)
    return _fill(SCRATCH, SCRATCH, None, cells, scorer)


def _draw(manifest, classes: tuple[str, ...], cell: _Cell):
    """The labelled clips of a cell, the same for every row.

    Args:
      manifest: The training side's labelled segments.
      classes: Names of the labels.
      cell: The cell.

    Returns:
      bool[segments], and what the score's file says of them.
    """
    import numpy as np

    from audio_triplet.evaluation import few_labels

    drawn = few_labels.draw(
        manifest.label_matrix(classes),
        manifest.frame["recording_id"].to_numpy(str).tolist(),
        cell.labels_per_class,
        cell.draw,
    )
    keep = np.zeros(len(manifest), bool)
    keep[drawn.segments] = True
    # Said rather than hidden: classes with fewer clips than asked for, or fewer recordings.
    short = {
        name: int(clips)
        for name, clips in zip(classes, drawn.clips, strict=True)
        if clips < cell.labels_per_class
    }
    repeated = int(np.sum(drawn.recordings < drawn.clips))
    told = {
        "clips": len(drawn.segments),
        "short_classes": short,
        "repeated_classes": repeated,
        "segments": drawn.segments.tolist(),  # places among the training side's labelled ones
    }
    return keep, told


def _evaluate(scores, manifest, classes: tuple[str, ...]) -> dict:
    """Classification mAP and accuracy on the test side."""
    from audio_triplet.evaluation import classification
    from experiments.lib import protocol

    result = classification.evaluate_classifier(scores, manifest.label_matrix(classes))
    return {
        "cls_map": result.mean,
        "accuracy": result.accuracy,
        "cls_per_class": protocol.per_class(classes, result.per_class),
    }


def markdown(table: dict) -> str:
    """The table as Markdown, the claim it is to check, and how to repeat it."""
    rows, config = table["rows"], table["config"]
    names = list(dict.fromkeys(row["name"] for row in rows))
    counts = sorted({row["labels_per_class"] for row in rows})
    by_place = {(row["name"], row["labels_per_class"]): row for row in rows}
    lines = []
    for score in SCORES:
        if all(row[score] is None for row in rows):
            continue  # accuracy, where clips have several labels
        lines += [
            f"| {_TITLES[score]} at labelled clips per class | "
            + " | ".join(map(str, counts))
            + " |",
            "|---" * (len(counts) + 1) + "|",
        ]
        for name in names:
            cells = [by_place[name, count] for count in counts]
            found = [tables.cell(row[score], row["spread"][score]) for row in cells]
            lines.append(f"| {_NAMES[name]} | " + " | ".join(found) + " |")
        lines.append("")
    lines += [*_claim(rows), "", *_conditions(rows, config), ""]
    lines += [
        f"    {config['command']}",
        "",
        tables.origin(
            config,
            f" ({config['seconds_of_cells']} s for all classifiers and networks from "
            "scratch, finished ones included)",
        ),
        "",
    ]
    return "\n".join(lines)


def _claim(rows: list[dict]) -> list[str]:
    """Whether the embedding doubles the network from scratch, as the paper's abstract has it."""
    twice, less = doubling(rows)
    if not twice and not less:
        return []

    def told(found):
        return ", ".join(
            f"{row['labels_per_class']} ({row['times_scratch']:.2f} times)" for row in found
        )

    return [
        "Labelled clips per class at which the joint embedding has at least twice the mAP of the "
        f"network from scratch: {told(twice) or 'none'}."
        + (f" Where it has less: {told(less)}." if less else ""),
    ]


def _conditions(rows: list[dict], config: dict) -> list[str]:
    """What was drawn, and how it was trained."""
    scratch = config["scratch"]
    draws = len({draw for row in rows for draw in row["draws"]})
    seeds = sorted({seed for row in rows for seed in row["seeds"]})
    lines = [
        f"Corpus {config['corpus']}: labelled clips drawn from {', '.join(config['train_splits'])}"
        f", tested on {', '.join(config['test_splits'])}, {config['classes']} classes; "
        f"{draws} draws"
        + (f", encoder seeds {', '.join(map(str, seeds))}" if seeds else "")
        + (" (mean ± standard deviation over them)" if draws * max(1, len(seeds)) > 1 else "")
        + ". For one draw all rows have the same clips, and more labels include the fewer.",
        f"Encoders: {tables.training_in_words(config['run'], config['topline_learning_rate'])}. "
        "From scratch: the same network with a classification layer, batches of "
        f"{scratch['batch_size']} augmented patches, {scratch['fixed_steps']} to "
        f"{scratch['steps']} steps, chosen on held-back recordings, and then all "
        f"clips for that long; {scratch['fixed_steps']} where none can be held back.",
    ]
    fixed = sorted(
        {row["labels_per_class"] for row in rows if row["name"] == SCRATCH and not row["held_back"]}
    )
    if fixed:
        lines.append(
            "No clips were held back from the network from scratch at "
            f"{', '.join(map(str, fixed))} labels per class."
        )
    for row in {row["labels_per_class"]: row for row in rows}.values():
        count, short = row["labels_per_class"], row["short_classes"]
        if short:
            some = ", ".join(f"{name} {clips}" for name, clips in list(short.items())[:5])
            lines.append(
                f"At {count}, {len(short)} classes have fewer clips, and all of them were used: "
                f"{some}{', …' if len(short) > 5 else ''}."
            )
        if row["repeated_classes"]:
            lines.append(
                f"At {count}, {row['repeated_classes']} classes have fewer recordings than that, "
                "so some recordings gave a second clip."
            )
    return lines


def draw(table: dict, path: str) -> None:
    """Draws the scores over the number of labels, with bands of one standard deviation."""
    plt = tables.pyplot()
    rows = table["rows"]
    names = list(dict.fromkeys(row["name"] for row in rows))
    counts = sorted({row["labels_per_class"] for row in rows})
    shown = [score for score in SCORES if any(row[score] is not None for row in rows)]
    figure, axes = plt.subplots(1, len(shown), figsize=(5.4 * len(shown) + 0.4, 4.2), squeeze=False)
    cycle = plt.rcParams["axes.prop_cycle"].by_key()["color"]
    for axis, score in zip(axes[0], shown, strict=True):
        for place, name in enumerate(names):
            mine = sorted(
                (row for row in rows if row["name"] == name and row[score] is not None),
                key=lambda row: row["labels_per_class"],
            )
            x = [row["labels_per_class"] for row in mine]
            y = [row[score] for row in mine]
            spread = [row["spread"][score] or 0.0 for row in mine]
            colour = _COLOURS.get(name, cycle[place % len(cycle)])
            axis.plot(
                x,
                y,
                marker="o",
                markersize=4,
                color=colour,
                label=_NAMES[name],
                linestyle="--" if name == EXPLICIT else "-",
            )
            axis.fill_between(
                x,
                [max(0.0, v - s) for v, s in zip(y, spread, strict=True)],
                [min(1.0, v + s) for v, s in zip(y, spread, strict=True)],
                color=colour,
                alpha=0.18,
                linewidth=0,
            )
        axis.set_xscale("log")
        axis.set_xticks(counts, [str(count) for count in counts])
        axis.minorticks_off()
        axis.set_ylim(bottom=0)
        axis.set_xlabel("labelled clips per class")
        axis.set_title(_TITLES[score], fontsize=11)
        axis.grid(axis="y", color="#e8eaed", linewidth=0.8)
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
    # Above the panels: inside, it would lie on the curves of some corpus.
    figure.legend(
        *axes[0][0].get_legend_handles_labels(),
        frameon=False,
        fontsize=9,
        loc="upper center",
        ncols=len(names),
    )
    figure.tight_layout(rect=(0, 0, 1, 0.93))
    tables.save_figure(figure, path)


def run() -> None:
    """Entry point of the command."""
    define_flags()
    app.run(main)


if __name__ == "__main__":
    run()
