"""Scores of all trials as the rows of Table 1."""

import math

from audio_triplet.config import EXPLICIT
from audio_triplet.evaluation import recovery
from audio_triplet.evaluation.table_rows import BASELINE, JOINT
from experiments.lib.scores import PER_CLASS, SCORES
from experiments.lib.statistics import deviation, mean

# One scoring of a row: the fold tested on ("" without folds), and a seed.
Trial = tuple[str, int]


def rows_of(scores: dict[str, dict[Trial, dict]]) -> list[dict]:
    """Rows of the table: means over folds and seeds, their spread, recovery and ratio.

    Args:
      scores: Row → (fold, seed) → what `protocol.score` returned.

    Returns:
      The `rows` of table1.json. `spread` is the standard deviation over folds and seeds, None for
      a single one; `interval` is the bootstrap interval over classes of the mean of the classes'
      scores; recovery and ratio are None without baseline or topline in the table, recovery also
      where the topline is not above the baseline.
    """
    means = {
        name: {score: mean(trial[score] for trial in by_trial.values()) for score in SCORES}
        for name, by_trial in scores.items()
    }
    rows = []
    for name, by_trial in scores.items():
        row = {"name": name, **means[name], "seeds": sorted({seed for _, seed in by_trial})}
        row["folds"] = [fold for fold in dict.fromkeys(fold for fold, _ in by_trial) if fold]
        row["spread"] = {
            score: deviation(trial[score] for trial in by_trial.values()) for score in SCORES
        }
        row["interval"] = {}
        for score, key in PER_CLASS.items():
            row[key] = _per_class_mean(by_trial, key)
            row["interval"][score] = _interval(row[key].values())
        for short, score in (("qbe", "qbe_map"), ("cls", "cls_map")):
            bottom = means.get(BASELINE, {}).get(score, math.nan)
            top = means.get(EXPLICIT, {}).get(score, math.nan)
            value = means[name][score]
            # Without a gap there is nothing to recover.
            gap = recovery.recovery(value, bottom, top) if top > bottom else math.nan
            row[f"recovery_{short}"] = _number(gap)
            row[f"ratio_{short}"] = _number(recovery.ratio(value, top))
        audible = [trial["audible"] for trial in by_trial.values() if trial.get("audible")]
        if audible:
            row["audible"] = {key: mean(trial[key] for trial in audible) for key in audible[0]}
        row["each"] = [
            {"fold": fold, "seed": seed} | {score: trial[score] for score in SCORES}
            for (fold, seed), trial in by_trial.items()
        ]
        row["seconds"] = sum(trial.get("seconds", 0) for trial in by_trial.values())
        rows.append(row)
    return rows


def _per_class_mean(by_trial: dict[Trial, dict], key: str) -> dict[str, float | None]:
    """Class → mean of its scores over folds and seeds, None where there is none."""
    classes = next(iter(by_trial.values()))[key]
    return {label: mean(trial[key][label] for trial in by_trial.values()) for label in classes}


def differences(scores: dict[str, dict[Trial, dict]]) -> dict[str, dict]:
    """How joint differs from log mel class by class.

    Args:
      scores: As in `rows_of`.

    Returns:
      Score → `mean` of the classes' differences, its bootstrap `interval` over classes, how many
      of the `classes` are `better` with joint, and the `recovery_interval`, None without a topline;
      empty without both rows.
    """
    if not {BASELINE, JOINT} <= set(scores):
        return {}
    found = {}
    for score, key in PER_CLASS.items():
        base, joint = (_per_class_mean(scores[name], key) for name in (BASELINE, JOINT))
        gains = [joint[c] - base[c] for c in joint if None not in (joint[c], base[c])]
        found[score] = {
            "mean": mean(gains),
            "interval": _interval(gains),
            "classes": len(gains),
            "better": sum(gain > 0 for gain in gains),
            "recovery_interval": _recovery_interval(scores, key),
        }
    return found


def _recovery_interval(scores: dict[str, dict[Trial, dict]], key: str) -> list[float] | None:
    """The interval over classes of what joint recovers, [low, high]."""
    from audio_triplet.evaluation import metrics

    if EXPLICIT not in scores:
        return None
    each = [_per_class_mean(scores[name], key) for name in (JOINT, BASELINE, EXPLICIT)]
    known = [c for c in each[0] if None not in [of_row[c] for of_row in each]]
    if len(known) < 2:
        return None
    found = metrics.recovery_interval(*([of_row[c] for c in known] for of_row in each))
    return None if math.isnan(found[0]) else list(found)


def chance_of(scores: dict[str, dict[Trial, dict]]) -> dict[str, float | None]:
    """Score → mean of the folds' chance levels."""
    by_trial = [trial["chance"] for trials in scores.values() for trial in trials.values()]
    return {score: mean(chance[score] for chance in by_trial) for score in SCORES}


def _interval(values) -> list[float] | None:
    """Bootstrap interval of the mean over classes [low, high]; None for fewer than two."""
    from audio_triplet.evaluation import metrics

    values = [value for value in values if value is not None]
    return list(metrics.bootstrap_interval(values, seed=0)) if len(values) > 1 else None


def _number(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value
