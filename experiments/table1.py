"""Table 1: query by example and classification for every kind of triplet.

All rows share corpus, steps, encoder, optimizer and evaluation; only the triplets differ. On a
2-core machine, ESC-50 (folds 1-4 unlabelled for training, fold 5 for testing):

    python -m experiments.table1 --corpus=esc50:DIR --output_dir=runs/table1 --width=0.25

Vary with --rows, --seeds, --test_splits and every flag of train_embedding. Rows that are finished
are kept when the command is run again; a row that was stopped goes on.

Written to --output_dir: table1.json, table1.md, table1.png, report.html (a page to look at and to
listen to); runs/ROW-seedN/ (checkpoints, metrics, SavedModel), embeddings/, scores/.
"""

import dataclasses
import json
import math
import os
import time

from absl import app, flags, logging

from audio_triplet import cli, locks
from audio_triplet.config import CONSTRAINTS, EXPLICIT
from experiments import train_embedding

BASELINE = "log_mel"
ROWS = (BASELINE, *CONSTRAINTS, "joint", EXPLICIT)
SCORES = ("qbe_map", "query_map", "cls_map", "accuracy")

NAMES = {
    "log_mel": "Log mel (baseline)",
    "gaussian_noise": "Gaussian noise",
    "translation": "T/F translation",
    "mixing": "Example mixing",
    "proximity": "Temporal proximity",
    "joint": "Joint",
    "explicit": "Explicit label (topline)",
}


def define_flags(required: bool = True) -> None:
    """Defines the script's flags.

    Args:
      required: Whether corpus and folder must be given.
    """
    train_embedding.define_corpus_flags(required)
    train_embedding.define_training_flags(seed=False)
    flags.DEFINE_list("rows", list(ROWS), "Rows of the table, in order.")
    flags.DEFINE_list("seeds", ["0"], "Every trained row is trained once for each of these seeds.")
    flags.DEFINE_boolean("report", True, "Write report.html.")


def main(argv):
    """Runs the command."""
    del argv
    cli.quiet_tensorflow()
    with cli.clear_errors("table1"), locks.exclusive(flags.FLAGS.output_dir):
        table = make_table()
    print(markdown(table))
    print(f"written to {flags.FLAGS.output_dir}")


def make_table() -> dict:
    """Trains what is missing, evaluates, and writes the table.

    Returns:
      The content of table1.json.
    """
    from experiments.provenance import provenance

    values = flags.FLAGS
    unknown = [row for row in values.rows if row not in ROWS]
    if unknown:
        raise cli.UsageError(f"--rows: {', '.join(unknown)} unknown; choose from {', '.join(ROWS)}")
    started, told = time.monotonic(), provenance()
    os.makedirs(values.output_dir, exist_ok=True)
    corpus = train_embedding.open_corpus_from_flags()
    if not corpus.manifest.classes or not corpus.test_splits:
        raise cli.UsageError(f"{values.corpus}: a table needs labels and a test split")
    scores = {}
    for name in values.rows:
        seeds = [0] if name == BASELINE else [int(seed) for seed in values.seeds]
        scores[name] = {seed: _score_row(corpus, name, seed) for seed in seeds}
    table = {
        "rows": rows_of(scores),
        "config": told | {
            "corpus": values.corpus,
            "train_splits": corpus.train_splits,
            "test_splits": corpus.test_splits,
            "segments": len(corpus.manifest),
            "run": dataclasses.asdict(train_embedding.run_config("joint", corpus, 0)),
            "seconds": round(time.monotonic() - started),
        },
    }
    write(table, values.output_dir, "table1")
    if values.report and {BASELINE, "joint"} <= set(values.rows):
        _write_report(corpus, table)
    return table


def run_name(name: str, seed: int) -> str:
    """Name of a row's run in the files below --output_dir."""
    return name if name == BASELINE else f"{name}-seed{seed}"


def _score_row(corpus, name: str, seed: int) -> dict:
    """Scores one row for one seed, unless that was done before with the same configuration."""
    from audio_triplet.evaluation.classification import ClassifierConfig
    from experiments import scoring

    classifier = ClassifierConfig(seed=seed)
    settings = made_of(corpus, name, seed) | {
        "test_splits": corpus.test_splits, "classifier": dataclasses.asdict(classifier)
    }
    path = os.path.join(flags.FLAGS.output_dir, "scores", f"{run_name(name, seed)}.json")
    earlier = read_json(path)
    if earlier and earlier["settings"] == as_read(settings):
        logging.info("%s: scored before", run_name(name, seed))
        return earlier["scores"]
    started = time.monotonic()
    embeddings = open_embeddings(corpus, name, seed)
    sides = scoring.split_sides(embeddings, corpus.test_splits)
    scores = scoring.score(sides, corpus.manifest.classes, classifier)
    scores["seconds"] = round(time.monotonic() - started, 1)
    write_json(path, {"settings": settings, "scores": scores})
    logging.info(
        "%s: query by example %.3f, classification %.3f", run_name(name, seed),
        scores["qbe_map"], scores["cls_map"],
    )
    return scores


