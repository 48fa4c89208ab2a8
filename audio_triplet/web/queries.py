"""Queries to listen to: their neighbours by two embeddings, side by side."""

from __future__ import annotations

import collections
import dataclasses
import math

import numpy as np

from audio_triplet.evaluation import retrieval
from audio_triplet.web.clips import Clips, Excerpt
from audio_triplet.web.formatting import name

NEIGHBOURS = 5
QUERIES_PER_KIND = 4
MAX_SEGMENTS = 3000
"""More test segments than this are sampled for the map and the queries [D]: a page is read by a
person, and the report must not take longer than the evaluation."""
MAX_MIX_UPS = 8


# --- segments ------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class Segments:
    """The test segments of the page.

    Attributes:
      total: How many there are in all; those here may be a sample.
      classes: Names of the labels.
      labels: bool[segments, classes].
      first: int[segments], the first class of each, -1 for none.
      groups: str[segments], recordings.
      excerpts: Where to hear them.
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

    def right(self, query: int, found: int) -> bool | None:
        """Whether two segments share a class; None if either has none."""
        if self.first[query] < 0 or self.first[found] < 0:
            return None
        return bool((self.labels[query] & self.labels[found]).any())


def first_class(labels: np.ndarray) -> np.ndarray:
    """int[segments], the first class of each, -1 for none, of bool[segments, classes]."""
    if not labels.size:
        return np.full(len(labels), -1)
    return np.where(labels.any(axis=1), labels.argmax(axis=1), -1)


def sample_segments(log_mel, joint, classes, seed) -> tuple[Segments, dict[str, np.ndarray]]:
    """The segments, or a sample of them, and their vectors by representation."""
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
class _Answers:
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


def answer(segments: Segments, vectors) -> dict[str, _Answers]:
    k = min(NEIGHBOURS, len(segments) - 1)
    if k < 1:
        return {}
    result = {}
    for representation, values in vectors.items():
        found, cosine = retrieval.nearest(values, k, segments.groups)
        right = np.full(found.shape, np.nan)
        for place in np.ndindex(found.shape):
            if found[place] >= 0:
                verdict = segments.right(place[0], found[place])
                right[place] = np.nan if verdict is None else verdict
        result[representation] = _Answers(found, cosine, right)
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
    """Chooses queries that show what the embedding does well, as a rule, and badly.

    Within each kind classes are used evenly (each once, if there are enough of them), then the
    clearest case goes first, then chance decides.

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
      half of what it could, none first, and the surest of its wrong answer first. `typical`:
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


# --- queries -------------------------------------------------------------------------------------

_KINDS = {
    "helps": ("Where joint hears what log mel misses", "The widest gaps in favour of joint."),
    "typical": ("As it usually goes", "Closest to the median of both."),
    "fails": (
        "Wrong neighbours to listen to",
        "Joint finds few or none of the class, and is sure of it: among those, the highest cosine "
        "of the nearest. Often the ear can tell why.",
    ),
    "any": ("Queries", "Drawn by chance; without labels nothing is right or wrong."),
}


def queries_section(
    segments: Segments, answers: dict[str, _Answers], clips: Clips, seed: int
) -> str:
    if not answers:
        return ""
    joint, log_mel = answers["joint"], answers["log_mel"]
    eligible = _eligible(segments)
    if eligible.any():
        kinds = choose_queries(
            joint.score,
            log_mel.score,
            np.nan_to_num(joint.cosine[:, 0]),
            segments.first,
            eligible,
            QUERIES_PER_KIND,
            seed,
        )
    else:
        drawn = np.random.default_rng(seed).permutation(len(segments))
        kinds = {"any": drawn[: 3 * QUERIES_PER_KIND].tolist()}
    wanted = [query for chosen in kinds.values() for query in chosen]
    shown = wanted + [
        int(found)
        for query in wanted
        for answer in answers.values()
        for found in answer.found[query]
        if found >= 0
    ]
    clips.add(segments.excerpts[index] for index in shown)
    parts = [
        f"<p>Each query is a test sound; beside it are the {joint.found.shape[1]} nearest sounds "
        "from other recordings, by the joint embedding and by log mel, with their cosine. Press a "
        "picture to listen (Esc stops).</p>"
    ]
    if eligible.any():
        parts.append(
            f"<p>These are chosen examples, as the headings say. Over all {eligible.sum()} test "
            f"sounds that have others of their class, joint finds on average "
            f"<b>{joint.score[eligible].mean():.2f} of {joint.found.shape[1]}</b> of the right "
            f"class, log mel <b>{log_mel.score[eligible].mean():.2f}</b>.</p>"
        )
    parts.append(clips.picture_guide(segments.excerpts[shown[0]], segments.label(shown[0])))
    for kind in ("helps", "typical", "fails", "any"):
        if kinds.get(kind):
            heading, told = _KINDS[kind]
            parts.append(f'<h3>{heading}</h3><p class="soft">{told}</p>')
            parts += [_query(segments, answers, clips, query) for query in kinds[kind]]
    return "".join(parts)


