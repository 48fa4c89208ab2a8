"""Moments as tables that open beside the sound: a file for each recording, and one for all."""

import collections
import dataclasses
import os
from collections.abc import Callable, Sequence

from audio_triplet import audio, storage
from audio_triplet.annotations import audacity, label_studio, own_table, raven
from audio_triplet.annotations.moments import POINT_SECONDS, Moment
from audio_triplet.errors import AudioError

_UNKNOWN = (float("nan"), 16_000.0)  # seconds and sample rate of a sound that is not there


@dataclasses.dataclass(frozen=True)
class Form:
    """How moments are written.

    Attributes:
      ending: Of the files.
      text_of: Moments and (seconds, sample rate) of each sound → text.
      combined: Whether one file can hold several sounds.
    """

    ending: str
    text_of: Callable[[Sequence[Moment], dict[str, tuple[float, float]]], str]
    combined: bool = True


FORMS = {
    "raven": Form(".selections.txt", raven.text_of),
    "audacity": Form(".labels.txt", lambda moments, _: audacity.text_of(moments), False),
    "csv": Form(".labels.csv", lambda moments, _: own_table.text_of(moments)),
    "json": Form(".json", label_studio.text_of),
}


def write(form: str, folder: str, name: str, moments: Sequence[Moment]) -> str:
    """Writes moments: `NAME-FORM/…`, a file for each recording, and `NAME…` for all of them.

    The files of recordings lie in folders as the sound does, below what all paths have in common.

    Args:
      form: One of `FORMS`.
      folder: Where to; made if need be.
      name: What the files are called.
      moments: In any order; each file has those of a sound by their start.

    Returns:
      A line for the user.
    """
    kind = FORMS[form]
    of_sound: dict[str, list[Moment]] = {}
    for moment in sorted(moments, key=lambda moment: (moment.path, moment.start_seconds)):
        of_sound.setdefault(moment.path, []).append(moment)
    sounds = {path: _looked_at(path) for path in of_sound}
    for path, rows in of_sound.items():
        of_sound[path] = [_with_end(row, sounds[path][0]) for row in rows]
    below = os.path.join(folder, f"{name}-{form}")
    for path, table in _tables(list(of_sound), kind.ending).items():
        target = os.path.join(below, table)
        storage.make_folder(os.path.dirname(target))
        storage.write_text(target, kind.text_of(of_sound[path], sounds))
    told = f"{form}: {below}, a file for each of {len(of_sound):,} recordings"
    if not kind.combined:
        return told
    target = os.path.join(folder, name + kind.ending)
    storage.make_folder(folder)
    together = [moment for rows in of_sound.values() for moment in rows]
    storage.write_text(target, kind.text_of(together, sounds))
    return f"{told}; all of them: {target}"


def _looked_at(path: str) -> tuple[float, float]:
    """Seconds and sample rate of a sound by its header."""
    try:
        found = audio.probe(path, truncated="use")
    except AudioError:
        return _UNKNOWN
    return found.duration_seconds, float(found.sample_rate)


def _with_end(moment: Moment, seconds: float) -> Moment:
    """A moment that says where it ends; a patch later, where nothing is known."""
    if moment.end_seconds == moment.end_seconds:
        return moment
    end = seconds if seconds == seconds else moment.start_seconds + POINT_SECONDS
    return dataclasses.replace(moment, end_seconds=end)


def _tables(paths: Sequence[str], ending: str) -> dict[str, str]:
    """The table of each sound, below their common folder; named in full where two would be one."""
    local = {
        path: path.split("://", 1)[-1] if storage.is_remote(path) else os.path.abspath(path)
        for path in paths
    }
    folders = {os.path.dirname(os.path.normpath("/" + path)) for path in local.values()}
    common = os.path.commonpath(folders) if folders else "/"
    below = {
        path: os.path.relpath(os.path.normpath("/" + name), common) for path, name in local.items()
    }
    stems = [os.path.splitext(name)[0] for name in below.values()]
    count = collections.Counter(stems)
    return {
        path: (name if count[stem] > 1 else stem) + ending
        for (path, name), stem in zip(below.items(), stems, strict=True)
    }
