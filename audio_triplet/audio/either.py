"""Two decoders for a file: libsndfile as far as it goes, FFmpeg from there.

What libsndfile refuses, at opening, seeking or reading, is offered to FFmpeg before it is called
bad. If neither can read it, the reason is told that says more.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import numpy as np

from audio_triplet.audio import channels
from audio_triplet.audio.decoder import Decoder, OnTruncated, Truncated, Undecodable
from audio_triplet.audio.files import InputFile
from audio_triplet.audio.libsndfile import LibsndfileDecoder
from audio_triplet.audio.pyav import PyavDecoder
from audio_triplet.errors import AudioError

# Reasons that say no more than that a library could not.
_SAYS_LITTLE = re.compile(
    r"cannot be decoded \((Invalid data found|End of file|Operation not|Invalid argument|Unknown "
    r"error|Error number|Format not recogni|File contains data in an unknown|Unspecified|"
    r"Internal|corrupt data|.*malformed|System error|Unknown error)"
)


class EitherDecoder:
    """A file, open for whichever decoder can read it.

    Attributes:
      decoder: The one in use.
      library: Name of the last that gave sound.
    """

    def __init__(self, file: InputFile, on_truncated: OnTruncated):
        """Opens a file by the first decoder that knows it.

        Args:
          file: The open file, which the decoders move about in.
          on_truncated: Called when an end turns out to be missing: raises the error, or returns,
            and what is there is read.

        Raises:
          AudioError: It cannot be read; the more telling reason of the two.
        """
        self._file, self._on_truncated = file, on_truncated
        self.decoder: Decoder
        try:
            self.decoder = LibsndfileDecoder(file, on_truncated)
        except Undecodable as refusal:
            self.decoder = self._second(refusal)
        self.library = self.decoder.library
        self._is_counted, self._is_over = False, False

    def close(self) -> None:
        """Frees what the decoder holds. A failure is none of the sound, which has been read."""
        with contextlib.suppress(AudioError):
            self.decoder.close()

    def seek(self, frame: int) -> None:
        """Moves to exactly this frame, or to the end of a truncated file."""
        self._count_channels()
        try:
            self.decoder.seek(frame)
        except (Undecodable, Truncated) as refusal:
            try:
                self._change(refusal, frame)
            except Truncated as error:
                self._on_truncated(error)
                self._is_over = True

    def blocks(self, frames: int | None = None) -> Iterator[np.ndarray]:
        """As `decoder.Decoder.blocks`; to the end of what is there if a file is truncated."""
        if self._is_over:
            return
        self._count_channels()
        start = self.decoder.position
        refusal: AudioError
        try:
            yield from self.decoder.blocks(frames)
            return
        except (Undecodable, Truncated) as error:
            refusal = error
        try:
            self._change(refusal, self.decoder.position)
            left = None if frames is None else frames - (self.decoder.position - start)
            try:
                for block in self.decoder.blocks(left):
                    self.library = self.decoder.library
                    yield block
            except Undecodable as error:
                raise _telling(refusal, error) from None
        except Truncated as error:
            self._on_truncated(error)

    def _count_channels(self) -> None:
        """Finds out which channels carry sound, before the first of it is read."""
        if not self._is_counted:
            self._is_counted = True
            self.decoder.carrying = channels.count_in_file(self.decoder, self._file)

    def _change(self, refusal: AudioError, frame: int) -> None:
        """Goes on by FFmpeg, at a frame.

        Raises:
          Truncated: The file ends before that frame.
          AudioError: FFmpeg cannot either.
        """
        first = self.decoder
        if first.library == PyavDecoder.library:
            raise refusal
        self.close()
        self.decoder = second = self._second(refusal)
        if (second.rate, second.channels) != (first.rate, first.channels):
            raise refusal
        second.frames, second.carrying = first.frames, first.carrying
        try:
            if isinstance(refusal, Undecodable) and not _is_complete(second):
                raise refusal  # it passes over what is damaged, and all behind lies too early
            second.seek(frame)
        except Undecodable as error:
            raise _telling(refusal, error) from None

    def _second(self, refusal: AudioError) -> Decoder:
        try:
            return PyavDecoder(self._file)
        except (Undecodable, Truncated) as error:
            raise _telling(refusal, error) from None


def _is_complete(decoder: Decoder) -> bool:
    """Whether a decoder gives as many frames as the file states, or all up to where it is cut."""
    if decoder.frames is None:
        return True
    try:
        for _ in decoder.blocks():
            pass
    except Truncated:
        return True
    return decoder.position == decoder.frames


def _telling(first: AudioError, second: AudioError) -> AudioError:
    """The error that tells a user more; of equals the first."""
    for error in (first, second):
        if isinstance(error, Truncated):
            return error
    if _SAYS_LITTLE.match(first.reason) and not _SAYS_LITTLE.match(second.reason):
        return second
    return first
