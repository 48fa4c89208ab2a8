"""Sweeps: what each value of the method, one at a time, does to the joint embedding.

Around the flags' values every parameter takes others in turn, all else staying as it is; short runs
on the same corpus, scored by query by example and the linear probe. The run with the flags' own
values is the baseline, trained once for all parameters. On a 2-core machine:

    python -m experiments.sweep --corpus=esc50:DIR --output_dir=runs/sweep --steps=200 --width=0.25
    python -m experiments.sweep --corpus=esc50:DIR --output_dir=runs/without --preset=best \
        --parameters=best_without --steps=300 --width=0.25

Vary with --parameters, --seeds, --triplets and every flag of train_embedding. Every score is kept
as soon as it is there: the same command goes on where it was stopped. With --rescore all figures
are made again from the saved embeddings.

Written to --output_dir: sweep.json, sweep.md, sweep.png; runs/, embeddings/ and scores/, named
PARAMETER=VALUE-seedN.
"""

import dataclasses
import gc
import math
import os
import time

from absl import app, flags, logging

from audio_triplet.config import COMBINED, CONSTRAINTS, MININGS, RunConfig
from audio_triplet.errors import UsageError
from experiments.lib import shared_flags, table_rows, tables
from experiments.lib.embeddings import kept_embeddings

BASE = "base"
SCORES = ("qbe_map", "query_map", "probe_map", "probe_accuracy")
COSTS = ("patches_per_second", "parameters")


def _numbers(part: str, field: str, values) -> dict[str, dict]:
    return {f"{value:g}": {part: {field: value}} for value in values}


def _shares() -> dict[str, dict]:
    """Equal weights; each constraint left out; each with as much as the others together."""
    found = {"equal": (1.0, 1.0, 1.0, 1.0)}
    for place, name in enumerate(CONSTRAINTS):
        found[f"no {name}"] = tuple(float(place != other) for other in range(4))
        found[f"half {name}"] = tuple(3.0 if place == other else 1.0 for other in range(4))
    return {label: {"triplets": {"shares": shares}} for label, shares in found.items()}


_VARIATIONS = ("alpha", "sigma", "equaliser", "gain", "zoom")

PARAMETERS: dict[str, dict[str, dict]] = {
    "noise_sigma": _numbers("triplets", "noise_sigma", (0.1, 0.25, 0.5, 1.0)),
    "max_mel_shift": _numbers("triplets", "max_mel_shift", (0, 2, 5, 10, 20)),
    "mixing_alpha": _numbers("triplets", "mixing_alpha", (0.05, 0.1, 0.25, 0.5, 1.0)),
    "max_seconds_apart": _numbers("triplets", "max_seconds_apart", (1.0, 2.0, 4.0, 10.0)),
    "margin": _numbers("training", "margin", (0.02, 0.05, 0.1, 0.2, 0.5)),
    "embedding_size": _numbers("encoder", "embedding_size", (32, 64, 128, 256, 512)),
    "batch_size": _numbers("pipeline", "batch_size", (16, 32, 64, 128, 256)),
    "shares": _shares(),
    "mining": {name: {"training": {"mining": name}} for name in MININGS},
    "memory": _numbers("training", "memory", (0, 64, 256, 1024)),
    "architecture": {
        f"{name}, {'batch norm' if norm == 'batch' else 'no norm'}": {
            "encoder": {"architecture": name, "normalisation": norm}
        }
        for name in ("vggish", "resnet50")
        for norm in ("none", "batch")
    },
    "width": _numbers("encoder", "width", (0.125, 0.25, 0.5, 1.0)),
    "learning_rate": _numbers("training", "learning_rate", (1e-4, 3e-4, 1e-3, 3e-3)),
    "steps": _numbers("training", "steps", (40, 80, 150, 300, 600)),
    "best_without": {
        "variations": {"triplets": {f"augment_{name}": 0.0 for name in _VARIATIONS}},
        **{name: {"triplets": {f"augment_{name}": 0.0}} for name in _VARIATIONS},
        "neighbours in time": {"triplets": {"max_seconds_apart": 0.5}},
        "contrastive objective": {"training": {"objective": "triplet"}},
        "pooling over time alone": {"encoder": {"pooling": "mean"}},
        "batch norm": {"encoder": {"normalisation": "none"}},
        "input scaling": {"encoder": {"input_scaling": False}},
        "schedule": {"training": {"schedule": "constant", "warmup_steps": 0}},
    },
    "paper_with": {
        "variations": {"triplets": {"augment": True}},
        "combined pairs": {"triplets": {"constraints": COMBINED}},
        "contrastive objective": {"training": {"objective": "contrastive"}},
        "pooling over time alone": {"encoder": {"pooling": "time"}},
        "batch norm": {"encoder": {"normalisation": "batch"}},
        "input scaling": {"encoder": {"input_scaling": True}},
        "input level": {"encoder": {"normalize_loudness": True}},
        "schedule": {"training": {"schedule": "cosine", "warmup_steps": 20}},
    },
}
"""Parameter → name of a value → part of the run's configuration → fields.

The last two are the differences between the presets, each taken from the one or added to the other.
"""

