"""A generated index for the trials of `browse`: vectors of any number, a few real sound files."""

from __future__ import annotations

import os

import numpy as np
import pandas as pd
import soundfile

from audio_triplet.data.manifest import Manifest
from audio_triplet.embeddings.embedding_set import EmbeddingSet, Origin
from audio_triplet.embeddings.model_files import digest_of
from audio_triplet.search.index_writer import Writer

DIM = 128
_EACH = 20  # vectors of a file
_RATE = 16_000
_BLOCK_FILES = 2_000


def write(
    folder: str,
    vectors: int,
    sounds: int = 0,
    seed: int = 0,
    model: str | None = None,
    linked: bool = False,
) -> list[str]:
    """Writes an index of files of 20 moments each.

    Args:
      folder: The index; the sound files go beside it.
      vectors: How many, at least 20.
      sounds: How many of the files are there to be played; the others are names only.
      seed: Of the vectors: sounds of decaying variance per dimension, with differences.
      model: Folder of the model that the index is said to be of; None: there is none.
      linked: Whether the others are these again, as hard links, so that every file can be read.

    Returns:
      The sound files that are there.
    """
    rng = np.random.default_rng(seed)
    spread = 1 / np.sqrt(1 + np.arange(DIM) / 4)
    beside = os.path.dirname(os.path.abspath(folder))
    files = vectors // _EACH
    names = []
    for number in range(files):
        day, hour, minute = 1 + number // 960 % 28, number // 40 % 24, number % 40
        names.append(
            f"{beside}/S{number % 50}_202406{day:02d}_{hour:02d}{minute:02d}00_{number}.wav"
        )
    for name in names[:sounds]:
        soundfile.write(name, 0.1 * rng.normal(size=_EACH * _RATE), _RATE)
    for number in range(sounds, files if linked else 0):
        os.link(names[number % sounds], names[number])
    digest = digest_of(model) if model else "0" * 64
    model = model or "/none"
    with Writer(
        folder, model=model, model_digest=digest, dim=DIM, granularity="patch", hop_seconds=0.96
    ) as writer:
        for first in range(0, files, _BLOCK_FILES):
            here = names[first : first + _BLOCK_FILES]
            centres = rng.normal(size=(len(here), 1, DIM)) * spread
            block = (centres + 0.7 * rng.normal(size=(len(here), _EACH, DIM)) * spread).reshape(
                -1, DIM
            )
            block = (block / np.linalg.norm(block, axis=1, keepdims=True)).astype(np.float32)
            start = np.tile(np.arange(_EACH) * 0.96, len(here))
            writer.add(
                EmbeddingSet(
                    Manifest(pd.DataFrame({"path": here}), "generated"),
                    block,
                    np.repeat(np.arange(len(here), dtype=np.int32), _EACH),
                    np.ones(len(block), np.float32),
                    start_seconds=start,
                    end_seconds=start + 0.975,
                    stamp=np.zeros((len(here), 2), np.int64),
                    origin=Origin(model, digest, "patch", 0.96),
                )
            )
    return names[:sounds]
