"""A query: sounds that are wanted and unwanted, as one vector."""

import dataclasses

from absl import logging

from audio_triplet.config import EmbedConfig, FrontEndConfig, TripletConfig


@dataclasses.dataclass(frozen=True, eq=False)
class Found:
    """A search and what it found.

    Attributes:
      queries: (path, start, end) of the sounds asked for; end may be NaN.
      unlike: Paths of those that are not meant.
      hits: The answer.
      index: Its folder.
      info: Its `index_format.IndexInfo`.
      vectors: How many were searched.
      exact: Whether by exact search.
      seconds: Time the search itself took.
    """

    queries: list[tuple[str, float, float]]
    unlike: list[str]
    hits: list
    index: str
    info: object
    vectors: int
    exact: bool
    seconds: float


def embed_query(model, info, path: str, start_seconds: float, end_seconds: float):
    """What a query sounds like, heard as the sounds of the index were.

    [D] At patch level the mean over its patches that are not silent, at segment level over all, so
    that a copy of a sound in the index is as near to it as can be.

    Args:
      model: An `saved_model.Model`.
      info: The index's `index_format.IndexInfo`.
      path: The file.
      start_seconds: Where the query begins in it.
      end_seconds: Where it ends; NaN: with the file.

    Returns:
      float32[dim], of unit norm.

    Raises:
      AudioError: It cannot be read, holds nothing there, or only silence.
    """
    import numpy as np
    import pandas as pd

    from audio_triplet import audio
    from audio_triplet.data.bad_files import BadFiles
    from audio_triplet.data.manifest import Manifest
    from audio_triplet.embeddings import embed
    from audio_triplet.errors import AudioError
    from audio_triplet.search import index

    manifest = Manifest(
        pd.DataFrame(
            {
                "path": [path],
                "start_seconds": [start_seconds],
                "end_seconds": [end_seconds],
            }
        ),
        path,
    )
    audio.probe(path)  # tells what is wrong with the file
    bad_files = BadFiles()
    config = EmbedConfig(info.level, info.hop_seconds, batch_size=8)  # a query is short
    found = list(embed.embed(model, manifest, config, bad_files))
    if not found:
        reason = next(iter(bad_files.entries.values()))
        raise AudioError(path, reason, "choose another part of it, or another file")
    [query] = found
    audible = query.energy > TripletConfig.silence_energy
    if not audible.any():
        raise AudioError(path, "is silent", "choose another part of it, or another file")
    patch_seconds = FrontEndConfig().patch_samples / FrontEndConfig().sample_rate
    if query.seconds < patch_seconds:
        logging.warning(
            "%s: %.2f s are less than the %.2f s that the model hears at once; silence was added",
            path,
            query.seconds,
            patch_seconds,
        )
    return index.combine(list(np.asarray(query.vectors)[audible]))
