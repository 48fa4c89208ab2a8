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
import math
import os
import time
from collections.abc import Sequence

from absl import app, flags, logging

from audio_triplet import cli
from audio_triplet.config import COMBINED, CONSTRAINTS, EXPLICIT, TripletConfig
from experiments import tables, train_embedding

BASELINE = "log_mel"
STATISTICS = "log_mel_stats"
RANDOM = "random"
SHUFFLED = "shuffled"
ROWS = (BASELINE, *CONSTRAINTS, "joint", EXPLICIT)
"""The table of the paper."""

EXTRA_ROWS = (STATISTICS, RANDOM, SHUFFLED, COMBINED)
"""Rows that have to be asked for: another baseline, two that must come out low, and one more."""

UNTRAINED = (BASELINE, STATISTICS, RANDOM)
FIXED = (BASELINE, STATISTICS)
"""Rows that no seed changes."""

SCORES = ("qbe_map", "query_map", "cls_map", "accuracy", "probe_map", "probe_accuracy")
PER_CLASS = {
    "qbe_map": "qbe_per_class", "query_map": "query_per_class", "cls_map": "cls_per_class",
    "probe_map": "probe_per_class",
}
TITLES = {
    "qbe_map": "query by example, mAP", "query_map": "per-query mAP",
    "cls_map": "classification, mAP", "accuracy": "accuracy", "probe_map": "linear probe, mAP",
    "probe_accuracy": "linear probe, accuracy",
}
NAMES = {
    "log_mel": "Log mel (baseline)",
    "log_mel_stats": "Log mel, mean and deviation",
    "random": "Random encoder",
    "gaussian_noise": "Gaussian noise",
    "translation": "T/F translation",
    "mixing": "Example mixing",
    "proximity": "Temporal proximity",
    "joint": "Joint",
    "combined": "Combined",
    "shuffled": "Joint, labels shuffled",
    "explicit": "Explicit label (topline)",
}

Trial = tuple[str, int]
"""What a row is scored for once: the fold tested on ("" without --folds), and a seed."""


