"""Asking by a word: the labelled sounds of that name take the place of a query.

    found = words.look_up("dog", index, query_model)     # of the index, else of the released table
    found.vectors                                        # a vector of each labelled sound

Labelled sound is a stock of queries: that of the index itself, of another index, of a manifest, or
the table of vectors beside the released model (`word_table`).
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from audio_triplet.embeddings import model_files
from audio_triplet.errors import AudioError, SearchError
from audio_triplet.search.index import Index
from audio_triplet.search.index_format import other_model
from audio_triplet.search.query import combine
from audio_triplet.search.word_table import WORDS_FILE, WordTable

if TYPE_CHECKING:
    from audio_triplet.search.index_format import IndexInfo

# Labelled sounds that speak for a word, spread evenly over those there are [D].
MOST_SOUNDS = 32

_PLURALS = (("ies", "y"), ("sses", "ss"), ("xes", "x"), ("ches", "ch"), ("shes", "sh"), ("s", ""))

_NEAR = 5  # known words that are named for one that is not


@dataclasses.dataclass(frozen=True, eq=False)
class Word:
    """The labelled sounds of a word, as one query.

    Attributes:
      name: The word as it was asked for.
      vectors: float32[n, dim], of unit norm: one of each labelled sound, or a few that stand for
        many; at least one.
      sounds: How many labelled sounds they are of.
      source: Where those are, for messages.
      recordings: Numbers of their recordings in the index that is asked, if they are from it.
    """

    name: str
    vectors: np.ndarray
    sounds: int
    source: str
    recordings: frozenset[int] = frozenset()

    def told(self, left_out: int = 0) -> str:
        """A line on what was asked with.

        Args:
          left_out: How many recordings are therefore left out of the answer.
        """
        count = f"{self.sounds} labelled sound{'s' * (self.sounds > 1)}"
        text = f"{self.name}: asked by {count} of {self.source}"
        return text + (
            f"; their {left_out} recordings are left out (--noexclude_own)" if left_out else ""
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Vocabulary:
    """A stock of labelled sounds.

    Attributes:
      source: Its name.
      words: Label → number of sounds.
      take: (word, labels) → the word, None if all its sounds are silent.
    """

    source: str
    words: Mapping[str, int]
    take: Callable[[str, Sequence[str]], Word | None]


def look_up(word: str, index: Index, embed: Callable[..., Any], words_from: str = "") -> Word:
    """Finds the labelled sounds of a word.

    Args:
      word: The word; case, underscores and the plural do not matter.
      index: The index that is asked.
      embed: (path, start, end) → float32[dim]: the vector of a part of a sound.
      words_from: An index, a manifest or table of annotations, or a table of words; empty: the
        index itself, then the table beside its model.

    Returns:
      The sounds of the first of these that knows the word.

    Raises:
      SearchError: None knows it; the message names the nearest words that are known.
    """
    if words_from:
        stocks = [_vocabulary(words_from, index.info, embed)]
    else:
        stocks = [_of_index(index, searched=True)]
        stocks += [
            _of_table(table, folder)
            for folder in dict.fromkeys([index.info.model, *model_files.released_folders()])
            if os.path.exists(os.path.join(folder, WORDS_FILE))
            and (table := WordTable.read(folder)).model_digest == index.info.model_digest
        ]
    for stock in stocks:
        labels = matching(word, stock.words)
        if labels and (found := stock.take(word, labels)):
            return found
    known = list(dict.fromkeys(label for stock in stocks for label in stock.words))
    raise SearchError(_unknown(word, known, [stock.source for stock in stocks]))


def matching(word: str, labels: Iterable[str]) -> list[str]:
    """The labels that are a word: those spelt like it, else those that differ in the plural."""
    wanted = plain(word)
    labels = list(labels)
    return [label for label in labels if plain(label) == wanted] or [
        label for label in labels if singular(label) == singular(word)
    ]


def plain(name: str) -> str:
    """A name without case, underscores, hyphens and needless spaces."""
    return " ".join(re.sub(r"[_\-]", " ", name).casefold().split())


def singular(name: str) -> str:
    """A plain name whose last word is in the singular, by the regular rules of English."""
    name = plain(name)
    for plural, one in _PLURALS:
        if name.endswith(plural) and not name.endswith("ss"):
            return name[: -len(plural)] + one
    return name


def nearest(word: str, labels: Iterable[str]) -> list[str]:
    """The labels nearest to a word that is none of them: that hold it, then in spelling."""
    names = {plain(label): label for label in labels}
    wanted = singular(word)
    within = [name for name in names if wanted and (wanted in name or name in wanted.split())]
    alike = difflib.get_close_matches(plain(word), names, _NEAR, 0.6)
    return [names[name] for name in dict.fromkeys([*within, *alike])][:_NEAR]


def _unknown(word: str, known: Sequence[str], sources: Sequence[str]) -> str:
    where = " nor ".join(sources)
    if not known:
        return f"{word!r}: no sound is labelled in {where}; name labelled sound by --words_from"
    near = nearest(word, known)
    if near:
        return f"{word!r}: no sound is labelled so in {where}; near are {', '.join(near)}"
    some = ", ".join(known[:_NEAR]) + (", …" if len(known) > _NEAR else "")
    return f"{word!r}: no sound is labelled so in {where}, nor alike; known are {some}"


def _vocabulary(place: str, info: IndexInfo, embed: Callable[..., Any]) -> Vocabulary:
    """The stock that a user names."""
    if place.endswith(".npz") or os.path.exists(os.path.join(place, WORDS_FILE)):
        table = WordTable.read(place)
        if table.model_digest != info.model_digest:
            raise SearchError(
                f"{place}: its vectors are of another model ({table.model_digest[:12]}) than the "
                f"index's ({info.model_digest[:12]}); name sound by --words_from"
            )
        return _of_table(table, place)
    if os.path.isdir(place):
        index = Index(place)
        if index.info.model_digest != info.model_digest:
            raise SearchError(other_model(place, index.info, info.model, info.model_digest))
        return _of_index(index, searched=False)
    return _of_manifest(place, embed)


def _of_index(index: Index, searched: bool) -> Vocabulary:
    def take(word: str, labels: Sequence[str]) -> Word | None:
        ids = sorted({id_ for label in labels for id_ in index.tables.segments_with_label(label)})
        each = [index.vectors_of_segments([id_])[0] for id_ in spread(ids)]
        means = [
            combine(list(vectors)) for vectors in each if len(vectors)
        ]  # silent ones have none
        if not means:
            return None
        named = index.tables.segments(ids) if searched else {}
        own = frozenset(segment.recording for segment in named.values())
        return Word(word, np.stack(means), len(means), index.folder, own)

    return Vocabulary(index.folder, index.tables.labels(), take)


def _of_table(table: WordTable, folder: str) -> Vocabulary:
    source = f"the words of {os.path.basename(os.path.normpath(folder))}"

    def take(word: str, labels: Sequence[str]) -> Word:
        vectors = np.concatenate([table.vectors[label] for label in labels])
        return Word(word, vectors, sum(table.recordings[label] for label in labels), source)

    return Vocabulary(source, table.recordings, take)


def _of_manifest(path: str, embed: Callable[..., Any]) -> Vocabulary:
    from audio_triplet.annotations import reading

    if not os.path.isfile(path):
        raise SearchError(f"{path}: no index, no manifest and no table; name one of them")
    frame = reading.read(path).frame
    rows: dict[str, list[int]] = {}
    for number, labels in enumerate(frame["labels"]):
        for label in filter(None, labels.split(";")):
            rows.setdefault(label, []).append(number)

    def take(word: str, labels: Sequence[str]) -> Word:
        vectors, error = [], None
        for number in spread(sorted({row for label in labels for row in rows[label]})):
            row = frame.iloc[number]
            try:
                vectors.append(embed(row["path"], row["start_seconds"], row["end_seconds"]))
            except AudioError as damaged:  # one of many; it counts if there is no other
                error = damaged
        if error and not vectors:
            raise error
        return Word(word, np.stack(vectors), len(vectors), path)

    return Vocabulary(path, {label: len(of_label) for label, of_label in rows.items()}, take)


def spread(items: Sequence[Any]) -> list[Any]:
    """At most `MOST_SOUNDS` of them, evenly spread."""
    if len(items) <= MOST_SOUNDS:
        return list(items)
    return [items[number] for number in np.linspace(0, len(items) - 1, MOST_SOUNDS).astype(int)]
