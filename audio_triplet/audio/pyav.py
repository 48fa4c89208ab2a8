"""Decoding by FFmpeg (PyAV): what libsndfile refuses.

M4A, AAC, WMA, AC-3, AMR, 3GP, WebM, Matroska, MP4, MOV, chained Ogg, ALAC and more; of a video, its
first audio track. FFmpeg takes off the samples that a codec needs to start with ("priming"), and
obeys edit lists. The channels are averaged by us, as its own downmix changes the level.

*   Its seek lands where time stamps say, which have gaps in many files, as browsers record them. It
    is trusted where frames have one length and each packet's time stamp says its number, so that
    the number gives the position. Elsewhere the way to a position is decoded.
*   A file is recognised by its contents, and only formats of `_FORMATS` are: others refer to
    further files, or are pictures or text.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import math
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from audio_triplet.audio import flac, steady, truncation
from audio_triplet.audio.decoder import (
    BLOCK_VALUES,
    Truncated,
    Undecodable,
    check_complete,
    check_header,
    checked_mono,
)
from audio_triplet.audio.files import InputFile
from audio_triplet.errors import AudioError

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.container import InputContainer

# FFmpeg's names, one for each of its readers.
_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2",
    "matroska,webm",
    *("aac", "ac3", "aiff", "amr", "ape", "asf", "au", "avi", "caf", "dts", "eac3", "flac", "flv"),
    *("loas", "mp3", "mpeg", "mpegts", "ogg", "tak", "truehd", "tta", "w64", "wav", "wv"),
)
# They state lengths and times. Those of others are guessed from their size or bit rate.
_INDEXED = ("mov", "matroska")
# Sound has about one frame per byte, silence more. A header that claims more than this is not
# believed.
_MANY_FRAMES_PER_BYTE = 64
# Decoded before the wanted frame, as decoders carry state from packet to packet.
_PREROLL_SECONDS = 1.0
# Damaged frames of FLAC take up more only by numbers that are wrong.
_MOST_SECONDS_LOST = 60.0
# As far as this, decoding on is as quick as looking at all packets.
_NEAR_SECONDS = 20.0


class PyavDecoder:
    """A `decoder.Decoder` of what FFmpeg reads; `channels` are those of the first frame."""

    library = "ffmpeg"

    def __init__(self, file: InputFile):
        """Reads the header and decodes the first frame.

        Args:
          file: The open file, which the decoder moves about in.

        Raises:
          Undecodable: FFmpeg does not know the file, or it has no audio track or no frames.
          Truncated: What says where the sound lies is missing.
          AudioError: A header that makes no sense.
        """
        self._file, self._name = file, file.name
        self._container: InputContainer | None = None
        self._decoded: Iterator[np.ndarray] = iter(())
        self._rest: np.ndarray | None = None  # of an array of which a part was given
        self.position = 0
        self._end_seconds = 0.0  # of the frame that was decoded last, by its time stamp
        self.rate, self.channels, self.carrying = 0, 0, 0
        self.frames: int | None = None
        try:
            self._open()
            self._read_header()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Frees what FFmpeg holds; the file stays open."""
        container, self._container = self._container, None
        self._decoded, self._rest = iter(()), None
        if container is not None:
            with _decoding(self._name):
                container.close()

    def seek(self, frame: int) -> None:
        """Moves to exactly `frame`: by a seek where that is proven, else by decoding the way."""
        if frame < self.position:
            self._open()
        if frame - self.position > _NEAR_SECONDS * self.rate:
            is_near = False
            with contextlib.suppress(AudioError), _decoding(self._name):
                is_near = self._leap(frame - round(_PREROLL_SECONDS * self.rate))
            if not is_near:
                self._open()
        for _ in self._arrays(frame - self.position):
            pass

    def blocks(self, frames: int | None = None) -> Iterator[np.ndarray]:
        """Decodes from the present position: `frames` in all, or up to the end.

        Yields:
          float32[frames of the block], the mean of the channels, finite.

        Raises:
          Undecodable: The sound cannot be decoded any further.
          Truncated: It ends before the header says, or within a packet.
          AudioError: NaN, infinite or absurdly large samples.
        """
        least = BLOCK_VALUES // self.channels // 2
        parts: list[np.ndarray] = []
        try:
            for array in self._arrays(frames):
                first = self.position - len(array)
                carrying = min(self.carrying, array.shape[1])  # there may be fewer channels now
                parts.append(checked_mono(self._name, array, first, self.rate, carrying))
                if sum(map(len, parts)) >= least:
                    yield np.concatenate(parts)
                    parts = []
        except AudioError:  # after all that was decoded
            if parts:
                yield np.concatenate(parts)
            raise
        if parts:
            yield np.concatenate(parts)

    def peek(self, frames: int) -> np.ndarray:
        """The next frames of all channels, float32[<= frames, channels]; the position stays."""
        start, parts = self.position, [np.zeros((0, self.channels), np.float32)]
        try:
            for array in self._arrays(frames):
                parts.append(array)
        except AudioError:  # what was decoded is gone
            self._open()
            raise
        rest = [] if self._rest is None else [self._rest]
        self.position, self._rest = start, None
        self._decoded = itertools.chain(parts[1:], rest, self._decoded)
        return np.concatenate([part for part in parts if part.shape[1] == self.channels])

    def _leap(self, frame: int) -> bool:
        """Moves to shortly before `frame`, if packets prove their place.

        Returns:
          Whether it did; if not, the position is anywhere, and the file has to be opened again.
        """
        if not self._has_index():
            return False
        self._open()
        container, track = self._container, self._track
        assert container is not None
        head = list(itertools.islice(container.decode(track), 4))
        if len(head) < 4 or not track.time_base:
            return False
        length = head[3].samples  # of every frame but the first ones and the last
        unit = float(track.time_base * self.rate) / length  # packets per unit of time stamps
        packets = steady.packets_of(self._file, container, track, length, unit, self.rate)
        if packets is None:
            return False

        def number(part: AudioFrame) -> int:
            """Of the packet that a frame comes from; -1 if it does not say."""
            return -1 if part.pts is None else round((part.pts - packets.first) * unit)

        skipped = number(head[3]) * length - sum(part.samples for part in head[:3])  # at the start
        wanted = min(max((frame + skipped) // length, 0), packets.number - 1)
        container.seek(packets.first + math.floor(wanted / unit), stream=track)
        decoded = self._codec_frames()
        # Of the first frames after a seek a part may be left out.
        head = list(itertools.islice(decoded, 4))
        if len(head) < 4 or head[3].samples != length:
            return False
        self.position = number(head[3]) * length - skipped
        self._decoded = self._decode(itertools.chain(head[3:], decoded))
        return 0 <= self.position <= frame + round(_PREROLL_SECONDS * self.rate)

    def _has_index(self) -> bool:
        """Whether time stamps stand in the file, and are not counted from where reading began."""
        assert self._container is not None
        return self._container.format.name.split(",")[0] in _INDEXED

    def _open(self) -> None:
        """Opens the file for FFmpeg, from its start."""
        import av.stream

        self.close()
        self._reader = reader = _Reader(self._file.file)
        self._flac_block = flac.block_size(self._file.file)
        self._is_late = flac.begins_late(self._file.file)
        self._file.file.seek(0)
        options = {"format_whitelist": ",".join(_FORMATS)}
        try:
            with _decoding(self._name):
                self._container = container = av.open(reader, "r", options=options)
                tracks = container.streams.audio
        except Undecodable:
            if not truncation.lacks_table(self._file):
                raise
            raise Truncated(
                self._name,
                "is truncated: it ends before the table that says where its sound lies",
                "fetch it again or remove it",
            ) from None
        if not tracks:
            raise Undecodable(self._name, "holds no audio track", "remove it")
        self._track = tracks[0]
        with _decoding(self._name):
            for stream in container.streams:
                if stream is not self._track:
                    stream.discard = av.stream.Discard.all
            self._track.codec_context.thread_count = 1
        self.position = 0
        self._decoded = self._decode(self._codec_frames())

    def _read_header(self) -> None:
        first = None
        with contextlib.suppress(Truncated), _decoding(self._name):
            first = next(self._decoded, None)
        if first is None:
            raise Undecodable(self._name, "holds no audio that can be decoded", "remove it")
        self._decoded = itertools.chain([first], self._decoded)
        self.channels = self.carrying = first.shape[1]
        check_header(self._name, self.rate, self.channels)
        self.frames = self._stated_frames()

    def _stated_frames(self) -> int | None:
        """Frames by the header, rounded up where its unit is coarser than a frame."""
        container, track = self._container, self._track
        assert container is not None
        if not self._has_index():
            return None
        if track.duration is not None and track.time_base is not None:
            seconds = float(track.duration * track.time_base)
        elif container.duration is not None:
            seconds = container.duration / 1_000_000
        else:
            return None
        if track.time_base is not None and track.time_base * self.rate > 1:
            seconds += float(track.time_base)
        frames = math.ceil(seconds * self.rate)
        return frames if 0 < frames <= _MANY_FRAMES_PER_BYTE * self._file.size else None

    def _codec_frames(self) -> Iterator[AudioFrame]:
        """Frames of the codec from where the container is.

        FLAC numbers them: where damaged ones are left out, silence keeps the others in place, and
        doubled ones count once.

        Raises:
          Truncated: The last packet cannot be decoded: it is cut.
        """
        assert self._container is not None
        failure: Exception | None = None
        due = None if self._is_late else 0  # the number of the next sample of FLAC
        for packet in self._container.demux(self._track):
            if failure is not None and packet.size:
                raise failure
            try:
                frames = packet.decode()
            except Exception as error:
                failure = failure or error
            else:
                if self._flac_block and frames:
                    end = flac.end_of(bytes(memoryview(packet)[:16]), self._flac_block)
                    if end is not None:
                        first = end - frames[0].samples
                        if due is not None:
                            if first + sum(frame.samples for frame in frames) <= due:
                                continue  # it was there before
                            yield from _silence(frames[0], first - due)
                        due = first
                    if due is not None:
                        due += sum(frame.samples for frame in frames)
                yield from frames
        if self._reader.error is not None:
            raise self._reader.error
        if failure is not None:
            raise Truncated(
                self._name,
                f"is truncated: its last packet is cut, at {self._end_seconds:.2f} s",
                "fetch it again or remove it",
            ) from failure

    def _decode(self, frames: Iterator[AudioFrame]) -> Iterator[np.ndarray]:
        """float32[frames, channels] of each frame of the codec, up to the end."""
        for frame in frames:
            if frame.samples == 0:
                continue
            rate = self.rate = self.rate or frame.sample_rate
            if frame.sample_rate != rate:
                raise AudioError(
                    self._name,
                    f"changes its sample rate from {rate} to {frame.sample_rate} Hz",
                    "convert it to WAV or FLAC",
                )
            if frame.time is not None:
                self._end_seconds = frame.time + frame.samples / rate
            yield _samples(frame)

    def _arrays(self, frames: int | None) -> Iterator[np.ndarray]:
        """float32[frames, channels] from the present position, `frames` in all or to the end."""
        left = math.inf if frames is None else frames
        while left > 0:
            array, self._rest = self._rest, None
            if array is None:
                with _decoding(self._name):
                    array = next(self._decoded, None)
            if array is not None and self.frames is not None:  # what pads the last frame
                array = array[: max(0, self.frames - self.position)]
            if array is None or len(array) == 0:
                break
            if len(array) > left:
                array, self._rest = np.split(array, [int(left)])
            self.position += len(array)
            left -= len(array)
            yield array
        if left > 0 and self.frames is not None:
            # Where times have gaps there is less sound than time.
            seconds = max(self.position / self.rate, self._end_seconds)
            check_complete(self._name, seconds, self.frames / self.rate - seconds)
        elif left > 0:
            share = truncation.missing_share_of_caf(self._file)
            seconds = self.position / self.rate
            check_complete(self._name, seconds, seconds * share / (1 - share))


class _Reader:
    """A file as FFmpeg may read it, under a name that says nothing.

    PyAV prints a traceback of what is raised here, so nothing is.

    Attributes:
      error: The first failure to read.
    """

    name = "sound"

    def __init__(self, file: BinaryIO):
        self._file = file
        self.error: Exception | None = None

    def read(self, size: int) -> bytes:
        try:
            return self._file.read(size)
        except Exception as error:
            self.error = self.error or error
            return b""

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        try:
            return self._file.seek(offset, whence)
        except Exception:  # damaged files send FFmpeg before the start or beyond all numbers
            return -errno.EINVAL

    def tell(self) -> int:
        return self._file.tell()


def _silence(like: AudioFrame, samples: int) -> Iterator[AudioFrame]:
    """A frame of so many samples, if that can be."""
    import av

    if 0 < samples <= _MOST_SECONDS_LOST * like.sample_rate:
        frame = av.AudioFrame(like.format.name, like.layout.name, samples)
        frame.sample_rate = like.sample_rate
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        yield frame


def _samples(frame: AudioFrame) -> np.ndarray:
    """float32[frames, channels] at ±1."""
    values = frame.to_ndarray()
    if not frame.format.is_planar:
        values = values.reshape(frame.samples, -1).T  # [channels, frames]
    if values.dtype == np.uint8:
        values = values.astype(np.float32) - 128
        values /= 128
    elif values.dtype.kind == "i":
        values = values.astype(np.float32) / np.float32(2.0 ** (8 * values.dtype.itemsize - 1))
    return values.T.astype(np.float32, copy=False)


@contextlib.contextmanager
def _decoding(name: str) -> Iterator[None]:
    """Turns whatever PyAV raises inside the `with` into `Undecodable`."""
    try:
        yield
    except AudioError:
        raise
    except Exception as error:
        cause = getattr(error, "strerror", None) or str(error) or type(error).__name__
        cause = " ".join(cause.split()).rstrip(".")
        if getattr(error, "errno", None) == errno.ENOMEM:  # most often it refuses by itself
            cause = "asks for more memory than it can need"
        raise Undecodable(
            name, f"cannot be decoded ({cause})", "convert it to WAV or FLAC, or remove it"
        ) from error