def define_flags(required: bool = True) -> None:
    """Defines the script's flags.

    Args:
      required: Whether corpus and folder must be given.
    """
    train_embedding.define_corpus_flags(required)
    train_embedding.define_training_flags(seed=False)
    flags.DEFINE_list(
        "rows", list(ROWS), f"Rows of the table, in order; also {', '.join(EXTRA_ROWS)}."
    )
    flags.DEFINE_list("seeds", ["0"], "Every trained row is trained once for each of these seeds.")
    flags.DEFINE_list(
        "folds", [], "Splits to test on in turn, each time training on all others; all: every "
        "split with labels. Instead of --test_splits."
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
    from experiments.provenance import provenance

    started, told = time.monotonic(), provenance()
    os.makedirs(values.output_dir, exist_ok=True)
    corpora = open_folds()
    corpus = train_embedding.check_labelled(list(corpora.values())[-1])
    # Wrong settings are told before anything is scored.
    run_of_joint = train_embedding.run_config("joint", corpus, seeds[0])
    scores: dict[str, dict[Trial, dict]] = {}
    for name in values.rows:
        scores[name] = {
            (fold, seed): _score_row(side, name, seed, fold)
            for fold, side in corpora.items() for seed in (seeds[:1] if name in FIXED else seeds)
        }
    table = {
        "rows": rows_of(scores),
        "differences": differences(scores),
        "chance": chance_of(scores),
        "config": told | {
            "corpus": values.corpus,
            "train_splits": corpus.train_splits,
            "test_splits": corpus.test_splits,
            "folds": [fold for fold in corpora if fold],
            "segments": len(corpus.manifest),
            "run": train_embedding.told(run_of_joint),
            "topline_learning_rate": values.topline_learning_rate,
            "seconds": round(time.monotonic() - started),
        },
    }
    path = os.path.join(values.output_dir, values.name)
    tables.write(path, table, markdown(table), draw)
    if table["differences"]:
        draw_classes(table, f"{path}_classes.png")
    if "joint" in values.rows:
        _draw_map(corpus, f"{path}_map.png", list(corpora)[-1], seeds[0])
    if values.report and {BASELINE, "joint"} <= set(values.rows):
        _write_report(corpus, table, list(corpora)[-1], seeds[0])
    return table


def open_folds() -> dict[str, object]:
    """What --folds asks for: fold → the corpus holding it out; without folds, "" → the corpus."""
    values = flags.FLAGS
    if not values.folds:
        return {"": train_embedding.open_corpus_from_flags()}
    if values.test_splits:
        raise cli.UsageError("--folds and --test_splits exclude each other")
    from experiments import data

    corpus = train_embedding.open_corpus_from_flags((data.NONE,))
    folds = corpus.folds if values.folds == ["all"] else tuple(values.folds)
    if not folds:
        raise cli.UsageError(f"{values.corpus}: no split has labels")
    return {fold: corpus.holding_out((fold,)) for fold in folds}


def run_name(name: str, seed: int, fold: str = "") -> str:
    """Name of a row's run in the files below --output_dir."""
    parts = [name, fold, "" if name in FIXED else f"seed{seed}"]
    return "-".join(part for part in parts if part)


def _score_row(corpus, name: str, seed: int, fold: str) -> dict:
    """Scores one row for one seed, unless that was done before with the same configuration."""
    from audio_triplet.evaluation.classification import ClassifierConfig
    from audio_triplet.evaluation.probe import ProbeConfig
    from experiments import scoring

    classifier = ClassifierConfig(seed=0 if name in FIXED else seed)
    silence_energy = TripletConfig().silence_energy if name in (BASELINE, "joint") else None
    settings = made_of(corpus, name, seed) | {
        "test_splits": corpus.test_splits, "classifier": dataclasses.asdict(classifier),
        "probe": dataclasses.asdict(ProbeConfig()), "silence_energy": silence_energy,
    }
    called = run_name(name, seed, fold)
    path = os.path.join(flags.FLAGS.output_dir, "scores", f"{called}.json")
    earlier = tables.read_scores(path, settings)
    # The map and the report are of the embeddings: a row without them is not finished.
    there = os.path.exists(embeddings_path(_embedded_as(name, seed, fold)))
    if earlier and there and not flags.FLAGS.rescore:
        logging.info("%s: scored before", called)
        return earlier
    started = time.monotonic()
    embeddings = open_embeddings(corpus, name, seed, fold)
    sides = scoring.split_sides(embeddings, corpus.test_splits)
    if name == SHUFFLED:
        sides = scoring.shuffle_labels(sides, seed)
    scores = scoring.score(sides, corpus.manifest.classes, classifier, silence_energy)
    scores["seconds"] = round(time.monotonic() - started, 1)
    tables.write_scores(path, settings, scores)
    logging.info(
        "%s: query by example %.3f, classification %.3f", called, scores["qbe_map"],
        scores["cls_map"],
    )
    return scores


def made_of(corpus, name: str, seed: int) -> dict:
    """What a row's embeddings depend on: its run (None for the untrained) and the corpus."""
    if name in FIXED:
        return {"run": None, "corpus": corpus.fingerprint}
    config = dataclasses.asdict(train_embedding.run_config(_triplets(name), corpus, seed))
    if name in UNTRAINED:
        return {
            "run": None, "encoder": config["encoder"], "seed": seed, "corpus": corpus.fingerprint
        }
    return {"run": config, "corpus": corpus.fingerprint}


def _triplets(name: str) -> str:
    """The triplets that a row's encoder is trained on, or would be."""
    return "joint" if name in (SHUFFLED, RANDOM) else name


def open_embeddings(corpus, name: str, seed: int, fold: str = ""):
    """A row's embeddings of all segments, as saved below --output_dir, or trained and made now.

    Args:
      corpus: An `experiments.data.Corpus`.
      name: The row.
      seed: Seed of its run.
      fold: Its test side, if several are tested on in turn.

    Returns:
      `audio_triplet.embedding.SegmentEmbeddings`.
    """
    from audio_triplet import embedding, models, training

    origin, called = made_of(corpus, name, seed), _embedded_as(name, seed, fold)
    name = "joint" if name == SHUFFLED else name

    def representation():
        if name in FIXED:
            return (embedding.flat if name == BASELINE else embedding.band_statistics), {}
        if name == RANDOM:
            encoder = train_embedding.run_config("joint", corpus, seed).encoder
            return models.build(encoder, seed=seed), {}
        run_dir = os.path.join(flags.FLAGS.output_dir, "runs", called)
        config = train_embedding.run_config(name, corpus, seed)
        train_embedding.train(config, corpus.train, run_dir)
        return training.load_encoder(run_dir), {}

    return kept_embeddings(corpus, called, origin, representation)[0]


def _embedded_as(name: str, seed: int, fold: str) -> str:
    """Name of the run that a row's embeddings are of."""
    # What is not trained is the same for every fold.
    return run_name("joint" if name == SHUFFLED else name, seed, "" if name in UNTRAINED else fold)


def kept_embeddings(corpus, called: str, origin: dict, representation):
    """Embeddings of all segments, as saved below --output_dir, or made now and saved.

    Args:
      corpus: An `experiments.data.Corpus`.
      called: Name of the run.
      origin: What they depend on: saved ones of another origin are not used.
      representation: Returns what to embed by, see `audio_triplet.embedding`, and a dict of what
        is to be remembered of its making.

    Returns:
      `audio_triplet.embedding.SegmentEmbeddings`, and the dict.

    Raises:
      UsageError: They are not there, and --rescore wants nothing trained.
    """
    from audio_triplet import embedding

    path = embeddings_path(called)
    told = tables.read_json(f"{path}.json") or {}
    remembered = told.pop("made", {})
    there = os.path.exists(path)
    if there and told == tables.as_read(origin):
        return embedding.SegmentEmbeddings.load(path, corpus.manifest), remembered
    if flags.FLAGS.rescore:
        raise cli.UsageError(
            f"{path}: {'is of other settings' if there else 'is not there'}; give the flags it was "
            "made with, or leave out --rescore to make it"
        )
    by, remembered = representation()
    embeddings = embedding.embed(corpus.everything, corpus.manifest, by)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    embeddings.save(path)
    tables.write_json(f"{path}.json", origin | ({"made": remembered} if remembered else {}))
    return embeddings, remembered


def embeddings_path(called: str) -> str:
    """Where the embeddings of a run are kept."""
    return os.path.join(flags.FLAGS.output_dir, "embeddings", f"{called}.npz")


def rows_of(scores: dict[str, dict[Trial, dict]]) -> list[dict]:
    """Rows of the table: means over folds and seeds, their spread, recovery and ratio.

    Args:
      scores: Row → (fold, seed) → what `scoring.score` returned.

    Returns:
      The `rows` of table1.json. `spread` is the standard deviation over folds and seeds, None for
      a single one; `interval` is the bootstrap interval over classes of the mean of the classes'
      scores; recovery and ratio are None without baseline or topline in the table, recovery also
      where the topline is not above the baseline.
    """
    from audio_triplet.evaluation import recovery

    means = {
        name: {score: tables.mean([one[score] for one in by_trial.values()]) for score in SCORES}
        for name, by_trial in scores.items()
    }
    rows = []
    for name, by_trial in scores.items():
        row = {"name": name, **means[name], "seeds": sorted({seed for _, seed in by_trial})}
        row["folds"] = [fold for fold in dict.fromkeys(fold for fold, _ in by_trial) if fold]
        row["spread"] = {
            score: tables.deviation([one[score] for one in by_trial.values()]) for score in SCORES
        }
        row["interval"] = {}
        for score, key in PER_CLASS.items():
            row[key] = per_class_mean(by_trial, key)
            row["interval"][score] = _interval(row[key].values())
        for short, score in (("qbe", "qbe_map"), ("cls", "cls_map")):
            bottom = means.get(BASELINE, {}).get(score, math.nan)
            top = means.get(EXPLICIT, {}).get(score, math.nan)
            mine = means[name][score]
            # Part of a gap that is not there says nothing.
            gap = recovery.recovery(mine, bottom, top) if top > bottom else math.nan
            row[f"recovery_{short}"] = _number(gap)
            row[f"ratio_{short}"] = _number(recovery.ratio(mine, top))
        heard = [one["audible"] for one in by_trial.values() if one.get("audible")]
        if heard:
            row["audible"] = {key: tables.mean([one[key] for one in heard]) for key in heard[0]}
        row["each"] = [
            {"fold": fold, "seed": seed} | {score: one[score] for score in SCORES}
            for (fold, seed), one in by_trial.items()
        ]
        row["seconds"] = sum(one.get("seconds", 0) for one in by_trial.values())
        rows.append(row)
    return rows


def per_class_mean(by_trial: dict[Trial, dict], key: str) -> dict[str, float | None]:
    """Class → mean of its scores over folds and seeds, None where there is none."""
    classes = next(iter(by_trial.values()))[key]
    return {
        label: tables.mean([one[key][label] for one in by_trial.values()]) for label in classes
    }


def differences(scores: dict[str, dict[Trial, dict]]) -> dict[str, dict]:
    """How joint differs from log mel class by class.

    Args:
      scores: As in `rows_of`.

    Returns:
      Score → `mean` of the classes' differences, its bootstrap `interval` over classes, and how
      many of the `classes` are `better` with joint; empty without both rows.
    """
    if not {BASELINE, "joint"} <= set(scores):
        return {}
    found = {}
    for score, key in PER_CLASS.items():
        base, mine = (per_class_mean(scores[name], key) for name in (BASELINE, "joint"))
        gains = [mine[c] - base[c] for c in mine if None not in (mine[c], base[c])]
        found[score] = {
            "mean": tables.mean(gains), "interval": _interval(gains), "classes": len(gains),
            "better": sum(gain > 0 for gain in gains),
        }
    return found


def chance_of(scores: dict[str, dict[Trial, dict]]) -> dict[str, float | None]:
    """Score → mean of the folds' chance levels."""
    told = [one["chance"] for by_trial in scores.values() for one in by_trial.values()]
    return {score: tables.mean([one[score] for one in told]) for score in SCORES}


def _interval(values) -> list[float] | None:
    """Bootstrap interval of the mean over classes [low, high]; None for fewer than two."""
    from audio_triplet.evaluation import metrics

    values = [value for value in values if value is not None]
    return list(metrics.bootstrap_interval(values, seed=0)) if len(values) > 1 else None


def _number(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value


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
        lines.append("| " + " | ".join([
            NAMES[row["name"]],
            cell(row["qbe_map"], spread["qbe_map"]),
            cell(row["recovery_qbe"], percent=True), cell(row["ratio_qbe"], percent=True),
            cell(row["cls_map"], spread["cls_map"]),
            cell(row["recovery_cls"], percent=True), cell(row["ratio_cls"], percent=True),
            *(cell(row[score], spread[score])
              for score in ("query_map", "accuracy", "probe_map", "probe_accuracy")),
        ]) + " |")
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
        "| 95 % bootstrap interval over classes | " + " | ".join(
            TITLES[score] for score in PER_CLASS
        ) + " |",
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
                    tables.cell(one["probe_map"] if one["probe_accuracy"] is None
                                else one["probe_accuracy"])
                    for one in (row, heard)
                ) + " by the probe"
            )
    if not told:
        return []
    share = next(row["audible"]["silent_share"] for row in rows if row.get("audible"))
    return [
        f"{round(100 * share)} % of the test segments have a silent patch; leaving those out of a "
        f"segment's mean takes {'; '.join(told)}.", "",
    ]


