"""The report of a table: figures, curves, a map to listen to, and neighbours beside log mel's.

`write_report` makes one self-contained HTML file of what `experiments.table1` found. It says what
each figure means, shows where joint is worse than log mel as readily as where it is better, and
how its examples were chosen.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import math
import os
from collections.abc import Mapping, Sequence

import numpy as np

from audio_triplet.evaluation import retrieval
from experiments import pages
from experiments.pages import Excerpt, Section, is_number, name, number, percent, text

NEIGHBOURS = 5
QUERIES_PER_KIND = 4
MAX_SEGMENTS = 3000
"""More test segments than this are sampled for the map and the queries [D]: a page is read by a
person, and the report must not take longer than the evaluation."""
MAX_POINTS = 400
"""Points on the map; each brings 6 kB of sound."""
MAX_MIX_UPS = 8

_ROWS = {
    "log_mel": ("Log mel", "the baseline: no training at all"),
    "gaussian_noise": ("Gaussian noise", "a sound and the same with noise"),
    "translation": ("Translation", "a sound and the same shifted in time and pitch"),
    "mixing": ("Example mixing", "a sound and its mixture with another"),
    "proximity": ("Temporal proximity", "two moments of one recording"),
    "joint": ("Joint", "all four constraints together, no labels"),
    "explicit": ("Explicit labels", "the topline: the same network, taught the classes"),
}
_SHORT = {
    "gaussian_noise": "noise", "translation": "translation", "mixing": "mixing",
    "proximity": "proximity", "joint": "joint", "explicit": "explicit",
}


def write_report(
    path: str,
    table: Mapping,
    runs: Mapping[str, Sequence[Mapping[str, float]]],
    log_mel,
    joint,
    classes: Sequence[str],
    seed: int = 0,
    title: str = "What unlabelled sound teaches",
) -> None:
    """Writes the page.

    Args:
      path: The HTML file.
      table: The content of table1.json. Rows and figures may be missing, or None.
      runs: Row → the rows of that run's metrics.csv (`training.read_metrics`).
      log_mel: `SegmentEmbeddings` of the test side, the baseline's.
      joint: The same segments' joint embedding.
      classes: Names of the labels.
      seed: Of samples, of ties between queries, and of the map.
      title: Of the page.

    Raises:
      ValueError: The two embeddings are of different segments.
    """
    rows = {row["name"]: row for row in table.get("rows", ())}
    config = table.get("config", {})
    segments, vectors = _segments(log_mel, joint, classes, seed)
    clips = pages.Clips()
    answers = _answers(segments, vectors)
    queries = _queries_section(segments, answers, clips, seed)
    mix_ups = _mix_ups_section(segments, answers, clips)
    map_body, map_data = _map_section(segments, vectors, clips, seed)
    sections = [
        Section("scores", "Scores", _scores_section(rows)),
        Section("classes", "Class by class", _classes_section(rows)),
        Section("queries", "Queries and what they find", queries),
        Section("mixups", "Mix-ups", mix_ups),
        Section("map", "A map to listen to", map_body),
        Section("training", "Training", _training_section(runs)),
        Section("made", "How this was made", _made_section(config, segments)),
    ]
    footer = ""
    if clips.unreadable:
        footer = (
            f"<p>{len(clips.unreadable)} of {len(clips)} sounds could not be read again for this "
            "page; their players say so.</p>"
        )
    pages.write(path, pages.page(
        title, _lede(rows), sections, clips, {"map-data": map_data}, _STYLE, [_MAP_SCRIPT], footer,
    ))


# --- segments ------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class _Segments:
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


def _segments(log_mel, joint, classes, seed) -> tuple[_Segments, dict[str, np.ndarray]]:
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
    segments = _Segments(
        total=len(joint.manifest),
        classes=tuple(classes),
        labels=labels,
        first=first_class(labels),
        groups=frame["recording_id"].to_numpy(str),
        excerpts=[Excerpt.of_row(row) for row in frame.itertuples()],
    )
    return segments, {"joint": joint.segment[keep], "log_mel": log_mel.segment[keep]}


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


def _answers(segments: _Segments, vectors) -> dict[str, _Answers]:
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


# --- words and figures ---------------------------------------------------------------------------


def _lede(rows: Mapping[str, Mapping]) -> str:
    """What was found, in words, as far as the table has it."""
    sentences = []
    joint, log_mel = rows.get("joint", {}), rows.get("log_mel", {})
    for score, task in (
        ("qbe_map", "finding sounds of the same class by example"),
        ("cls_map", "classification"),
    ):
        mine, base = joint.get(score), log_mel.get(score)
        if not (is_number(mine) and is_number(base)):
            continue
        verb = "beats" if mine > base else "does not beat"
        who = "it" if sentences else "the joint embedding, learned without a single label,"
        sentence = (
            f"In {task} {who} <b>{verb} log mel: {number(mine)} against {number(base)}</b> "
            "mean average precision"
        )
        share, top = joint.get(f"recovery_{score[:3]}"), rows.get("explicit", {}).get(score)
        if is_number(share) and is_number(top) and top > base:
            sentence += (
                f"; that is {percent(share)} of the way to the {number(top)} of the same network "
                "taught with all labels"
            )
        sentences.append(f"<p>{sentence}.</p>")
    return "".join(sentences)


_COLUMNS = (  # key, phone label, format
    ("qbe_map", "By-example mAP", number),
    ("recovery_qbe", "Recovery", percent),
    ("ratio_qbe", "Ratio", percent),
    ("cls_map", "Classif. mAP", number),
    ("recovery_cls", "Recovery", percent),
    ("ratio_cls", "Ratio", percent),
    ("query_map", "Per-query mAP", number),
    ("accuracy", "Accuracy", number),
)


def _scores_section(rows: Mapping[str, Mapping]) -> str:
    if not rows:
        return ""
    top = {
        key: max([r[key] for r in rows.values() if is_number(r.get(key))], default=0) or 1
        for key in ("qbe_map", "cls_map")
    }
    body = "".join(_score_row(row, top) for row in rows.values())
    seeds = max(len(row.get("seeds") or [0]) for row in rows.values())
    return (
        '<p><b>Query by example</b> asks whether two sounds of one class lie closer together '
        "than two of different classes: all pairs of test sounds are ranked by cosine distance, "
        "and mean average precision (mAP) is 1 if every pair of one class comes first. Pairs from "
        "one recording are left out. <b>Classification</b> trains a small network on the frozen "
        "embeddings of the training side and ranks the test sounds for each class.</p>"
        "<p><b>Recovery</b> is the part of the gap between log mel and the topline that a row "
        "closes, (score − log mel) / (topline − log mel): 0\u202f% is no better than log mel, "
        "100\u202f% as good as having all labels. <b>Ratio</b> is score / topline.</p>"
        '<div class="scores"><table class="stack" role="table"><caption>'
        + (f"Means over {seeds} seeds ± their standard deviation. " if seeds > 1 else "")
        + "Every row: same network, same training steps, same evaluation; only the triplets it "
        "learns from differ.</caption>"
        '<thead role="rowgroup"><tr role="row"><th role="columnheader" scope="col" rowspan="2">'
        'Learned from</th>'
        '<th role="columnheader" scope="colgroup" colspan="3">Query by example</th>'
        '<th role="columnheader" scope="colgroup" colspan="3">Classification</th>'
        '<th role="columnheader" scope="colgroup" colspan="2">Also</th></tr><tr role="row">'
        + "".join(
            f'<th role="columnheader" scope="col">{label}</th>'
            for label in (
                "mAP", "recovery", "ratio", "mAP", "recovery", "ratio", "per-query mAP", "accuracy"
            )
        )
        + f'</tr></thead><tbody role="rowgroup">{body}</tbody></table></div>'
        '<p class="soft small">The figures of the paper behind the method (Jansen et al., 2018) '
        "are not the comparison here: they are for AudioSet, two million clips of 527 classes, and "
        "this is another, smaller corpus. What can be compared is the order of the rows, and the "
        "recovery: the paper's abstract reports 41\u202f% (retrieval) and 84\u202f% "
        "(classification) for joint.</p>"
    )


def _score_row(row: Mapping, top: Mapping[str, float]) -> str:
    title, told = _ROWS.get(row["name"], (row["name"], ""))
    spread = row.get("spread") or {}
    cells = []
    for key, label, shown in _COLUMNS:
        value = row.get(key)
        cell = shown(value)
        if is_number(value) and is_number(spread.get(key)):
            cell += f' <small class="soft">±{spread[key]:.3f}</small>'
        if key in top:
            share = max(0.0, value / top[key]) if is_number(value) else 0.0
            cell = (
                f"<b>{cell}</b>"
                f'<span class="gauge k-{text(row["name"])}" style="--v:{share:.3f}"></span>'
            )
        cells.append(f'<td role="cell" data-label="{label}"><span>{cell}</span></td>')
    chosen = ' class="chosen"' if row["name"] == "joint" else ""
    return (
        f'<tr role="row"{chosen}><th role="rowheader" scope="row">{name(title)}'
        f'<small>{text(told)}</small></th>{"".join(cells)}</tr>'
    )


def _classes_section(rows: Mapping[str, Mapping]) -> str:
    """Average precision of each class as bars, joint above log mel, the largest gain first."""
    joint, log_mel = rows.get("joint", {}), rows.get("log_mel", {})
    panels = []
    for key, title in (("qbe_per_class", "Query by example"), ("cls_per_class", "Classification")):
        mine, base = joint.get(key) or {}, log_mel.get(key) or {}
        bars = pages.class_bars(mine, base, "joint")
        if bars:
            panels.append((key[:3], title, bars))
    if not panels:
        return ""
    inputs = "".join(
        f'<input class="hidden" type="radio" name="measure" id="m-{key}"'
        f'{" checked" if not place else ""}>'
        f'<label for="m-{key}">{title}</label>'
        for place, (key, title, _) in enumerate(panels)
    )
    bodies = "".join(f'<div class="panel p-{key}">{body}</div>' for key, _, body in panels)
    return (
        "<p>Average precision of each class, the largest gain over log mel first; at the end are "
        "the classes where log mel is the better guide. "
        '<span class="key k-joint">joint</span> <span class="key k-log_mel">log mel</span></p>'
        f'<div class="choice">{inputs}{bodies}</div>'
    )


# --- training ------------------------------------------------------------------------------------


def _training_section(runs: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    runs = {row: metrics for row, metrics in runs.items() if metrics}
    if not runs:
        return ""
    charts = [pages.line_chart(
        "Loss",
        "Triplet loss of each run, smoothed. Losses of different triplets do not compare: an easy "
        "constraint is soon satisfied, and teaches little.",
        [_line(_SHORT.get(row, row), row, metrics, "loss") for row, metrics in runs.items()],
        "training step",
    )]
    if "joint" in runs:
        charts.append(pages.line_chart(
            "Distances, joint",
            "Mean squared distance of anchors to their positives and to their negatives: training "
            "pulls the first together and pushes the second apart, by the margin at least.",
            [
                _line("positive", "joint", runs["joint"], "positive_distance"),
                _line("negative", "log_mel", runs["joint"], "negative_distance"),
            ],
            "training step",
        ))
        charts.append(pages.line_chart(
            "Active triplets and variance, joint",
            "Share of triplets that still violate the margin, the only ones that teach; and the "
            "variance of the embedding, which is near 0 if it has collapsed to one point.",
            [
                _line("active", "joint", runs["joint"], "active"),
                _line("variance", "log_mel", runs["joint"], "embedding_variance"),
            ],
            "training step",
        ))
    return f'<div class="charts">{"".join(charts)}</div>'


def _line(label: str, style: str, metrics: Sequence[Mapping[str, float]], key: str) -> pages.Line:
    rows = [row for row in metrics if is_number(row.get(key)) and is_number(row.get("step"))]
    steps, values = smooth([row["step"] for row in rows], [row[key] for row in rows])
    return pages.Line(label, f"k-{style}", steps, values)


def smooth(
    steps: Sequence[float], values: Sequence[float], points: int = 150
) -> tuple[list[float], list[float]]:
    """A centred moving mean over a fortieth of the run, thinned to about so many points.

    The window shrinks towards both ends, so that the first and last values are those measured.
    """
    values = np.asarray(values, np.float64)
    half = len(values) // 80
    total = np.concatenate([[0.0], np.cumsum(values)])
    place = np.arange(len(values))
    reach = np.minimum(half, np.minimum(place, len(values) - 1 - place))
    mean = (total[place + reach + 1] - total[place - reach]) / (2 * reach + 1)
    kept = np.unique(np.linspace(0, len(values) - 1, min(points, len(values))).round().astype(int))
    return [float(steps[i]) for i in kept], mean[kept].tolist()


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


def _queries_section(
    segments: _Segments, answers: dict[str, _Answers], clips: pages.Clips, seed: int
) -> str:
    if not answers:
        return ""
    joint, log_mel = answers["joint"], answers["log_mel"]
    eligible = _eligible(segments)
    if eligible.any():
        kinds = choose_queries(
            joint.score, log_mel.score, np.nan_to_num(joint.cosine[:, 0]), segments.first,
            eligible, QUERIES_PER_KIND, seed,
        )
    else:
        drawn = np.random.default_rng(seed).permutation(len(segments))
        kinds = {"any": drawn[: 3 * QUERIES_PER_KIND].tolist()}
    wanted = [query for chosen in kinds.values() for query in chosen]
    shown = wanted + [
        int(found) for query in wanted for answer in answers.values()
        for found in answer.found[query] if found >= 0
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


def _eligible(segments: _Segments) -> np.ndarray:
    """bool[segments]: whether another recording holds a sound that shares a class."""
    result = np.zeros(len(segments), bool)
    for column in range(segments.labels.shape[1]):
        inside = segments.labels[:, column]
        result |= inside & (len(set(segments.groups[inside])) > 1)
    return result


def _query(
    segments: _Segments, answers: dict[str, _Answers], clips: pages.Clips, query: int
) -> str:
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
    True: ("ok", "✓", "same class"), False: ("no", "✗", "other class"), None: ("", "?", "unknown"),
}


def _tile(
    segments: _Segments, clips: pages.Clips, found: int, cosine: float, right: float
) -> str:
    kind, mark, words = _VERDICTS[None if math.isnan(right) else bool(right)]
    label = segments.label(found)
    return (
        f'<li class="tile {kind}">{clips.player(segments.excerpts[found], label)}'
        f"<p><b>{name(label)}</b><br>"
        f'<span class="verdict"><span aria-hidden="true">{mark}</span> {words}</span> '
        f'<span class="cosine" title="cosine">{cosine:.2f}</span></p></li>'
    )


def _mix_ups_section(
    segments: _Segments, answers: dict[str, _Answers], clips: pages.Clips
) -> str:
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
            '</span></td>'
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


# --- map -----------------------------------------------------------------------------------------

MAP_WIDTH, _MAP_MIN_HEIGHT, _MAP_MAX_HEIGHT = 640, 420, 640
_MAP_EDGE = 16
_SHAPES = (  # about equal areas, so that no class looks heavier
    '<circle r="5.2"/>', '<path d="M-4.7-4.7H4.7V4.7H-4.7Z"/>', '<path d="M0-6.8 6.3 4.6H-6.3Z"/>',
    '<path d="M0-6.8 6.2 0 0 6.8-6.2 0Z"/>',
)


def _map_section(
    segments: _Segments, vectors: dict[str, np.ndarray], clips: pages.Clips, seed: int
) -> tuple[str, dict]:
    """The map, and what its script needs."""
    chosen = np.arange(len(segments))
    if len(chosen) > MAX_POINTS:
        rng = np.random.default_rng([seed, 1])
        chosen = np.sort(rng.choice(len(chosen), MAX_POINTS, replace=False))
    clips.add((segments.excerpts[index] for index in chosen), pages.LIGHT)
    joint = layout(vectors["joint"][chosen], seed)
    height = map_height(joint)
    places = {
        "joint": to_frame(joint, height),
        "log_mel": to_frame(turned_to(layout(vectors["log_mel"][chosen], seed), joint), height),
    }
    first = segments.first[chosen]
    # Only classes on the map, in the order of their names; unlabelled sounds come last.
    present = sorted(set(first.tolist()), key=lambda k: (k < 0, k))
    number_of = {label: index for index, label in enumerate(present)}
    kinds = [number_of[label] for label in first.tolist()]
    titles = [segments.classes[k] if k >= 0 else "no label" for k in present]
    colours = [
        pages.class_colour(index) if label >= 0 else "#85898d"
        for index, label in enumerate(present)
    ]
    marks = "".join(
        f'<use href="#shape{kind % len(_SHAPES)}" fill="{colours[kind]}" '
        f'style="transform:translate({x:.0f}px,{y:.0f}px)"/>'
        for kind, (x, y) in zip(kinds, places["joint"], strict=True)
    )
    labels = "".join(
        f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}">{text(_spaced(titles[kind]))}</text>'
        for kind, x, y, anchor in map_labels(places["joint"], kinds, [_spaced(t) for t in titles])
    )
    legend = "".join(
        f'<li><button type="button" aria-pressed="false" data-kind="{kind}">'
        f'<svg viewBox="-8 -8 16 16" aria-hidden="true"><use href="#shape{kind % len(_SHAPES)}" '
        f'fill="{colours[kind]}"/></svg>{name(titles[kind])} <span>{kinds.count(kind)}</span>'
        "</button></li>"
        for kind in range(len(present))
    )
    defs = "".join(
        f'<g id="shape{i}" style="transform:scale(var(--mark,1))">{shape}</g>'
        for i, shape in enumerate(_SHAPES)
    )
    sample = f"All {len(chosen)}"
    if len(chosen) < segments.total:
        sample = f"{len(chosen)} of {segments.total}"
    body = (
        f"<p>{sample} test sounds, laid out so that neighbours in the embedding are neighbours "
        "here (t-SNE of cosine distances; only nearness means something, not directions or "
        "sizes of gaps). Where one colour and shape keeps together, the class was found without "
        "labels. Switch to log mel to see the same sounds without training.</p>"
        '<p class="soft small">Point at a sound, or tap it, to hear a moment of it; browsers '
        "stay silent until the first click or key. With the keyboard: focus the map, arrow keys "
        "move to the next sound, Space plays; pick a class to keep to it.</p>"
        '<div class="atlas"><div class="plate">'
        '<div class="controls" role="group" aria-label="Map">'
        '<span class="switch"><button type="button" data-layout="joint" aria-pressed="true">Joint '
        'embedding</button><button type="button" data-layout="log_mel" aria-pressed="false">Log mel'
        '</button></span>'
        '<label><input type="checkbox" id="hover-sound" checked> play what I point at</label></div>'
        f'<div class="frame"><svg id="chart" viewBox="0 0 {MAP_WIDTH} {height}" tabindex="0" '
        'role="application" aria-label="Map of test sounds. Arrow keys move between sounds, Space '
        f'plays." aria-describedby="spot"><defs>{defs}</defs><g class="marks">{marks}</g>'
        f'<g class="names" aria-hidden="true">{labels}</g><circle class="ring" r="11"/></svg>'
        '<div id="spot" role="status"></div></div></div>'
        f'<div class="legend"><h3>Classes</h3><ul>{legend}</ul></div></div>'
    )
    data = {
        "joint": np.round(places["joint"]).astype(int).tolist(),
        "log_mel": np.round(places["log_mel"]).astype(int).tolist(),
        "kind": kinds,
        "clip": [
            clip.identifier if clip.sound else ""
            for clip in (clips[segments.excerpts[index]] for index in chosen)
        ],
        "label": [_spaced(pages.clean(segments.label(index))) for index in chosen],
        "title": [pages.clean(segments.excerpts[index].title) for index in chosen],
    }
    return body, data


def _spaced(label: str) -> str:
    return label.replace("_", " ")


def layout(vectors: np.ndarray, seed: int) -> np.ndarray:
    """Places vectors in the plane so that near ones (by cosine) stay near.

    t-SNE (van der Maaten and Hinton, 2008) of unit vectors reduced to at most 50 principal
    components; a handful of vectors, or vectors without any variance, are placed by the first two
    components alone.

    Args:
      vectors: float32[n, dim].
      seed: Of t-SNE.

    Returns:
      float64[n, 2], mean zero.
    """
    import threadpoolctl
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    unit = vectors.astype(np.float64)
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
    components = min(50, *unit.shape)
    unit -= unit.mean(axis=0)
    if unit.std() < 1e-9:  # one vector, or all the same
        return np.zeros((len(unit), 2))
    # One thread: 400 points take 2 s, but minutes if threads wait for each other on a busy machine.
    with threadpoolctl.threadpool_limits(1):
        reduced = PCA(components, random_state=seed).fit_transform(unit)
        if len(reduced) < 10 or components < 2:
            placed = np.pad(reduced, ((0, 0), (0, 1)))[:, :2]
        else:
            # Both first components alike: the usual start from one long axis leaves a long map.
            start = 1e-4 * reduced[:, :2] / np.maximum(reduced[:, :2].std(axis=0), 1e-12)
            tsne = TSNE(
                2, perplexity=min(30.0, (len(reduced) - 1) / 3), init=start, random_state=seed
            )
            placed = tsne.fit_transform(reduced)
    return PCA(2).fit_transform(placed.astype(np.float64))  # the long axis across


def turned_to(placed: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Turns or mirrors a layout so that its points lie near the same points of another."""
    from scipy.linalg import orthogonal_procrustes

    rotation, _ = orthogonal_procrustes(placed, target)
    return placed @ rotation