DEFAULT = [name for name in PARAMETERS if name not in ("best_without", "paper_with")]

TITLES = {
    "noise_sigma": "σ of the noise",
    "max_mel_shift": "S, bands of shift",
    "mixing_alpha": "α of the mixture",
    "max_seconds_apart": "Δt, seconds apart",
    "margin": "δ, margin",
    "embedding_size": "embedding size",
    "batch_size": "batch, triplets",
    "shares": "constraint weights",
    "mining": "negatives",
    "memory": "remembered anchors",
    "architecture": "architecture",
    "width": "width",
    "learning_rate": "learning rate",
    "steps": "steps",
    "best_without": "the preset best without",
    "paper_with": "the paper's method with",
}
PAPER = {
    "noise_sigma": "0.5",
    "max_mel_shift": "10",
    "mixing_alpha": "0.25",
    "max_seconds_apart": "10",
    "margin": "0.1",
    "embedding_size": "128",
    "shares": "equal",
    "mining": "semi_hard",
    "memory": "0",
    "architecture": "resnet50, batch norm",
    "width": "1",
    "learning_rate": "0.0001",
}


def define_flags() -> None:
    """Defines the script's flags."""
    shared_flags.define_corpus_flags()
    shared_flags.define_training_flags(seed=False)
    flags.DEFINE_list(
        "parameters",
        DEFAULT,
        "What to sweep over; also best_without (with --preset=best) and "
        "paper_with: the differences between the presets, one by one.",
    )
    flags.DEFINE_list("seeds", ["0"], "Every run is trained once for each of these seeds.")
    flags.DEFINE_enum(
        "triplets", "joint", ["joint", *CONSTRAINTS, COMBINED], "Which triplets to train on."
    )
    tables.define_scoring_flags()


def main(argv):
    """Runs the command."""
    del argv
    tables.run_command("sweep", make_table, markdown)


def make_table() -> dict:
    """Trains and scores what is missing, and writes the table.

    Returns:
      The content of sweep.json.
    """
    values = flags.FLAGS
    unknown = [name for name in values.parameters if name not in PARAMETERS]
    if unknown or not values.parameters:
        raise UsageError(
            f"--parameters={','.join(values.parameters)}: choose from {', '.join(PARAMETERS)}"
        )
    seeds = tables.numbers("seeds", least=0)

    # Only now, for wrong flags should not have to wait for TensorFlow.
    from audio_triplet.provenance import provenance

    started, told = time.monotonic(), provenance()
    os.makedirs(values.output_dir, exist_ok=True)
    corpus = shared_flags.check_labelled(shared_flags.open_corpus_from_flags())
    triplets = shared_flags.chosen_triplets()
    base = {seed: shared_flags.run_config(triplets, corpus, seed) for seed in seeds}
    plan = settings(base[seeds[0]], values.parameters)
    todo = [(label, seed) for label in plan for seed in seeds]
    found: dict[str, dict[int, dict]] = {label: {} for label in plan}
    for done, (label, seed) in enumerate(todo):
        config = changed(base[seed], plan[label])
        found[label][seed] = _score(corpus, label, seed, config)
        logging.info(
            "%d of %d: %s, seed %d: per query %.3f, probe %.3f",
            done + 1,
            len(todo),
            label,
            seed,
            found[label][seed]["query_map"],
            found[label][seed]["probe_map"],
        )
    table = {
        "rows": rows_of(found, base[seeds[0]], values.parameters),
        "config": told
        | {
            "corpus": values.corpus,
            "train_splits": corpus.train_splits,
            "test_splits": corpus.test_splits,
            "seeds": seeds,
            "run": shared_flags.told(base[seeds[0]]),
            "seconds": round(time.monotonic() - started),
        },
    }
    tables.write(os.path.join(values.output_dir, "sweep"), table, markdown(table), draw)
    return table