def made_of(corpus, name: str, seed: int) -> dict:
    """What a row's embeddings depend on: its run (None for the baseline) and the corpus."""
    run_of_row = None
    if name != BASELINE:
        run_of_row = dataclasses.asdict(train_embedding.run_config(name, corpus, seed))
    return {"run": run_of_row, "corpus": corpus.fingerprint}


def open_embeddings(corpus, name: str, seed: int):
    """A row's embeddings of all segments, as saved below --output_dir, or trained and made now.

    Args:
      corpus: An `experiments.data.Corpus`.
      name: The row.
      seed: Seed of its run.

    Returns:
      `audio_triplet.embedding.SegmentEmbeddings`.
    """
    from audio_triplet import embedding, training

    origin = made_of(corpus, name, seed)
    output_dir = flags.FLAGS.output_dir
    path = os.path.join(output_dir, "embeddings", f"{run_name(name, seed)}.npz")
    if os.path.exists(path) and read_json(f"{path}.json") == as_read(origin):
        return embedding.SegmentEmbeddings.load(path, corpus.manifest)
    representation = embedding.flat
    if name != BASELINE:
        run_dir = os.path.join(output_dir, "runs", run_name(name, seed))
        config = train_embedding.run_config(name, corpus, seed)
        train_embedding.train(config, corpus.train, run_dir)
        representation = training.load_encoder(run_dir)
    embeddings = embedding.embed(corpus.everything, corpus.manifest, representation)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    embeddings.save(path)
    write_json(f"{path}.json", origin)
    return embeddings


def as_read(settings: dict) -> dict:
    """Settings as they will be read back from JSON (tuples are lists there)."""
    return json.loads(json.dumps(settings))


