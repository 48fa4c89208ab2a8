"""The fields of a request, checked: each has a type, a range, and an error that names it."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any

from audio_triplet.browse.archive import Moment
from audio_triplet.errors import BrowseError

_MOST_TEXT = 4096  # of a path; labels are shorter
_MISSING = object()


class Fields:
    """What a request says, by name.

    Of a URL or a form all values are text, which is then read as what is asked for.
    """

    def __init__(self, values: Mapping[str, Any], typed: bool):
        """Fields.

        Args:
          values: By name.
          typed: Whether they have the types of JSON, rather than being text.
        """
        self._values, self._typed = values, typed

    @classmethod
    def of_json(cls, body: bytes) -> Fields:
        """Those of a JSON object.

        Raises:
          BrowseError: It is none.
        """
        try:
            values = json.loads(body, parse_constant=_refuse)
        except (ValueError, RecursionError) as error:
            raise BrowseError(f"the request: is no JSON ({error}); send a JSON object") from None
        if not isinstance(values, dict):
            raise BrowseError("the request: is no JSON object; send {…}")
        return cls(values, typed=True)

    @classmethod
    def of_query(cls, query: str) -> Fields:
        """Those of a URL; bytes that are no UTF-8 become surrogate escapes, as in paths.

        Raises:
          BrowseError: There are too many.
        """
        try:
            pairs = urllib.parse.parse_qsl(
                query, keep_blank_values=True, errors="surrogateescape", max_num_fields=100
            )
        except ValueError:
            raise BrowseError("the request: has too many fields; send fewer") from None
        return cls(dict(pairs), typed=False)

    def __contains__(self, name: str) -> bool:
        return self._value(name) is not None

    def _value(self, name: str) -> Any:
        value = self._values.get(name)
        return None if value == "" and not self._typed else value

    def text(self, name: str, default: Any = _MISSING, most: int = _MOST_TEXT) -> Any:
        """Text of at most so many characters.

        Raises:
          BrowseError: It is missing without a default, is none, or is too long.
        """
        value = self._value(name)
        if value is None:
            return self._default(name, default)
        if not isinstance(value, str) or len(value) > most:
            raise BrowseError(f"{name}: is no text of at most {most} characters; send text")
        return value

    def number(
        self, name: str, default: Any = _MISSING, low: float = 0.0, high: float = 1e9
    ) -> Any:
        """A finite number in a range.

        Raises:
          BrowseError: It is missing without a default, none, or outside.
        """
        value = self._value(name)
        if value is None:
            return self._default(name, default)
        if not self._typed and isinstance(value, str):
            try:
                value = float(value)
            except ValueError:
                value = None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise BrowseError(f"{name}: is no number; send one from {low:g} to {high:g}")
        if not low <= value <= high:  # nor is NaN
            raise BrowseError(f"{name}: is outside {low:g} … {high:g}; send a number in that range")
        return float(value)

    def whole(self, name: str, default: Any = _MISSING, low: int = 0, high: int = 2**53) -> Any:
        """A whole number in a range.

        Raises:
          BrowseError: As `number`; or it has decimals.
        """
        value = self.number(name, None, low, high)
        if value is None:
            return self._default(name, default)
        if value != int(value):
            raise BrowseError(f"{name}: is no whole number; send one from {low} to {high}")
        return int(value)

    def flag(self, name: str, default: bool) -> bool:
        """True or false.

        Raises:
          BrowseError: It is neither.
        """
        value = self._value(name)
        if value is None:
            return default
        if not self._typed:
            value = {"true": True, "false": False, "1": True, "0": False}.get(str(value).lower())
        if not isinstance(value, bool):
            raise BrowseError(f"{name}: is neither true nor false; send one of them")
        return value

    def answer(self, name: str) -> bool | None:
        """True, false or null, which must be there.

        Raises:
          BrowseError: It is missing, or something else.
        """
        value = self._values.get(name, _MISSING)
        if value is not None and not isinstance(value, bool):
            raise BrowseError(f"{name}: is none of true, false and null; send one of them")
        return value

    def choice(self, name: str, choices: Sequence[str], default: Any = _MISSING) -> Any:
        """One of several words.

        Raises:
          BrowseError: It is none of them.
        """
        value = self.text(name, default)
        if value not in choices:
            raise BrowseError(f"{name}: is none of {', '.join(choices)}; send one of them")
        return value

    def listed(self, name: str, most: int = 1000) -> list[Any]:
        """A list; in a URL or a form it is written as JSON. Empty if missing.

        Raises:
          BrowseError: It is none, or too long.
        """
        value = self._value(name)
        if value is None:
            return []
        if not self._typed:
            try:
                value = json.loads(value, parse_constant=_refuse)
            except (ValueError, RecursionError):
                value = None
        if not isinstance(value, list) or len(value) > most:
            raise BrowseError(f"{name}: is no list of at most {most}; send […]")
        return value

    def texts(self, name: str) -> list[str]:
        """A list of text.

        Raises:
          BrowseError: It is none.
        """
        found = self.listed(name)
        if not all(isinstance(value, str) and len(value) <= _MOST_TEXT for value in found):
            raise BrowseError(f"{name}: is no list of text; send […] of text")
        return found

    def objects(self, name: str, most: int = 1000) -> list[Fields]:
        """A list of objects.

        Raises:
          BrowseError: It is none.
        """
        found = self.listed(name, most)
        if not all(isinstance(value, dict) for value in found):
            raise BrowseError(f"{name}: is no list of objects; send [{{…}}, …]")
        return [Fields(value, typed=True) for value in found]

    def moment(self) -> Moment:
        """A path with a start and an end.

        Raises:
          BrowseError: One of them is missing or wrong, or the end is not after the start.
        """
        path = self.text("path")
        start, end = self.number("start_seconds"), self.number("end_seconds")
        if end <= start:
            raise BrowseError(
                f"end_seconds: {end:g} is not after start_seconds, {start:g}; send a later one"
            )
        return Moment(path, start, end)

    def moments(self, name: str, most: int = 1000) -> list[Moment]:
        """A list of moments.

        Raises:
          BrowseError: It is none.
        """
        return [fields.moment() for fields in self.objects(name, most)]

    def _default(self, name: str, default: Any) -> Any:
        if default is _MISSING:
            raise BrowseError(f"{name}: is missing; send it")
        return default


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no number of JSON")