def _conditions(table: dict) -> str:
    config = table["config"]
    seeds = sorted({seed for row in table["rows"] for seed in row["seeds"]})
    folds = config["folds"]
    sides = (
        f"tested on each of {', '.join(folds)} in turn, trained on the others" if folds
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
        + (f" (mean ± standard deviation over {over})" if over else "") + "."
    )


_COLOURS = {"log_mel": "#9aa0a6", "log_mel_stats": "#9aa0a6", "explicit": "#5f6368",
            "joint": "#1a73e8", "random": "#dadce0", "shuffled": "#dadce0"}


def draw(table: dict, path: str) -> None:
    """Draws three scores of all rows as bars, chance as a line."""
    plt = tables.pyplot()
    rows = table["rows"]
    shown = [
        score for score in ("qbe_map", "cls_map", "probe_accuracy")
        if any(row[score] is not None for row in rows)
    ]
    figure, axes = plt.subplots(
        1, len(shown), figsize=(4.2 * len(shown) + 1.6, 0.45 * len(rows) + 1.6), sharey=True
    )
    for axis, score in zip(axes, shown, strict=True):
        values = [row[score] or 0.0 for row in rows]
        errors = [row["spread"][score] or 0.0 for row in rows]
        axis.barh(
            range(len(rows)), values, height=0.7,
            color=[_COLOURS.get(row["name"], "#8ab4f8") for row in rows],
            xerr=errors if any(errors) else None, error_kw={"lw": 1, "ecolor": "#202124"},
        )
        for place, (value, error) in enumerate(zip(values, errors, strict=True)):
            axis.text(value + error, place, f" {value:.3f}", va="center", fontsize=9)
        if table["chance"][score] is not None:
            axis.axvline(table["chance"][score], color="#202124", lw=0.8, ls=":")
        axis.set_title(TITLES[score], fontsize=11)
        axis.set_xlim(0, 1.18 * max([*values, 1e-3]))
        axis.set_yticks(range(len(rows)), [NAMES[row["name"]] for row in rows])
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].invert_yaxis()
    figure.tight_layout()
    tables.save_figure(figure, path)


