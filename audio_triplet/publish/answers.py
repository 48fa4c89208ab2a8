"""What people answered in `browse`: labels of published moments, which can be asked for by word."""

from __future__ import annotations

import dataclasses
import os

import numpy as np
from absl import logging

from audio_triplet.browse.archive import Moment, covered
from audio_triplet.browse.labels import MOST_OF_A_LABEL, Labels
from audio_triplet.errors import UsageError
from audio_triplet.publish.archive import Archive


@dataclasses.dataclass(frozen=True)
class Answers:
    """The answers that say yes to a label, of published files.

    Attributes:
      spans: Number of the file, start and end in seconds, label: of each.
      examples: Label → numbers of the vectors of each moment that speaks for it, the latest.
    """

    spans: list[tuple[int, float, float, str]]
    examples: dict[str, list[list[int]]]

    @classmethod
    def none(cls) -> Answers:
        """No answer."""
        return cls([], {})

    @classmethod
    def read(cls, path: str, archive: Archive) -> Answers:
        """The answers of a file.

        Args:
          path: File of `browse --labels`.
          archive: What is published; answers to anything else are left out.

        Raises:
          UsageError: There is no such file.
          BrowseError: It is none of `browse`.
        """
        if not os.path.isfile(path):  # it would be made
            raise UsageError(f"--labels={path}: no such file; name one that browse --labels wrote")
        labels = Labels(path)
        answers = [answer for answer in labels.all() if answer.value]
        labels.close()
        numbers = {file.path: number for number, file in enumerate(archive.files)}
        vectors = _OfFiles(archive)
        spans, examples = [], {}
        for answer in answers:
            moment = answer.moment
            file = numbers.get(moment.path)
            found = vectors.of(file, moment) if file is not None else []
            if file is not None and found:
                spans.append((file, moment.start_seconds, moment.end_seconds, answer.label))
                examples.setdefault(answer.label, []).append(found)
        if len(spans) < len(answers):
            logging.info(
                "%s: %d of %d answers are of no published moment and left out",
                path,
                len(answers) - len(spans),
                len(answers),
            )
        return cls(spans, {label: each[-MOST_OF_A_LABEL:] for label, each in examples.items()})


class _OfFiles:
    """The vectors of each file of an archive."""

    def __init__(self, archive: Archive):
        files = np.array([file for file, _, _ in archive.segments], np.int64)[archive.owners]
        self._order = np.lexsort((archive.spans[:, 0], files))  # by file, then time
        self._files = files[self._order]
        self._spans = archive.spans

    def of(self, file: int, moment: Moment) -> list[int]:
        """Numbers of the vectors that stand for a moment, as `browse` has them."""
        low, high = np.searchsorted(self._files, [file, file + 1])
        mine = self._order[low:high]
        places = covered(self._spans[mine, 0], self._spans[mine, 1], moment)
        return mine[places].tolist()
