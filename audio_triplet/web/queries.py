"""Queries to listen to: their neighbours by two embeddings, side by side, and frequent mix-ups."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from audio_triplet.evaluation import retrieval
from audio_triplet.web.clips import Clips, PictureGuide, Player
from audio_triplet.web.excerpts import Excerpt

NEIGHBOURS = 5
QUERIES_PER_KIND = 4

# More test segments than this are sampled for the map and the queries [D]: a page is read by a
# person, and the report must not take longer than the evaluation.
MAX_SEGMENTS = 3000
MAX_MIX_UPS = 8


@dataclasses.dataclass(frozen=True, eq=False)
class Segments:
    """The test segments of the page.

    Attributes:
      total: How many there are in all; those here may be a sample.
      classes: Names of the labels.
      labels: bool[segments, classes].
      first: int[segments], the first class of each, -1 for none.
      groups: str[segments], recordings.
      excerpts: Their excerpts, for players.
    """

    total: int
    classes: tuple[str, ...]
    labels: np.ndarray
    first: np.ndarray
    groups: np.ndarray
    excerpts: list[Excerpt]

    def __len__(self) -> int:
        return len(self.excerpts)

    def label(self, index: int) -> str:
        """All classes of a segment, as plain text."""
        return ", ".join(self.classes[k] for k in np.flatnonzero(self.labels[index])) or "no label"

    def share_a_class(self, query: int, found: int) -> bool | None:
        """Whether two segments share a class; None if either has none."""
        if self.first[query] < 0 or self.first[found] < 0:
            return None
        return bool((self.labels[query] & self.labels[found]).any())

    def has_an_answer(self) -> np.ndarray:
        """bool[segments]: whether another recording holds a sound that shares a class."""
        result = np.zeros(len(self), bool)
        for column in range(self.labels.shape[1]):
            inside = self.labels[:, column]
            result |= inside & (len(set(self.groups[inside])) > 1)
        return result


def first_class(labels: np.ndarray) -> np.ndarray:
    """int[segments], the first class of each, -1 for none, of bool[segments, classes]."""
    if not labels.size:
        return np.full(len(labels), -1)
    return np.where(labels.any(axis=1), labels.argmax(axis=1), -1)


def sample_segments(
    log_mel, joint, classes: Sequence[str], seed: int
) -> tuple[Segments, dict[str, np.ndarray]]:
    """The segments, or a sample of them, and their vectors by representation.

    Args:
      log_mel: `EmbeddingSet` of the baseline.
      joint: The same segments' joint embedding.
      classes: Names of the labels.
      seed: Of the sample.

    Returns:
      Segments, and `joint` and `log_mel` → float32[segments, dim].

    Raises:
      ValueError: The two embeddings are of different segments.
    """
    key = ["path", "start_seconds"]
    frame = joint.manifest.frame
    if not frame[key].equals(log_mel.manifest.frame[key]):
        raise ValueError("report: log mel and joint embeddings are of different segments")
    keep = np.arange(len(frame))
    if len(keep) > MAX_SEGMENTS:
        keep = np.sort(np.random.default_rng(seed).choice(len(keep), MAX_SEGMENTS, replace=False))
    manifest = joint.manifest.take(keep)
    frame, labels = manifest.frame, manifest.label_matrix(classes)
    segments = Segments(
        total=len(joint.manifest),
        classes=tuple(classes),
        labels=labels,
        first=first_class(labels),
        groups=frame["recording_id"].to_numpy(str),
        excerpts=[Excerpt.of_row(row) for row in frame.itertuples()],
    )
    return segments, {"joint": joint.segment_means[keep], "log_mel": log_mel.segment_means[keep]}


@dataclasses.dataclass(frozen=True, eq=False)
class Answers:
    """The nearest segments of every segment, other recordings only.

    Attributes:
      found: int[segments, k], -1 where there are no more.
      cosine: float[segments, k].
      right: float[segments, k], 1 if they share a class, 0 if not, NaN where that is unknown.
    """

    found: np.ndarray
    cosine: np.ndarray
    right: np.ndarray

    @property
    def score(self) -> np.ndarray:
        """int[segments], neighbours of the right class."""
        return np.nansum(self.right, axis=1).astype(int)


def answer(segments: Segments, vectors: Mapping[str, np.ndarray]) -> dict[str, Answers]:
    """Finds the neighbours of every segment.

    Args:
      segments: The segments.
      vectors: Representation → float32[segments, dim].

    Returns:
      Representation → its answers; empty if there are fewer than two segments.
    """
    k = min(NEIGHBOURS, len(segments) - 1)
    if k < 1:
        return {}
    result = {}
    for representation, values in vectors.items():
        found, cosine = retrieval.nearest(values, k, segments.groups.tolist())
        right = np.full(found.shape, np.nan)
        for query, rank in np.ndindex(found.shape):
            if found[query, rank] >= 0:
                verdict = segments.share_a_class(query, found[query, rank])
                right[query, rank] = np.nan if verdict is None else verdict
        result[representation] = Answers(found, cosine, right)
    return result


def choose_queries(
    joint: np.ndarray,
    log_mel: np.ndarray,
    similarity: np.ndarray,
    first: np.ndarray,
    eligible: np.ndarray,
    per_kind: int,
    seed: int,
) -> dict[str, list[int]]:
    """Chooses queries that the embedding answers well, typically, and badly.

    Within each kind classes are used evenly (each once, if there are enough of them), then by
    the clearest case, then at random.

    Args:
      joint: int[segments], right neighbours by the joint embedding.
      log_mel: int[segments], right neighbours by log mel.
      similarity: float[segments], cosine of the nearest neighbour in the joint embedding.
      first: int[segments], class, -1 for none.
      eligible: bool[segments], whether a right answer exists.
      per_kind: Queries of each kind.
      seed: Of the ties.

    Returns:
      `helps`: joint finds more than log mel, the widest gap first. `fails`: joint finds fewer than
      half of what it could, none first, and the most confident wrong answer first. `typical`:
      closest to the median of both scores. Each with at most `per_kind` segments, no segment
      twice; lists may be short or empty.
    """
    chance = np.random.default_rng(seed).random(len(joint))
    used: collections.Counter = collections.Counter()
    taken: set[int] = set()
    middle = [np.median(score[eligible]) if eligible.any() else 0.0 for score in (joint, log_mel)]
    kinds = {
        "helps": (eligible & (joint > log_mel), [log_mel - joint]),
        "fails": (eligible & (joint < NEIGHBOURS / 2), [joint, -similarity]),
        "typical": (eligible, [abs(joint - middle[0]), abs(log_mel - middle[1])]),
    }
    chosen: dict[str, list[int]] = {}
    for kind, (allowed, criteria) in kinds.items():
        chosen[kind] = []
        order = np.lexsort([chance, *criteria[::-1]])
        for _ in range(per_kind):
            left = [index for index in order if allowed[index] and index not in taken]
            if not left:
                break
            best = min(left, key=lambda index: used[int(first[index])])  # min keeps the order
            chosen[kind].append(int(best))
            taken.add(best)
            used[int(first[best])] += 1
    return chosen


@dataclasses.dataclass(frozen=True)
class Neighbour:
    """A sound that a query finds.

    Attributes:
      label: Its classes.
      player: To hear it.
      cosine: To the query.
      right: Whether it shares a class with the query; None: unknown.
    """

    label: str
    player: Player
    cosine: float
    right: bool | None


@dataclasses.dataclass(frozen=True)
class FoundList:
    """The neighbours of a query by one representation.

    Attributes:
      representation: Its key.
      title: Its name.
      neighbours: The nearest first.
    """

    representation: str
    title: str
    neighbours: list[Neighbour]

    @property
    def right(self) -> int:
        """Neighbours that share a class with the query."""
        return sum(bool(neighbour.right) for neighbour in self.neighbours)

    @property
    def known(self) -> int:
        """Neighbours for which it is known whether they share a class."""
        return sum(neighbour.right is not None for neighbour in self.neighbours)


@dataclasses.dataclass(frozen=True)
class Query:
    """A query with its neighbours.

    Attributes:
      label: Its classes.
      player: To hear it.
      file: Its file.
      lists: One for each representation.
    """

    label: str
    player: Player
    file: str
    lists: list[FoundList]


@dataclasses.dataclass(frozen=True)
class QueryExamples:
    """The section of queries, as `queries.html` shows it.

    Attributes:
      neighbours: Number of neighbours of each query.
      judged: Segments for which a right answer exists.
      means: Right neighbours of those by the joint embedding and by log mel; None without labels.
      guide: How to read the pictures.
      kinds: Key of a kind (`helps`, `typical`, `fails`, or `any` without labels) → its queries.
    """

    neighbours: int
    judged: int
    means: tuple[float, float] | None
    guide: PictureGuide | None
    kinds: dict[str, list[Query]]


def query_examples(
    segments: Segments, answers: Mapping[str, Answers], clips: Clips, seed: int
) -> QueryExamples | None:
    """Chooses queries and adds their sounds and their neighbours' sounds to the page.

    Args:
      segments: The segments.
      answers: Of `joint` and `log_mel`.
      clips: The page's sounds.
      seed: Of ties.

    Returns:
      None if there is nothing to find.
    """
    if not answers:
        return None
    joint, log_mel = answers["joint"], answers["log_mel"]
    eligible = segments.has_an_answer()
    means = None
    if eligible.any():
        chosen = choose_queries(
            joint.score,
            log_mel.score,
            np.nan_to_num(joint.cosine[:, 0]),
            segments.first,
            eligible,
            QUERIES_PER_KIND,
            seed,
        )
        means = float(joint.score[eligible].mean()), float(log_mel.score[eligible].mean())
    else:
        drawn = np.random.default_rng(seed).permutation(len(segments))
        chosen = {"any": drawn[: 3 * QUERIES_PER_KIND].tolist()}
    queries = [query for kind in chosen.values() for query in kind]
    shown = queries + [
        int(found)
        for query in queries
        for by_representation in answers.values()
        for found in by_representation.found[query]
        if found >= 0
    ]
    clips.add(segments.excerpts[index] for index in shown)
    return QueryExamples(
        neighbours=joint.found.shape[1],
        judged=int(eligible.sum()),
        means=means,
        guide=clips.picture_guide(segments.excerpts[shown[0]], segments.label(shown[0])),
        kinds={
            kind: [_query(segments, answers, clips, query) for query in chosen[kind]]
            for kind in ("helps", "typical", "fails", "any")
            if chosen.get(kind)
        },
    )


def _query(segments: Segments, answers: Mapping[str, Answers], clips: Clips, query: int) -> Query:
    excerpt, label = segments.excerpts[query], segments.label(query)
    return Query(
        label,
        clips.player(excerpt, label),
        excerpt.title,
        [
            FoundList(key, title, _neighbours(segments, answers[key], clips, query))
            for key, title in (("joint", "Joint"), ("log_mel", "Log mel"))
        ],
    )


def _neighbours(segments: Segments, answers: Answers, clips: Clips, query: int) -> list[Neighbour]:
    return [
        Neighbour(
            segments.label(found),
            clips.player(segments.excerpts[found], segments.label(found)),
            float(cosine),
            None if np.isnan(right) else bool(right),
        )
        for found, cosine, right in zip(
            answers.found[query].tolist(), answers.cosine[query], answers.right[query], strict=True
        )
        if found >= 0
    ]


@dataclasses.dataclass(frozen=True)
class MixUp:
    """A class that turns up among the neighbours of another.

    Attributes:
      query: The query's class.
      found: The wrong class.
      count: How often it is found.
      asked: Neighbours of all queries of that class.
      cosine: Of the closest pair.
      players: The closest pair, the query first.
    """

    query: str
    found: str
    count: int
    asked: int
    cosine: float
    players: tuple[Player, Player]


def mix_ups(segments: Segments, answers: Mapping[str, Answers], clips: Clips) -> list[MixUp]:
    """The most frequent pairs of query's class and wrong neighbour's class, one pair to hear.

    Args:
      segments: The segments.
      answers: Of `joint`, if there are any.
      clips: The page's sounds.

    Returns:
      The most frequent first.
    """
    if "joint" not in answers:
        return []
    joint = answers["joint"]
    counts: collections.Counter = collections.Counter()
    closest: dict[tuple[int, int], tuple[float, int, int]] = {}
    asked: collections.Counter = collections.Counter()
    for query, rank in zip(*np.nonzero(np.isfinite(joint.right)), strict=True):
        found = int(joint.found[query, rank])
        asked[int(segments.first[query])] += 1
        if joint.right[query, rank] == 0:
            pair = (int(segments.first[query]), int(segments.first[found]))
            counts[pair] += 1
            candidate = (float(joint.cosine[query, rank]), int(query), found)
            closest[pair] = max(closest.get(pair, candidate), candidate)
    # Most frequent first; equally frequent ones in the order of the classes.
    worst = sorted(counts, key=lambda pair: (-counts[pair], pair))[:MAX_MIX_UPS]
    clips.add(segments.excerpts[index] for pair in worst for index in closest[pair][1:])
    result = []
    for pair in worst:
        cosine, query, found = closest[pair]
        query_class, found_class = (segments.classes[label] for label in pair)
        players = (
            clips.player(segments.excerpts[query], query_class),
            clips.player(segments.excerpts[found], found_class),
        )
        result.append(
            MixUp(query_class, found_class, counts[pair], asked[pair[0]], cosine, players)
        )
    return result