def read_json(path: str) -> dict | None:
    """The content of a JSON file, None if it is not there."""
    if not os.path.exists(path):
        return None
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def write_json(path: str, content: dict) -> None:
    """Writes a JSON file, whole or not at all, and its folder if need be."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(f"{path}.tmp", "w", encoding="utf-8") as file:
        json.dump(content, file, indent=1)
    os.replace(f"{path}.tmp", path)


def rows_of(scores: dict[str, dict[int, dict]]) -> list[dict]:
    """Rows of the table: means over seeds, their spread, recovery and ratio.

    Args:
      scores: Row → seed → what `scoring.score` returned.

    Returns:
      The `rows` of table1.json. `spread` is the standard deviation over seeds, None for one seed;
      recovery and ratio are None without baseline or topline in the table, recovery also where
      the topline is not above the baseline.
    """
    from audio_triplet.evaluation import recovery

    means = {
        name: {score: mean([one[score] for one in by_seed.values()]) for score in SCORES}
        for name, by_seed in scores.items()
    }
    rows = []
    for name, by_seed in scores.items():
        row = {"name": name, **means[name], "seeds": sorted(by_seed)}
        row["spread"] = {
            score: deviation([one[score] for one in by_seed.values()]) for score in SCORES
        }
        for short, score in (("qbe", "qbe_map"), ("cls", "cls_map")):
            bottom = means.get(BASELINE, {}).get(score, math.nan)
            top = means.get(EXPLICIT, {}).get(score, math.nan)
            mine = means[name][score]
            # Part of a gap that is not there says nothing.
            gap = recovery.recovery(mine, bottom, top) if top > bottom else math.nan
            row[f"recovery_{short}"] = _number(gap)
            row[f"ratio_{short}"] = _number(recovery.ratio(mine, top))
            classes = next(iter(by_seed.values()))[f"{short}_per_class"]
            row[f"{short}_per_class"] = {
                label: mean([one[f"{short}_per_class"][label] for one in by_seed.values()])
                for label in classes
            }
        row["seconds"] = sum(one.get("seconds", 0) for one in by_seed.values())
        rows.append(row)
    return rows


def mean(values) -> float | None:
    """Mean of what is not None; None if nothing is left."""
    values = [value for value in values if value is not None]
    return sum(values) / len(values) if values else None


def deviation(values) -> float | None:
    """Standard deviation (n - 1) of what is not None; None for fewer than two."""
    values = [value for value in values if value is not None]
    if len(values) < 2:
        return None
    centre = sum(values) / len(values)
    return math.sqrt(sum((value - centre) ** 2 for value in values) / (len(values) - 1))


def _number(value: float) -> float | None:
    return None if value is None or math.isnan(value) else value


def markdown(table: dict) -> str:
    """The table as Markdown, with how to repeat it below."""
    def cell(value, percent=False, spread=None):
        if value is None:
            return "–"
        text = f"{round(100 * value)} %" if percent else f"{value:.3f}"
        return text + (f" ± {spread:.3f}" if spread is not None else "")

    lines = [
        "| representation | QbE mAP | recovery | ratio | classification mAP | recovery | ratio | "
        "per-query mAP | accuracy |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in table["rows"]:
        spread = row["spread"]
        lines.append("| " + " | ".join([
            NAMES[row["name"]],
            cell(row["qbe_map"], spread=spread["qbe_map"]),
            cell(row["recovery_qbe"], True), cell(row["ratio_qbe"], True),
            cell(row["cls_map"], spread=spread["cls_map"]),
            cell(row["recovery_cls"], True), cell(row["ratio_cls"], True),
            cell(row["query_map"], spread=spread["query_map"]),
            cell(row["accuracy"], spread=spread["accuracy"]),
        ]) + " |")
    config = table["config"]
    run = config["run"]
    seeds = sorted({seed for row in table["rows"] for seed in row["seeds"]})
    lines += [
        "",
        f"Corpus {config['corpus']}, {config['segments']} segments; trained on "
        f"{', '.join(config['train_splits'])}, tested on {', '.join(config['test_splits'])}; "
        f"{run['training']['steps']} steps of {run['pipeline']['batch_size']} triplets, "
        f"{run['encoder']['architecture']} of width {run['encoder']['width']:g}, Adam "
        f"{run['training']['learning_rate']:g}; seeds {', '.join(map(str, seeds))}"
        + (" (mean ± standard deviation)" if len(seeds) > 1 else "") + ".",
        "Recovery is (score - log mel) / (topline - log mel); ratio is score / topline.",
        "",
        f"    {config['command']}",
        "",
        f"Commit {config['commit']}, {config['date']}, {config['seconds']} s on "
        f"{config['machine']}; "
        + ", ".join(f"{name} {version}" for name, version in config["versions"].items()) + ".",
        "",
    ]
    return "\n".join(lines)


def write(table: dict, output_dir: str, name: str) -> None:
    """Writes NAME.json, NAME.md and NAME.png, each whole or not at all."""
    path = os.path.join(output_dir, name)
    for suffix, text in (
        ("json", json.dumps(table, indent=1, ensure_ascii=False)), ("md", markdown(table))
    ):
        with open(f"{path}.{suffix}.tmp", "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(f"{path}.{suffix}.tmp", f"{path}.{suffix}")
    draw(table, f"{path}.png")


def draw(table: dict, path: str) -> None:
    """Draws both scores of all rows as bars, baseline and topline as lines."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    rows = table["rows"]
    figure, axes = plt.subplots(1, 2, figsize=(10, 0.45 * len(rows) + 1.6), sharey=True)
    for axis, score, title in (
        (axes[0], "qbe_map", "query by example, mAP"), (axes[1], "cls_map", "classification, mAP")
    ):
        values = [row[score] or 0.0 for row in rows]
        errors = [row["spread"][score] or 0.0 for row in rows]
        colours = [
            {"log_mel": "#9aa0a6", "explicit": "#5f6368", "joint": "#1a73e8"}.get(
                row["name"], "#8ab4f8"
            )
            for row in rows
        ]
        axis.barh(
            range(len(rows)), values, color=colours, height=0.7,
            xerr=errors if any(errors) else None, error_kw={"lw": 1, "ecolor": "#202124"},
        )
        for place, (value, error) in enumerate(zip(values, errors, strict=True)):
            axis.text(value + error, place, f" {value:.3f}", va="center", fontsize=9)
        axis.set_title(title, fontsize=11)
        axis.set_xlim(0, 1.18 * max([*values, 1e-3]))
        axis.set_yticks(range(len(rows)), [NAMES[row["name"]] for row in rows])
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].invert_yaxis()
    figure.tight_layout()
    figure.savefig(f"{path}.tmp", dpi=150, format="png")
    plt.close(figure)
    os.replace(f"{path}.tmp", path)


def _write_report(corpus, table: dict) -> None:
    """Writes report.html for the first seed."""
    from audio_triplet import training
    from audio_triplet.embedding import SegmentEmbeddings
    from experiments import report, scoring

    output_dir, seed = flags.FLAGS.output_dir, int(flags.FLAGS.seeds[0])
    trained = [row["name"] for row in table["rows"] if row["name"] != BASELINE]
    runs = {
        name: training.read_metrics(os.path.join(output_dir, "runs", run_name(name, seed)))
        for name in trained
    }

    def test_side(name):
        path = os.path.join(output_dir, "embeddings", f"{run_name(name, seed)}.npz")
        everything = SegmentEmbeddings.load(path, corpus.manifest)
        return scoring.split_sides(everything, corpus.test_splits).test

    report.write_report(
        os.path.join(output_dir, "report.html"), table, runs, test_side(BASELINE),
        test_side("joint"), corpus.manifest.classes,
    )


def run() -> None:
    """Entry point of the command."""
    define_flags()
    app.run(main)


if __name__ == "__main__":
    run()
