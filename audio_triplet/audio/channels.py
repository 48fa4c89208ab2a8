"""Which channels of a file carry sound.

A dead channel of a stereo recorder halves the level of the mean, six empty tracks of eight quarter
it, and an embedding hears level. So the sum of the channels is divided by the number of those that
carry sound [D].

That number is one for the whole file, so that every piece of it has the same level. It is found
from at most `PROBES` short parts, evenly spaced (where the length is not stated: from the first
minute), and a channel carries sound if a sample in any of them is beyond `SILENCE`, a step of 16
bits: what codecs leave of a silent channel is below. Where no channel is beyond, all count. The
sum is of all channels: what sounds between the probes is never lost.

Ordinary files have sound in all channels of the first part, which is read anyway: the others are
not looked at.
"""

from __future__ import annotations

import contextlib
import math

import numpy as np

from audio_triplet.audio.decoder import Decoder
from audio_triplet.audio.files import InputFile
from audio_triplet.audio.known import Known
from audio_triplet.errors import AudioError

PROBES = 16
PROBE_FRAMES = 1 << 14
SILENCE = 2.0**-15
_FIRST_SECONDS = 60  # that are looked at where the length is not stated

_known: Known[int] = Known(100_000)  # numbers of channels


def probe_starts(frames: int) -> list[int]:
    """Where the parts begin that are looked at, for a sound of so many frames."""
    return [number * frames // PROBES for number in range(PROBES)]


def count(peaks: np.ndarray) -> int:
    """How many channels carry sound, at least 1.

    Args:
      peaks: float[channels], the greatest magnitude of each in the parts that are looked at.
    """
    return int((peaks > SILENCE).sum()) or len(peaks)


def count_in_array(samples: np.ndarray) -> int:
    """How many channels of a whole sound carry sound, by the same rule.

    Args:
      samples: float[channels, frames].
    """
    parts = [samples[:, start : start + PROBE_FRAMES] for start in probe_starts(samples.shape[1])]
    return count(np.max([_peaks(part.T) for part in parts], axis=0))


def count_in_file(decoder: Decoder, file: InputFile) -> int:
    """How many channels of a file carry sound; looked for once a file.

    Args:
      decoder: A decoder of the file, at its beginning, to which it returns.
      file: The file.

    Returns:
      At least 1, at most all of them. Parts that cannot be decoded do not count; whoever reads the
      sound says so.
    """
    if decoder.channels == 1:
        return 1
    return _known.get(file.descriptor(), lambda: _count(decoder))


def _count(decoder: Decoder) -> int:
    """Looks at some parts; the decoder is at its beginning before and after."""
    peaks = np.zeros(decoder.channels, np.float32)
    with contextlib.suppress(AudioError):
        peaks = _peaks(decoder.peek(PROBE_FRAMES))
        if not _all_carry(peaks) and (decoder.frames or math.inf) <= PROBES * PROBE_FRAMES:
            peaks = _peaks(decoder.peek(PROBES * PROBE_FRAMES))  # the parts are all of it
        elif not _all_carry(peaks):
            peaks = _looked_further(decoder, peaks)
            decoder.seek(0)
    return count(peaks)


def _looked_further(decoder: Decoder, peaks: np.ndarray) -> np.ndarray:
    """Peaks of each channel in the first part and the others, as far as these have to be read."""
    if decoder.frames is not None:
        starts = probe_starts(decoder.frames)[1:]
    else:
        starts = list(range(PROBE_FRAMES, _FIRST_SECONDS * decoder.rate, PROBE_FRAMES))
    for start in starts:
        try:
            decoder.seek(start)
            part = decoder.peek(PROBE_FRAMES)
        except AudioError:
            break
        peaks = np.maximum(peaks, _peaks(part))
        if not len(part) or _all_carry(peaks):
            break
    return peaks


def _all_carry(peaks: np.ndarray) -> bool:
    return bool((peaks > SILENCE).all())


def _peaks(part: np.ndarray) -> np.ndarray:
    """float[frames, channels] → float[channels]; NaN counts as silence, and is refused later."""
    if not len(part):
        return np.zeros(part.shape[1], np.float32)
    return np.array([np.nanmax(np.abs(column), initial=0.0) for column in part.T], np.float32)
