"""Sound files to waveforms: float32, mono, 16 kHz.

Four ways in, all with the same errors and the same samples:

    probe(path)                      the header: rate, channels, frames, seconds
    load_audio(path)                 the whole file
    stream_audio(path)               the whole file, block by block, flat memory
    read_piece(path, start, length)  one piece of it, flat memory, aligned with load_audio

Decoding is libsndfile's (WAV, FLAC, Ogg Vorbis, Opus, MP3, AIFF, CAF, ...), resampling soxr's.
Where libsndfile is known to be wrong this module works around it; each case was seen with version
1.2.2, and each has a test:

*   Seeking into the last page of an Ogg Vorbis stream lands up to hundreds of samples off, because
    the page's start is derived from its (shortened) end. `_Source.seek` enters an earlier page.
*   Just after a seek, MP3 frames lack the bits kept in earlier frames ("bit reservoir"), and are
    wrong. `_Source.seek` enters some frames earlier. And python-soundfile seeks after every read,
    so an MP3 read in blocks is damaged at their borders: `_Sound` prevents that.
*   A seek in an Ogg Vorbis stream whose set-up header is damaged crashes; `_decodes` finds out.
*   The length of an MP3 without a Xing header is guessed from its first frame, and libsndfile cuts
    a longer file there without a word. Such a file is decoded from a pipe, where no length exists.
*   A WAV (AIFF, AU, W64) cut short is read as if its header had meant it. The log tells.

No TensorFlow here: this module is imported by tools that must start at once. Every function opens
its own handle and keeps no state, so any number of threads may call them.

[D] Decisions. Channels are averaged. Samples beyond full scale are passed on as they are, as float
files and lossy decoders produce them in good faith. `load_audio` of a 3-hour file takes its 700 MB,
and of more than 12 hours nothing: a megabyte of FLAC can hold days of silence. What must stay small
uses `stream_audio` or `read_piece`, for which there is no limit. What is refused, with an
`AudioError`: files cut short by more than 0.5 s or a tenth, where that can be known; headers that
claim more than the file can hold; NaN and infinities; magnitudes above 1e10 (no scale in use goes
so far, and ratios of their energies leave float32); rates outside 1 kHz to 1 MHz; more than 64
channels; chained Ogg streams (libsndfile reads only the first link).
"""

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
import soxr

from audio_triplet import storage

MIN_SAMPLE_RATE = 1_000
MAX_SAMPLE_RATE = 1_000_000
MAX_CHANNELS = 64  # ambisonics of seventh order
MAX_AMPLITUDE = 1e10  # int32-scaled float files (2e9) pass
# [D] A shortfall up to these is the codec's rounding or a clumsy writer, above both truncation: of
# 14,000 files in Debian packages the worst lacks 0.13 s of 207.
MAX_SECONDS_MISSING = 0.5
MAX_SHARE_MISSING = 0.1

MAX_LOADED_SECONDS = 12 * 3600  # 2.8 GB

# The most there can be is 5,461: FLAC's frames of 65,535 equal samples of 8 bits take 12 bytes.
_MOST_FRAMES_A_BYTE = 6_000
# Sound has about one. Above this the end of the file is looked at before its header is believed.
_MANY_FRAMES_A_BYTE = 64

RESAMPLERS = ("soxr", "resampy")

# Decoded at a time: values, so that a file of many channels takes no more memory than a mono one.
_BLOCK_VALUES = 1 << 18

# A resampled sample depends on about 75 samples (soxr HQ; resampy kaiser_best: 64) at the lower of
# the two rates on either side; pieces are read with this many more.
_MARGIN_SAMPLES = 256

# Frames of an MP3 may borrow bits from the previous 511 bytes, and the smallest ones, in silence,
# have 24 bytes. Seen: 17 frames.
_MP3_PREROLL_FRAMES = 32 * 1152

_OGG_MAX_PAGE_BYTES = 27 + 255 + 255 * 255
_OPUS_GRANULE_RATE = 48_000

AudioPath = str | bytes | os.PathLike | BinaryIO


class AudioError(ValueError):
    """A sound file that cannot be used. Its text is one line: `PATH: reason; mend`.

    Attributes:
        path: the file, as given.
        reason: what is wrong with it.
        mend: what to do about it.
    """

    def __init__(self, path: str, reason: str, mend: str = "repair or remove it"):
        # All three as args, so that the error survives pickling on its way between processes.
        super().__init__(path, reason, mend)
        self.path = path
        self.reason = reason
        self.mend = mend

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}; {self.mend}"


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


