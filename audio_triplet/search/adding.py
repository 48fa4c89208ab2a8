"""Adding sound files to an index: new and changed ones are embedded and added one by one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol

import numpy as np

from audio_triplet.config import EmbedConfig
from audio_triplet.data.bad_files import BadFiles
from audio_triplet.data.manifest import Manifest
from audio_triplet.embeddings.decoding import AT_A_TIME
from audio_triplet.embeddings.embed import embed_files
from audio_triplet.embeddings.embedding_set import Embedded, EmbeddingSet, Origin
from audio_triplet.embeddings.folder import readable
from audio_triplet.search import duplicates
from audio_triplet.search.index_writer import Writer
from audio_triplet.search.outline import Listener

if TYPE_CHECKING:
    from audio_triplet.embeddings.other_models import Embedder

# Added together. As many, and some for each thread, wait until others are done, which were begun
# before and take longer: so an archive of ordinary files has the same order each time that it is
# indexed.
_SEGMENTS_AT_ONCE = 32


def add_files(
    writer: Writer,
    model: Embedder,
    manifest: Manifest,
    config: EmbedConfig,
    bad_files: BadFiles,
    on_start: Callable[[int, float], object] = lambda known, seconds: None,
    on_progress: Callable[[float], object] = lambda seconds: None,
    find_duplicates: bool = True,
    elsewhere: Elsewhere | None = None,
) -> None:
    """Embeds the segments of a manifest that are new or have changed, and adds them.

    What was added stays, whatever happens; after a stop the same call continues.

    Args:
      writer: The index.
      model: Its model.
      manifest: The segments.
      config: Granularity and hop of the index; batch and threads.
      bad_files: Unreadable files are added to it.
      on_start: Called before anything is embedded, with the number of segments that the index holds
        already and the seconds of sound that are left.
      on_progress: Called with the seconds of sound that are done since the last call.
      find_duplicates: Whether to find recordings that are there twice, see `duplicates`.
      elsewhere: Embeds instead of this process, such as `index_pipeline.ByPipeline`.

    Raises:
      CorpusError: Nothing can be read, and nothing was before.
    """
    if elsewhere:
        elsewhere.take_over(writer, bad_files)
    rows = writer.missing(manifest)
    wanted, seconds = readable(manifest, rows, bad_files)
    on_start(len(manifest) - len(rows), float(seconds.sum()))
    if wanted is not None:
        work = writer, model, wanted, config, bad_files, on_progress, find_duplicates
        if elsewhere:
            elsewhere(*work, seconds)
        else:
            embed_into(*work)
    if find_duplicates:  # those too that an earlier call was stopped at
        duplicates.find(writer)


class Elsewhere(Protocol):
    """Embeds into an index by other processes."""

    def take_over(self, writer: Writer, bad_files: BadFiles) -> None:
        """Adds what they finished before a stop."""

    def __call__(
        self,
        writer: Writer,
        model: Embedder,
        manifest: Manifest,
        config: EmbedConfig,
        bad_files: BadFiles,
        on_progress: Callable[[float], object],
        find_duplicates: bool,
        seconds: np.ndarray,
    ) -> None:
        """As `embed_into`; `seconds` of sound, float64[n], are in each row."""


def embed_into(
    writer: Writer,
    model: Embedder,
    wanted: Manifest,
    config: EmbedConfig,
    bad_files: BadFiles,
    on_progress: Callable[[float], object],
    find_duplicates: bool,
) -> None:
    """Embeds segments that can be read, and adds them.

    Args:
      writer: The index.
      model: Its model.
      wanted: The segments.
      config: Granularity and hop of the index; batch and threads.
      bad_files: Unreadable files are added to it.
      on_progress: Called with the seconds of sound that are done since the last call.
      find_duplicates: Whether to note what whole files sound like, for `duplicates.find`.
    """
    origin, waiting = Origin.of(model, config), []
    held_back = max(_SEGMENTS_AT_ONCE, 2 * AT_A_TIME * max(config.threads, os.cpu_count() or 1))
    listener = Listener() if find_duplicates else None
    whole = _whole_files(wanted)

    def listen(row: int, blocks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        return listener.listen(row, blocks) if listener and whole[row] else blocks

    def add(segments: list[Embedded]) -> None:
        rows = sorted(segment.row for segment in segments)  # as the set has them
        outlines = [listener.outlines.pop(row, None) for row in rows] if listener else None
        writer.add(EmbeddingSet.of(wanted, segments, origin), outlines)

    try:
        for segment in embed_files(model, wanted, config, bad_files, on_progress, listen):
            waiting.append(segment)
            if len(waiting) == held_back + _SEGMENTS_AT_ONCE:
                waiting.sort(key=lambda segment: segment.row)
                add(waiting[:_SEGMENTS_AT_ONCE])
                waiting = waiting[_SEGMENTS_AT_ONCE:]
    finally:
        if waiting:
            add(waiting)


def _whole_files(manifest: Manifest) -> np.ndarray:
    """Which segments are whole files: bool[segments]."""
    frame = manifest.frame
    return ((frame["start_seconds"] == 0) & frame["end_seconds"].isna()).to_numpy()
