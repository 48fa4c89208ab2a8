"""Is training on your own archive worth it? Released, from nothing, and fine-tuned, side by side.

    python -m experiments.own_archive --corpus=esc50:DIR --output_dir=runs/own_archive

Claim: results/own_archive.md. The paper has nothing on this.

The corpus plays the archive: of each of --folds the sound of the other folds, without its labels,
is cut down to each of --hours, and an encoder is trained on it for each of --minutes; then it is
scored on the fold that no trial has heard, by a linear probe fitted on the other folds' labels, by
retrieval per query, and as `audio-triplet search` finds, with what the best answers say of each
other; and so are the other folds, of which the archive is a part, by 400 of their sounds. The
released model must not have heard the corpus (it has not heard ESC-50).

A minute is one of a processor core, at --patches_per_second; so that all machines do the same, it
is turned into steps, and the table tells what they took. From nothing is the recipe `best` with the
released model's network; fine-tuned is `fine_tune` with each of --learning_rates and
--frozen_layers. Choose these on one fold and report on others:

    … --folds=fold1 --learning_rates=1e-4,3e-4,1e-3 --frozen_layers=0,3
    … --folds=fold2,fold3 --learning_rates=3e-4 --frozen_layers=0 --seeds=0,1,2

What is done is kept: the same command, or one that asks more, goes on. Written: own_archive.json,
own_archive.md.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from absl import flags, logging

from audio_triplet import storage
from audio_triplet.commands import terminal
from audio_triplet.config import STRATEGIES
from audio_triplet.corpora import registry
from audio_triplet.errors import UsageError
from experiments import recipes
from experiments.lib import kept, script, statistics, tables
from experiments.lib.archive_trials import NOTHING, RELEASED, SCORES, TUNED, Trial

if TYPE_CHECKING:
    from audio_triplet.data.manifest import Manifest

_SETTINGS = ("way", "hours", "steps", "learning_rate", "frozen_layers")


@dataclasses.dataclass(frozen=True)
class Options:
    """Which trials there are.

    Attributes:
      folds: Held out in turn.
      hours: Of the archives.
      minutes: Of training.
      seeds: Of draws and training.
      learning_rates: Of fine-tuning.
      frozen_layers: Of fine-tuning.
      patches_per_second: How many patches a core trains.
      ways: Of `released`, `from nothing`, `fine-tuned`.
    """

    folds: tuple[str, ...] = ("fold2", "fold3")
    hours: tuple[float, ...] = (0.5, 1.0)
    minutes: tuple[float, ...] = (1.0, 10.0)
    seeds: tuple[int, ...] = (0,)
    learning_rates: tuple[float, ...] = ()
    frozen_layers: tuple[int, ...] = ()
    patches_per_second: float = 250.0
    ways: tuple[str, ...] = (RELEASED, NOTHING, TUNED)

    def trials(self) -> list[Trial]:
        """All of them, the quick ones first."""
        tuning, scratch = recipes.load("fine_tune"), recipes.load("best")
        patches = 2 * tuning.pipeline.batch_size
        found = [Trial(RELEASED, fold) for fold in self.folds if RELEASED in self.ways]
        for minutes, hours, fold, seed in itertools.product(
            sorted(self.minutes), sorted(self.hours), self.folds, self.seeds
        ):
            steps = max(1, round(60 * minutes * self.patches_per_second / patches))
            for rate, frozen in itertools.product(
                self.learning_rates or (tuning.training.learning_rate,),
                self.frozen_layers or (tuning.training.frozen_layers,),
            ):
                if TUNED in self.ways:
                    found.append(Trial(TUNED, fold, hours, steps, rate, frozen, seed))
            if NOTHING in self.ways:
                rate = scratch.training.learning_rate
                found.append(Trial(NOTHING, fold, hours, steps, rate, 0, seed))
        return found


def define_flags() -> None:
    """Defines the script's flags."""
    own = Options()
    flags.DEFINE_string("corpus", None, f"The sound: {registry.accepted_forms()}.", required=True)
    flags.DEFINE_string("output_dir", None, "Output folder.", required=True)
    flags.DEFINE_string("init_model", "released", "The export that fine-tuning begins with.")
    flags.DEFINE_list("folds", list(own.folds), "Splits that are held out in turn.")
    flags.DEFINE_list("hours", [f"{hours:g}" for hours in own.hours], "Sizes of the archive.")
    flags.DEFINE_list(
        "minutes", [f"{minutes:g}" for minutes in own.minutes], "Minutes of one core to train for."
    )
    flags.DEFINE_list("seeds", ["0"], "Seeds of the archive's draw and of the training.")
    flags.DEFINE_list("learning_rates", [], "Of fine-tuning; by default the recipe's.")
    flags.DEFINE_list("frozen_layers", [], "Of fine-tuning; by default the recipe's.")
    flags.DEFINE_list(
        "ways", list(own.ways), "What is compared: released, from nothing, fine-tuned."
    )
    flags.DEFINE_float(
        "patches_per_second",
        own.patches_per_second,
        "Patches that a core trains in a second, by which minutes become steps.",
        lower_bound=1e-3,
    )
    flags.DEFINE_enum("strategy", "auto", STRATEGIES, "Where to train.")


