"""Table 2 as Markdown: the claim that it checks, the draws, and how to repeat it."""

from __future__ import annotations

from audio_triplet.config import COMBINED, EXPLICIT
from audio_triplet.evaluation import table_rows
from audio_triplet.evaluation.table_rows import JOINT, SCRATCH_ROWS
from experiments.lib import tables
from experiments.lib.table2.rows import SCORES, TIMES, doubling
from experiments.lib.tables import cell, line, listed

TITLES = {"cls_map": "classification mAP", "accuracy": "accuracy"}


def label(row: str) -> str:
    """The name of a row: here the topline is an upper bound and no competitor."""
    if row == EXPLICIT:
        return f"{table_rows.of(row).name} (saw all labels)"
    return table_rows.of(row).label


def markdown(table: dict) -> str:
    """The table as Markdown.

    Args:
      table: The content of table2.json.
    """
    rows, config = table["rows"], table["config"]
    names = list(dict.fromkeys(row["name"] for row in rows))
    counts = sorted({row["labels_per_class"] for row in rows})
    by_cell = {(row["name"], row["labels_per_class"]): row for row in rows}
    lines = []
    for score in SCORES:
        if all(row[score] is None for row in rows):
            continue  # accuracy, where clips have several labels
        lines += tables.heading(
            f"{TITLES[score]} at labelled clips per class", *(str(count) for count in counts)
        )
        for name in names:
            found = [by_cell[name, count] for count in counts]
            lines.append(
                line(label(name), *(cell(row[score], row["spread"][score]) for row in found))
            )
        lines.append("")
    more = (
        f" ({config['seconds_of_cells']} s for all classifiers and networks from scratch, finished "
        "ones included)"
    )
    return "\n".join(
        [
            *lines,
            *_claim(rows),
            "",
            *_conditions(rows, config),
            "",
            *tables.how_to_repeat(config, more),
        ]
    )


def _claim(rows: list[dict]) -> list[str]:
    """Whether an embedding doubles the network from scratch, as the paper's abstract has it."""

    def factors(found: list[dict], times: str) -> str:
        return listed(f"{row['labels_per_class']} ({row[times]:.2f} times)" for row in found)

    lines = []
    for name in (JOINT, COMBINED):
        for times, scratch in TIMES.items():
            twice, less = doubling(rows, name, times)
            if twice or less:
                embedding, network = table_rows.of(name).name, table_rows.of(scratch).name
                lines.append(
                    f"Labelled clips per class at which the {embedding.lower()} embedding has at "
                    f"least twice the mAP of the {network.lower()}: "
                    f"{factors(twice, times) or 'none'}."
                    + (f" Where it has less: {factors(less, times)}." if less else "")
                )
    return lines


def _conditions(rows: list[dict], config: dict) -> list[str]:
    """The draws, and how the networks were trained."""
    scratch = config["scratch"]
    training = tables.training_in_words(config["run"], config.get("topline_learning_rate"))
    draws = len({draw for row in rows for draw in row["draws"]})
    seeds = sorted({seed for row in rows for seed in row["seeds"]})
    lines = [
        f"Corpus {config['corpus']}: labelled clips drawn from {listed(config['train_splits'])}"
        f", tested on {listed(config['test_splits'])}, {config['classes']} classes; "
        f"{draws} draws"
        + (f", encoder seeds {listed(seeds)}" if seeds else "")
        + (" (mean ± standard deviation over them)" if draws * max(1, len(seeds)) > 1 else "")
        + ". For one draw all rows have the same clips, and more labels include the fewer.",
        f"Encoders: {training}. "
        "From scratch: the same network with a classification layer, batches of "
        f"{scratch['batch_size']} augmented patches, {scratch['fixed_steps']} to "
        f"{scratch['steps']} steps, chosen on held-back recordings, and then all "
        f"clips for that long; {scratch['fixed_steps']} where none can be held back.",
    ]
    fixed = sorted(
        {
            row["labels_per_class"]
            for row in rows
            if row["name"] in SCRATCH_ROWS and not row["held_back"]
        }
    )
    if fixed:
        lines.append(
            "No clips were held back from the network from scratch at "
            f"{listed(fixed)} labels per class."
        )
    for row in {row["labels_per_class"]: row for row in rows}.values():
        count, short = row["labels_per_class"], row["short_classes"]
        if short:
            first = listed(f"{name} {clips}" for name, clips in list(short.items())[:5])
            lines.append(
                f"At {count}, {len(short)} classes have fewer clips, and all of them were used: "
                f"{first}{', …' if len(short) > 5 else ''}."
            )
        if row["repeated_classes"]:
            lines.append(
                f"At {count}, {row['repeated_classes']} classes have fewer recordings than that, "
                "so some recordings gave a second clip."
            )
    return lines
