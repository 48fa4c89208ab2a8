"""Figures of Table 1."""

from experiments.lib import tables
from experiments.lib.embeddings import embeddings_path, run_name
from experiments.lib.table_rows import BASELINE, NAMES, PER_CLASS, TITLES

_COLOURS = {
    "log_mel": "#9aa0a6",
    "log_mel_stats": "#9aa0a6",
    "explicit": "#5f6368",
    "joint": "#1a73e8",
    "random": "#dadce0",
    "shuffled": "#dadce0",
}


def draw(table: dict, path: str) -> None:
    """Draws three scores of all rows as bars, chance as a line."""
    plt = tables.pyplot()
    rows = table["rows"]
    shown = [
        score
        for score in ("qbe_map", "cls_map", "probe_accuracy")
        if any(row[score] is not None for row in rows)
    ]
    figure, axes = plt.subplots(
        1, len(shown), figsize=(4.2 * len(shown) + 1.6, 0.45 * len(rows) + 1.6), sharey=True
    )
    for axis, score in zip(axes, shown, strict=True):
        values = [row[score] or 0.0 for row in rows]
        errors = [row["spread"][score] or 0.0 for row in rows]
        axis.barh(
            range(len(rows)),
            values,
            height=0.7,
            color=[_COLOURS.get(row["name"], "#8ab4f8") for row in rows],
            xerr=errors if any(errors) else None,
            error_kw={"lw": 1, "ecolor": "#202124"},
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
                [base, mine],
                [place, place],
                lw=2,
                solid_capstyle="butt",
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
        *axes[0].get_legend_handles_labels(),
        frameon=False,
        fontsize=9,
        loc="upper center",
        ncols=2,
    )
    figure.tight_layout(rect=(0, 0, 1, 1 - 0.25 / height))
    tables.save_figure(figure, path)


def test_side(corpus, called: str):
    """The embeddings of the test segments, as saved for a run."""
    from audio_triplet.embeddings import set_files
    from experiments.lib import protocol

    everything = set_files.load_for_corpus(embeddings_path(called), corpus.manifest)
    return protocol.split_sides(everything, corpus.test_splits).test


def draw_map(corpus, path: str, fold: str, seed: int) -> None:
    """Draws the map of the joint embedding, of the last fold and the first seed."""
    from audio_triplet.web import queries
    from experiments.lib import map_figure

    side, classes = test_side(corpus, run_name("joint", seed, fold)), corpus.manifest.classes
    first = queries.first_class(side.manifest.label_matrix(classes))
    map_figure.draw(side.segment_means, first, classes, path, seed)