def map_height(placed: np.ndarray) -> int:
    """Height of the map that a layout fills, within bounds."""
    width, height = np.ptp(placed, axis=0)
    height = MAP_WIDTH * height / width if width > 0 else _MAP_MIN_HEIGHT
    return round(min(max(height, _MAP_MIN_HEIGHT), _MAP_MAX_HEIGHT))


def to_frame(placed: np.ndarray, height: int) -> np.ndarray:
    """Fits a layout into the map without distorting it."""
    low, high = placed.min(axis=0), placed.max(axis=0)
    frame = np.array([MAP_WIDTH, height])
    scale = min((frame - 2 * _MAP_EDGE) / np.maximum(high - low, 1e-9))
    return (placed - (low + high) / 2) * scale + frame / 2


def map_labels(
    places: np.ndarray, kinds: Sequence[int], titles: Sequence[str]
) -> list[tuple[int, float, float, str]]:
    """Names for the map, where they do not overlap: classes that keep together first.

    Args:
      places: float[n, 2].
      kinds: Class of each.
      titles: Name of each class.

    Returns:
      (class, x, y, text-anchor) of those that found room. Names near a side are anchored there:
      on a phone letters are larger beside the map, and shall not grow over its edge.
    """
    kinds = np.asarray(kinds)
    wanted = []
    for kind in range(len(titles)):
        own = places[kinds == kind]
        centre = np.median(own, axis=0)
        scatter = np.median(np.linalg.norm(own - centre, axis=1))
        if len(own) > 2 and scatter < MAP_WIDTH / 8:
            wanted.append((scatter, kind, centre))
    kept: list[tuple[int, float, float, str]] = []
    boxes: list[tuple[float, float, float]] = []
    for _, kind, (x, y) in sorted(wanted, key=lambda entry: entry[:2]):
        half = 4.0 * min(len(titles[kind]), 24) + 6
        x = min(max(x, half), MAP_WIDTH - half)
        if all(abs(x - bx) > half + bh or abs(y - by) > 17 for bx, by, bh in boxes):
            boxes.append((x, y, half))
            if x < MAP_WIDTH / 3:
                kept.append((kind, x - half, y + 4, "start"))
            elif x > MAP_WIDTH * 2 / 3:
                kept.append((kind, x + half, y + 4, "end"))
            else:
                kept.append((kind, x, y + 4, "middle"))
    return kept


