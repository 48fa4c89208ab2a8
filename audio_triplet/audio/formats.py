"""Which files are sound, by their names."""

from __future__ import annotations

import os

# What libsndfile reads, then what FFmpeg does; those of videos last, of which the sound is read.
_EXTENSIONS = (
    *("wav", "flac", "ogg", "oga", "opus", "mp3", "aif", "aiff"),
    *("aifc", "au", "snd", "caf", "w64", "rf64", "mp2"),
    *("m4a", "m4b", "aac", "ac3", "eac3", "wma", "amr", "mka", "weba", "ape", "tta", "wv"),
    *("3gp", "3g2", "mp4", "m4v", "mov", "mkv", "webm", "avi"),
)


def audio_extensions() -> tuple[str, ...]:
    """Extensions (lower case, no dot) of the files that are decoded."""
    return _EXTENSIONS


def is_audio(name: str) -> bool:
    """Whether a file's name ends like audio, in whatever case, and is not hidden."""
    extension = os.path.splitext(name)[1].lower().lstrip(".")
    return not name.startswith(".") and extension in _EXTENSIONS
