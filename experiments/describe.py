"""What a classifier should learn from: descriptions of a segment, by labels and by lengths.

    python -m experiments.describe --model=models/debian-sounds --corpus=esc50:DIR \
        --test_splits=fold1,fold2,fold3,fold4,fold5 --output_dir=scores

Claim (the paper has none): a linear classifier of a segment is better by mean, deviation and
maximum of its patches than by their mean alone, if it is not lost where the segments that it scores
are shorter or longer than those that it learned from. For that it learns from single patches too,
and a segment is described in windows of five patches.

Each of --test_splits is the test side in turn. The probe's penalty is chosen by recordings held out
inside the training side. Columns: accuracy with so many labelled segments of each class (--labels),
with all; and, with all, that of audible patches by themselves, of two loud neighbours, and of
four segments of a class joined to one. Written: describe.json, describe.md.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from absl import flags, logging

from audio_triplet.commands import terminal
from audio_triplet.errors import UsageError
from experiments.lib import kept, scored_corpus, script, tables
from experiments.lib.scored_corpus import ScoringSettings

if TYPE_CHECKING:
    import numpy as np

    from audio_triplet.embeddings.description import ToLearnFrom
    from audio_triplet.embeddings.embedding_set import EmbeddingSet

PENALTIES = ("0.003", "0.01", "0.03", "0.1", "0.3")
JOINED = 4  # segments
CHOICE_ITERATIONS = 30
LENGTHS = {"patch": "patches alone", "two": "two patches", "joined": "four joined"}


@dataclasses.dataclass(frozen=True)
class Options:
    """What is compared, and how.

    Attributes:
      labels: Labelled segments a class to try; all are tried too.
      draws: Draws of each.
      penalties: Inverse strengths of the probe's penalty to choose from.
      ways: Names of what is compared, of `WAYS`; empty: all.
    """

    labels: tuple[int, ...] = (1, 2, 5, 10, 20)
    draws: int = 2
    penalties: tuple[float, ...] = tuple(map(float, PENALTIES))
    ways: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, eq=False)
class Patches:
    """Patches of segments, those of a segment together and in the order of time.

    Attributes:
      vectors: float32[n, dim].
      owner: int[n], the segment of each.
      energy: float32[n].
      labels: bool[segments, classes].
      groups: str[segments], recordings.
    """

    vectors: np.ndarray
    owner: np.ndarray
    energy: np.ndarray
    labels: np.ndarray
    groups: np.ndarray

    @classmethod
    def of(cls, embeddings: EmbeddingSet, classes: tuple[str, ...]) -> Patches:
        """Those of a set."""
        labels = embeddings.manifest.label_matrix(classes)
        return cls(
            embeddings.vectors,
            embeddings.segment_index,
            embeddings.energy,
            labels,
            embeddings.recording_ids,
        )


def define_flags() -> None:
    """Defines the script's flags."""
    scored_corpus.define_flags("describe.json and describe.md")
    flags.DEFINE_list("labels", ["1", "2", "5", "10", "20"], "Labelled segments a class to try.")
    flags.DEFINE_integer("draws", 2, "Draws of them.", lower_bound=1)
    flags.DEFINE_list(
        "penalties",
        list(PENALTIES),
        "Inverse strengths to choose from; a single one is not chosen.",
    )
    flags.DEFINE_list("ways", list(NAMES), "What is compared; by default everything.")


def main(argv: list[str]) -> None:
    """Runs the command."""
    del argv
    terminal.set_up_logging()
    with terminal.clear_errors("describe"):
        table = make_table(scored_corpus.settings_from_flags(), options_from_flags())
    print(markdown(table))


def options_from_flags() -> Options:
    """The options that the flags give.

    Raises:
      UsageError: They are no numbers above 0, or name something that is not compared.
    """
    values = flags.FLAGS
    try:
        labels = tuple(int(count) for count in values.labels)
        penalties = tuple(sorted({float(penalty) for penalty in values.penalties}))
    except ValueError as error:
        raise UsageError(f"--labels, --penalties: must be numbers; {error}") from error
    if min((*labels, 1)) < 1 or min(penalties, default=0) <= 0:
        raise UsageError("--labels, --penalties: must be above 0, and one penalty at least")
    if unknown := set(values.ways) - set(NAMES):
        raise UsageError(f"--ways: {min(unknown)!r} is none of {', '.join(NAMES)}")
    return Options(labels, values.draws, penalties, tuple(values.ways))