def _eligible(segments: Segments) -> np.ndarray:
    """bool[segments]: whether another recording holds a sound that shares a class."""
    result = np.zeros(len(segments), bool)
    for column in range(segments.labels.shape[1]):
        inside = segments.labels[:, column]
        result |= inside & (len(set(segments.groups[inside])) > 1)
    return result


def _query(segments: Segments, answers: dict[str, _Answers], clips: Clips, query: int) -> str:
    label = segments.label(query)
    excerpt = segments.excerpts[query]
    lists = []
    for representation, title in (("joint", "Joint"), ("log_mel", "Log mel")):
        answer = answers[representation]
        verdicts = answer.right[query]
        known = np.isfinite(verdicts)
        score = f" <span>{int(verdicts[known].sum())} of {known.sum()}</span>" if any(known) else ""
        tiles = "".join(
            _tile(segments, clips, int(found), float(cosine), right)
            for found, cosine, right in zip(
                answer.found[query], answer.cosine[query], verdicts, strict=True
            )
            if found >= 0
        )
        lists.append(
            f'<div class="found k-{representation}"><h5>{title}{score}</h5><ol>{tiles}</ol></div>'
        )
    return (
        f'<article class="query"><div class="ask"><h4><span class="hidden">Query: </span>'
        f"{name(label)}</h4>{clips.player(excerpt, label)}"
        f'<p class="file">{name(excerpt.title)}</p></div>{"".join(lists)}</article>'
    )


_VERDICTS = {
    True: ("ok", "✓", "same class"),
    False: ("no", "✗", "other class"),
    None: ("", "?", "unknown"),
}


def _tile(segments: Segments, clips: Clips, found: int, cosine: float, right: float) -> str:
    kind, mark, words = _VERDICTS[None if math.isnan(right) else bool(right)]
    label = segments.label(found)
    return (
        f'<li class="tile {kind}">{clips.player(segments.excerpts[found], label)}'
        f"<p><b>{name(label)}</b><br>"
        f'<span class="verdict"><span aria-hidden="true">{mark}</span> {words}</span> '
        f'<span class="cosine" title="cosine">{cosine:.2f}</span></p></li>'
    )


def mix_ups_section(segments: Segments, answers: dict[str, _Answers], clips: Clips) -> str:
    """The most frequent pairs of query's class and wrong neighbour's class, one pair to hear."""
    if "joint" not in answers:
        return ""
    answer = answers["joint"]
    counts: collections.Counter = collections.Counter()
    example: dict[tuple[int, int], tuple[float, int, int]] = {}
    asked: collections.Counter = collections.Counter()
    for query, place in zip(*np.nonzero(np.isfinite(answer.right)), strict=True):
        found = int(answer.found[query, place])
        asked[int(segments.first[query])] += 1
        if answer.right[query, place] == 0:
            pair = (int(segments.first[query]), int(segments.first[found]))
            counts[pair] += 1
            candidate = (float(answer.cosine[query, place]), int(query), found)
            example[pair] = max(example.get(pair, candidate), candidate)
    # Most frequent first; equally frequent ones in the order of the classes.
    worst = sorted(counts, key=lambda pair: (-counts[pair], pair))[:MAX_MIX_UPS]
    if not worst:
        return ""
    clips.add(segments.excerpts[index] for pair in worst for index in example[pair][1:])
    rows = []
    for pair in worst:
        cosine, query, found = example[pair]
        asks, finds = (segments.classes[k] for k in pair)
        rows.append(
            f'<tr role="row"><th role="rowheader" scope="row">{name(asks)} '
            f'<span class="soft">finds</span> {name(finds)}</th>'
            f'<td role="cell" data-label="Neighbours"><span>{counts[pair]} of {asked[pair[0]]}'
            "</span></td>"
            f'<td role="cell" data-label="Cosine"><span>{cosine:.2f}</span></td>'
            f'<td role="cell" class="pair"><div>'
            f"{clips.player(segments.excerpts[query], asks)}"
            f"{clips.player(segments.excerpts[found], finds)}</div></td></tr>"
        )
    return (
        '<table class="stack mixups" role="table"><caption>The wrong classes that turn up most '
        f"often among the {answer.found.shape[1]} nearest sounds by the joint embedding, counted "
        "over all test sounds of a class, and the closest such pair to compare by ear."
        '</caption><thead role="rowgroup"><tr role="row">'
        + "".join(
            f'<th role="columnheader" scope="col">{label}</th>'
            for label in ("Query and wrong neighbour", "Neighbours", "Cosine", "The closest pair")
        )
        + f'</tr></thead><tbody role="rowgroup">{"".join(rows)}</tbody></table>'
    )
