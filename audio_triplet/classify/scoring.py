"""Scoring sound by a classifier, segment by segment."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from audio_triplet.classify import adaptation, together
from audio_triplet.config import EmbedConfig, TripletConfig
from audio_triplet.embeddings.description import window_patches
from audio_triplet.search.diffusion import thinned

if TYPE_CHECKING:
    from audio_triplet.classify.classifier import SoundClassifier
    from audio_triplet.classify.combined import CombinedClassifier
    from audio_triplet.data.bad_files import BadFiles
    from audio_triplet.data.manifest import Manifest
    from audio_triplet.embeddings.embedding_set import Embedded
    from audio_triplet.embeddings.other_models import Embedder


@dataclasses.dataclass(frozen=True, eq=False)
class Scored:
    """The scores of one segment.

    Attributes:
      row: Its row in the manifest.
      path: Its sound file.
      start_seconds: float64[n], where in the file each scored moment begins; n is 1 for a segment
        as a whole.
      end_seconds: float64[n], where it ends.
      scores: float32[n, classes].
      sounds: For each moment the vectors of its audible patches, float32[vectors, dim], if they
        were asked for.
      energies: For each of these float32[vectors], how loud they are.
    """

    row: int
    path: str
    start_seconds: np.ndarray
    end_seconds: np.ndarray
    scores: np.ndarray
    sounds: Sequence[np.ndarray] = ()
    energies: Sequence[np.ndarray] = ()


class Scorer:
    """Embeddings of a segment's patches → its scores.

    Args:
      fitted: The classifier.
      config: Granularity of the scores, and hop of the patches.
      with_sounds: Whether `Scored.sounds` is wanted.
      watch: What looks at all that is scored, if anything does.
    """

    def __init__(
        self,
        fitted: SoundClassifier,
        config: EmbedConfig,
        with_sounds: bool = False,
        watch: adaptation.Watch | None = None,
    ):
        self._with_sounds, self._watch = with_sounds, watch
        self._classifier, self._window = fitted.classifier, window_patches(config.hop_seconds)
        self._by_patch = config.granularity == "patch"

    def __call__(self, segment: Embedded, path: str) -> Scored:
        """Scores one segment, of which the patches are given."""
        starts, ends, vectors = segment.start_seconds, segment.end_seconds, segment.vectors
        if self._by_patch:
            scores = self._classifier.predict_patches(vectors)
        else:
            owner = np.zeros(len(vectors), np.int32)
            scores = self._classifier.predict_segments(
                vectors, owner, 1, self._window, segment.energy
            )
            starts, ends = starts[:1], starts[:1] + segment.seconds
        if self._watch:
            self._watch.add(vectors, segment.energy, scores)
        if not self._with_sounds:
            return Scored(segment.row, path, starts, ends, scores)
        sounds, energies = (self._sounds(segment, of) for of in (vectors, segment.energy))
        return Scored(segment.row, path, starts, ends, scores, sounds, energies)

    def _sounds(self, segment: Embedded, rows: np.ndarray) -> list[np.ndarray]:
        """Of each moment the rows of its audible patches."""
        audible = segment.energy > TripletConfig.silence_energy
        if not self._by_patch:
            return [thinned(rows[audible], together.MOST_VECTORS)]
        return [rows[n : n + 1] if heard else rows[:0] for n, heard in enumerate(audible)]


def score_files(
    fitted: SoundClassifier,
    model: Embedder,
    manifest: Manifest,
    config: EmbedConfig,
    bad_files: BadFiles,
    on_segment: Callable[[], object] = lambda: None,
    with_sounds: bool = False,
    adapt: bool = False,
    watch: adaptation.Watch | None = None,
) -> Iterator[Scored]:
    """Embeds and scores segments, in the manifest's order.

    Args:
      fitted: The classifier.
      model: Its model.
      manifest: The segments.
      config: How they are embedded; its granularity is that of the scores.
      bad_files: Unreadable files are added to it.
      on_segment: Called for each segment that is finished; with `adapt`, that is embedded.
      with_sounds: As for `Scorer`.
      adapt: Whether they are brought to the labelled sounds' ground, see `adaptation`; then all
        embeddings are held first.
      watch: As for `Scorer`.

    Yields:
      Each segment that can be read.
    """
    from audio_triplet.embeddings import embed

    score = Scorer(fitted, config, with_sounds, watch)
    of_patches = dataclasses.replace(config, granularity="patch")
    paths, following = manifest.frame["path"].tolist(), 0
    waiting: dict[int, Scored] = {}

    def embedded() -> Iterator[Embedded]:
        for segment in embed.embed_files(model, manifest, of_patches, bad_files):
            yield segment
            on_segment()

    segments: Iterable[Embedded] = embedded()
    if adapt:
        segments = adapted(fitted.classifier, segments, config)
    for segment in segments:
        waiting[segment.row] = score(segment, paths[segment.row])
        while following in waiting or (
            following < len(paths) and paths[following] in bad_files.entries
        ):
            if following in waiting:
                yield waiting.pop(following)
            following += 1
    for row in sorted(waiting):
        yield waiting[row]


def adapted(
    classifier: CombinedClassifier, segments: Iterable[Embedded], config: EmbedConfig
) -> Iterator[Embedded]:
    """Segments brought to the ground of the sounds that a classifier learned from.

    Args:
      classifier: The classifier; it has a `ground`.
      segments: All segments, of which the patches are given.
      config: Granularity of the scores, and hop of the patches.
    """
    window = window_patches(config.hop_seconds)
    by_segment = functools.partial(classifier.predict_segments, window_patches=window)

    def by_patch(vectors: np.ndarray, *_: object, **__: object) -> np.ndarray:
        return classifier.predict_patches(vectors)

    scores = by_patch if config.granularity == "patch" else by_segment
    given = sorted(segments, key=lambda segment: segment.row)
    assert classifier.ground is not None
    sounds, energies = [each.vectors for each in given], [each.energy for each in given]
    move = adaptation.find(classifier.ground, scores, sounds, energies)
    for segment in given:
        yield dataclasses.replace(segment, vectors=move(segment.vectors)) if move else segment
