"""One or several query sounds as one vector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import logging

from audio_triplet.config import EmbedConfig, TripletConfig
from audio_triplet.embeddings import sounds
from audio_triplet.embeddings.embedding_set import PATCH_SECONDS
from audio_triplet.errors import AudioError, SearchError

if TYPE_CHECKING:
    from audio_triplet.embeddings.quick_model import QuickModel
    from audio_triplet.embeddings.saved_model import Model
    from audio_triplet.search.index_format import IndexInfo

_BATCH = 8  # a query is short


def embed_query(
    model: Model | QuickModel,
    info: IndexInfo,
    sound: Any,
    start_seconds: float = 0.0,
    end_seconds: float | None = None,
    sample_rate: float | None = None,
) -> np.ndarray:
    """The query vector, made as those of the index were.

    [D] At patch granularity it is the mean over the patches that are not silent, at segment
    granularity over all, so that a copy of a sound in the index is as near to it as can be.

    Args:
      model: The index's model.
      info: The index's content.
      sound: A file or an array, see `embeddings.sounds.open_sound`.
      start_seconds: Where the query begins in it.
      end_seconds: Where it ends; None or NaN: with the sound.
      sample_rate: Samples per second of an array.

    Returns:
      float32[dim], of unit norm.

    Raises:
      AudioError: It cannot be read, holds nothing there, or only silence.
    """
    from audio_triplet.embeddings import embed

    name = sounds.name_of(sound)
    if end_seconds is not None and np.isnan(end_seconds):
        end_seconds = None
    config = EmbedConfig(info.granularity, info.hop_seconds, batch_size=_BATCH)
    blocks = sounds.open_sound(sound, sample_rate, start_seconds, end_seconds, "use")
    query = embed.embed_stream(model, blocks, config, start_seconds)
    another = "choose another part of it, or another file"
    if query is None:
        raise AudioError(name, f"no sound at {start_seconds:g} s", another)
    audible = query.energy > TripletConfig.silence_energy
    if not audible.any():
        raise AudioError(name, "is silent", another)
    if query.seconds < PATCH_SECONDS:
        logging.warning(
            "%s: %.2f s are less than the %.2f s that the model takes at once; silence was added",
            name,
            query.seconds,
            PATCH_SECONDS,
        )
    return combine(list(query.vectors[audible]))


def combine(wanted: Sequence[np.ndarray], unwanted: Sequence[np.ndarray] = ()) -> np.ndarray:
    """One query of several examples and counter-examples.

    [D] Rocchio's: the mean of the examples less half the mean of the counter-examples. It stays a
    vector, so that every kind of index can be searched by it.

    Args:
      wanted: float[dim] of unit norm, at least one.
      unwanted: float[dim] of unit norm.

    Returns:
      float32[dim], of unit norm.

    Raises:
      SearchError: Nothing is left.
    """
    query = np.mean(wanted, axis=0, dtype=np.float64)
    if len(unwanted):
        query = query - 0.5 * np.mean(unwanted, axis=0, dtype=np.float64)
    norm = np.linalg.norm(query)
    if norm < 1e-6:
        raise SearchError("the examples cancel one another out; choose others")
    return np.asarray(query / norm, np.float32)
