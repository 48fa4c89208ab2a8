"""The table of words of a released model: what the labelled free sounds of a word sound like."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from audio_triplet.data.manifest import Manifest
    from audio_triplet.embeddings.saved_model import Model
    from audio_triplet.search.word_table import WordTable

# Sounds of a word that are embedded, each of another recording as far as there are, and the
# vectors that are kept of them: 8 found as much as 4, 16 or 32 (docs/lab_notes.md) [D].
SOUNDS_PER_WORD = 60
VECTORS_PER_WORD = 8


def make(
    model: Model,
    manifest: Manifest,
    words: Sequence[Sequence[str]],
    provenance: Mapping,
    vectors_per_word: int = VECTORS_PER_WORD,
) -> WordTable:
    """Embeds the sounds of each word and keeps a few vectors of them.

    Args:
      model: The model.
      manifest: The sounds.
      words: The words of each row of the manifest.
      provenance: How the table is made, for the file.
      vectors_per_word: Most vectors of a word.
    """
    from audio_triplet.config import EmbedConfig, TripletConfig
    from audio_triplet.data.bad_files import BadFiles
    from audio_triplet.embeddings import embed
    from audio_triplet.search.word_table import WordTable

    recordings = manifest.frame["recording_id"].to_numpy(str)
    rows = drawn(words, recordings, SOUNDS_PER_WORD)
    wanted = np.unique(np.concatenate(list(rows.values())))
    found = embed.embed_manifest(model, manifest.take(wanted), EmbedConfig(), BadFiles())
    audible = found.energy > TripletConfig.silence_energy
    row_of = wanted[found.row[found.segment_index]]  # of each vector
    vectors, counts = {}, {}
    for word, of_word in rows.items():
        mine = audible & np.isin(row_of, of_word)
        if not mine.any():
            continue
        sources = recordings[row_of[mine]]
        vectors[word] = chosen(found.vectors[mine], sources, vectors_per_word)
        counts[word] = len(set(sources))
    return WordTable(model.digest, vectors, counts, provenance)


def drawn(
    words: Sequence[Sequence[str]], recordings: np.ndarray, most: int
) -> dict[str, np.ndarray]:
    """Which rows speak for each word.

    Args:
      words: The words of each row.
      recordings: str[rows].
      most: Rows of a word; one of each recording comes before a second one of any.

    Returns:
      Word → int[n], ascending.
    """
    rows: dict[str, list[int]] = {}
    for row, of_row in enumerate(words):
        for word in of_row:
            rows.setdefault(word, []).append(row)
    found = {}
    for word, mine in sorted(rows.items()):
        order = np.random.default_rng(0).permutation(mine)
        turn: dict[str, int] = {}  # the how-manieth of its recording a row is
        turns = []
        for row in order:
            turns.append(turn.get(recordings[row], 0))
            turn[recordings[row]] = turns[-1] + 1
        found[word] = np.sort(order[np.argsort(turns, kind="stable")[:most]])
    return found


def chosen(vectors: np.ndarray, recordings: Sequence[str], most: int) -> np.ndarray:
    """A few vectors that stand for many: of each cluster the one next to its centre.

    Args:
      vectors: float32[n, dim], of unit norm.
      recordings: Of each; all recordings weigh the same.
      most: How many to keep.

    Returns:
      float32[m, dim], m at most `most`.
    """
    if len(vectors) <= most:
        return vectors
    from sklearn.cluster import KMeans

    _, which, counts = np.unique(recordings, return_inverse=True, return_counts=True)
    clusters = KMeans(most, n_init=4, random_state=0)
    clusters.fit(vectors, sample_weight=1 / counts[which])
    cosines = vectors @ clusters.cluster_centers_.T  # [n, m]
    return vectors[np.unique(cosines.argmax(axis=0))]


def words_of_debian_sounds(manifest: Manifest, folder: str) -> list[list[str]]:
    """The words of each row of debian-sounds: its class, and what its name says.

    Args:
      manifest: The corpus.
      folder: Where it is.
    """
    from audio_triplet.corpora.debian_sounds.classes import words_of

    audio = os.path.join(os.path.abspath(os.path.expanduser(folder)), "audio")
    frame = manifest.frame
    return [
        words_of(os.path.relpath(os.path.abspath(path), audio), labels, kind)
        for path, labels, kind in zip(frame["path"], frame["labels"], frame["kind"], strict=True)
    ]