MAX_CLASSES = 60
"""More classes than this, and only those with the largest gains and losses are drawn [D]."""


def draw_classes(table: dict, path: str) -> None:
    """Draws both scores of every class, joint beside log mel, the largest gain first."""
    plt = tables.pyplot()
    rows = {row["name"]: row for row in table["rows"]}
    joint, log_mel = rows["joint"], rows[BASELINE]
    ordered = {}
    for score in ("qbe_map", "cls_map"):
        mine, base = joint[PER_CLASS[score]], log_mel[PER_CLASS[score]]
        known = [c for c in mine if None not in (mine[c], base[c])]
        known.sort(key=lambda c, mine=mine, base=base: base[c] - mine[c])
        better = f"{sum(mine[c] > base[c] for c in known)} of {len(known)}"
        if len(known) > MAX_CLASSES:
            known = known[: MAX_CLASSES // 2] + known[-MAX_CLASSES // 2 :]
        ordered[score] = better, [(c, mine[c], base[c]) for c in known]
    longest = max(len(classes) for _, classes in ordered.values())
    figure, axes = plt.subplots(1, 2, figsize=(10.5, 0.19 * longest + 1.4))
    for axis, (score, (better, classes)) in zip(axes, ordered.items(), strict=True):
        for place, (_, mine, base) in enumerate(classes):
            axis.plot(
                [base, mine], [place, place], lw=2, solid_capstyle="butt",
                color="#aecbfa" if mine > base else "#f6aea9",
            )
        places = range(len(classes))
        for column, colour, label in ((2, "#9aa0a6", "log mel"), (1, "#1a73e8", "joint")):
            values = [one[column] for one in classes]
            axis.scatter(values, places, s=16, color=colour, label=label, zorder=3)
        axis.set_title(f"{TITLES[score]}: {better} classes better", fontsize=10)
        axis.set_yticks(places, [c.replace("_", " ") for c, _, _ in classes], fontsize=7)
        axis.set_ylim(len(classes) - 0.4, -0.6)
        axis.set_xlim(left=0)
        axis.grid(axis="x", color="#e8eaed", linewidth=0.8)
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
    height = figure.get_size_inches()[1]
    figure.legend(
        *axes[0].get_legend_handles_labels(), frameon=False, fontsize=9, loc="upper center",
        ncols=2,
    )
    figure.tight_layout(rect=(0, 0, 1, 1 - 0.25 / height))
    tables.save_figure(figure, path)


def _test_side(corpus, called: str):
    """The embeddings of the test segments, as saved for a run."""
    from audio_triplet.embedding import SegmentEmbeddings
    from experiments import scoring

    everything = SegmentEmbeddings.load(embeddings_path(called), corpus.manifest)
    return scoring.split_sides(everything, corpus.test_splits).test


def _draw_map(corpus, path: str, fold: str, seed: int) -> None:
    """Draws the map of the joint embedding, of the last fold and the first seed."""
    from experiments import map_figure, report

    side, classes = _test_side(corpus, run_name("joint", seed, fold)), corpus.manifest.classes
    first = report.first_class(side.manifest.label_matrix(classes))
    map_figure.draw(side.segment, first, classes, path, seed)


def _write_report(corpus, table: dict, fold: str, seed: int) -> None:
    """Writes report.html for the last fold and the first seed."""
    from audio_triplet import training
    from experiments import report

    output_dir = flags.FLAGS.output_dir
    trained = [
        row["name"] for row in table["rows"] if row["name"] not in (*UNTRAINED, SHUFFLED)
    ]
    runs = {
        name: training.read_metrics(os.path.join(output_dir, "runs", run_name(name, seed, fold)))
        for name in trained
    }

    report.write_report(
        os.path.join(output_dir, "report.html"), table, runs, _test_side(corpus, BASELINE),
        _test_side(corpus, run_name("joint", seed, fold)), corpus.manifest.classes,
    )


def run() -> None:
    """Entry point of the command."""
    define_flags()
    app.run(main)


if __name__ == "__main__":
    run()