def probe(path: AudioPath) -> AudioInfo:
    """Reads the header only; an MP3 without a Xing header is decoded once to learn its length.

    Args:
        path: file name, or binary file object that can seek.

    Returns:
        `AudioInfo`. The audio itself is not looked at: it may still turn out corrupt when read.

    Raises:
        AudioError: missing, unreadable, empty, not audio, truncated, no frames, absurd header.
    """
    with _Source(path) as source:
        frames = source.frames
        if frames is None:
            frames = sum(len(block) for block in source.blocks())
        return AudioInfo(source.rate, source.channels, frames, frames / source.rate)


def load_audio(path: AudioPath, sample_rate: int = 16_000, resampler: str = "soxr") -> np.ndarray:
    """Decodes a whole sound file.

    Args:
        path: file name, or binary file object that can seek. Any format libsndfile reads, and MP3.
        sample_rate: of the result, Hz.
        resampler: "soxr" (HQ) or "resampy" (kaiser_best, about 90 times slower).

    Returns:
        float32[samples], mono (the mean of the channels), C-contiguous, finite; samples is
        round(frames * sample_rate / rate), at least 1. Nominally in [-1, 1], not clipped to it.

    Raises:
        AudioError: naming the file, the cause and the mend.
        ValueError: for an unknown resampler or a sample rate below 1.
    """
    blocks, samples = [], 0
    for block in stream_audio(path, sample_rate=sample_rate, resampler=resampler):
        blocks.append(block)
        samples += len(block)
        if samples > MAX_LOADED_SECONDS * sample_rate:
            raise AudioError(
                _printable(path),
                f"is longer than {MAX_LOADED_SECONDS / 3600:.3g} h",
                "read it by stream_audio or read_piece",
            )
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)


def stream_audio(
    path: AudioPath,
    block_seconds: float = 10.0,
    sample_rate: int = 16_000,
    resampler: str = "soxr",
) -> Iterator[np.ndarray]:
    """Decodes a sound file block by block; the blocks put together are `load_audio(path)`.

    Memory stays flat whatever the length of the file.

    Args:
        path: file name, or binary file object that can seek.
        block_seconds: length of a block; only the last one is shorter.
        sample_rate: of the result, Hz.
        resampler: as in `load_audio`.

    Yields:
        float32[round(block_seconds * sample_rate)].

    Raises:
        AudioError: as `load_audio`; a defect inside the file only when it is reached.
        ValueError: for arguments out of range, at the first block.
    """
    _check_arguments(sample_rate, resampler)
    block_samples = round(block_seconds * sample_rate)
    if block_samples < 1:
        raise ValueError(f"block_seconds must be at least one sample, not {block_seconds}")
    with _Source(path) as source:
        waiting: list[np.ndarray] = []
        n_waiting = 0
        for part in _resampled(source.blocks(), source.rate, sample_rate, resampler):
            while n_waiting + len(part) >= block_samples:
                head, part = np.split(part, [block_samples - n_waiting])
                yield np.concatenate([*waiting, head])
                waiting, n_waiting = [], 0
            if len(part):
                waiting.append(part)
                n_waiting += len(part)
        if n_waiting:
            yield np.concatenate(waiting)


