"""The interface of decoders, whatever library they use, and the checks that all of them make.

There are two, `libsndfile.LibsndfileDecoder` and `pyav.PyavDecoder`. Another one implements
`Decoder`, calls the three checks below, and is chosen in `either`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol

import numpy as np

from audio_triplet.errors import AudioError

AudioPath = str | bytes | os.PathLike | BinaryIO

# Values decoded at a time, so that a file of many channels takes no more memory than a mono one.
BLOCK_VALUES = 1 << 18

MIN_SAMPLE_RATE = 1_000
MAX_SAMPLE_RATE = 1_000_000
MAX_CHANNELS = 64  # ambisonics of seventh order
MAX_AMPLITUDE = 1e10  # int32-scaled float files (2e9) pass
# [D] A shortfall up to these is rounding by the codec or by the writer; above both it is
# truncation. Of 14,000 files in Debian packages the worst lacks 0.13 s of 207.
MAX_SECONDS_MISSING = 0.5
MAX_SHARE_MISSING = 0.1


# Whether the sound of a truncated file is used.
TRUNCATED = ("refuse", "use")


class Undecodable(AudioError):
    """A file that this decoder cannot read, and another one may."""


class Truncated(AudioError):
    """A file of which an end is missing. What is there can be read."""


# What is done with a truncated file: it is raised, or noted.
OnTruncated = Callable[[Truncated], None]


def refuse(error: Truncated) -> None:
    """Raises the error: truncated files are not read."""
    raise error


@dataclass(frozen=True)
class AudioInfo:
    """Metadata from the header of a sound file.

    Attributes:
      sample_rate: Hz, as stored.
      channels: As stored.
      frames: Samples per channel, at `sample_rate`.
      duration_seconds: frames / sample_rate.
      decoder: What reads the file, "libsndfile" or "ffmpeg".
    """

    sample_rate: int
    channels: int
    frames: int
    duration_seconds: float
    decoder: str = "libsndfile"


class Decoder(Protocol):
    """One open sound file, decoded to mono at its own sample rate.

    A decoder is made from a `files.InputFile`. It reads the header, and raises AudioError if that
    is invalid. It begins at frame 0. `close` leaves the file open.

    Attributes:
      rate: Sample rate, Hz.
      channels: In the file.
      carrying: How many of them carry sound, which the sum of all is divided by; at first all.
      frames: Per channel; None where the file does not state it.
      position: Of the frame that comes next.
      library: Its name in tables.
    """

    rate: int
    channels: int
    carrying: int
    frames: int | None
    position: int
    library: str

    def seek(self, frame: int) -> None:
        """Moves to exactly this frame, at most `frames`."""

    def peek(self, frames: int) -> np.ndarray:
        """The next frames of all channels, float32[<= frames, channels]; the position stays."""

    def blocks(self, frames: int | None = None) -> Iterator[np.ndarray]:
        """Decodes from the present position: `frames` in all, or up to the end.

        Yields:
          float32[<= BLOCK_VALUES // channels], the mean of the channels, finite.

        Raises:
          Undecodable: The sound cannot be decoded any further; another decoder may go on.
          Truncated: It ends before its header says.
          AudioError: Samples that `checked_mono` refuses.
        """

    def close(self) -> None:
        """Frees what the decoder holds."""


def check_header(name: str, rate: int, channels: int) -> None:
    """Refuses a sample rate or number of channels that no sound has.

    Args:
      name: The file, for the message.
      rate: Hz.
      channels: Number of channels.

    Raises:
      AudioError: The header is wrong.
    """
    if not MIN_SAMPLE_RATE <= rate <= MAX_SAMPLE_RATE:
        raise AudioError(
            name,
            f"claims a sample rate of {rate} Hz",
            f"only {MIN_SAMPLE_RATE} to {MAX_SAMPLE_RATE} Hz are read: correct its header",
        )
    if not 1 <= channels <= MAX_CHANNELS:
        raise AudioError(
            name, f"claims {channels} channels", f"only 1 to {MAX_CHANNELS} are read: mix it down"
        )


def check_complete(name: str, seconds: float, missing_seconds: float) -> None:
    """Refuses a file with fewer samples than its header promises, beyond rounding.

    Args:
      name: The file, for the message.
      seconds: Length of the decoded sound.
      missing_seconds: Length that its header promises beyond that; negative if there is more.

    Raises:
      Truncated: The file is truncated.
    """
    promised = seconds + missing_seconds
    if missing_seconds > min(MAX_SECONDS_MISSING, MAX_SHARE_MISSING * promised):
        raise Truncated(
            name,
            f"is truncated: {seconds:.2f} s of {promised:.2f} s are there",
            "fetch it again or remove it",
        )


def checked_mono(
    name: str, block: np.ndarray, first_frame: int, rate: int, carrying: int
) -> np.ndarray:
    """Mixes a decoded block down and refuses impossible samples.

    Args:
      name: The file, for the message.
      block: float32[frames, channels], at least one frame.
      first_frame: Where in the file the block begins, for the message.
      rate: Hz, for the message.
      carrying: How many channels carry sound.

    Returns:
      float32[frames], the sum of the channels, divided by `carrying`.

    Raises:
      AudioError: A sample is NaN, infinite or beyond ±1e10, or the mean overflows.
    """
    mono = _mix_down(block, carrying)
    # One quick pass that no bad sample comes through; what does not may be good still.
    with np.errstate(over="ignore", invalid="ignore"):
        if float(mono @ mono) <= MAX_AMPLITUDE**2:
            return mono
    if max(mono.max(), -mono.min()) <= MAX_AMPLITUDE:  # False for NaN
        return mono
    for what, bad, fix in (
        ("a NaN or infinite sample", ~np.isfinite(block), "export it again from its source"),
        ("a sample beyond ±1e10", np.abs(block) > MAX_AMPLITUDE, "scale it to ±1"),
    ):
        if bad.any():
            seconds = (first_frame + int(bad.any(axis=1).argmax())) / rate
            raise AudioError(name, f"holds {what} at {seconds:.3f} s", fix)
    raise AudioError(name, "overflows when its channels are mixed", "scale it to ±1")


def _mix_down(block: np.ndarray, carrying: int) -> np.ndarray:
    """[frames, channels] -> [frames], by columns, as `mean(axis=1)` is slow."""
    if block.shape[1] == 1:
        return np.ascontiguousarray(block[:, 0])
    mono = block[:, 0].copy()
    with np.errstate(over="ignore", invalid="ignore"):  # the caller looks at the result
        for channel in range(1, block.shape[1]):
            mono += block[:, channel]
    if carrying > 1:
        mono /= carrying
    return mono