def main(argv: list[str]) -> None:
    """Runs the command."""
    del argv
    terminal.set_up_logging()
    values = flags.FLAGS
    with terminal.clear_errors("own_archive"):
        table = make_table(
            values.corpus,
            values.output_dir,
            options_from_flags(),
            values.init_model,
            values.strategy,
        )
    print(markdown(table))


def options_from_flags() -> Options:
    """The options that the flags give.

    Raises:
      UsageError: A number or a way is none.
    """
    values = flags.FLAGS
    unknown = set(values.ways) - set(Options().ways)
    if unknown:
        raise UsageError(
            f"--ways={','.join(sorted(unknown))}: choose from {', '.join(Options().ways)}"
        )
    return Options(
        folds=tuple(values.folds),
        hours=positive("hours", values.hours),
        minutes=positive("minutes", values.minutes),
        seeds=script.whole_numbers("seeds", values.seeds, least=0),
        learning_rates=positive("learning_rates", values.learning_rates),
        frozen_layers=tuple(
            script.whole_numbers("frozen_layers", values.frozen_layers, least=0)
            if values.frozen_layers
            else ()
        ),
        patches_per_second=values.patches_per_second,
        ways=tuple(values.ways),
    )


def positive(name: str, given: Sequence[str]) -> tuple[float, ...]:
    """A list of positive numbers, as a flag gives it.

    Raises:
      UsageError: It is something else.
    """
    try:
        found = tuple(float(text) for text in given)
    except ValueError as error:
        raise UsageError(f"--{name}: {error}; write numbers, as 1,10") from error
    if not all(0 < number < float("inf") for number in found):
        raise UsageError(f"--{name}={','.join(given)}: write positive numbers, as 1,10")
    return found


def make_table(
    corpus: str,
    output_dir: str,
    options: Options,
    model: str = "released",
    strategy: str = "auto",
) -> dict[str, Any]:
    """Makes all trials and writes the table, again after each.

    Args:
      corpus: As --corpus has it; labelled, with splits.
      output_dir: Output folder.
      options: The trials.
      model: The export to begin with.
      strategy: Where to train.

    Returns:
      Content of own_archive.json.

    Raises:
      UsageError: There is no such fold, or not as much sound.
      ExportError: The model is not an export of ours.
    """
    from audio_triplet import distribution, locks
    from audio_triplet.training import initial
    from experiments.lib.archive_trials import Trials
    from experiments.lib.corpus import NONE, open_corpus
    from experiments.lib.scored_corpus import labelled_manifest

    released = initial.describe(model)
    making = tables.Making.begin(output_dir)
    with locks.exclusive(output_dir):
        sound = labelled_manifest(corpus)
        _check_folds(sound, options.folds)
        scored = open_corpus(corpus, os.path.join(output_dir, "prepared"), (NONE,))
        place = distribution.build_strategy(strategy)
        trials = Trials(scored, sound, released, output_dir, place)
        rows, todo = [], options.trials()
        table: dict[str, Any] = {}
        for number, trial in enumerate(todo, 1):
            logging.info("trial %d of %d: %s", number, len(todo), trial.name)
            rows.append(trials.run(trial))
            config = making.config(
                scored, model=model, digest=released.digest, precision=rows[-1]["precision"]
            )
            table = {"rows": rows, "means": means(rows), "config": config}
            kept.write_json(os.path.join(output_dir, "own_archive.json"), table)
            storage.write_text(os.path.join(output_dir, "own_archive.md"), markdown(table))
    return table