def changed(config: RunConfig, change: dict[str, dict]) -> RunConfig:
    """A run's configuration with some fields of its parts changed."""
    parts = {
        part: dataclasses.replace(getattr(config, part), **fields)
        for part, fields in change.items()
    }
    return dataclasses.replace(config, **parts)


def is_base(config: RunConfig, change: dict[str, dict]) -> bool:
    """Whether a change leaves the run as it is."""
    return _resolved(changed(config, change)) == _resolved(config)


def _resolved(config: RunConfig) -> RunConfig:
    """The configuration with the default normalisation named."""
    if config.encoder.normalisation != "default":
        return config
    name = "batch" if config.encoder.architecture == "resnet50" else "none"
    return changed(config, {"encoder": {"normalisation": name}})


def settings(base: RunConfig, parameters: list[str]) -> dict[str, dict]:
    """The runs to be made: label → change; the baseline first, and only once."""
    plan: dict[str, dict] = {BASE: {}}
    for parameter in parameters:
        for value, change in PARAMETERS[parameter].items():
            if not is_base(base, change):
                plan[f"{parameter}={value}"] = change
    return plan


def _score(corpus, label: str, seed: int, config: RunConfig) -> dict:
    """Scores of one run, and its cost; trained and embedded if that was not done before."""
    from audio_triplet.evaluation.probe import ProbeConfig
    from experiments.lib import protocol

    called = f"{label.replace(' ', '_').replace(',', '')}-seed{seed}"
    output_dir = flags.FLAGS.output_dir
    origin = {"run": dataclasses.asdict(config), "corpus": corpus.fingerprint}
    made_of = origin | {
        "test_splits": corpus.test_splits,
        "probe": dataclasses.asdict(ProbeConfig()),
    }
    path = os.path.join(output_dir, "scores", f"{called}.json")
    earlier = tables.read_scores(path, made_of)
    if earlier and not flags.FLAGS.rescore:
        return earlier
    started = time.monotonic()
    embeddings, cost = kept_embeddings(
        corpus, called, origin, lambda: _train(corpus, config, called)
    )
    sides = protocol.split_sides(embeddings, corpus.test_splits)
    segments = sides.train.segment_means, sides.test.segment_means
    scores = protocol.retrieval_scores(segments[1], sides, corpus.manifest.classes)
    scores |= protocol.probe_scores(*segments, sides, corpus.manifest.classes)
    scores |= cost | {"seconds": round(time.monotonic() - started, 1)}
    tables.write_scores(path, made_of, scores)
    return scores


def _train(corpus, config: RunConfig, called: str):
    """Trains a run.

    Returns:
      The encoder, and what it cost: `patches_per_second` in training and `parameters`.
    """
    import keras
    import numpy as np

    from audio_triplet import distribution
    from audio_triplet.training import checkpoints, loop
    from audio_triplet.training.trainer import Trainer

    keras.backend.clear_session()  # graphs of earlier runs
    gc.collect()
    strategy = distribution.build_strategy(flags.FLAGS.strategy, flags.FLAGS.tpu)
    run_dir = os.path.join(flags.FLAGS.output_dir, "runs", called)
    trainer = Trainer(config, strategy)
    with loop.only_writer(trainer, run_dir):
        rows = loop.run(trainer, corpus.train, run_dir)
    # The first stretch holds the tracing.
    rates = [row["patches_per_second"] for row in rows[config.training.log_steps :]] or [
        row["patches_per_second"] for row in rows
    ]
    return checkpoints.load_encoder(run_dir), {
        "patches_per_second": float(np.median(rates)),
        "parameters": trainer.encoder.count_params(),
    }


