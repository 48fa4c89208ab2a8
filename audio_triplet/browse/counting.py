"""How many moments are of a class: a sample that is drawn by lot, and what its answers say.

The method is `classify.estimate`'s. A count begins with the scores as they are then: they divide
the archive into strata, and a lot orders each stratum. Its moments are listened to in that order,
as many as were asked for. Answers that somebody gave elsewhere count when the lot comes to their
moment, not before: those were chosen, and would tell of the choice.

A count is kept beside the answers as JSON, a file for each label; the answers lie where all do.
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import os
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from audio_triplet import storage
from audio_triplet.browse.archive import Archive, Moment
from audio_triplet.classify import estimate as estimating
from audio_triplet.classify.estimate import Estimate
from audio_triplet.errors import BrowseError

# Kept of each stratum, in the order of the lot; nobody listens to more.
_MOST_OF_A_STRATUM = 500
_STRATA = 8
_MOST_SCORES = 1001  # kept of a stratum; of more moments, quantiles
_COURSE_POINTS, _COURSE_DRAWS = 12, 4_000

Answered = Mapping[tuple, Mapping[str, bool | None]]


@dataclasses.dataclass(frozen=True)
class Drawn:
    """A moment of the sample.

    Attributes:
      moment: The moment.
      score: Its probability when the count began.
      stratum: 0 has the lowest scores.
      value: Yes or no; None: not answered, or not sure.
      is_answered: Whether there is an answer, not sure included.
    """

    moment: Moment
    score: float
    stratum: int
    value: bool | None
    is_answered: bool


@dataclasses.dataclass(frozen=True, eq=False)
class Count:
    """A count of a label.

    Attributes:
      label: The label.
      begun: ISO 8601, UTC.
      index_version: Of the index that is counted.
      sizes: int[strata], moments in each; the lowest scores first.
      scores: Of each stratum the scores, float[q], from the lowest to the highest; quantiles of
        them where there are many.
      members: Of each stratum the first by lot: (path, start_seconds, end_seconds, score).
      drawn: int[strata], how many of each are asked for.
    """

    label: str
    begun: str
    index_version: str
    sizes: np.ndarray
    scores: Sequence[np.ndarray]
    members: Sequence[Sequence[tuple[str, float, float, float]]]
    drawn: np.ndarray

    @classmethod
    def begin(cls, label: str, archive: Archive, scores: np.ndarray, seed: int = 0) -> Count:
        """Divides the moments of an archive by their scores.

        Args:
          label: The label.
          archive: The archive.
          scores: float[moments], probabilities.
          seed: Of the lots.

        Raises:
          BrowseError: The archive has no moment.
        """
        numbers = np.flatnonzero(archive.file_of >= 0)
        if not len(numbers):
            raise BrowseError("the index: holds no moment; add sounds to it", 409)
        strata = estimating.stratify(scores[numbers], _STRATA, seed)
        members = []
        for part in strata.members:
            moments = []
            for number in numbers[part[:_MOST_OF_A_STRATUM]].tolist():
                moment = archive.moment(number)
                span = round(moment.start_seconds, 3), round(moment.end_seconds, 3)
                moments.append((moment.path, *span, float(scores[number])))
            members.append(moments)
        return cls(
            label,
            datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            archive.version,
            strata.sizes,
            [_outlined(scores[numbers[part]]) for part in strata.members],
            members,
            np.zeros(len(strata.sizes), int),
        )

    def sample(self, known: Answered) -> list[Drawn]:
        """What is asked for, with its answers, in the order to listen to it: strata take turns.

        Args:
          known: `Moment.key` → label → value.
        """
        found = []
        for place in range(int(self.drawn.max(initial=0))):
            for stratum in range(len(self.sizes) - 1, -1, -1):
                if place < self.drawn[stratum]:
                    path, start, end, score = self.members[stratum][place]
                    moment = Moment(path, start, end)
                    answers = known.get(moment.key, {})
                    value, is_answered = answers.get(self.label), self.label in answers
                    found.append(Drawn(moment, score, stratum, value, is_answered))
        return found

    def ask_more(self, sample: Sequence[Drawn], count: int) -> Count:
        """The same, asking for more moments: there where they narrow the interval the most.

        Args:
          sample: Its sample.
          count: How many more.
        """
        kept = np.array([len(part) for part in self.members])
        if not self.drawn.any():
            more = estimating.spread_evenly(kept, count)
        else:
            answered, yes = self.counts(sample)
            more = estimating.allocate(self.sizes, self.drawn, answered, yes, count)
        return dataclasses.replace(self, drawn=np.minimum(self.drawn + more, kept))

    def counts(self, sample: Sequence[Drawn]) -> tuple[np.ndarray, np.ndarray]:
        """int[strata]: answers with yes or no, and those with yes."""
        answered, yes = np.zeros(len(self.sizes), int), np.zeros(len(self.sizes), int)
        for one in sample:
            if one.value is not None:
                answered[one.stratum] += 1
                yes[one.stratum] += one.value
        return answered, yes

    def estimate(self, sample: Sequence[Drawn]) -> Estimate:
        """The share of the label, see `classify.estimate`."""
        return estimating.estimate(self.sizes, *self.counts(sample))

    def course(
        self, sample: Sequence[Drawn], when: Mapping[tuple, str]
    ) -> list[tuple[int, Estimate]]:
        """What the estimate was after so many answers.

        Args:
          sample: Its sample.
          when: `Moment.key` → when it was answered.
        """
        told = [one for one in sample if one.value is not None]
        told.sort(key=lambda one: when.get(one.moment.key, ""))
        steps = np.unique(np.linspace(1, len(told), _COURSE_POINTS).round().astype(int))
        return [
            (
                step,
                estimating.estimate(
                    self.sizes, *self.counts(told[:step]), seed=0, draws=_COURSE_DRAWS
                ),
            )
            for step in steps.tolist()
            if told
        ]

    def at_least(self, threshold: float) -> np.ndarray:
        """int[strata], how many moments of each had at least a score when the count began.

        Exact where all scores of a stratum are kept, near elsewhere.
        """
        above = []
        for size, kept in zip(self.sizes.tolist(), self.scores, strict=True):
            below = float(np.searchsorted(kept, threshold, side="left"))
            if threshold <= kept[-1] and size != len(kept):  # between two quantiles in proportion
                below = float(np.interp(threshold, kept, np.linspace(0, size, len(kept))))
            above.append(size - round(below) if threshold <= kept[-1] else 0)
        return np.array(above)

    def precision_at(self, sample: Sequence[Drawn], threshold: float) -> Estimate | None:
        """The share of the label among moments of at least a score; None: there are none.

        Args:
          sample: Its sample.
          threshold: Probability.
        """
        inside = [one for one in sample if one.score >= threshold]
        answered, yes = self.counts(inside)
        sizes = np.maximum(self.at_least(threshold), answered)
        keep = sizes > 0
        if not keep.any():
            return None
        return estimating.estimate(sizes[keep], answered[keep], yes[keep])

    def as_json(self) -> dict[str, Any]:
        """What `of_json` takes."""
        return {
            "label": self.label,
            "begun": self.begun,
            "index_version": self.index_version,
            "sizes": self.sizes.tolist(),
            "scores": [[float(score) for score in kept] for kept in self.scores],
            "members": [list(map(list, part)) for part in self.members],
            "drawn": self.drawn.tolist(),
        }

    @classmethod
    def of_json(cls, content: Mapping[str, Any]) -> Count:
        """Reads what `as_json` made.

        Raises:
          KeyError, TypeError, ValueError: It is damaged.
        """
        return cls(
            str(content["label"]),
            str(content["begun"]),
            str(content["index_version"]),
            np.array(content["sizes"], int),
            [np.array(kept, np.float64) for kept in content["scores"]],
            [[(path, a, b, c) for path, a, b, c in part] for part in content["members"]],
            np.array(content["drawn"], int),
        )


def _outlined(scores: np.ndarray) -> np.ndarray:
    """float64[q], scores from the lowest to the highest; of many, their quantiles."""
    ordered = np.sort(scores.astype(np.float64))
    if len(ordered) <= _MOST_SCORES:
        return ordered
    return np.quantile(ordered, np.linspace(0, 1, _MOST_SCORES))


class Counts:
    """The counts of an archive, in a folder beside the answers; any number of threads may ask."""

    def __init__(self, labels_path: str):
        """Nothing is read yet.

        Args:
          labels_path: The file of the answers.
        """
        self._folder = os.path.splitext(labels_path)[0] + ".counts"
        self._lock = threading.Lock()

    def _path(self, label: str) -> str:
        name = hashlib.blake2b(label.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        return os.path.join(self._folder, f"{name}.json")

    def of(self, label: str) -> Count | None:
        """The count of a label; None: it has not begun.

        Raises:
          BrowseError: Its file is damaged.
        """
        path = self._path(label)
        if not os.path.exists(path):
            return None
        try:
            return Count.of_json(storage.read_json(path))
        except (KeyError, TypeError, ValueError) as error:
            raise BrowseError(
                f"{path}: is damaged ({error}); remove it, and count anew", 409
            ) from None

    def keep(self, count: Count) -> None:
        """Writes a count: whole, or not at all."""
        with self._lock:
            os.makedirs(self._folder, exist_ok=True)
            storage.write_json(self._path(count.label), count.as_json(), indent=None)
