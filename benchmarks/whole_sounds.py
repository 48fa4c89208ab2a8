"""The sounds of `benchmarks.whole`: folders of clips, and a long recording of them."""

import dataclasses
import os
import shutil
from collections.abc import Sequence

import numpy as np
import soundfile

_RATE = 48_000  # of field recorders, and BirdNET's own


@dataclasses.dataclass(frozen=True)
class Material:
    """A folder of sounds, and an example to search it by.

    Attributes:
      folder: Holds files of sound only.
      hours: Of sound in it.
      query: A file; what it holds is in a file of the folder.
      answer: The name of that file.
    """

    folder: str
    hours: float
    query: str
    answer: str


def clips(paths: Sequence[str], folder: str, share: float) -> Material:
    """Copies clips, evenly drawn; the first is asked by."""
    count = max(1, round(share * len(paths)))
    drawn = [paths[int(number)] for number in np.linspace(0, len(paths) - 1, count)]
    os.makedirs(folder)
    seconds = 0.0
    for path in drawn:
        shutil.copyfile(path, os.path.join(folder, os.path.basename(path)))
        seconds += soundfile.info(path).duration
    return _with_query(folder, seconds, drawn[0], os.path.basename(drawn[0]))


def recording(paths: Sequence[str], folder: str, seconds: float, seed: int = 0) -> Material:
    """One WAV file of 16 bits at 48 kHz: clips end to end, in an order drawn by the seed."""
    from audio_triplet import audio

    os.makedirs(folder)
    random, left, order = np.random.default_rng(seed), round(seconds * _RATE), []
    path = os.path.join(folder, "recording.wav")
    first = None
    with soundfile.SoundFile(path, "w", _RATE, 1, "PCM_16") as file:
        while left:
            order = order or random.permutation(len(paths)).tolist()
            clip = paths[order.pop()]
            first = first or clip
            sound = audio.load_audio(clip, _RATE)[:left]
            file.write(np.clip(sound, -1, 1))
            left -= len(sound)
    return _with_query(folder, seconds, first, os.path.basename(path))


def _with_query(folder: str, seconds: float, query: str, answer: str) -> Material:
    copy = f"{folder}-query{os.path.splitext(query)[1]}"
    shutil.copyfile(query, copy)
    return Material(folder, seconds / 3600, copy, answer)
