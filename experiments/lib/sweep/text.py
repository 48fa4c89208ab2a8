"""A sweep as Markdown: a table per parameter, and how to repeat it."""

from __future__ import annotations

from experiments.lib import tables
from experiments.lib.scores import TITLES as SCORE_TITLES
from experiments.lib.sweep.parameters import TITLES
from experiments.lib.sweep.rows import SCORES
from experiments.lib.tables import cell, line, listed


def markdown(table: dict) -> str:
    """The sweep as Markdown.

    Args:
      table: The content of sweep.json.
    """
    config, lines = table["config"], []
    for parameter in dict.fromkeys(row["name"] for row in table["rows"]):
        lines += tables.heading(
            TITLES[parameter],
            *(SCORE_TITLES[score] for score in SCORES),
            "patches/s",
            "parameters",
        )
        own = [row for row in table["rows"] if row["name"] == parameter]
        best = max(own, key=lambda row: row["query_map"])
        for row in own:
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
                line(
                    row["value"] + (f" ({listed(marks)})" if marks else ""),
                    *(cell(row[score], row["spread"][score]) for score in SCORES),
                    f"{row['patches_per_second']:.0f}",
                    f"{row['parameters']:,.0f}",
                )
            )
        lines.append("")
    run, seeds = config["run"], config["seeds"]
    return "\n".join(
        [
            *lines,
            f"One value at a time is changed, the others stay those of the base. Corpus "
            f"{config['corpus']}, trained on {listed(config['train_splits'])}, tested on "
            f"{listed(config['test_splits'])}; triplets {run['triplets']['constraints']}; "
            f"{tables.training_in_words(run)}; seeds {listed(seeds)}"
            + (
                " (mean ± standard deviation)."
                if len(seeds) > 1
                else ": with one seed, small differences say nothing."
            ),
            "",
            *tables.how_to_repeat(config),
        ]
    )
