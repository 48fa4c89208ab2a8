"""Which files are sound, by their names."""

from __future__ import annotations

import os

import soundfile

# Extension → the container libsndfile must know.
_CONTAINERS = {
    "wav": "WAV",
    "flac": "FLAC",
    "ogg": "OGG",
    "oga": "OGG",
    "opus": "OGG",
    "mp3": "MP3",
    "aif": "AIFF",
    "aiff": "AIFF",
}


def audio_extensions() -> tuple[str, ...]:
    """Extensions (lower case, no dot) of the files that the installed libsndfile decodes."""
    available = soundfile.available_formats()
    return tuple(name for name, container in _CONTAINERS.items() if container in available)


def is_audio(name: str) -> bool:
    """Whether a file's name ends like audio, in whatever case, and is not hidden."""
    extension = os.path.splitext(name)[1].lower().lstrip(".")
    return not name.startswith(".") and extension in audio_extensions()