def make_table(settings: ScoringSettings, options: Options) -> dict:
    """Embeds the corpus, scores every description, and writes the table.

    Args:
      settings: Model and corpus.
      options: What is compared.

    Returns:
      Content of describe.json.
    """
    from audio_triplet.provenance import provenance

    made_by = provenance()
    # All splits may be named: each is tested on its own, with the others to learn from.
    one = dataclasses.replace(settings, test_splits=settings.test_splits[:1])
    embedded = scored_corpus.embed_corpus(one)
    splits = settings.test_splits or tuple(embedded.summary["test_splits"])
    if unknown := set(splits) - set(embedded.whole.manifest.frame["split"]):
        raise UsageError(f"{settings.corpus}: has no split {min(unknown)!r} with labels")
    found = rows(embedded.whole, embedded.classes, splits, options)
    summary = embedded.summary | {"test_splits": list(splits)}
    return write(found, summary | made_by, options, settings.output_dir)


def write(found: list[dict], made_by: dict, options: Options, output_dir: str) -> dict:
    """Writes describe.json and describe.md; returns the content of the first."""
    from audio_triplet import storage

    table = {"rows": found, "config": made_by | dataclasses.asdict(options)}
    os.makedirs(output_dir, exist_ok=True)
    kept.write_json(os.path.join(output_dir, "describe.json"), table)
    storage.write_text(os.path.join(output_dir, "describe.md"), markdown(table))
    return table


def rows(
    embeddings: EmbeddingSet,
    classes: tuple[str, ...],
    splits: Sequence[str],
    options: Options,
) -> list[dict]:
    """Scores every description with every split as the test side.

    Args:
      embeddings: Labelled segments.
      classes: Names of the labels.
      splits: Test sides, one after the other.
      options: What is compared.

    Returns:
      A row for each description: `name`, and `scores`: column → accuracy of each split.
    """
    names = options.ways or NAMES
    found: dict[str, dict[str, list[float]]] = {name: {} for name in names}
    split_of = embeddings.manifest.frame["split"].to_numpy(str)
    together = _together(Patches.of(embeddings, classes))
    for split in splits:
        test = Patches.of(embeddings.select(split_of == split), classes)
        train = embeddings.select(split_of != split)
        sides = {"all": test} | of_lengths(test)
        ways = WAYS | together(split_of == split)
        for name in names:
            these = sides if name in WAYS else {"all": test}
            by_column = score(ways[name], Patches.of(train, classes), these, options)
            for count in options.labels:
                few = [
                    score(ways[name], drawn, {"all": test}, options)["all"]
                    for drawn in _draws(train, classes, count, options.draws)
                ]
                by_column[str(count)] = sum(few) / len(few)
            for column, value in by_column.items():
                found[name].setdefault(column, []).append(value)
            logging.info("%s, %s: %s", split, name, by_column)
    return [{"name": name, "scores": scores} for name, scores in found.items()]


def _draws(
    train: EmbeddingSet, classes: tuple[str, ...], count: int, draws: int
) -> Iterator[Patches]:
    """A few labelled segments of each class, drawn anew each time."""
    import numpy as np

    from audio_triplet.evaluation import few_labels

    labels = train.manifest.label_matrix(classes)
    for draw in range(draws):
        keep = np.zeros(len(labels), bool)
        keep[few_labels.draw(labels, train.recording_ids.tolist(), count, draw).segments] = True
        yield Patches.of(train.select(keep), classes)


def score(
    way: Way, train: Patches, sides: dict[str, Patches], options: Options
) -> dict[str, float]:
    """Accuracy on each side of a classifier that is fitted once, on the training side."""
    scorer = way(train, options.penalties)
    return {key: accuracy(scorer(side), side) for key, side in sides.items()}


def accuracy(scores: np.ndarray, side: Patches) -> float:
    """Share of segments whose highest score is of a class of theirs."""
    import numpy as np

    return float(side.labels[np.arange(len(scores)), scores.argmax(axis=1)].mean())


# --- what is compared -----------------------------------------------------------------------------

# Gives scores [segments, classes].
Scorer = Callable[[Patches], "np.ndarray"]

# Fits on a training side, with the penalties to choose from.
Way = Callable[[Patches, tuple[float, ...]], Scorer]


def _fit(given: ToLearnFrom, side: Patches, penalties: tuple[float, ...]):
    """The probe, its penalty chosen by segments."""
    from audio_triplet.evaluation import probe

    return probe.fit_probe(
        given.rows,
        side.labels[given.owner],
        side.groups[given.owner].tolist(),
        probe.ProbeConfig(penalties, choice_iterations=CHOICE_ITERATIONS),
        given.judged,
        given.weights,
    )


def _fit_plain(rows: np.ndarray, side: Patches, penalties: tuple[float, ...]):
    """The probe on one row a segment."""
    import numpy as np

    from audio_triplet.embeddings.description import ToLearnFrom

    every = np.arange(len(rows))
    return _fit(ToLearnFrom(rows, every, np.ones(len(rows)), every >= 0), side, penalties)


def _linear(describe: Callable[[Patches], np.ndarray]) -> Way:
    """The probe on one row a segment."""

    def way(train: Patches, penalties: tuple[float, ...]) -> Scorer:
        fitted = _fit_plain(describe(train), train, penalties)
        return lambda side: fitted.predict(describe(side))

    return way


