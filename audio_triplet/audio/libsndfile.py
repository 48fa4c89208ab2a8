"""Decoding by libsndfile, with what it gets wrong worked around."""

from __future__ import annotations

import contextlib
import io
import math
import os
import re
import stat
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import soundfile

from audio_triplet import storage
from audio_triplet.audio.ogg import look_at_ogg, read_at
from audio_triplet.errors import AudioError

MIN_SAMPLE_RATE = 1_000
MAX_SAMPLE_RATE = 1_000_000
MAX_CHANNELS = 64  # ambisonics of seventh order
MAX_AMPLITUDE = 1e10  # int32-scaled float files (2e9) pass
# [D] A shortfall up to these is the codec's rounding or a clumsy writer, above both truncation: of
# 14,000 files in Debian packages the worst lacks 0.13 s of 207.
MAX_SECONDS_MISSING = 0.5
MAX_SHARE_MISSING = 0.1

# The most there can be is 5,461: FLAC's frames of 65,535 equal samples of 8 bits take 12 bytes.
_MOST_FRAMES_A_BYTE = 6_000
# Sound has about one. Above this the end of the file is looked at before its header is believed.
_MANY_FRAMES_A_BYTE = 64

# Decoded at a time: values, so that a file of many channels takes no more memory than a mono one.
BLOCK_VALUES = 1 << 18

# Frames of an MP3 may borrow bits from the previous 511 bytes, and the smallest ones, in silence,
# have 24 bytes. Seen: 17 frames.
_MP3_PREROLL_FRAMES = 32 * 1152

AudioPath = str | bytes | os.PathLike | BinaryIO


@dataclass(frozen=True)
class AudioInfo:
    """What the header of a sound file says.

    Attributes:
        sample_rate: Hz, as stored.
        channels: as stored.
        frames: samples per channel, at `sample_rate`.
        duration_seconds: frames / sample_rate.
    """

    sample_rate: int
    channels: int
    frames: int
    duration_seconds: float


# --- decoding -----------------------------------------------------------------------------------


