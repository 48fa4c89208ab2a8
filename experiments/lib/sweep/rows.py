"""Scores of all runs as the rows of a sweep."""

from __future__ import annotations

from collections.abc import Sequence

from audio_triplet.config import RunConfig
from experiments.lib.statistics import deviation, mean
from experiments.lib.sweep.parameters import (
    BASE,
    PAPER,
    PARAMETERS,
    is_base,
    is_ordered,
    name_of_base,
)

SCORES = ("qbe_map", "query_map", "probe_map", "probe_accuracy")
COSTS = ("patches_per_second", "parameters")


def rows_of(
    found: dict[str, dict[int, dict]], base: RunConfig, parameters: Sequence[str]
) -> list[dict]:
    """Rows of the table, one per parameter and value; the baseline is in each parameter.

    Args:
      found: Label → seed → scores and costs.
      base: The baseline's configuration.
      parameters: The parameters of the sweep.

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
            values = {name_of_base(base, parameter): {}} | values
        if is_ordered(parameter):
            values = {value: values[value] for value in sorted(values, key=float)}
        for value, change in values.items():
            own = is_base(base, change)
            by_seed = found[BASE if own else f"{parameter}={value}"]
            gains = {
                score: [
                    scores[score] - found[BASE][seed][score]
                    for seed, scores in by_seed.items()
                    if scores[score] is not None
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
                        key: mean(scores[key] for scores in by_seed.values())
                        for key in (*SCORES, *COSTS)
                    },
                    "spread": {
                        score: deviation(scores[score] for scores in by_seed.values())
                        for score in SCORES
                    },
                    "gain": {score: mean(gains[score]) for score in SCORES},
                    "gain_spread": {score: deviation(gains[score]) for score in SCORES},
                    "seeds": sorted(by_seed),
                }
            )
    return rows
