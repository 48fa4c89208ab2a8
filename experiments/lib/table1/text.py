"""Table 1 as Markdown, with how to repeat it below."""

from __future__ import annotations

from collections.abc import Sequence

from audio_triplet.evaluation import table_rows
from experiments.lib import tables
from experiments.lib.scores import PER_CLASS, TITLES
from experiments.lib.tables import cell, line, listed

_TITLES = (
    "representation",
    "QbE mAP",
    "recovery",
    "ratio",
    "classification mAP",
    "recovery",
    "ratio",
    "per-query mAP",
    "accuracy",
    "probe mAP",
    "probe accuracy",
)


def markdown(table: dict) -> str:
    """The table as Markdown.

    Args:
      table: The content of table1.json.
    """
    chance = {score: cell(value) for score, value in table["chance"].items()}
    by_chance = line(
        "*Chance*",
        *(chance["qbe_map"], "", "", chance["cls_map"], "", ""),
        *(chance[score] for score in ("query_map", "accuracy", "probe_map", "probe_accuracy")),
    )
    return "\n".join(
        [
            *tables.heading(*_TITLES),
            *(_row(row) for row in table["rows"]),
            by_chance,
            "",
            *_intervals(table),
            *_silence(table["rows"]),
            _conditions(table),
            "Recovery is (score - log mel) / (topline - log mel); ratio is score / topline. "
            "Classification is by the paper's classifier, on patches; the probe is a logistic "
            "regression on the standardised segment embedding. The mean over all rankings is "
            "chance.",
            "",
            *tables.how_to_repeat(table["config"]),
        ]
    )


def _row(row: dict) -> str:
    def score(name: str) -> str:
        return cell(row[name], row["spread"][name])

    cells = [table_rows.of(row["name"]).label]
    for short in ("qbe", "cls"):
        cells += [
            score(f"{short}_map"),
            cell(row[f"recovery_{short}"], percent=True),
            cell(row[f"ratio_{short}"], percent=True),
        ]
    cells += [score(name) for name in ("query_map", "accuracy", "probe_map", "probe_accuracy")]
    return line(*cells)


def _intervals(table: dict) -> list[str]:
    """95 % intervals over classes of all rows, and of joint's difference from log mel."""

    def between(interval: Sequence[float] | None) -> str:
        return "–" if interval is None else f"{interval[0]:.3f} … {interval[1]:.3f}"

    def shares(interval: Sequence[float] | None) -> str:
        return "–" if interval is None else f"{100 * interval[0]:.0f} … {100 * interval[1]:.0f} %"

    def difference(found: dict) -> str:
        if found["mean"] is None:
            return "–"
        return (
            f"{found['mean']:+.3f} ({between(found['interval'])}), "
            f"{found['better']} of {found['classes']} classes better"
        )

    lines = tables.heading(
        "95 % bootstrap interval over classes", *(TITLES[score] for score in PER_CLASS)
    )
    for row in table["rows"]:
        cells = [between(row["interval"][score]) for score in PER_CLASS]
        lines.append(line(table_rows.of(row["name"]).label, *cells))
    if table["differences"]:
        cells = [difference(table["differences"][score]) for score in PER_CLASS]
        lines.append(line("Joint less log mel", *cells))
        recovered = [table["differences"][score].get("recovery_interval") for score in PER_CLASS]
        if any(recovered):
            lines.append(line("Recovered by joint", *map(shares, recovered)))
    return [*lines, ""]


def _silence(rows: Sequence[dict]) -> list[str]:
    """What leaving silent patches out of a segment's mean would change."""

    def probe(scores: dict) -> str:
        accuracy = scores["probe_accuracy"]
        return cell(scores["probe_map"] if accuracy is None else accuracy)

    rows = [row for row in rows if row.get("audible")]
    if not rows:
        return []
    changes = [
        f"{table_rows.of(row['name']).label} from {cell(row['query_map'])} to "
        f"{cell(row['audible']['query_map'])} per query and from {probe(row)} to "
        f"{probe(row['audible'])} by the probe"
        for row in rows
    ]
    share = round(100 * rows[0]["audible"]["silent_share"])
    return [
        f"{share} % of the test segments have a silent patch; leaving those out of a segment's "
        f"mean takes {'; '.join(changes)}.",
        "",
    ]


def _conditions(table: dict) -> str:
    config = table["config"]
    seeds = sorted({seed for row in table["rows"] for seed in row["seeds"]})
    folds = config["folds"]
    sides = (
        f"tested on each of {listed(folds)} in turn, trained on the others"
        if folds
        else f"trained on {listed(config['train_splits'])}, tested on "
        f"{listed(config['test_splits'])}"
    )
    over = " and ".join(
        word for word, given in (("folds", folds), ("seeds", seeds)) if len(given) > 1
    )
    return (
        f"Corpus {config['corpus']}, {config['segments']} segments; {sides}; "
        f"{tables.training_in_words(config['run'], config.get('topline_learning_rate'))}; "
        f"seeds {listed(seeds)}"
        + (f" (mean ± standard deviation over {over})" if over else "")
        + "."
    )
