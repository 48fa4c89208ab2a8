"""Scores of all draws as the rows of Table 2."""

from audio_triplet.evaluation.table_rows import PLAIN_SCRATCH, SCRATCH
from experiments.lib.statistics import deviation, mean

SCORES = ("cls_map", "accuracy")

# How many times the mAP of which network from scratch.
TIMES = {"times_scratch": SCRATCH, "times_plain_scratch": PLAIN_SCRATCH}


def rows_of(cells: list[dict]) -> list[dict]:
    """Rows of the table: one per representation and number of labels.

    Args:
      cells: Scores of single draws, see `cells.fill`.

    Returns:
      The `rows` of table2.json, by name and number of labels. Scores are means over draws (and
      seeds of the encoder); `spread` is their standard deviation, None for a single one;
      `times_scratch` is the mean mAP over that of the network from scratch, `times_plain_scratch`
      over that of the one without augmentation; None without it.
    """
    grouped: dict[tuple[str, int], list[dict]] = {}
    order = list(dict.fromkeys(cell["name"] for cell in cells))
    for cell in sorted(cells, key=lambda c: (order.index(c["name"]), c["labels_per_class"])):
        grouped.setdefault((cell["name"], cell["labels_per_class"]), []).append(cell)
    rows = []
    for (name, count), group in grouped.items():
        classes = group[0]["cls_per_class"]
        row = {
            "name": name,
            "labels_per_class": count,
            **{score: mean([cell[score] for cell in group]) for score in SCORES},
            "spread": {score: deviation([cell[score] for cell in group]) for score in SCORES},
            "draws": sorted({cell["draw"] for cell in group}),
            "seeds": sorted({cell["seed"] for cell in group if cell["seed"] is not None}),
            "clips": mean([cell["clips"] for cell in group]),
            "short_classes": group[0]["short_classes"],
            "repeated_classes": group[0]["repeated_classes"],
            "held_back": all(cell["held_back"] for cell in group),
            "each": [
                {
                    key: cell[key]
                    for key in ("draw", "seed", *SCORES, "rounds", "steps")
                    if key in cell
                }
                for cell in group
            ],
            "cls_per_class": {
                label: mean([cell["cls_per_class"][label] for cell in group]) for label in classes
            },
            "seconds": round(sum(cell["seconds"] for cell in group), 1),
        }
        rows.append(row)
    for key, name in TIMES.items():
        scratch = {row["labels_per_class"]: row for row in rows if row["name"] == name}
        for row in rows:
            below = scratch.get(row["labels_per_class"])
            known = below is not None and below["cls_map"] and row["cls_map"] is not None
            row[key] = row["cls_map"] / below["cls_map"] if known else None
    return rows


def doubling(
    rows: list[dict], name: str = "joint", times: str = "times_scratch"
) -> tuple[list[dict], list[dict]]:
    """Splits a row's results: at least twice the score of a network from scratch, or less.

    Args:
      rows: Rows of the table.
      name: The row.
      times: Which network from scratch, of `TIMES`.

    Returns:
      Its rows with 2 or more times that score, and those with less; both by number of labels.
    """
    compared = sorted(
        (row for row in rows if row["name"] == name and row.get(times) is not None),
        key=lambda row: row["labels_per_class"],
    )
    return (
        [row for row in compared if row[times] >= 2],
        [row for row in compared if row[times] < 2],
    )