# --- provenance ----------------------------------------------------------------------------------

_FACTS = {
    "command": "Command", "corpus": "Corpus", "train_splits": "Trained on",
    "test_splits": "Tested on", "segments": "Segments", "hours": "Hours of sound",
    "commit": "Commit", "date": "Date", "seconds": "Time taken", "machine": "Machine",
    "versions": "Versions",
}


def _made_section(config: Mapping, segments: _Segments) -> str:
    facts = []
    for key in [*_FACTS, *(key for key in config if key not in _FACTS)]:
        value = config.get(key)
        if value is None or (isinstance(value, Mapping) and key not in _FACTS):
            continue
        told = text(_fact(key, value))
        if key == "command":
            told = f"<code>{told}</code>"
        facts.append(f"<dt>{text(_FACTS.get(key, key))}</dt><dd>{told}</dd>")
    if segments.total > len(segments):
        facts.append(
            f"<dt>Sample</dt><dd>Queries, mix-ups and map are of {len(segments)} test sounds drawn "
            f"from {segments.total}; the scores are of all.</dd>"
        )
    nested = {key: v for key, v in config.items() if isinstance(v, Mapping) and key not in _FACTS}
    details = ""
    if nested:
        content = text(json.dumps(nested, indent=1, ensure_ascii=False, default=str))
        details = f"<details><summary>All settings</summary><pre>{content}</pre></details>"
    return f'<dl class="facts">{"".join(facts)}</dl>{details}'


