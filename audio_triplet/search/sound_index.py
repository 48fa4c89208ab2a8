"""An index that is searched by sound: a whole search, from a file or an array to hits.

    index = SoundIndex("archive.index")
    for hit in index.find("bark.wav", top=10):
        print(hit.score, hit.path, hit.start_seconds, hit.labels)

Queries are embedded without TensorFlow where the model's encoder file is at hand
(`embeddings.quick_model`).
"""

from __future__ import annotations

import dataclasses
import functools
import math
import os
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import logging

from audio_triplet.embeddings import model_files, quick_model, sounds
from audio_triplet.embeddings.quick_model import QuickModel
from audio_triplet.errors import SearchError
from audio_triplet.search.asking import ask
from audio_triplet.search.index import Hit, Index
from audio_triplet.search.index_format import IndexInfo
from audio_triplet.search.query import QuerySound, embed_query, embed_sound
from audio_triplet.search.question import Patches

if TYPE_CHECKING:
    from audio_triplet.data.sound_filter import SoundFilter
    from audio_triplet.embeddings.other_models import AnyModel, Embedder
    from audio_triplet.search.words import Word


@dataclasses.dataclass(frozen=True, eq=False)
class Found:
    """A search and what it found.

    Attributes:
      queries: (name, start, end) of the queries, seconds; end may be NaN: to the end.
      unlike: Names of the counter-examples.
      hits: The answer, best first.
      index: The index's folder.
      info: Its content.
      vectors: Number of vectors searched.
      exact: Whether by exact search.
      seconds: Time the search itself took.
      words: What was asked for by word.
    """

    queries: list[tuple[str, float, float]]
    unlike: list[str]
    hits: list[Hit]
    index: str
    info: IndexInfo
    vectors: int
    exact: bool
    seconds: float
    words: Sequence[str] = ()


@dataclasses.dataclass(frozen=True, eq=False)
class Query:
    """A query: a sound, or a part of one.

    Attributes:
      sound: A path or an open binary file; or float[samples] or float[channels, samples].
      start_seconds: Where the part begins.
      end_seconds: Where it ends; None or NaN: with the sound.
      sample_rate: Samples per second of an array.
    """

    sound: Any
    start_seconds: float = 0.0
    end_seconds: float | None = None
    sample_rate: float | None = None