def _check_folds(sound: Manifest, folds: Sequence[str]) -> None:
    missing = [fold for fold in folds if fold not in sound.splits]
    if missing:
        raise UsageError(
            f"--folds={','.join(missing)}: {sound.name} has {', '.join(sound.splits)}; choose these"
        )


def means(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Means over folds and seeds of trials that differ in nothing else.

    Args:
      rows: Trials with their scores.

    Returns:
      For each setting its fields, `folds`, `seeds`, `cpu_seconds`, `patches`, each score, and
      its mean difference to the released model on the same folds, `SCORE_gain` (None where the
      released model was not scored).
    """
    base = {row["fold"]: row for row in rows if row["way"] == RELEASED}
    groups: dict[tuple, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in _SETTINGS), []).append(row)
    found = []
    for key, group in groups.items():
        mean: dict[str, Any] = dict(zip(_SETTINGS, key, strict=True))
        mean |= {
            name: sorted({row[f"{name[:-1]}"] for row in group}) for name in ("folds", "seeds")
        }
        mean |= {name: statistics.mean(row[name] for row in group) for name in SCORES}
        for name in SCORES:
            known = [row[name] - base[row["fold"]][name] for row in group if row["fold"] in base]
            mean[f"{name}_gain"] = statistics.mean(known)
        mean["patches"] = group[0]["patches"]
        mean["cpu_seconds"] = statistics.mean(row["cpu_seconds"] for row in group)
        found.append(mean)
    return found


def markdown(table: dict[str, Any]) -> str:
    """The table as Markdown."""
    config = table["config"]
    lines = tables.heading(
        "encoder", "archive", "steps", "CPU s", "learning rate", "frozen", "seeds", "held out",
        "probe accuracy", "per-query mAP", "as it searches", "the archive, as it searches",
        "to released"
    )  # fmt: skip
    for row in table["means"]:
        trained = row["way"] != RELEASED
        gains = [row[f"{name}_gain"] for name in SCORES]
        seconds = row["cpu_seconds"]
        lines.append(
            tables.line(
                row["way"],
                f"{row['hours']:g} h" if trained else "",
                str(row["steps"]) if trained else "",
                (f"{seconds:.0f}" if seconds is not None else "–") if trained else "",
                f"{row['learning_rate']:g}" if trained else "",
                str(row["frozen_layers"]) if row["way"] == TUNED else "",
                tables.listed(row["seeds"]) if trained else "",
                tables.listed(row["folds"]),
                *(tables.cell(row[name]) for name in SCORES),
                ", ".join("–" if gain is None else f"{gain:+.3f}" for gain in gains)
                if trained
                else "",
            )
        )
    lines += [
        "",
        f"{config['corpus']}; the released model is --init_model={config['model']} "
        f"({config['digest'][:12]}). An archive is the sound of the folds that are not held out, "
        "without labels, cut down to its hours. Probe and retrieval are means over what is held "
        "out, which no encoder has heard, but for the column of the archive, which is that of all "
        "folds that are not held out; the last column "
        f"has their differences to the released model on the same folds. {config['precision']}.",
        "",
        *tables.how_to_repeat(config, " (with what was kept)"),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    script.start(define_flags, main)
