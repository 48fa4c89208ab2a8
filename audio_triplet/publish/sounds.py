"""What a published archive lets one hear: pieces in Opus, the files themselves, or nothing.

Pieces overlap, so that every moment that a page plays lies whole in one of them: a plain file
server sends whole files only.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence

import soundfile
from absl import logging

from audio_triplet import audio
from audio_triplet.errors import AudioError
from audio_triplet.publish.archive import File

KINDS = ("opus", "copy", "none")

# [D] A piece begins every 30 s and is 40 s long; a moment is played for 10 s at most.
PIECE_SECONDS, MOST_SECONDS = 30.0, 10.0

_RATE = 24_000
_COMPRESSION = 0.9  # 27 kbit/s on the mean of 19 clips of ESC-50


def write(folder: str, files: Sequence[File], kind: str, seconds: float) -> list[list[str]]:
    """Writes the sound of files.

    Args:
      folder: The site.
      files: The files.
      kind: One of `KINDS`.
      seconds: Of each file so much from its beginning, as Opus; 0: all.

    Returns:
      For each file the addresses of its pieces, relative to the site. A file that cannot be read
      has none, and a line says so.
    """
    if kind != "none":
        os.makedirs(os.path.join(folder, "sounds"), exist_ok=True)
    found = []
    for number, file in enumerate(files):
        try:
            if kind == "copy":
                found.append([_copied(folder, number, file)])
            elif kind == "opus":
                found.append(_pieces(folder, number, file, seconds))
            else:
                found.append([])
        except (AudioError, OSError) as error:
            logging.warning("%s; it is published without its sound", error)
            found.append([])
    return found


def _copied(folder: str, number: int, file: File) -> str:
    ending = os.path.splitext(file.path)[1].lower()
    name = f"sounds/{number:06d}{ending if ending[1:].isalnum() else ''}"
    shutil.copyfile(file.path, os.path.join(folder, name))
    return name


def _pieces(folder: str, number: int, file: File, seconds: float) -> list[str]:
    names: list[str] = []
    length = audio.probe(file.path, truncated="use").duration_seconds
    end = min(length, seconds) if seconds else length
    begin = 0.0
    while begin < end or not names:
        wanted = min(PIECE_SECONDS + MOST_SECONDS, max(end - begin, 0.01))
        waveform = audio.read_piece(file.path, begin, wanted, _RATE, truncated="use")
        if not len(waveform):
            break
        name = f"sounds/{number:06d}-{len(names):04d}.opus"
        with soundfile.SoundFile(
            os.path.join(folder, name),
            "w",
            _RATE,
            1,
            format="OGG",
            subtype="OPUS",
            compression_level=_COMPRESSION,
        ) as target:
            target.write(waveform)
        names.append(name)
        begin += PIECE_SECONDS
    return names