def _fact(key: str, value) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    if key == "seconds" and is_number(value):
        minutes, seconds = divmod(round(value), 60)
        return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
    if key == "hours" and is_number(value):
        return f"{value:.2f}"
    if key == "corpus":
        return _without_home(str(value))
    return str(value)


def _without_home(value: str) -> str:
    home = os.path.expanduser("~")
    return value.replace(home, "~") if len(home) > 1 else value


_STYLE = """
.scores td:not([data-label="Recovery"]):not([data-label="Ratio"]){min-width:5.2rem}
.gauge{display:block;height:4px;border-radius:2px;margin-top:4px;margin-left:auto;width:100%;
background:linear-gradient(var(--c),var(--c)) 0 0/calc(var(--v)*100%) 100% no-repeat var(--line)}
.choice>label{display:inline-block;padding:.45rem .95rem;border:1px solid var(--line);
background:var(--card);cursor:pointer;font-size:.9rem;border-radius:1.4rem;
margin:.2rem .3rem 1rem 0}
.choice>input:checked+label{background:var(--accent);border-color:var(--accent);
color:var(--accent-ink)}
.choice>input:focus-visible+label{outline:3px solid var(--accent);outline-offset:2px}
.choice #m-qbe:checked~.p-cls,.choice #m-cls:checked~.p-qbe{display:none}
.query{display:grid;grid-template-columns:minmax(9rem,1.25fr) 5fr;gap:.4rem 1.6rem;
padding:1.1rem 0 1.3rem;border-top:1px solid var(--line);align-items:start}
.ask{grid-row:1/3}
.ask h4{font:600 1.15rem/1.25 var(--serif);margin-bottom:.5rem}
.ask .clip img{height:96px}
.file{font-size:.78rem;color:var(--soft);margin:.35rem 0 0;overflow-wrap:anywhere}
.found h5{border-left:4px solid var(--c);padding-left:.5rem;margin-bottom:.45rem}
.found h5 span{font-weight:400;color:var(--soft);margin-left:.4rem}
.found ol{display:grid;grid-template-columns:repeat(5,1fr);gap:.7rem;list-style:none;
margin:0 0 .5rem;padding:0}
.tile{min-width:0}
.tile .clip{border-bottom:4px solid var(--plain);background-clip:padding-box}
.tile.ok .clip{border-bottom-color:var(--good)}
.tile.no .clip{border-bottom:4px dashed var(--bad)}
.tile p{font-size:.8rem;line-height:1.35;margin:.3rem 0 0;position:relative}
.tile b{font-weight:600}
.verdict{white-space:nowrap;color:var(--soft)}
.ok .verdict{color:var(--good)}.no .verdict{color:var(--bad)}
.cosine{float:right;color:var(--soft)}
.mixups .pair div{display:flex;gap:.6rem;justify-content:flex-end}
.mixups .clip{width:9rem}.mixups .clip img{height:48px}
.mixups td{vertical-align:middle}.mixups th{vertical-align:middle}
.mixups tbody th{font-weight:600}.mixups .soft{font-weight:400}
.atlas{display:grid;grid-template-columns:minmax(0,1fr) 17rem;gap:1rem 2rem;align-items:start;
margin-top:1.2rem}
.controls{display:flex;flex-wrap:wrap;gap:.6rem 1.2rem;align-items:center;margin-bottom:.7rem;
font-size:.9rem}
.switch{display:inline-flex;border:1px solid var(--line);border-radius:1.4rem;overflow:hidden;
background:var(--card)}
.switch button{border:0;background:none;color:inherit;font:inherit;padding:.45rem .95rem;
cursor:pointer}
.switch button[aria-pressed=true]{background:var(--accent);color:var(--accent-ink)}
.switch button:focus-visible{outline-offset:-3px;border-radius:1.4rem}
.controls label{display:inline-flex;gap:.4rem;align-items:center;min-height:2.2rem}
.controls input{accent-color:var(--accent);width:1.05rem;height:1.05rem}
.frame{position:relative}
#chart{background:var(--card);border:1px solid var(--line);border-radius:8px;cursor:crosshair;
touch-action:manipulation;overflow:hidden}
#chart .marks use{stroke:var(--card);stroke-width:1;transition:transform .9s ease,opacity .15s}
#chart.dim .marks use{opacity:.1}
#chart.dim .marks use.on{opacity:1}
#chart .names text{font:600 12px var(--sans);paint-order:stroke;stroke:var(--card);
stroke-width:4px;stroke-linejoin:round;pointer-events:none}
#chart .names{transition:opacity .2s}
#chart:hover .names{opacity:.3}
#chart.dim .names,#chart.other .names{display:none}
.ring{fill:none;stroke:var(--ink);stroke-width:2.5;visibility:hidden}
.ring.on{visibility:visible}
#spot{position:absolute;pointer-events:none;background:var(--ink);color:var(--paper);
font-size:.83rem;line-height:1.3;padding:.3rem .6rem;border-radius:5px;
width:max-content;max-width:14rem;transform:translate(-50%,calc(-100% - 14px));
visibility:hidden;overflow-wrap:anywhere}
#spot.on{visibility:visible}
#spot.below{transform:translate(-50%,18px)}
#spot small{display:block;opacity:.75}
.legend h3{margin:.5rem 0 .6rem;font:600 .9rem/1.3 var(--sans)}
.legend ul{list-style:none;margin:0;padding:0;columns:2;column-gap:.4rem}
.legend li{break-inside:avoid}
.legend button{display:flex;width:100%;gap:.4rem;align-items:center;border:0;background:none;
color:inherit;font:inherit;font-size:.8rem;line-height:1.2;text-align:left;padding:.22rem .3rem;
cursor:pointer;border-radius:5px;min-height:1.7rem}
.legend button:hover{background:var(--wash)}
.legend button[aria-pressed=true]{background:var(--wash);box-shadow:inset 0 0 0 2px var(--accent)}
.legend svg{width:14px;height:14px;flex:none;overflow:visible}
.legend button span{color:var(--soft);margin-left:auto}
@media (max-width:60rem){.atlas{grid-template-columns:1fr}.legend ul{columns:4 9rem}
.query{column-gap:1rem}.found ol{column-gap:.5rem}.cosine{float:none;display:block}}
@media (max-width:44rem){
.gauge{display:inline-block;width:min(5rem,20vw);margin:0 .6rem 0 0;vertical-align:.2em}
.scores td>span{display:flex;flex-flow:row-reverse;align-items:center}
.scores td:has(.gauge),.scores td:nth-last-child(-n+2){grid-column:1/-1}
.query{grid-template-columns:1fr 1fr;gap:.8rem 1rem}
.ask{grid-row:auto;grid-column:1/-1}
.found ol{grid-template-columns:1fr}
.cosine{float:right}
#chart{--mark:1.45}
#chart .ring{r:15px}
#chart .names text{font-size:19px;stroke-width:6px}
#chart .names text:nth-child(n+9){display:none}
.legend button{min-height:2.6rem;font-size:.85rem}
.mixups .pair{grid-column:1/-1;margin-top:.3rem}
.mixups .pair div{width:100%}
.mixups .pair .clip{width:50%}
.mixups .pair:before{display:none}
}
"""

