"""All that a running `browse` holds: the index, the answers, classifiers, uploads, the model."""

from __future__ import annotations

import dataclasses
import functools
import os
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from audio_triplet.browse.archive import Archive, Archives, Moment
from audio_triplet.browse.clock_table import ClockTable
from audio_triplet.browse.counting import Counts
from audio_triplet.browse.labels import Answer, Labels
from audio_triplet.browse.learner import Fit, Learner
from audio_triplet.browse.map_file import MapFile, default_path
from audio_triplet.browse.sounds import Headers
from audio_triplet.browse.uploads import PREFIX, Uploads
from audio_triplet.errors import BrowseError

if TYPE_CHECKING:
    from audio_triplet.search.query import QuerySound
    from audio_triplet.search.sound_index import SoundIndex

LABELS_FILE = "labels.sqlite"


@dataclasses.dataclass(frozen=True, eq=False)
class Answers:
    """The answers that count, as they were at a version.

    Attributes:
      version: Of the labels.
      all: Oldest first.
      by_moment: `Moment.key` → label → value.
    """

    version: int
    all: list[Answer]

    @functools.cached_property
    def by_moment(self) -> dict[tuple, dict[str, bool | None]]:
        """The values to each moment, see `Moment.key`."""
        found: dict[tuple, dict[str, bool | None]] = {}
        for answer in self.all:
            found.setdefault(answer.moment.key, {})[answer.label] = answer.value
        return found

    def to(self, label: str) -> list[Answer]:
        """Those to a label, oldest first."""
        return [answer for answer in self.all if answer.label == label]


class Session:
    """What the routes work on; any number of threads may use it.

    Attributes:
      folder: The index's folder.
      archives: The index.
      labels: The answers.
      learner: The classifiers.
      headers: Headers of sound files.
      uploads: Sounds that were sent.
      map: The map of the archive.
      counts: How many moments are of a label, where that is asked.
      who: Who answers, if a request does not say.
    """

    def __init__(self, folder: str, labels: str | None, model: str | None, who: str):
        """Opens everything but the model.

        Args:
          folder: The index's folder.
          labels: File of the answers; None: `labels.sqlite` in the index's folder.
          model: Folder of the index's model, if it has moved.
          who: Who answers.

        Raises:
          SearchError: There is no index, or it is damaged.
          BrowseError: The file of the answers cannot be used.
        """
        self.folder, self.who = folder, who
        self.archives = Archives(folder)
        self.labels = Labels(labels or os.path.join(folder, LABELS_FILE))
        self.learner, self.headers, self.uploads = Learner(), Headers(), Uploads()
        self.map = MapFile(default_path(self.labels.path))
        self.counts = Counts(self.labels.path)
        self._model = model
        self._lock, self._model_lock = threading.Lock(), threading.Lock()
        self._answers = Answers(-1, [])
        self._clock: tuple[Archive, ClockTable] | None = None
        self._sound_index: SoundIndex | None = None
        self.model_is_ready = False

    def close(self) -> None:
        """Ends what runs beside, and removes the uploads."""
        self.map.close()
        self.learner.close()
        self.labels.close()
        self.uploads.close()

    def answers(self) -> Answers:
        """The answers as they are now, also those of other processes."""
        version = self.labels.version
        with self._lock:
            if self._answers.version != version:
                self._answers = Answers(version, self.labels.all())
            return self._answers

    def fit(self, label: str) -> Fit:
        """The classifier of a label, as of now.

        Raises:
          BrowseError: There is no yes.
        """
        answers = self.answers()
        return self.learner.fit(self.archives.now(), label, answers.to(label), answers.version)

    @functools.cached_property
    def known_words(self) -> dict[str, int]:
        """Words that the table beside the index's model has, and of how many recordings."""
        from audio_triplet.embeddings import model_files
        from audio_triplet.search.word_table import WORDS_FILE, WordTable

        info = self.archives.now().index.info
        for folder in [self._model or info.model, *model_files.released_folders()]:
            if os.path.exists(os.path.join(folder, WORDS_FILE)):
                table = WordTable.read(folder)
                if table.model_digest == info.model_digest:
                    return dict(table.recordings)
        return {}

    def clock_table(self, archive: Archive) -> ClockTable:
        """When the moments of the archive were, computed once."""
        with self._lock:
            if self._clock is None or self._clock[0] is not archive:
                self._clock = archive, ClockTable.of(archive)
            return self._clock[1]

    def file(self, path: str) -> str:
        """The file that may be read by this name: of the index, or an upload.

        Raises:
          BrowseError: It is neither.
        """
        if path.startswith(PREFIX):
            return self.uploads.path(path)
        archive = self.archives.now()
        return archive.paths[archive.file(path)]

    def model(self) -> Any:
        """What embeds queries of the index, loaded at the first call.

        Raises:
          ExportError: It is missing or damaged.
          SearchError: It is not the model of the index.
        """
        from audio_triplet.search.sound_index import SoundIndex

        with self._model_lock:
            if self._sound_index is None:
                self._sound_index = SoundIndex(self.folder, self._model)
            model = self._sound_index.query_model
            self.model_is_ready = True
            return model

    def embed(self, file: str, start_seconds: float, end_seconds: float | None) -> QuerySound:
        """A part of a file to search by, embedded by the model.

        Raises:
          AudioError: It cannot be read, or is silent.
        """
        from audio_triplet.search.query import embed_sound

        info = self.archives.now().index.info
        return embed_sound(self.model(), info, file, start_seconds, end_seconds)

    def vector(self, file: str, start_seconds: float, end_seconds: float | None) -> np.ndarray:
        """float32[dim], the same as one vector.

        Raises:
          AudioError: As `embed`.
        """
        from audio_triplet.search.query import embed_query

        info = self.archives.now().index.info
        return embed_query(self.model(), info, file, start_seconds, end_seconds)

    def hits(self, archive: Archive, numbers: Any, scores: Any) -> list[dict]:
        """Moments as the API lists them, best first.

        Args:
          archive: Where they are.
          numbers: int[n].
          scores: float[n].
        """
        found = []
        numbers = np.asarray(numbers).tolist()
        recordings = archive.recording_names(numbers)
        for number, score, recording in zip(numbers, scores, recordings, strict=True):
            found.append(
                {
                    "score": round(float(score), 6),
                    **as_json(archive.moment(number)),
                    "recording_id": recording,
                    "labels": list(archive.labels(number)),
                    "clock_time": archive.clock_time(number),
                }
            )
        return self.with_answers(found)

    def with_answers(self, hits: list[dict]) -> list[dict]:
        """Ranks hits, and adds what was answered to each."""
        known = self.answers().by_moment
        for rank, hit in enumerate(hits, 1):
            moment = Moment(hit["path"], hit["start_seconds"], hit["end_seconds"])
            hit["rank"] = rank
            hit["answers"] = known.get(moment.key, {})
        return hits


def as_json(moment: Moment) -> dict:
    """A moment as the API has it."""
    return {
        "path": moment.path,
        "start_seconds": round(moment.start_seconds, 3),
        "end_seconds": round(moment.end_seconds, 3),
    }


def checked_label(label: str) -> str:
    """A label that manifests and tables can hold.

    Raises:
      BrowseError: It is empty, or holds `;` or characters that no table can hold.
    """
    label = " ".join(label.split())
    if not label or ";" in label or len(label) > 200 or not label.isprintable():
        raise BrowseError(
            "label: is empty, longer than 200 characters, or holds `;` or unprintable ones; "
            "choose another"
        )
    return label