class Source:
    """An open sound file whose header makes sense, read as mono blocks at its own rate.

    Attributes:
        name: for messages.
        rate: Hz.
        channels: in the file.
        frames: per channel; None where nothing in the file says so (MP3 without a Xing header).
    """

    def __init__(self, path: AudioPath):
        self.name = printable(path)
        self._sound: _Sound | None = None
        self._feeder: _Feeder | None = None
        self._owns_file = not hasattr(path, "read")
        self._file: BinaryIO = _open_file(path, self.name) if self._owns_file else path
        try:
            self._inspect()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        """Closes all that was opened here; a file object of the caller's stays open."""
        if self._sound is not None:
            self._sound.close()
        if self._feeder is not None:
            self._feeder.close()
        if self._owns_file:
            self._file.close()

    def _inspect(self) -> None:
        size = self._file.seek(0, os.SEEK_END)
        if size == 0:
            raise AudioError(self.name, "is empty (0 bytes)", "fetch it again or remove it")
        self._ogg = look_at_ogg(self._file, size, self.name)
        self._open_sound()
        sound = self._sound
        self.rate, self.channels = sound.samplerate, sound.channels
        if not MIN_SAMPLE_RATE <= self.rate <= MAX_SAMPLE_RATE:
            raise AudioError(
                self.name,
                f"claims a sample rate of {self.rate} Hz",
                f"only {MIN_SAMPLE_RATE} to {MAX_SAMPLE_RATE} Hz are read: correct its header",
            )
        if not 1 <= self.channels <= MAX_CHANNELS:
            raise AudioError(
                self.name,
                f"claims {self.channels} channels",
                f"only 1 to {MAX_CHANNELS} are read: mix it down",
            )
        self.frames: int | None = sound.frames
        log = sound.extra_info
        if sound.format == "MP3":
            # Looking moves the position that libsndfile reads from, hence the second opening.
            stated = _mp3_states_length(self._file)
            self.frames = self.frames if stated else None
            self._open_sound(piped=not stated)
        if self.frames == 0:
            raise AudioError(self.name, "holds no audio (0 frames)", "fetch it again or remove it")
        if self.frames is not None:
            self._refuse_log_of_truncation(log)
            self._refuse_boast(size)
        self._position = 0

    def _open_sound(self, piped: bool = False) -> None:
        if self._sound is not None:
            self._sound.close()
        if self._feeder is not None:
            self._feeder.close()
            self._feeder = None
        self._file.seek(0)
        if piped:
            self._feeder = _Feeder(self._file)
            source = self._feeder.read_fd
        else:
            here = isinstance(self._file, io.FileIO)
            source = self._file.fileno() if self._owns_file and here else self._file
        with _decoding(self.name):
            self._sound = _Sound(source, closefd=False)

    def _refuse_log_of_truncation(self, log: str) -> None:
        """Libsndfile mends a RIFF-like header that promises too much, and says so in its log."""
        for promised, present in re.findall(r": *(\d+) \(should be (\d+)\)", log):
            promised, present = int(promised), int(present)
            # Writers to pipes put the largest number there is; its meaning is "until the end".
            if 0 < present < promised < 0x7FFF_0000:
                missing = (promised - present) / present * self.frames / self.rate
                self._check_missing(self.frames / self.rate, missing)

    def _refuse_boast(self, size: int) -> None:
        """Believes a header that claims very much for the file's size only if its end is there."""
        if self.frames <= _MANY_FRAMES_A_BYTE * size:
            return
        holds = "cannot be"
        if self.frames <= _MOST_FRAMES_A_BYTE * size:
            holds = "are not"
            with contextlib.suppress(soundfile.SoundFileError, AudioError):
                last = self.frames - 1
                if self._decodes() and self._sound.seek(last) == last and self._decodes():
                    self._open_sound()
                    return
        raise AudioError(
            self.name,
            f"claims {self.frames / self.rate / 3600:.3g} hours, which {holds} in its {size} bytes",
            "fetch it again or remove it",
        )

    def _check_missing(self, seconds: float, missing: float) -> None:
        if missing > min(MAX_SECONDS_MISSING, MAX_SHARE_MISSING * (seconds + missing)):
            raise AudioError(
                self.name,
                f"is truncated: {seconds:.2f} s of {seconds + missing:.2f} s are there",
                "fetch it again or remove it",
            )

    def seek(self, frame: int) -> None:
        """Moves to exactly `frame`; slowly, from the start, where libsndfile's seek is no help."""
        target = frame
        if self._sound.format == "MP3":
            target = max(0, frame - _MP3_PREROLL_FRAMES)
        elif self._ogg is not None:
            target = self._ogg.safe_target(frame, self.rate)
        reached = 0
        if target and self._sound.subtype == "VORBIS":
            if self._decodes():
                self._sound.seek(0)  # what follows a read is less exact
            else:
                self._check_missing(0.0, self.frames / self.rate)
                target = 0
        if target and self._sound.can_seek() and self._feeder is None:
            try:
                reached = self._sound.seek(target)
            except soundfile.SoundFileError:
                reached = None
            if reached != target:
                self._open_sound()
                reached = 0
        self._position = reached
        for _ in self.blocks(frame - reached):
            pass

    def _decodes(self) -> bool:
        """Whether there is a next frame, which is read.

        To be asked before seeking: in a Vorbis stream whose set-up header is damaged, libsndfile's
        seek ends the process, while its read only returns nothing.
        """
        with _decoding(self.name):
            return len(self._sound.read(1, dtype="float32")) > 0

    def blocks(self, frames: int | None = None) -> Iterator[np.ndarray]:
        """Yields mono float32 blocks from the present position: `frames` in all, or up to the end.

        Raises:
            AudioError: undecodable, truncated, NaN, infinite or absurdly large samples.
        """
        block_frames = BLOCK_VALUES // self.channels
        left = math.inf if frames is None else frames
        while left > 0:
            wanted = int(min(block_frames, left))
            with _decoding(self.name):
                block = self._sound.read(wanted, dtype="float32", always_2d=True)
            if len(block) == 0:
                break
            mono = _mix_down(block)
            if not max(mono.max(), -mono.min()) <= MAX_AMPLITUDE:  # so that NaN is caught
                self._refuse_samples(block)
            self._position += len(mono)
            left -= len(mono)
            yield mono
        if left <= 0:
            return
        if self.frames is not None:
            missing = (self.frames - self._position) / self.rate
            self._check_missing(self._position / self.rate, missing)
        if self._position == 0:
            raise AudioError(self.name, "holds no audio that can be decoded", "remove it")

    def _refuse_samples(self, block: np.ndarray) -> None:
        for what, bad, mend in (
            ("a NaN or infinite sample", ~np.isfinite(block), "export it again from its source"),
            ("a sample beyond ±1e10", np.abs(block) > MAX_AMPLITUDE, "scale it to ±1"),
        ):
            if bad.any():
                seconds = (self._position + int(bad.any(axis=1).argmax())) / self.rate
                raise AudioError(self.name, f"holds {what} at {seconds:.3f} s", mend)
        raise AudioError(self.name, "overflows when its channels are mixed", "scale it to ±1")