_MAP_SCRIPT = """
"use strict";
(() => {
  const chart = document.getElementById("chart");
  if (!chart) return;
  const data = JSON.parse(document.getElementById("map-data").textContent);
  const marks = [...chart.querySelectorAll(".marks use")];
  const ring = chart.querySelector(".ring"), spot = document.getElementById("spot");
  const hover = document.getElementById("hover-sound");
  const legend = [...document.querySelectorAll("[data-kind]")];
  const layouts = [...document.querySelectorAll("[data-layout]")];
  let places = data.joint, active = -1, picked = -1, timer = 0;

  const allowed = (i) => picked < 0 || data.kind[i] === picked;

  function highlight(kind) {
    chart.classList.toggle("dim", kind >= 0);
    marks.forEach((mark, i) => mark.classList.toggle("on", data.kind[i] === kind));
  }
  function listen(i) {
    clearTimeout(timer);
    if (data.clip[i]) sounds.play(data.clip[i], data.label[i] + " · " + data.title[i]);
  }
  function show(i) {
    active = i;
    clearTimeout(timer);
    ring.classList.toggle("on", i >= 0);
    spot.classList.toggle("on", i >= 0);
    if (i < 0) return;
    const [x, y] = places[i], size = chart.viewBox.baseVal.width;
    ring.style.transform = `translate(${x}px,${y}px)`;
    const detail = document.createElement("small");
    detail.textContent = data.title[i] + (data.clip[i] ? "" : " (no sound)");
    spot.replaceChildren(data.label[i], detail);
    const scale = chart.clientWidth / size, half = spot.offsetWidth / 2;
    spot.style.left = Math.min(chart.clientWidth - half, Math.max(half, x * scale)) + "px";
    spot.style.top = y * scale + "px";
    spot.classList.toggle("below", y < size / 7);
  }
  function nearest(event) {
    const matrix = chart.getScreenCTM();
    const x = (event.clientX - matrix.e) / matrix.a, y = (event.clientY - matrix.f) / matrix.d;
    const reach = 20 / matrix.a;  // 20 pixels on the screen
    let best = -1, least = reach * reach;
    places.forEach(([px, py], i) => {
      const distance = (px - x) ** 2 + (py - y) ** 2;
      if (distance < least && allowed(i)) { best = i; least = distance; }
    });
    return best;
  }
  chart.addEventListener("pointermove", (event) => {
    if (event.pointerType !== "mouse") return;
    const i = nearest(event);
    if (i === active) return;
    show(i);
    // Crossing a crowd shall not rattle: play where the pointer rests for a moment.
    if (i >= 0 && hover.checked) timer = setTimeout(() => listen(i), 90);
  });
  chart.addEventListener("pointerleave", () => { if (document.activeElement !== chart) show(-1); });
  chart.addEventListener("click", (event) => {
    const i = nearest(event);
    show(i);
    if (i >= 0) listen(i); else sounds.stop();
  });
  chart.addEventListener("blur", () => show(-1));

  const arrows = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};
  function step([dx, dy]) {
    const from = active >= 0 ? places[active] : [chart.viewBox.baseVal.width / 2,
      chart.viewBox.baseVal.height / 2];
    let best = -1, least = Infinity;
    places.forEach(([px, py], i) => {
      if (i === active || !allowed(i)) return;
      const x = px - from[0], y = py - from[1];
      const along = x * dx + y * dy, across = Math.abs(x * dy) + Math.abs(y * dx);
      if (active >= 0 && (along <= 0 || across > 2 * along)) return;
      const cost = active < 0 ? x * x + y * y : along + 2 * across;
      if (cost < least) { best = i; least = cost; }
    });
    return best;
  }
  chart.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === " " || event.key === "Enter") {
      if (active >= 0) listen(active);
      event.preventDefault();
    } else if (arrows[event.key]) {
      const i = step(arrows[event.key]);
      if (i >= 0) {
        show(i);
        if (hover.checked) listen(i);
      }
      event.preventDefault();
    }
  });
  for (const button of legend) {
    const kind = Number(button.dataset.kind);
    button.addEventListener("click", () => {
      picked = picked === kind ? -1 : kind;
      for (const other of legend)
        other.setAttribute("aria-pressed", Number(other.dataset.kind) === picked);
      highlight(picked);
      show(-1);
    });
    button.addEventListener("pointerenter", () => highlight(kind));
    button.addEventListener("pointerleave", () => highlight(picked));
    button.addEventListener("focus", () => highlight(kind));
    button.addEventListener("blur", () => highlight(picked));
  }
  for (const button of layouts) {
    button.addEventListener("click", () => {
      for (const other of layouts) other.setAttribute("aria-pressed", other === button);
      places = data[button.dataset.layout];
      chart.classList.toggle("other", button.dataset.layout !== "joint");
      show(-1);
      marks.forEach((mark, i) => {
        mark.style.transform = `translate(${places[i][0]}px,${places[i][1]}px)`;
      });
    });
  }
})();
"""
