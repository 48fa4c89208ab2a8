"""The day and the minute of every moment of an archive, as recorders' clocks showed them."""

from __future__ import annotations

import dataclasses
import datetime

import numpy as np

from audio_triplet.browse.archive import Archive

_DAY = 24 * 60


@dataclasses.dataclass(frozen=True, eq=False)
class ClockTable:
    """When moments were.

    Attributes:
      day: int32[moments], `date.toordinal`; 0: not known.
      minute: int16[moments], of the day; −1: not known.
    """

    day: np.ndarray
    minute: np.ndarray

    @classmethod
    def of(cls, archive: Archive) -> ClockTable:
        """Of all moments of an archive."""
        first_day = np.zeros(len(archive.paths) + 1, np.int64)  # the last: no file
        second = np.zeros(len(archive.paths) + 1)
        for file in range(len(archive.paths)):
            text = archive.recorded_at(file)
            if text:
                began = datetime.datetime.fromisoformat(text)
                first_day[file] = began.toordinal()
                second[file] = began.hour * 3600 + began.minute * 60 + began.second
        minute = ((second[archive.file_of] + archive.start) // 60).astype(np.int64)
        day = first_day[archive.file_of]
        known = day > 0
        return cls(
            np.where(known, day + minute // _DAY, 0).astype(np.int32),
            np.where(known, minute % _DAY, -1).astype(np.int16),
        )

    def days(self) -> np.ndarray:
        """int32[days], those that occur, ascending."""
        return np.unique(self.day[self.day > 0])

    def counts(self, numbers: np.ndarray, minutes: int) -> list[list[int]]:
        """How many moments are in each part of each day.

        Args:
          numbers: int[n], the moments.
          minutes: Length of a part.

        Returns:
          A row for each of `days`, a column for each part of the day.
        """
        days, parts = self.days(), -(-_DAY // minutes)
        numbers = numbers[self.day[numbers] > 0]
        row = np.searchsorted(days, self.day[numbers])
        cells = row * parts + self.minute[numbers] // minutes
        return np.bincount(cells, minlength=len(days) * parts).reshape(-1, parts).tolist()
