"""Which sound of an archive is meant: by the clock time it was recorded at, and by its path."""

from __future__ import annotations

import dataclasses
import datetime
import fnmatch
import os
import re
from collections.abc import Sequence

import numpy as np

from audio_triplet.audio import clock
from audio_triplet.errors import UsageError

_DAY = 24 * 60


@dataclasses.dataclass(frozen=True)
class SoundFilter:
    """What sound is wanted; all that is given must hold. Clocks count as recorders showed them.

    Attributes:
      after: The first moment that is wanted.
      before: The first that no longer is.
      hours: (from, to) in minutes of a day, `to` exclusive; over midnight if it is not larger.
      paths: Patterns of paths, of which one must fit; `*` matches any characters, `/` among them.
    """

    after: datetime.datetime | None = None
    before: datetime.datetime | None = None
    hours: tuple[tuple[int, int], ...] = ()
    paths: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        after: str | None = None,
        before: str | None = None,
        hours: Sequence[str] = (),
        paths: Sequence[str] = (),
    ) -> SoundFilter:
        """A filter as it is typed.

        Args:
          after: A day or a time, 2024-06-12 or 2024-06-12T05:30.
          before: Likewise.
          hours: Ranges such as 4-7, 4:30-7 or 22-4.
          paths: Patterns; one that is no absolute path may begin at any folder.

        Raises:
          UsageError: One of them cannot be read.
        """
        begin, end = _time("after", after), _time("before", before)
        if begin and end and end <= begin:
            raise UsageError(f"--before={before}: is not later than --after={after}")
        return cls(begin, end, tuple(map(_range, hours)), tuple(paths))

    @property
    def needs_clock(self) -> bool:
        """Whether sound without a clock time is out."""
        return self.after is not None or self.before is not None or bool(self.hours)

    def __bool__(self) -> bool:
        """Whether anything is asked at all."""
        return self.needs_clock or bool(self.paths)

    def takes_path(self, path: str) -> bool:
        """Whether a file's path is wanted."""
        path = os.path.abspath(path)
        return not self.paths or any(
            fnmatch.fnmatchcase(path, pattern if os.path.isabs(pattern) else f"*/{pattern}")
            for pattern in self.paths
        )

    def takes_time(self, moment: datetime.datetime | None) -> bool:
        """Whether a moment is wanted; None, if its time is not known."""
        if moment is None:
            return not self.needs_clock
        moment = moment.replace(tzinfo=None)
        if (self.after and moment < self.after) or (self.before and moment >= self.before):
            return False
        minute = moment.hour * 60 + moment.minute
        return not self.hours or any(
            begin <= minute < end if begin < end else minute >= begin or minute < end
            for begin, end in self.hours
        )

    def takes_times(self, moments: np.ndarray) -> np.ndarray:
        """As `takes_time`, of many moments.

        Args:
          moments: int64[n], microseconds since 1970, see `clock.microseconds`.

        Returns:
          bool[n].
        """
        takes = np.ones(len(moments), bool)
        if self.after:
            takes &= moments >= clock.microseconds(self.after)
        if self.before:
            takes &= moments < clock.microseconds(self.before)
        if self.hours:
            minute = moments // 60_000_000 % _DAY
            of_hours = np.zeros(len(moments), bool)
            for begin, end in self.hours:
                since, until = minute >= begin, minute < end
                of_hours |= (since & until) if begin < end else (since | until)
            takes &= of_hours
        return takes

    def takes_some_of(self, begin: datetime.datetime | None, seconds: float) -> bool:
        """Whether any moment of a sound is wanted.

        Args:
          begin: Its first moment; None, if its time is not known.
          seconds: Its length.
        """
        if begin is None or not self.needs_clock:
            return not self.needs_clock
        begin = begin.replace(tzinfo=None)
        end = begin + datetime.timedelta(seconds=seconds)
        begin, end = max(begin, self.after or begin), min(end, self.before or end)
        if begin >= end or self.takes_time(begin):
            return begin < end
        for first, _ in self.hours:  # whether it begins while the sound lasts
            hour = begin.replace(hour=first // 60, minute=first % 60, second=0, microsecond=0)
            if hour < begin:
                hour += datetime.timedelta(days=1)
            if hour < end:
                return True
        return False


def _time(flag: str, text: str | None) -> datetime.datetime | None:
    if not text:
        return None
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo:
        raise UsageError(
            f"--{flag}={text}: write a day or a time as the recorder's clock shows it, "
            "2024-06-12 or 2024-06-12T05:30"
        )
    return moment


def _range(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"\s*(\d{1,2})(?::(\d\d))?\s*-\s*(\d{1,2})(?::(\d\d))?\s*", text)
    if match:
        begin, end = (int(match[n]) * 60 + int(match[n + 1] or 0) for n in (1, 3))
        wrong_minutes = any(int(match[n] or 0) > 59 for n in (2, 4))
        if begin < _DAY and end <= _DAY and begin != end and not wrong_minutes:
            return begin, end
    raise UsageError(f"--hours={text}: write a range of hours such as 4-7, 4:30-7 or 22-4")