def _mix_down(block: np.ndarray) -> np.ndarray:
    """Mean over channels, [frames, channels] -> [frames]; by columns, as `mean(axis=1)` is slow."""
    mono = block[:, 0].copy()
    with np.errstate(over="ignore", invalid="ignore"):  # the caller looks for what comes of it
        for channel in range(1, block.shape[1]):
            mono += block[:, channel]
    if block.shape[1] > 1:
        mono /= block.shape[1]
    return mono


class _Sound(soundfile.SoundFile):
    """Reads on without seeking: `SoundFile.read` seeks to where it is, after asking `seekable`."""

    def seekable(self) -> bool:
        return False

    def can_seek(self) -> bool:
        """The true answer."""
        return super().seekable()


@contextlib.contextmanager
def _decoding(name: str) -> Iterator[None]:
    """Turns libsndfile's errors inside the `with` into `AudioError`."""
    try:
        yield
    except soundfile.SoundFileError as error:
        cause = str(getattr(error, "error_string", error)).removeprefix("Error : ").rstrip(".\n")
        if "does not exist" in cause or "psf_fseek" in cause:
            cause = "corrupt data"  # The file was there a moment ago: libsndfile only guesses.
        raise AudioError(
            name,
            f"cannot be decoded ({cause})",
            "convert it to WAV, FLAC, Ogg Vorbis or MP3, or remove it",
        ) from error


class _Feeder:
    """Feeds a file to a pipe from a thread. Decoders make no assumption on the length of a pipe."""

    def __init__(self, file: BinaryIO):
        self.read_fd, self._write_fd = os.pipe()
        self._thread = threading.Thread(target=self._feed, args=(file,), daemon=True)
        self._thread.start()

    def _feed(self, file: BinaryIO) -> None:
        try:
            with open(self._write_fd, "wb", buffering=0) as pipe:
                while chunk := memoryview(file.read(1 << 16)):
                    while chunk:
                        chunk = chunk[pipe.write(chunk) :]
        except OSError:
            pass  # The reader is gone: it has had enough, or it reports the error itself.

    def close(self) -> None:
        """Ends the thread, whose next write finds no reader."""
        os.close(self.read_fd)
        self._thread.join()


def printable(path: AudioPath) -> str:
    """A file's name, on one line whatever bytes it has."""
    if hasattr(path, "read"):
        path = getattr(path, "name", None)
        if not isinstance(path, (str, bytes)):
            return "<file object>"
    text = os.fsdecode(path)
    return text if text.isprintable() else ascii(text)


def _open_file(path: AudioPath, name: str) -> BinaryIO:
    try:
        if storage.is_remote(path):
            return storage.open_remote(path)
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise AudioError(name, "is a directory", "give the path of one sound file")
        if not stat.S_ISREG(mode):  # Opening a FIFO would wait for ever.
            raise AudioError(name, "is not a regular file", "give the path of one sound file")
        return open(path, "rb", buffering=0)
    except FileNotFoundError:
        raise AudioError(name, "no such file", "correct the path, or fetch the file") from None
    except PermissionError:
        raise AudioError(name, "may not be read", "change its permissions") from None
    except OSError as error:
        reason = f"cannot be opened ({error.strerror})"
        raise AudioError(name, reason, "correct the path or its storage") from error
    except ValueError as error:  # a NUL in the path
        if isinstance(error, AudioError):
            raise
        raise AudioError(name, f"is no path ({error})", "correct the path") from None


def _mp3_states_length(file: BinaryIO) -> bool:
    """Whether the first frame of an MP3 is a Xing/Info header with a count of frames."""
    offset = 0
    while (head := read_at(file, offset, 10))[:3] == b"ID3" and len(head) == 10:
        # Seven bits a byte; a tag may be followed by another.
        offset += 10 + sum(
            (byte & 0x7F) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True)
        )
    frame = read_at(file, offset, 4096)  # taggers leave some padding
    found = re.search(rb"Xing|Info", frame)
    if found is None or len(frame) < found.end() + 4:
        return False
    return bool(struct.unpack(">I", frame[found.end() : found.end() + 4])[0] & 1)