def read_piece(
    path: AudioPath,
    start_seconds: float,
    duration_seconds: float,
    sample_rate: int = 16_000,
    resampler: str = "soxr",
) -> np.ndarray:
    """Decodes one piece of a sound file, reading little more than that piece.

    With first = round(start_seconds * sample_rate) and n = round(duration_seconds * sample_rate)
    the result is `load_audio(path)[first : first + n]`, to about 1e-6 (Opus: 1e-3, as its decoder
    carries state from further back than any sensible distance). The resampler starts on an input
    frame that falls on the output's grid, so pieces are aligned to the sample at any rate.

    Args:
        path: file name, or binary file object that can seek.
        start_seconds: at least 0.
        duration_seconds: at least 0.
        sample_rate: of the result, Hz.
        resampler: as in `load_audio`.

    Returns:
        float32[<= n]: shorter where the file ends, empty past its end.

    Raises:
        AudioError: as `load_audio`, for defects in the header or in the part read.
        ValueError: for arguments out of range.
    """
    _check_arguments(sample_rate, resampler)
    for name, value in (("start_seconds", start_seconds), ("duration_seconds", duration_seconds)):
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{name} must be a finite number of at least 0, not {value}")
    first = round(start_seconds * sample_rate)
    last = first + round(duration_seconds * sample_rate)
    with _Source(path) as source:
        if first == last:
            return np.zeros(0, np.float32)
        if source.frames is not None:
            if first >= _resampled_length(source.frames, source.rate, sample_rate):
                return np.zeros(0, np.float32)
        # Every `step_in` input frames, input and output grid meet (`step_out` samples later).
        divisor = math.gcd(source.rate, sample_rate)
        step_in, step_out = source.rate // divisor, sample_rate // divisor
        margin = _margin_frames(source.rate, sample_rate)
        steps = max(0, first * step_in // step_out - margin) // step_in
        end_frame = -(-last * step_in // step_out) + margin
        source.seek(steps * step_in)
        blocks = source.blocks(end_frame - steps * step_in)
        offset = steps * step_out  # of the first resampled sample
        kept = [np.zeros(0, np.float32)]
        for part in _resampled(blocks, source.rate, sample_rate, resampler, steps * step_in):
            kept.append(part[max(0, first - offset) : max(0, last - offset)])
            offset += len(part)
        return np.concatenate(kept)


def _check_arguments(sample_rate: int, resampler: str) -> None:
    if sample_rate < 1:
        raise ValueError(f"sample_rate must be at least 1, not {sample_rate}")
    if resampler not in RESAMPLERS:
        raise ValueError(f"resampler must be one of {', '.join(RESAMPLERS)}, not {resampler!r}")


# --- resampling ---------------------------------------------------------------------------------


def _resampled_length(frames: int, rate: int, sample_rate: int) -> int:
    return max(1, round(frames * sample_rate / rate))


def _margin_frames(rate: int, sample_rate: int) -> int:
    """Input frames on either side that the filter may see: `_MARGIN_SAMPLES` at the lower rate."""
    return math.ceil(_MARGIN_SAMPLES * max(1.0, rate / sample_rate))


def _resampled(
    blocks: Iterator[np.ndarray],
    rate: int,
    sample_rate: int,
    resampler: str,
    first_frame: int = 0,
) -> Iterator[np.ndarray]:
    """Resamples float32 blocks to float32 blocks; `_resampled_length` of what they hold in all.

    Silence is taken to lie before and after, as the one-shot functions of both libraries do.
    `first_frame` is where in the file the blocks begin: a frame that both grids share.
    """
    if rate == sample_rate:
        yield from blocks
        return
    push = (_soxr_push if resampler == "soxr" else _resampy_push)(rate, sample_rate)
    frames, samples = first_frame, first_frame * sample_rate // rate
    for block in blocks:
        frames += len(block)
        part = push(block, False)
        samples += len(part)
        yield part
    if frames == first_frame:
        return
    # Silence long enough to bring out all samples up to the end, whatever the latency.
    tail = push(np.zeros(2 * _margin_frames(rate, sample_rate), np.float32), True)
    yield tail[: _resampled_length(frames, rate, sample_rate) - samples]


def _soxr_push(rate: int, sample_rate: int):
    stream = soxr.ResampleStream(rate, sample_rate, 1, dtype="float32", quality="HQ")
    return lambda block, last: stream.resample_chunk(block, last=last)


def _resampy_push(rate: int, sample_rate: int):
    """Resampy knows whole signals only: overlapping blocks that begin where the grids meet."""
    import resampy  # Takes a second (numba), so only who asks for it pays.

    divisor = math.gcd(rate, sample_rate)
    step_in, step_out = rate // divisor, sample_rate // divisor
    margin_steps = -(-_margin_frames(rate, sample_rate) // step_in)
    # At least 8 times the margin, as that much is computed twice.
    least = max(_BLOCK_VALUES, 8 * margin_steps * step_in)
    pending = np.zeros(0, np.float32)  # begins `margin_steps` before what comes out next
    lead_steps = 0  # steps at the start of `pending` that came out before

    def push(block: np.ndarray, last: bool) -> np.ndarray:
        nonlocal pending, lead_steps
        pending = np.concatenate([pending, block])
        if len(pending) < least and not last:
            return np.zeros(0, np.float32)
        result = resampy.resample(pending, rate, sample_rate, filter="kaiser_best")
        if last:
            return result[lead_steps * step_out :].astype(np.float32, copy=False)
        ready_steps = len(pending) // step_in - margin_steps
        part = result[lead_steps * step_out : ready_steps * step_out]
        new_lead = min(margin_steps, ready_steps)
        pending = pending[(ready_steps - new_lead) * step_in :]
        lead_steps = new_lead
        return part.astype(np.float32, copy=False)

    return push


# --- decoding -----------------------------------------------------------------------------------


class _Source:
    """An open sound file whose header makes sense, read as mono blocks at its own rate.

    Attributes:
        name: for messages.
        rate: Hz.
        channels: in the file.
        frames: per channel; None where nothing in the file says so (MP3 without a Xing header).
    """

    def __init__(self, path: AudioPath):
        self.name = _printable(path)
        self._sound: _Sound | None = None
        self._feeder: _Feeder | None = None
        self._owns_file = not hasattr(path, "read")
        self._file: BinaryIO = _open_file(path, self.name) if self._owns_file else path
        try:
            self._inspect()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> _Source:
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
        self._ogg = _look_at_ogg(self._file, size, self.name)
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
        block_frames = _BLOCK_VALUES // self.channels
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


def _printable(path: AudioPath) -> str:
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


# --- containers: what must be known beyond what libsndfile tells ---------------------------------


def _read_at(file: BinaryIO, offset: int, n_bytes: int) -> bytes:
    file.seek(offset)
    parts = []
    while n_bytes > 0 and (part := file.read(n_bytes)):
        parts.append(part)
        n_bytes -= len(part)
    return b"".join(parts)


def _mp3_states_length(file: BinaryIO) -> bool:
    """Whether the first frame of an MP3 is a Xing/Info header with a count of frames."""
    offset = 0
    while (head := _read_at(file, offset, 10))[:3] == b"ID3" and len(head) == 10:
        # Seven bits a byte; a tag may be followed by another.
        offset += 10 + sum(
            (byte & 0x7F) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True)
        )
    frame = _read_at(file, offset, 4096)  # taggers leave some padding
    found = re.search(rb"Xing|Info", frame)
    if found is None or len(frame) < found.end() + 4:
        return False
    return bool(struct.unpack(">I", frame[found.end() : found.end() + 4])[0] & 1)


@dataclass(frozen=True)
class _Ogg:
    """The little of an Ogg file that exact seeking needs.

    Attributes:
        safe_granule: granule position (end of the last packet) of a page before the last two; None
            where the structure is not that of one plain stream, and only the start is safe.
        pre_skip: granules before the first frame (Opus).
        granule_rate: granules per second; None for the stream's own rate (Vorbis, FLAC).
    """

    safe_granule: int | None
    pre_skip: int = 0
    granule_rate: int | None = None

    def safe_target(self, frame: int, rate: int) -> int:
        """The frame to seek to, in order to read on to `frame`."""
        if self.safe_granule is None:
            return 0
        safe = (self.safe_granule - self.pre_skip) * rate // (self.granule_rate or rate)
        return frame if frame < safe else max(0, safe - 1)


def _ogg_pages(data: bytes, offset: int) -> tuple[list[tuple[int, int, int]], int]:
    """Follows the chain of pages from `offset`.

    Returns:
        Of each page that begins in `data` (serial, granule position, flags), and where the last
        one ends, which is beyond `data` for a page that is cut.
    """
    pages = []
    while data[offset : offset + 5] == b"OggS\0" and len(data) >= offset + 27:
        flags, granule, serial = struct.unpack_from("<BqI", data, offset + 5)
        n_segments = data[offset + 26]
        body = offset + 27 + n_segments
        pages.append((serial, granule, flags))
        if body > len(data):
            return pages, body
        offset = body + sum(data[offset + 27 : body])
    return pages, offset


def _look_at_ogg(file: BinaryIO, size: int, name: str) -> _Ogg | None:
    """Looks at the first and last pages of an Ogg file; None for other files.

    Raises:
        AudioError: the last page is cut, or the file is a chain of streams.
    """
    head = _read_at(file, 0, 4096)
    if head[:4] != b"OggS":
        return None
    window = 4 * _OGG_MAX_PAGE_BYTES
    start = max(0, size - window)
    tail = _read_at(file, start, window)
    cut = False
    chain: list[tuple[int, int, int]] = []
    # "OggS" may occur by chance, so the chain that ends where the file does is looked for first.
    for match in re.finditer(b"OggS\0", tail):
        pages, end = _ogg_pages(tail, match.start())
        if end == len(tail):
            chain, cut = pages, False
            break
        cut = end > len(tail)
        chain = max(chain, pages, key=len)
    if cut:
        raise AudioError(name, "is truncated: its last Ogg page is cut", "fetch it again")
    first_pages, _ = _ogg_pages(head, 0)
    serials = {serial for serial, _, flags in first_pages if flags & 2}  # 2: begins a stream
    if chain and chain[-1][0] not in serials and len(first_pages) > len(serials):
        raise AudioError(
            name, "is a chain of Ogg streams, of which only the first can be read", "re-encode it"
        )
    granules = [granule for _, granule, _ in chain if granule >= 0]  # -1: no packet ends here
    if len(serials) != 1:
        return _Ogg(None)
    if len(granules) >= 3:
        safe_granule = granules[-3]
    else:
        safe_granule = 0
    opus = head.find(b"OpusHead")
    if 0 <= opus <= len(head) - 12:
        return _Ogg(safe_granule, struct.unpack_from("<H", head, opus + 10)[0], _OPUS_GRANULE_RATE)
    return _Ogg(safe_granule)
