"""Decoding by libsndfile (python-soundfile), with work-arounds for its faults.

Each case was seen with version 1.2.2, and each has a test:

*   Seeking into the last page of an Ogg Vorbis stream lands up to hundreds of samples off, because
    the page's start is derived from its (shortened) end. `seek` enters an earlier page.
*   Just after a seek, MP3 frames lack the bits kept in earlier frames ("bit reservoir"), and are
    wrong. `seek` enters some frames earlier. And python-soundfile seeks after every read, so an MP3
    read in blocks is damaged at their borders: `_SoundFile` prevents that.
*   Seeks in Ogg Vorbis and Opus go by positions that pages state; where these do not add up, as in
    streams cut out of others, they land elsewhere or fail. `ogg_pages` counts, once a file; where
    the count differs, or libsndfile's length is another, the way is decoded from the start.
*   A seek in an Ogg Vorbis stream whose set-up header is damaged crashes; `_decodes` finds out.
*   The length of an MP3 without a Xing header is guessed from its first frame, and libsndfile cuts
    a longer file there without a word. Such a file is decoded from a pipe, where no length exists.
*   A WAV (AIFF, AU, W64) cut short is read as if its header said so. Only the log tells.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import threading
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import soundfile

from audio_triplet.audio import flac, mp3, ogg, ogg_pages, wav
from audio_triplet.audio.decoder import (
    BLOCK_VALUES,
    OnTruncated,
    Truncated,
    Undecodable,
    check_complete,
    check_header,
    checked_mono,
    refuse,
)
from audio_triplet.audio.files import InputFile
from audio_triplet.errors import AudioError

# The possible maximum is 5,461: FLAC's frames of 65,535 equal samples of 8 bits take 12 bytes.
_MOST_FRAMES_PER_BYTE = 6_000
# Sound has about one. Above this the end of the file is read before its header is believed.
_MANY_FRAMES_PER_BYTE = 64

# Frames of an MP3 may borrow bits from the previous 511 bytes, and the smallest ones, in silence,
# have 24 bytes. Seen: 17 frames.
_MP3_PREROLL_FRAMES = 32 * 1152

# From where on a frame of an MP3 is looked up: nearer ones are found as quickly.
_FAR_SECONDS = 60

# A damaged packet is filled up with what is left of the one before, which has 4,096 frames.
_ALAC_PREROLL_FRAMES = 2 * 4096


class LibsndfileDecoder:
    """A `decoder.Decoder`: WAV, FLAC, Ogg Vorbis, Opus, MP3, AIFF, CAF and more.

    MP3 without a Xing header does not state its `frames`.
    """

    library = "libsndfile"

    def __init__(self, file: InputFile, on_truncated: OnTruncated = refuse):
        """Reads the header.

        Args:
          file: The open file, which the decoder moves about in.
          on_truncated: Called if the header, or the file's end, shows that an end is missing.

        Raises:
          Undecodable: Not audio, or of a kind that libsndfile does not know.
          AudioError: No frames, or a header that makes no sense.
          Truncated: By `on_truncated`.
        """
        self._file, self._name, self._on_truncated = file, file.name, on_truncated
        self.position = 0
        self._rest: np.ndarray | None = None  # that was peeked at
        self._length: int | None = None  # where the header states more
        self._pipe: _PipeFeeder | None = None
        self._ogg = ogg.read_stream(file.file, file.size, file.name, on_truncated)
        if flac.begins_late(file.file):
            raise Undecodable(
                self._name,
                "is cut out of a longer FLAC file, whose length it states",
                "re-encode it",
            )
        try:
            self._sound = self._open_sound()
        except Undecodable:
            if not self._mend():
                raise
        self.rate, self.channels = self._sound.samplerate, self._sound.channels
        self.carrying = self.channels
        self.frames: int | None = None
        try:
            self._read_header()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> LibsndfileDecoder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes libsndfile's handle; the file stays open."""
        with _decoding(self._name):
            self._sound.close()
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None

    def seek(self, frame: int) -> None:
        """Moves to exactly `frame`; slowly, from the start, where libsndfile's seek is no help."""
        is_piped = self._pipe is not None
        if self._is_touched and (frame < self.position or not is_piped):
            self._reopen(is_piped)
        if not is_piped:
            self._leap(frame)
        for _ in self.blocks(frame - self.position):
            pass

    def _leap(self, frame: int) -> None:
        """Moves from the start to `frame` or before it."""
        target = frame
        if self._sound.format == "MP3":
            target = max(0, frame - _MP3_PREROLL_FRAMES)
            if target > _FAR_SECONDS * self.rate and self._enter_mp3(target):
                return
        elif self._sound.subtype.startswith("ALAC"):
            target = max(0, frame - _ALAC_PREROLL_FRAMES)
        elif self._ogg is not None:
            target = self._ogg.safe_target(frame, self.rate) if frame else 0
            if target and self._sound.subtype in ("VORBIS", "OPUS"):
                length = ogg_pages.proven_length(self._file.file, self._file.size)
                if not self._ogg.is_proven(length, self.frames or 0, self.rate):
                    target = 0
        if target and self._sound.subtype == "VORBIS":
            if self._decodes():
                with _decoding(self._name):
                    self._sound.seek(0)  # what follows a read is less exact
            else:
                check_complete(self._name, 0.0, (self.frames or 0) / self.rate)
                target = 0
        if target and self._sound.can_seek():
            try:
                reached = self._sound.seek(target)
            except soundfile.SoundFileError:
                reached = -1
            if reached == target:
                self.position = reached
            else:
                self._reopen()

    def _enter_mp3(self, target: int) -> bool:
        """Begins at a frame of an MP3 shortly before `target`, of which the place is known."""
        descriptor = self._file.descriptor()
        found = None if descriptor is None else mp3.entry(self._file.file, descriptor, target)
        if found is None or self.frames is None:
            self._file.file.seek(0)
            self._reopen()
            return False
        self.close()
        self._part = wav.MendedFile(self._file, found.head, found.offset)
        with _decoding(self._name, Undecodable):
            self._sound = _SoundFile(self._part.file, closefd=False)
        self.position, self._length = found.sample, self.frames
        return True

    def peek(self, frames: int) -> np.ndarray:
        """The next frames of all channels, float32[<= frames, channels]; the position stays."""
        parts = [np.zeros((0, self.channels), np.float32)]
        try:
            while (left := frames - sum(map(len, parts))) > 0 and len(part := self._read(left)):
                parts.append(part)
        except AudioError:  # libsndfile is somewhere else now
            self._reopen(self._pipe is not None)
            raise
        found = np.concatenate(parts) if len(parts) > 2 else parts[-1]
        self._rest = found if len(found) else None
        return found

    def blocks(self, frames: int | None = None) -> Iterator[np.ndarray]:
        """Decodes from the present position: `frames` in all, or up to the end.

        Yields:
          float32[frames of the block], the mean of the channels, finite.

        Raises:
          Undecodable: The sound cannot be decoded any further.
          Truncated: It ends before the header says.
          AudioError: NaN, infinite or absurdly large samples.
        """
        block_frames = BLOCK_VALUES // self.channels
        left = math.inf if frames is None else frames
        while left > 0:
            block = self._read(int(min(block_frames, left)))  # [frames, channels]
            if len(block) == 0:
                break
            mono = checked_mono(self._name, block, self.position, self.rate, self.carrying)
            self.position += len(mono)
            left -= len(mono)
            yield mono
        if left <= 0:
            return
        if self.frames is not None:
            seconds = self.position / self.rate
            check_complete(self._name, seconds, (self.frames - self.position) / self.rate)
        if self.position == 0:
            raise Undecodable(self._name, "holds no audio that can be decoded", "remove it")

    @property
    def _is_touched(self) -> bool:
        """Whether anything was read since the file was opened."""
        return self.position > 0 or self._rest is not None

    def _read(self, frames: int) -> np.ndarray:
        """float32[<= frames, channels]; none at the end."""
        rest, self._rest = self._rest, None
        if rest is not None:
            if len(rest) > frames:
                rest, self._rest = rest[:frames], rest[frames:]
            return rest
        if self._length is not None:  # which libsndfile takes for more
            frames = min(frames, self._length - self.position)
        with _decoding(self._name, Undecodable):
            return self._sound.read(frames, dtype="float32", always_2d=True)

    def _read_header(self) -> None:
        check_header(self._name, self.rate, self.channels)
        frames, log = self._sound.frames, self._sound.extra_info
        if self._sound.format == "MP3":
            # Looking moves the position that libsndfile reads from, hence the second opening.
            stated = mp3.states_length(self._file.file)
            frames = frames if stated else None
            self._reopen(piped=not stated)
        if frames and self._sound.format == "FLAC":
            before = self._file.file.tell()  # libsndfile reads on from there
            length = flac.length(self._file.file, self._file.size, frames)
            self._file.file.seek(before)
            if length < frames:
                frames = self._length = length
        self.frames = frames
        if frames == 0 and self._mend():
            self._read_header()
            return
        if frames == 0:
            raise AudioError(self._name, "holds no audio (0 frames)", "fetch it again or remove it")
        if frames is not None:
            try:
                _check_log_for_truncation(self._name, log, frames, self.rate)
            except Truncated as error:
                self._on_truncated(error)
            self._check_claimed_length(frames)

    def _mend(self) -> bool:
        """Opens the file as it should be, if it is a WAV with a flaw that can be seen past."""
        mended = wav.mended(self._file)
        if mended is not None:
            self._file = mended
            self._sound = self._open_sound()
        return mended is not None

    def _open_sound(self, piped: bool = False) -> _SoundFile:
        """Opens the file for libsndfile, from its start."""
        self._file.file.seek(0)
        self.position, self._rest = 0, None
        if piped:
            self._pipe = _PipeFeeder(self._file.file)
            descriptor: int | None = self._pipe.read_fd
        else:
            descriptor = self._file.descriptor()
        source = self._file.file if descriptor is None else descriptor
        with _decoding(self._name, Undecodable):
            return _SoundFile(source, closefd=False)

    def _reopen(self, piped: bool = False) -> None:
        self.close()
        self._sound = self._open_sound(piped)

    def _check_claimed_length(self, frames: int) -> None:
        """Refuses a header that claims too much for the file's size, unless the end can be read."""
        size = self._file.size
        if frames <= _MANY_FRAMES_PER_BYTE * size:
            return
        holds = "cannot be"
        if frames <= _MOST_FRAMES_PER_BYTE * size:
            holds = "are not"
            with contextlib.suppress(soundfile.SoundFileError, AudioError):
                last = frames - 1
                if self._decodes() and self._sound.seek(last) == last and self._decodes():
                    self._reopen()
                    return
        raise AudioError(
            self._name,
            f"claims {frames / self.rate / 3600:.3g} hours, which {holds} in its {size} bytes",
            "fetch it again or remove it",
        )

    def _decodes(self) -> bool:
        """Whether there is a next frame, which is read.

        Ask before seeking: in a Vorbis stream whose set-up header is damaged, libsndfile's seek
        ends the process, while its read only returns nothing.
        """
        with _decoding(self._name):
            return len(self._sound.read(1, dtype="float32")) > 0


