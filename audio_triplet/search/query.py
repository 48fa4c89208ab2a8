"""A query sound as patches to search by, or as one vector."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import logging

from audio_triplet.audio import resampling
from audio_triplet.config import EmbedConfig, TripletConfig
from audio_triplet.embeddings import sounds
from audio_triplet.errors import AudioError, SearchError
from audio_triplet.search.copies import MOST_SECONDS
from audio_triplet.search.question import Patches

if TYPE_CHECKING:
    from audio_triplet.embeddings.other_models import Embedder
    from audio_triplet.search.index_format import IndexInfo

_BATCH = 8  # a query is short


@dataclasses.dataclass(frozen=True, eq=False)
class QuerySound:
    """A query sound, embedded.

    Attributes:
      patches: Its patches, silent ones left out.
      waveform: float32[samples] at 16 kHz, its first minute.
    """

    patches: Patches
    waveform: np.ndarray


def embed_sound(
    model: Embedder,
    info: IndexInfo,
    sound: Any,
    start_seconds: float = 0.0,
    end_seconds: float | None = None,
    sample_rate: float | None = None,
    hop_seconds: float | None = None,
) -> QuerySound:
    """The patches of a query.

    [D] At patch granularity they begin every half hop of the index: a copy in the index, on
    whatever grid, is then never more than a quarter hop away. At segment granularity there is one
    vector, made as those of the index were.

    Args:
      model: The index's model.
      info: The index's content.
      sound: A file or an array, see `embeddings.sounds.open_sound`.
      start_seconds: Where the query begins in it.
      end_seconds: Where it ends; None or NaN: with the sound.
      sample_rate: Samples per second of an array.
      hop_seconds: From one patch to the next; None: as above.

    Raises:
      AudioError: It cannot be read, holds nothing there, or only silence.
    """
    from audio_triplet.embeddings import embed

    name = sounds.name_of(sound)
    if end_seconds is not None and np.isnan(end_seconds):
        end_seconds = None
    if hop_seconds is None:
        hop_seconds = info.hop_seconds
        if info.granularity == "patch":
            hop_seconds = max(1, round(50 * hop_seconds)) / 100  # a multiple of 10 ms
    config = EmbedConfig(info.granularity, hop_seconds, batch_size=_BATCH)
    kept: list[np.ndarray] = []
    rate, window = embed.rate_of(model), embed.window_seconds_of(model)
    blocks = sounds.open_sound(sound, sample_rate, start_seconds, end_seconds, "use", rate)
    blocks = _keeping(blocks, kept, rate)
    query = embed.embed_stream(model, blocks, config, start_seconds)
    another = "choose another part of it, or another file"
    if query is None:
        raise AudioError(name, f"no sound at {start_seconds:g} s", another)
    audible = query.energy > TripletConfig.silence_energy
    if not audible.any():
        raise AudioError(name, "is silent", another)
    if query.seconds < window:
        logging.warning(
            "%s: %.2f s are less than the %.2f s that the model takes at once; silence was added",
            name,
            query.seconds,
            window,
        )
    patches = Patches(
        query.vectors[audible], query.start_seconds[audible], start_seconds, query.energy[audible]
    )
    heard = resampling.resampled(iter(kept), rate, sounds.RATE, "soxr")
    return QuerySound(patches, np.concatenate(list(heard)))


def _keeping(
    blocks: Iterable[np.ndarray], kept: list[np.ndarray], rate: int
) -> Iterator[np.ndarray]:
    """The blocks; those of the first minute are kept in a list too."""
    left = round(MOST_SECONDS * rate)
    for block in blocks:
        kept.append(block[:left].copy())
        left -= len(kept[-1])
        yield block


def embed_query(
    model: Embedder,
    info: IndexInfo,
    sound: Any,
    start_seconds: float = 0.0,
    end_seconds: float | None = None,
    sample_rate: float | None = None,
) -> np.ndarray:
    """The query as one vector, made as those of the index were: the mean of its patches.

    Args and errors as `embed_sound`.

    Returns:
      float32[dim], of unit norm.
    """
    found = embed_sound(
        model, info, sound, start_seconds, end_seconds, sample_rate, info.hop_seconds
    )
    return combine(list(found.patches.vectors))


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
