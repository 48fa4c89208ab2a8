"""What a search finds of an archive, by one likeness after another: the code that searches, scored.

Each segment is a query, or `MOST_QUERIES` of them drawn at random; all others, but those of its own
recording, are ranked. The measure of the archive (`search.likeness`) is estimated from its
segments, without their labels.
"""

from __future__ import annotations

import os

import numpy as np

from audio_triplet.config import EmbedConfig, TripletConfig
from audio_triplet.data.manifest import Manifest
from audio_triplet.embeddings import description
from audio_triplet.embeddings.embedding_set import EmbeddingSet
from audio_triplet.evaluation import metrics, retrieval
from audio_triplet.evaluation.cosines import as_scores
from audio_triplet.evaluation.ranking import rank_targets
from audio_triplet.search import diffusion, scanning
from audio_triplet.search.index_format import SPAN
from audio_triplet.search.likeness import EXPONENT, Likeness, Moments
from audio_triplet.search.question import Patches, Question

LOUD = "louder patches count more"
ALONE = "patches every half hop"
SEARCHES = "what searches: the best answers speak for each other"
EXPONENTS = (0.0, 0.25, 0.5, 1.0)

MOST_QUERIES = 2000


def score(archive: EmbeddingSet, queries: EmbeddingSet, classes: tuple[str, ...]) -> list[dict]:
    """Per-query mAP of every likeness.

    Args:
      archive: Segments, a patch every hop.
      queries: The same segments, a patch every half hop.
      classes: Names of the labels.

    Returns:
      A row {"name", "query_map"} for each, the plain cosine of means first, the one that searches
      last.
    """
    labels = archive.manifest.label_matrix(classes)
    groups = archive.recording_ids
    means = archive.segment_means
    plain = [
        ("cosine of means", means),
        ("the same, centred", means - means.mean(axis=0)),
        ("without silence", archive.audible_segment_means(TripletConfig.silence_energy)),
        (LOUD, archive.loud_segment_means),
    ]
    rows = [
        {"name": name, "query_map": retrieval.per_query_map(segment, labels, groups).mean}
        for name, segment in plain
    ]
    moments = Moments.of([_audible(archive).vectors], archive.vectors.shape[1])
    tried = [
        ("nearest patches (late interaction)", Likeness.plain(len(moments.total)), archive),
        *(
            (f"the same, centred, deviations to the power {power:g}", measure, archive)
            for power in EXPONENTS
            for measure in [Likeness.of(moments, power)]
        ),
        (f"power {EXPONENT:g}, {ALONE}", Likeness.of(moments, EXPONENT), queries),
        (SEARCHES, Likeness.of(moments, EXPONENT), queries),
    ]
    for name, measure, asked in tried:
        found = _query_map(archive, asked, measure, labels, diffuse=name == SEARCHES)
        rows.append({"name": name, "query_map": found})
    return rows


def as_it_searches(
    archive: EmbeddingSet, classes: tuple[str, ...], most_queries: int = MOST_QUERIES
) -> float:
    """Per-query mAP of what searches, asked by the archive's own patches, none between them.

    Args:
      archive: Segments, a patch every hop.
      classes: Names of the labels.
      most_queries: So many segments are drawn at random, if there are more.
    """
    moments = Moments.of([_audible(archive).vectors], archive.vectors.shape[1])
    measure = Likeness.of(moments, EXPONENT)
    labels = archive.manifest.label_matrix(classes)
    return _query_map(archive, archive, measure, labels, True, most_queries)


def at_half_hop(model, manifest: Manifest) -> EmbeddingSet:
    """A manifest's segments with a patch every half hop, as queries are embedded."""
    from audio_triplet.embeddings import embed

    config = EmbedConfig(hop_seconds=EmbedConfig().hop_seconds / 2)
    return embed.embed_manifest(model, manifest, config)


class _Part:
    """The audible patches of a set, as `scanning` takes them."""

    def __init__(
        self, vectors: np.ndarray, owners: np.ndarray, starts: np.ndarray, energy: np.ndarray
    ):
        self.vectors, self.owners, self.energy = vectors, owners.astype(np.int32), energy
        self.spans = np.zeros(len(vectors), SPAN)
        self.spans["start"] = starts


def _audible(embeddings: EmbeddingSet) -> _Part:
    """The patches that are not silent; all of a segment that has no other."""
    owners, count = embeddings.segment_index, len(embeddings.manifest)
    audible = description.audible_patches(embeddings.energy, owners, count)
    starts = embeddings.start_seconds
    if starts is None:  # of shards: side by side
        sizes = np.bincount(owners, minlength=count)
        place = np.arange(len(owners)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        starts = place * EmbedConfig().hop_seconds
    return _Part(
        embeddings.vectors[audible], owners[audible], starts[audible], embeddings.energy[audible]
    )


def _query_map(
    archive: EmbeddingSet,
    asked: EmbeddingSet,
    measure: Likeness,
    labels: np.ndarray,
    diffuse: bool,
    most_queries: int = MOST_QUERIES,
) -> float:
    """Mean over the segments of the average precision of the others."""
    part, queries = _audible(archive), _audible(asked)
    scales = [measure.scales(part.vectors)]
    groups = archive.recording_ids
    hop, threads = EmbedConfig().hop_seconds, os.cpu_count() or 1
    found = np.full(len(labels), np.nan)
    borders = np.searchsorted(queries.owners, np.arange(len(labels) + 1))
    count = len(labels)
    mapped = measure.mapped(part.vectors)
    parts = np.searchsorted(part.owners, np.arange(count + 1))
    drawn = np.random.default_rng(0).choice(count, min(count, most_queries), replace=False)
    for number in sorted(drawn.tolist()):
        first, last = borders[number], borders[number + 1]
        own = Patches(
            queries.vectors[first:last],
            queries.spans["start"][first:last],
            energy=queries.energy[first:last],
        )
        question = Question.of(measure, [own], hop_seconds=hop)
        stretches, _ = scanning.scan(
            question, [part], scales, [None], [0], question.width(hop), 0, threads
        )
        others = groups != groups[number]
        shared = labels[:, labels[number]].any(axis=1)
        scores = stretches.bound.astype(np.float64)
        if diffuse:
            scores = _diffused(scores, others, groups, mapped, part.energy, parts)
        scores = as_scores(np.clip(scores, -1, 1))
        found[number] = rank_targets(scores[others & shared], [scores[others & ~shared]])[0]
    return metrics.mean_over_classes(found)


def _diffused(
    scores: np.ndarray,
    others: np.ndarray,
    groups: np.ndarray,
    mapped: np.ndarray,
    energy: np.ndarray,
    borders: np.ndarray,
) -> np.ndarray:
    """The scores of segments once the best of the others speak for each other, as in `asking`."""
    best = np.flatnonzero(others)[np.argsort(-scores[others], kind="stable")]
    best = best[: diffusion.SHORTLIST]
    found = np.array([diffusion.rest_score(score) for score in scores])
    sounds, energies = (
        [rows[borders[n] : borders[n + 1]] for n in best] for rows in (mapped, energy)
    )
    found[best] = diffusion.scores(scores[best], sounds, groups[best], energies=energies)
    return found