def _mean(side: Patches) -> np.ndarray:
    from audio_triplet.embeddings.embedding_set import mean_by_segment

    return mean_by_segment(side.vectors, side.owner, len(side.labels))


def _described(side: Patches, window: int | None = None, by_loudness: bool = True) -> np.ndarray:
    from audio_triplet.embeddings import description

    window, loud = window or description.WINDOW_PATCHES, side.energy if by_loudness else None
    return description.describe(side.vectors, side.owner, len(side.labels), window, loud)


def _of_whole(side: Patches) -> np.ndarray:
    return _described(side, len(side.vectors))


def _generalised(side: Patches) -> np.ndarray:
    """Mean, and the cube root of the mean cube, of features moved from -1…1 to 0…2."""
    import numpy as np

    from audio_triplet.embeddings.embedding_set import mean_by_segment

    cubes = mean_by_segment((side.vectors + 1) ** 3, side.owner, len(side.labels))
    return np.concatenate([_mean(side), np.cbrt(cubes)], axis=1)


def _to_learn_from(side: Patches, by_loudness: bool = True) -> ToLearnFrom:
    from audio_triplet.embeddings import description

    given = side.vectors, side.owner, len(side.labels), side.energy
    return description.to_learn_from(*given, by_loudness)


def _loud_mean(side: Patches) -> np.ndarray:
    return _described(side)[:, : side.vectors.shape[1]]


def _mean_and_patches(train: Patches, penalties: tuple[float, ...]) -> Scorer:
    given = _to_learn_from(train)
    given = given._replace(rows=given.rows[:, : train.vectors.shape[1]])
    fitted = _fit(given, train, penalties)
    return lambda side: fitted.predict(_loud_mean(side))


def _patches_averaged(train: Patches, penalties: tuple[float, ...]) -> Scorer:
    """Learns from means and averages the probabilities of patches, as `classify` did in 0.1."""
    import numpy as np

    from audio_triplet.embeddings.embedding_set import mean_by_segment

    fitted = _fit_plain(_mean(train), train, penalties)
    return lambda side: mean_by_segment(
        fitted.predict(side.vectors).astype(np.float32), side.owner, len(side.labels)
    )


def _description_and_patches(
    train: Patches, penalties: tuple[float, ...], by_loudness: bool = True
) -> Scorer:
    fitted = _fit(_to_learn_from(train, by_loudness), train, penalties)
    return lambda side: fitted.predict(_described(side, by_loudness=by_loudness))


def _by_likeness(train: Patches, penalties: tuple[float, ...]) -> Scorer:
    """The classifier by likenesses alone."""
    from audio_triplet.classify import by_likeness

    del penalties
    fitted = by_likeness.fit(train.vectors, train.owner, train.energy, train.labels, single=True)
    return lambda side: fitted.predict_segments(
        side.vectors, side.owner, len(side.labels), energy=side.energy
    )


def _by_both(train: Patches, penalties: tuple[float, ...]) -> Scorer:
    """What the description and the likenesses say together, as `classify fit` combines them."""
    from audio_triplet.classify.combined import combined

    by_description = _description_and_patches(train, penalties, by_loudness=False)
    by_likeness = _by_likeness(train, penalties)
    return lambda side: combined(by_description(side), by_likeness(side), single=True)


def _together(archive: Patches) -> Callable[[np.ndarray], dict[str, Way]]:
    """As `classify predict --together` on the whole archive, those that are learned from included.

    Args:
      archive: All segments.

    Returns:
      Which are tested, bool[segments] → the ways, whose scorers give the scores of these.
    """
    import functools

    import numpy as np

    from audio_triplet.classify import together
    from audio_triplet.config import TripletConfig

    @functools.cache
    def ties():
        audible = archive.energy > TripletConfig.silence_energy
        borders = np.flatnonzero(np.diff(archive.owner)) + 1
        heard = np.split(audible, borders)
        sounds, energies = (
            [part[kept] for part, kept in zip(np.split(rows, borders), heard, strict=True)]
            for rows in (archive.vectors, archive.energy)
        )
        return together.ties(sounds, np.unique(archive.groups, return_inverse=True)[1], energies)

    def way(alone: Way, tested: np.ndarray, train: Patches, penalties: tuple) -> Scorer:
        scores = alone(train, penalties)(archive)
        return lambda side: together.passed_on(ties(), scores)[tested]

    return lambda tested: {
        name: functools.partial(way, alone, tested)
        for name, alone in ((TOGETHER, _description_and_patches), (BOTH_TOGETHER, _by_both))
    }