def rows_of(
    found: dict[str, dict[int, dict]], base: RunConfig, parameters: list[str]
) -> list[dict]:
    """Rows of the table, one a parameter and value; the baseline is in each parameter.

    Args:
      found: Label → seed → scores and costs.
      base: The baseline's configuration.
      parameters: What was swept over.

    Returns:
      The `rows` of sweep.json: `name`, `value`, `base` (whether it is the baseline), `paper`
      (whether it is the paper's value), means over seeds of scores and costs, `spread` of the
      scores, and `gain`, the scores' mean differences from the baseline of the same seed with
      their `gain_spread`.
    """
    rows = []
    for parameter in parameters:
        values = dict(PARAMETERS[parameter])
        if not any(is_base(base, change) for change in values.values()):
            values = {_name_of_base(base, parameter): {}} | values
        if _is_ordered(parameter):
            values = {value: values[value] for value in sorted(values, key=float)}
        for value, change in values.items():
            own = is_base(base, change)
            by_seed = found[BASE if own else f"{parameter}={value}"]
            gains = {
                score: [
                    one[score] - found[BASE][seed][score]
                    for seed, one in by_seed.items()
                    if one[score] is not None
                ]
                for score in SCORES
            }
            rows.append(
                {
                    "name": parameter,
                    "value": value,
                    "base": own,
                    "paper": PAPER.get(parameter) == value,
                    **{
                        key: tables.mean([one[key] for one in by_seed.values()])
                        for key in (*SCORES, *COSTS)
                    },
                    "spread": {
                        score: tables.deviation([one[score] for one in by_seed.values()])
                        for score in SCORES
                    },
                    "gain": {score: tables.mean(gains[score]) for score in SCORES},
                    "gain_spread": {score: tables.deviation(gains[score]) for score in SCORES},
                    "seeds": sorted(by_seed),
                }
            )
    return rows


def _is_ordered(parameter: str) -> bool:
    """Whether its values are numbers."""
    return next(iter(PARAMETERS[parameter])).replace(".", "").isdigit()


def _name_of_base(base: RunConfig, parameter: str) -> str:
    """What to call the baseline's own value, which is none of a parameter's others."""
    if not _is_ordered(parameter):
        return "as given"
    ((part, fields),) = next(iter(PARAMETERS[parameter].values())).items()
    (field,) = fields
    return f"{getattr(getattr(base, part), field):g}"


def markdown(table: dict) -> str:
    """A table a parameter, and how to repeat it."""
    config, lines = table["config"], []
    for parameter in dict.fromkeys(row["name"] for row in table["rows"]):
        lines += [
            f"| {TITLES[parameter]} | "
            + " | ".join(table_rows.TITLES[score] for score in SCORES)
            + " | patches/s | parameters |",
            "|---" * (len(SCORES) + 3) + "|",
        ]
        mine = [row for row in table["rows"] if row["name"] == parameter]
        best = max(mine, key=lambda row: row["query_map"])
        for row in mine:
            marks = [
                word
                for word, holds in (
                    ("base", row["base"]),
                    ("paper", row["paper"]),
                    ("best per query", row is best),
                )
                if holds
            ]
            lines.append(
                f"| {row['value']}"
                + (f" ({', '.join(marks)})" if marks else "")
                + " | "
                + " | ".join(tables.cell(row[score], row["spread"][score]) for score in SCORES)
                + f" | {row['patches_per_second']:.0f} | {row['parameters']:,.0f} |"
            )
        lines.append("")
    run, seeds = config["run"], config["seeds"]
    return "\n".join(
        [
            *lines,
            f"One value at a time is changed, the others stay those of the base. Corpus "
            f"{config['corpus']}, trained on {', '.join(config['train_splits'])}, tested on "
            f"{', '.join(config['test_splits'])}; triplets {run['triplets']['constraints']}; "
            f"{tables.training_in_words(run)}; seeds {', '.join(map(str, seeds))}"
            + (
                " (mean ± standard deviation)."
                if len(seeds) > 1
                else ": with one seed, small differences say nothing."
            ),
            "",
            f"    {config['command']}",
            "",
            tables.origin(config),
            "",
        ]
    )