class SoundIndex:
    """An index with its model, opened for reading as it is now.

    Attributes:
      index: The `Index`, which is searched by vectors.
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        model: str | os.PathLike | Embedder | None = None,
    ):
        """Opens an index; its model is loaded at the first search.

        Args:
          folder: The index's folder.
          model: The index's model, or its folder. None: the recorded folder, or the released one.

        Raises:
          SearchError: There is no index, or it is damaged.
        """
        self.index = Index(os.fspath(folder))
        self._model = model

    def __len__(self) -> int:
        """Number of vectors that are searched."""
        return len(self.index)

    @functools.cached_property
    def model(self) -> AnyModel:
        """The index's model, loaded by TensorFlow.

        Raises:
          ExportError: It is missing or damaged.
          SearchError: It is not the model of the index.
        """
        model, info = self._model, self.index.info
        if model is None or isinstance(model, str | os.PathLike | QuickModel):
            given = os.fspath(model) if isinstance(model, str | os.PathLike) else None
            found = model_files.find_model(given, info.model, info.model_digest, self.index.folder)
            if not model_files.is_of_others(found):
                model_files.check_model(found)  # before TensorFlow is imported: it takes seconds

            from audio_triplet.embeddings.other_models import open_model

            model = open_model(found)
        self.index.check_model(model)
        return model

    @functools.cached_property
    def query_model(self) -> Embedder:
        """What embeds queries: the index's encoder by LiteRT where that is possible, else `model`.

        Raises:
          ExportError: As `model`.
          SearchError: As `model`.
        """
        model, info = self._model, self.index.info
        named = info.model if model is None else model
        if isinstance(named, str) and model_files.is_of_others(named):
            return self.model
        if isinstance(model, str | os.PathLike):
            model = os.fspath(model)
            if not model_files.holds_model(model) or model_files.digest_of(model) != (
                info.model_digest
            ):
                return self.model  # which says what is wrong with it
            places = [model]
        elif model is None:
            places = [info.model, *model_files.released_folders()]
        else:
            self.index.check_model(model)
            return model
        return quick_model.find([*places, self.index.folder], info.model_digest) or self.model

    def find(
        self,
        sound: Any = None,
        top: int = 10,
        *,
        word: str | None = None,
        words_from: str | os.PathLike = "",
        sample_rate: float | None = None,
        start_seconds: float = 0.0,
        end_seconds: float | None = None,
        unlike: Sequence[Any] = (),
        exclude_own: bool = True,
        per_recording: int | None = None,
        exact: bool = False,
        diffuse: bool = True,
    ) -> list[Hit]:
        """The sounds of the index that are most like a sound.

        Args:
          sound: A path or an open binary file; or float[samples] or float[channels, samples].
          top: How many to find.
          word: Find what sounds like the labelled sounds of this name, with or without a sound.
          words_from: Where labelled sound is, see `words.look_up`.
          sample_rate: Samples per second of an array.
          start_seconds: Where in the sound to begin.
          end_seconds: Where to end; None: with the sound.
          unlike: Counter-examples: paths, or arrays of the same sample rate.
          exclude_own: Whether to leave out the recording of `sound`, if the index holds it.
          per_recording: Most hits of one recording; 0: any number; None: three, and more only where
            there would be fewer than `top` hits otherwise.
          exact: Whether to search exactly even where there is a FAISS index.
          diffuse: Whether the best answers speak for each other, see `diffusion`; else scores are
            likenesses to the sound alone.

        Returns:
          Up to `top` hits, best first.

        Raises:
          AudioError: A sound cannot be read or used, or is silent.
          SearchError: The model is not the index's, `top` is below 1, no sound is labelled by the
            word, or there is neither sound nor word.
        """
        sounds_asked = [Query(sound, start_seconds, end_seconds, sample_rate)]
        found = self.ask(
            sounds_asked if sound is not None else [],
            [_query_of(other, sample_rate) for other in unlike],
            top,
            exclude_own=exclude_own,
            per_recording=per_recording,
            exact=exact,
            diffuse=diffuse,
            words=[] if word is None else [word],
            words_from=os.fspath(words_from),
        )
        return found.hits

    def ask(
        self,
        queries: Sequence[Query],
        unlike: Sequence[Query] = (),
        top: int = 10,
        *,
        exclude_own: bool = True,
        per_recording: int | None = None,
        exact: bool = False,
        only: SoundFilter | None = None,
        fold_duplicates: bool = False,
        diffuse: bool = True,
        words: Sequence[str] = (),
        words_from: str = "",
    ) -> Found:
        """Searches by several sounds; copies are looked for if it is a single one.

        Args:
          queries: The sounds; with the words at least one.
          unlike: Counter-examples.
          top: As for `find`.
          exclude_own: As for `find`, for all queries.
          per_recording: As for `find`.
          exact: As for `find`.
          only: What is searched at all; None: everything.
          fold_duplicates: Of recordings that are the same, only the best is a hit.
          diffuse: As for `find`.
          words: Words, each of whose labelled sounds counts as a sound together.
          words_from: Where labelled sound is, see `words.look_up`.

        Returns:
          The search and what it found.

        Raises:
          AudioError: As `find`.
          SearchError: As `find`; or nothing is asked for.
        """
        if not queries and not words:
            raise SearchError("nothing is asked for; give a sound or a word")
        known = self._known(words, words_from) if words else []
        wanted = [self._embed(query) for query in queries]
        unwanted = [self._embed(query) for query in unlike]
        of_words = [Patches.of_vectors(vector) for one in known for vector in one.vectors]
        without = self._own_recordings(queries) if exclude_own else set()
        for one in known:
            left_out = len(one.recordings) if exclude_own else 0
            without |= one.recordings if exclude_own else set()
            logging.info("%s", one.told(left_out))
        begin = time.perf_counter()
        hits = ask(
            self.index,
            [sound.patches for sound in wanted] + of_words,
            [sound.patches for sound in unwanted],
            top=top,
            waveform=wanted[0].waveform if len(wanted) == 1 and not of_words else None,
            without=without,
            per_recording=per_recording,
            exact=exact,
            only=only,
            fold_duplicates=fold_duplicates,
            diffuse=diffuse,
        )
        seconds = time.perf_counter() - begin
        return Found(
            [(_name(query), query.start_seconds, _end(query)) for query in queries],
            [_name(query) for query in unlike],
            hits,
            self.index.folder,
            self.index.info,
            len(self.index),
            exact or bool(only) or self.index.info.faiss is None,
            seconds,
            [one.name for one in known],
        )

    def _known(self, words: Sequence[str], words_from: str) -> list[Word]:
        from audio_triplet.search.words import look_up  # late: most searches ask for no word

        return [look_up(word, self.index, self._embed_part, words_from) for word in words]

    def _embed(self, query: Query) -> QuerySound:
        return embed_sound(
            self.query_model,
            self.index.info,
            query.sound,
            query.start_seconds,
            query.end_seconds,
            query.sample_rate,
        )

    def _embed_part(self, path: str, start: float, end: float) -> np.ndarray:
        """The vector of a labelled part of a file: float32[dim]."""
        return embed_query(self.query_model, self.index.info, path, start, end)

    def _own_recordings(self, queries: Iterable[Query]) -> set[int]:
        own: set[int] = set()
        for query in queries:
            if isinstance(query.sound, str | os.PathLike):
                own |= self.index.recordings_of(os.fspath(query.sound))
        return own


def _query_of(sound: Any, sample_rate: float | None) -> Query:
    return Query(sound, sample_rate=None if sounds.is_file(sound) else sample_rate)


def _name(query: Query) -> str:
    return sounds.name_of(query.sound)


def _end(query: Query) -> float:
    return math.nan if query.end_seconds is None else query.end_seconds