def _prototypes(train: Patches, penalties: tuple[float, ...]) -> Scorer:
    """Cosine to the mean of each class's segments; a class without any has 0."""
    import numpy as np

    del penalties
    centres = train.labels.T.astype(np.float32) @ _mean(train)
    centres /= np.maximum(np.linalg.norm(centres, axis=1, keepdims=True), 1e-12)

    def scorer(side: Patches) -> np.ndarray:
        means = _mean(side)
        return means @ centres.T / np.linalg.norm(means, axis=1, keepdims=True)

    return scorer


WAYS: dict[str, Way] = {
    "mean": _linear(_mean),
    "patches averaged": _patches_averaged,
    "loud mean": _linear(_loud_mean),
    "loud mean + patches": _mean_and_patches,
    "all at once": _linear(_of_whole),
    "windows": _linear(_described),
    "windows + patches": _description_and_patches,
    "generalised mean": _linear(_generalised),
    "prototypes": _prototypes,
    "likeness": _by_likeness,
    "both": _by_both,
}

TOGETHER = "together"
BOTH_TOGETHER = "both together"

NAMES = (*WAYS, TOGETHER, BOTH_TOGETHER)

IN_WORDS = {
    "mean": "mean of the patches",
    "patches averaged": "learned from means, the patches' probabilities averaged",
    "loud mean": "mean, louder patches counting more",
    "loud mean + patches": "mean, louder patches counting more; learned from single patches too",
    "all at once": "mean, deviation and maximum over all patches",
    "windows": "the same over windows of five patches, averaged",
    "windows + patches": "the same; learned from single patches too (`classify fit --nolikeness`)",
    TOGETHER: "`classify fit --nolikeness`, all sounds scored together",
    "generalised mean": "mean, and generalised mean of power 3",
    "prototypes": "cosine to the mean of each class (no classifier)",
    "likeness": "likeness to each sound that is learned from, patch by patch",
    "both": "likeness and description (`classify fit`)",
    BOTH_TOGETHER: "`classify fit`, all sounds scored together (`classify predict --together`)",
}


# --- lengths --------------------------------------------------------------------------------------


def of_lengths(side: Patches) -> dict[str, Patches]:
    """The test side as sounds of other lengths.

    Returns:
      `patch`, audible patches by themselves; `two`, the loudest two neighbours of each segment that
      has two; `joined`, `JOINED` segments of a class as one, as many as each class makes.
    """
    import numpy as np

    from audio_triplet.config import TripletConfig

    def taken(patches: np.ndarray, owner: np.ndarray, segments: np.ndarray) -> Patches:
        """Chosen patches as new segments: the labels of `segments`."""
        return Patches(
            side.vectors[patches],
            owner,
            side.energy[patches],
            side.labels[segments],
            side.groups[segments],
        )

    sizes = np.bincount(side.owner, minlength=len(side.labels))
    first = np.cumsum(sizes) - sizes
    audible = np.flatnonzero(side.energy > TripletConfig.silence_energy)
    pairs, of_pair = [], np.flatnonzero(sizes > 1)
    for segment in of_pair:
        energy = side.energy[first[segment] : first[segment] + sizes[segment]]
        start = first[segment] + int(np.argmax(energy[1:] + energy[:-1]))
        pairs += [start, start + 1]
    joined, owners, firsts = [], [], []
    for column in side.labels.T:
        members = np.flatnonzero(column)
        for start in range(0, len(members) - JOINED + 1, JOINED):
            chosen = members[start : start + JOINED]
            patches = [np.arange(first[one], first[one] + sizes[one]) for one in chosen]
            joined += patches
            owners += [len(firsts)] * sum(map(len, patches))
            firsts.append(chosen[0])
    return {
        "patch": taken(audible, np.arange(len(audible)), side.owner[audible]),
        "two": taken(np.array(pairs, int), np.arange(len(pairs)) // 2, of_pair),
        "joined": taken(np.concatenate(joined), np.array(owners), np.array(firsts)),
    }


def markdown(table: dict) -> str:
    """The table as Markdown: means over the test sides."""
    config = table["config"]
    columns = [str(count) for count in config["labels"]] + ["all", *LENGTHS]
    lines = tables.heading("description", *(LENGTHS.get(column, column) for column in columns))
    for row in table["rows"]:
        found = [row["scores"].get(key, ()) for key in columns]
        cells = [tables.cell(sum(each) / len(each)) if each else "" for each in found]
        lines.append(tables.line(IN_WORDS[row["name"]], *cells))
    lines += [
        "",
        f"Accuracy of linear classifiers on {config['corpus']} by {config['model']}, "
        f"{tables.listed(config['test_splits'])} the test side in turn. Columns: labelled segments "
        f"of each class (mean of {config['draws']} draws), all of them; then, learned from all, "
        "audible patches alone, two neighbouring patches, and four segments of a class as one.",
        "",
        *tables.how_to_repeat(config),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    script.start(define_flags, main)