def _check_log_for_truncation(name: str, log: str, frames: int, rate: int) -> None:
    """Libsndfile corrects a RIFF-like header that promises too much, and says so in its log."""
    for promised, present in re.findall(r": *(\d+) \(should be (\d+)\)", log):
        promised, present = int(promised), int(present)
        # Writers to pipes store the largest possible number; it means "until the end".
        if 0 < present < promised < 0x7FFF_0000:
            missing = (promised - present) / present * frames / rate
            check_complete(name, frames / rate, missing)


class _SoundFile(soundfile.SoundFile):
    """Reads on without seeking: `SoundFile.read` seeks to where it is, after asking `seekable`."""

    def seekable(self) -> bool:
        return False

    def can_seek(self) -> bool:
        """The true answer."""
        return super().seekable()


class _PipeFeeder:
    """Feeds a file to a pipe from a thread. Decoders make no assumption on the length of a pipe.

    Attributes:
      read_fd: File descriptor of the pipe's end to read from.
    """

    def __init__(self, file: BinaryIO):
        self.read_fd, self._write_fd = os.pipe()
        self._thread = threading.Thread(target=self._feed, args=(file,), daemon=True)
        self._thread.start()

    def _feed(self, file: BinaryIO) -> None:
        try:
            with open(self._write_fd, "wb", buffering=0) as pipe:
                while data := memoryview(file.read(1 << 16)):
                    while data:
                        data = data[pipe.write(data) :]
        except OSError:
            pass  # The reader is gone: it has read enough, or it reports the error itself.

    def close(self) -> None:
        """Ends the thread, whose next write finds no reader."""
        os.close(self.read_fd)
        self._thread.join()


@contextlib.contextmanager
def _decoding(name: str, kind: type[AudioError] = AudioError) -> Iterator[None]:
    """Turns whatever is raised inside the `with` into `AudioError`."""
    try:
        yield
    except AudioError:
        raise
    except Exception as error:
        cause = str(getattr(error, "error_string", error)).removeprefix("Error : ").rstrip(".\n")
        if "does not exist" in cause or "psf_fseek" in cause:
            cause = "corrupt data"  # The file was there a moment ago: libsndfile only guesses.
        raise kind(
            name,
            f"cannot be decoded ({cause})",
            "convert it to WAV, FLAC, Ogg Vorbis or MP3, or remove it",
        ) from error
