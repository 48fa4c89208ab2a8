"""Adding sound files to an index: new and changed ones are embedded and added one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from audio_triplet.config import EmbedConfig
from audio_triplet.data.bad_files import BadFiles
from audio_triplet.data.manifest import Manifest
from audio_triplet.embeddings.embed import embed_files
from audio_triplet.embeddings.embedding_set import EmbeddingSet, Origin
from audio_triplet.embeddings.folder import readable
from audio_triplet.search.index_writer import Writer

if TYPE_CHECKING:
    from audio_triplet.embeddings.saved_model import Model

_SEGMENTS_AT_ONCE = 64


def add_files(
    writer: Writer,
    model: Model,
    manifest: Manifest,
    config: EmbedConfig,
    bad_files: BadFiles,
    on_start: Callable[[int, float], object] = lambda known, seconds: None,
    on_progress: Callable[[float], object] = lambda seconds: None,
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

    Raises:
      CorpusError: Nothing can be read, and nothing was before.
    """
    rows = writer.missing(manifest)
    wanted, seconds = readable(manifest, rows, bad_files)
    on_start(len(manifest) - len(rows), seconds)
    if wanted is None:
        return
    origin, waiting = Origin.of(model, config), []
    try:
        for segment in embed_files(model, wanted, config, bad_files, on_progress):
            waiting.append(segment)
            if len(waiting) == _SEGMENTS_AT_ONCE:
                writer.add(EmbeddingSet.of(wanted, waiting, origin))
                waiting = []
    finally:
        if waiting:
            writer.add(EmbeddingSet.of(wanted, waiting, origin))
