"""The classifiers of the labels, each fitted anew when the answers or the index have changed."""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import functools
import os
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from audio_triplet.browse import logistic
from audio_triplet.browse.archive import Archive
from audio_triplet.browse.labels import Answer
from audio_triplet.browse.learning import (
    Background,
    Examples,
    HeldOut,
    Scored,
    fit,
    held_out,
    held_out_scores,
    meaning,
)
from audio_triplet.errors import BrowseError

if TYPE_CHECKING:
    from audio_triplet.classify.calibration import Calibration

_KEPT_FITS = 8


@dataclasses.dataclass(frozen=True, eq=False)
class Fit:
    """A classifier of a label, and what it says of the archive.

    Attributes:
      label: The label.
      archive: What it was fitted on.
      labels_version: Of the answers.
      classifier: The classifier.
      logits: float32[moments].
      examples: The answers.
      answered: int64[n], moments with an answer, unsure ones included.
      seconds: Time for all of it.
      background: What else it learned from.
    """

    label: str
    archive: Archive
    labels_version: int
    classifier: logistic.Logistic
    logits: np.ndarray
    examples: Examples
    answered: np.ndarray
    seconds: float
    background: Background

    @functools.cached_property
    def scored(self) -> Scored | None:
        """The answers' scores by classifiers of other recordings, computed when asked for."""
        return held_out_scores(self.examples, self.background)

    @functools.cached_property
    def held_out(self) -> HeldOut | None:
        """Its score on recordings that it did not learn from, likewise."""
        return held_out(self.examples, self.scored)

    @functools.cached_property
    def meaning(self) -> Calibration | None:
        """What its probabilities mean; None where that cannot be known yet."""
        return meaning(self.examples, self.scored)


class Learner:
    """Fits classifiers when they are asked for; any number of threads may ask."""

    def __init__(self, threads: int | None = None):
        """A learner.

        Args:
          threads: That score; None: one for each processor.
        """
        self._pool = concurrent.futures.ThreadPoolExecutor(threads or os.cpu_count() or 1)
        self._lock = threading.Lock()
        self._fits: collections.OrderedDict[str, Fit] = collections.OrderedDict()
        self._background: tuple[Archive, Background] | None = None

    def background(self, archive: Archive) -> Background:
        """What the archive sounds like, drawn once."""
        with self._lock:
            if self._background is None or self._background[0] is not archive:
                self._background = archive, Background.of(archive)
            return self._background[1]

    def fit(
        self, archive: Archive, label: str, answers: Sequence[Answer], labels_version: int
    ) -> Fit:
        """The classifier of a label.

        Args:
          archive: The index.
          label: The label.
          answers: To it, those that count, oldest first.
          labels_version: Theirs.

        Raises:
          BrowseError: There is no yes.
        """
        background = self.background(archive)
        with self._lock:
            known = self._fits.get(label)
            if known and known.archive is archive and known.labels_version == labels_version:
                self._fits.move_to_end(label)
                return known
            begin = time.perf_counter()
            examples = Examples.of(archive, answers)
            if not examples.yes.any():
                raise BrowseError(
                    f"{label}: has no moment that is answered with yes; answer one first", 409
                )
            classifier = fit(examples, background)
            logits = self._logits(archive, classifier)
            answered = _moments(archive, answers)
            fitted = Fit(
                label,
                archive,
                labels_version,
                classifier,
                logits,
                examples,
                answered,
                time.perf_counter() - begin,
                background,
            )
            self._fits[label] = fitted
            while len(self._fits) > _KEPT_FITS:
                self._fits.popitem(last=False)
            return fitted

    def _logits(self, archive: Archive, classifier: logistic.Logistic) -> np.ndarray:
        logits = np.empty(len(archive), np.float32)

        def score(block) -> None:
            first, read = block
            vectors = read()
            logits[first : first + len(vectors)] = classifier.logits(vectors)

        list(self._pool.map(score, archive.blocks()))
        return logits

    def close(self) -> None:
        """Ends its threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _moments(archive: Archive, answers: Sequence[Answer]) -> np.ndarray:
    """int64[n], the moments that have an answer."""
    found = [np.zeros(0, np.int64)]
    for answer in answers:
        try:
            found.append(archive.moments_in(answer.moment))
        except BrowseError:  # the index no longer holds the file
            continue
    return np.concatenate(found)