_COLOURS = {"query_map": "#1a73e8", "probe_accuracy": "#d93025", "probe_map": "#188038"}


def draw(table: dict, path: str) -> None:
    """Draws a panel a parameter, scores less the baseline's; the last panel is cost and score."""
    plt = tables.pyplot()
    rows = table["rows"]
    parameters = list(dict.fromkeys(row["name"] for row in rows))
    shown = [
        score
        for score in ("query_map", "probe_accuracy", "probe_map")
        if all(row[score] is not None for row in rows)
    ][:2]
    costs = [row for row in rows if row["name"] in ("architecture", "width")]
    count = len(parameters) + bool(costs)
    columns = min(4, count)
    figure, axes = plt.subplots(
        math.ceil(count / columns),
        columns,
        squeeze=False,
        figsize=(max(4.0, 3.3 * columns), 2.9 * math.ceil(count / columns)),  # room for the legend
    )
    panels = list(axes.flat)
    for axis, parameter in zip(panels, parameters, strict=False):
        mine = [row for row in rows if row["name"] == parameter]
        places = range(len(mine))
        ordered = _is_ordered(parameter)
        for score in shown:
            spread = [row["gain_spread"][score] or 0.0 for row in mine]
            axis.errorbar(
                places,
                [row["gain"][score] for row in mine],
                yerr=spread if any(spread) else None,
                marker="o",
                markersize=4,
                lw=1.2,
                capsize=2,
                color=_COLOURS[score],
                linestyle="-" if ordered else "none",
                label=table_rows.TITLES[score],
            )
        axis.axhline(0, color="#9aa0a6", lw=0.8)
        slanted = any(len(row["value"]) > 6 for row in mine)
        axis.set_xticks(
            places,
            [row["value"] + ("*" if row["paper"] else "") for row in mine],
            fontsize=7,
            rotation=35 if slanted else 0,
            ha="right" if slanted else "center",
        )
        axis.set_title(TITLES[parameter], fontsize=9)
    # One range for all: what one seed and another differ by should not fill a panel.
    low, high = zip(*(axis.get_ylim() for axis in panels[: len(parameters)]), strict=True)
    for axis in panels[: len(parameters)]:
        axis.set_ylim(min(low), max(high))
    if costs:
        _draw_costs(panels[len(parameters)], costs, shown)
    for axis in panels[count:]:
        axis.set_visible(False)
    for axis in panels:
        axis.tick_params(axis="y", labelsize=7)
        axis.spines[["top", "right"]].set_visible(False)
    figure.legend(
        *panels[0].get_legend_handles_labels(),
        frameon=False,
        fontsize=9,
        loc="upper center",
        ncols=len(shown),
        title="difference from the base; * the paper's value",
        title_fontsize=9,
    )
    height = figure.get_size_inches()[1]
    figure.tight_layout(rect=(0, 0, 1, 1 - 0.55 / height))
    tables.save_figure(figure, path)


def _draw_costs(axis, rows: list[dict], shown: list[str]) -> None:
    """Draws scores over what training cost."""
    for row in rows:
        for score in shown:
            axis.scatter(
                row["patches_per_second"],
                row[score],
                s=14,
                color=_COLOURS[score],
                marker="D" if row["base"] else "o",
            )
        if not row["base"]:  # a row of each of its parameters, at one place
            axis.annotate(
                row["value"],
                (row["patches_per_second"], row[shown[0]]),
                fontsize=6,
                xytext=(2, 3),
                textcoords="offset points",
                rotation=35,
                rotation_mode="anchor",
            )
    axis.set_xscale("log")
    axis.set_xlabel("training, patches/s", fontsize=8)
    axis.set_title("cost and score (diamond: base)", fontsize=9)


def run() -> None:
    """Entry point of the command."""
    define_flags()
    app.run(main)


if __name__ == "__main__":
    run()
