"""The whole sound files that are damaged: short, generated, in every format that is read."""

import io
import re
import struct
import zlib

import numpy as np
import soundfile

from benchmarks.ffmpeg_track import encode_track

# By libsndfile: extension, format, subtype, rate, channels.
_LIBSNDFILE = (
    ("wav", "WAV", "PCM_16", 44_100, 2),
    ("wav", "WAV", "PCM_24", 48_000, 1),
    ("wav", "WAV", "FLOAT", 16_000, 1),
    ("wav", "WAV", "ULAW", 8_000, 1),
    ("wav", "WAV", "IMA_ADPCM", 22_050, 2),
    ("wav", "WAV", "MS_ADPCM", 22_050, 1),
    ("wav", "WAV", "GSM610", 8_000, 1),
    ("wav", "WAV", "G721_32", 8_000, 1),
    ("wav", "WAVEX", "PCM_16", 44_100, 6),
    ("wav", "RF64", "PCM_16", 44_100, 2),
    ("w64", "W64", "PCM_16", 44_100, 2),
    ("aiff", "AIFF", "PCM_16", 44_100, 2),
    ("aiff", "AIFF", "DWVW_16", 44_100, 1),
    ("au", "AU", "PCM_16", 44_100, 2),
    ("au", "AU", "G723_24", 8_000, 1),
    ("caf", "CAF", "PCM_16", 44_100, 2),
    ("caf", "CAF", "ALAC_16", 44_100, 2),
    ("flac", "FLAC", "PCM_16", 44_100, 2),
    ("flac", "FLAC", "PCM_16", 16_000, 1),
    ("flac", "FLAC", "PCM_24", 96_000, 1),
    ("ogg", "OGG", "VORBIS", 44_100, 2),
    ("ogg", "OGG", "VORBIS", 16_000, 1),
    ("opus", "OGG", "OPUS", 48_000, 2),
    ("opus", "OGG", "OPUS", 16_000, 1),
    ("mp3", "MP3", "MPEG_LAYER_III", 44_100, 2),
    ("mp3", "MP3", "MPEG_LAYER_III", 16_000, 1),
    ("voc", "VOC", "PCM_16", 22_050, 1),
    ("sds", "SDS", "PCM_16", 16_000, 1),
    ("paf", "PAF", "PCM_24", 44_100, 1),
    ("mat", "MAT4", "PCM_16", 16_000, 1),
    ("sf", "IRCAM", "PCM_16", 16_000, 1),
    ("nist", "NIST", "PCM_16", 16_000, 1),
    ("8svx", "SVX", "PCM_16", 16_000, 1),
    ("xi", "XI", "DPCM_16", 44_100, 1),
    ("htk", "HTK", "PCM_16", 16_000, 1),
    ("avr", "AVR", "PCM_16", 16_000, 1),
    ("pvf", "PVF", "PCM_16", 16_000, 1),
)

# By FFmpeg: extension, container, codec, rate, channels, seconds. Seeks are of use in long files
# only.
_FFMPEG: tuple[tuple[str, str, str, int, int, float], ...] = (
    ("m4a", "ipod", "aac", 44_100, 2, 1.0),
    ("m4a", "ipod", "aac", 16_000, 1, 26.0),
    ("m4a", "ipod", "alac", 44_100, 2, 0.5),
    ("mp4", "mp4", "aac", 44_100, 2, 1.0),
    ("mp4", "fragmented mp4", "aac", 32_000, 1, 2.0),
    ("mov", "mov", "pcm_s16le", 48_000, 3, 0.3),
    ("mov", "mov", "adpcm_ima_qt", 22_050, 1, 1.0),
    ("3gp", "3gp", "aac", 16_000, 1, 1.0),
    ("3gp", "3gp", "libopencore_amrnb", 8_000, 1, 2.0),
    ("amr", "amr", "libopencore_amrnb", 8_000, 1, 2.0),
    ("aac", "adts", "aac", 48_000, 1, 1.0),
    ("wma", "asf", "wmav2", 44_100, 2, 1.0),
    ("wma", "asf", "wmav1", 16_000, 1, 2.0),
    ("ac3", "ac3", "ac3", 48_000, 6, 0.5),
    ("eac3", "eac3", "eac3", 48_000, 2, 0.5),
    ("webm", "webm", "libopus", 48_000, 2, 1.0),
    ("webm", "webm", "libopus", 16_000, 1, 26.0),
    ("mka", "matroska", "flac", 44_100, 2, 0.5),
    ("mka", "matroska", "libmp3lame", 44_100, 2, 1.0),
    ("mkv", "matroska", "pcm_s16le", 44_100, 2, 0.3),
    ("caf", "caf", "alac", 44_100, 2, 0.5),
    ("avi", "avi", "libmp3lame", 44_100, 1, 1.0),
    ("mp2", "mp2", "mp2", 44_100, 1, 1.0),
    ("wv", "wv", "wavpack", 44_100, 1, 0.5),
    ("tta", "tta", "tta", 44_100, 1, 0.5),
    ("ogg", "ogg", "flac", 44_100, 1, 0.5),
)

# What people have on their disks is damaged more often than the rest of what is read.
_COMMON = {"wav", "aiff", "flac", "ogg", "opus", "mp3"}
_COMMON_OF_FFMPEG = {"m4a", "mp4", "mov", "3gp", "amr", "aac", "wma", "webm", "mka"}

_LAYOUTS = {1: "mono", 2: "stereo", 3: "2.1", 6: "5.1"}


def whole_files() -> list[tuple[str, bytes]]:
    """(extension, bytes) of every source; common ones stand in the list three times."""
    found: list[tuple[str, bytes]] = []
    for extension, file_format, subtype, rate, channels in _LIBSNDFILE:
        try:
            data = encode(extension, file_format, subtype, rate, channels)
        except (soundfile.SoundFileError, ValueError, TypeError):
            continue  # this libsndfile does not write it
        found += [(extension, data)] * (3 if extension in _COMMON else 1)
    for extension, container, codec, rate, channels, seconds in _FFMPEG:
        made = sound(seconds, rate, channels, rate + channels)
        data = encode_by_ffmpeg(made, container, codec, rate)
        found += [(extension, data)] * (3 if extension in _COMMON_OF_FFMPEG else 1)
    for extension, subtype in (("ogg", "VORBIS"), ("opus", "OPUS")):
        links = [encode(extension, "OGG", subtype, 48_000, channels) for channels in (2, 2)]
        # Two streams, one after the other, have different numbers.
        links[1] = with_ogg_checksums(links[1].replace(b"same", b"next"))
        found += [(extension, b"".join(links))] * 3
    return found


def sound(seconds: float, rate: int, channels: int, seed: int) -> np.ndarray:
    """A few bursts of coloured noise, to exercise all of a decoder: float64[samples, channels]."""
    random = np.random.default_rng(seed)
    time_axis = np.arange(round(seconds * rate))[:, None] / rate
    tone = np.sin(2 * np.pi * random.uniform(100, 3000) * time_axis * (1 + time_axis))
    noise = random.normal(size=(len(time_axis), channels))
    return (0.3 * tone + 0.1 * noise) * (np.sin(2 * np.pi * 3 * time_axis) > -0.5)


def encode(extension: str, file_format: str, subtype: str, rate: int, channels: int) -> bytes:
    """A whole file of generated sound."""
    buffer = io.BytesIO()
    # Some formats are only seeked in if they are longer than two pages or blocks.
    seconds = 5.0 if rate == 16_000 and extension in _COMMON else 0.3 + 0.3 * channels
    soundfile.write(
        buffer, sound(seconds, rate, channels, rate + channels), rate, subtype, format=file_format
    )
    data = bytearray(buffer.getvalue())
    # libsndfile writes values that differ between runs: the time, and random numbers in Ogg.
    peak = data.find(b"PEAK")
    if peak >= 0:
        data[peak + 12 : peak + 16] = bytes(4)
    for page in re.finditer(b"OggS\0", bytes(data)):
        data[page.start() + 14 : page.start() + 18] = b"same"
    return with_ogg_checksums(bytes(data))


def encode_by_ffmpeg(sound: np.ndarray, container: str, codec: str, rate: int) -> bytes:
    """A whole file of float[frames, channels], by FFmpeg; always the same bytes.

    Args:
      sound: The samples.
      container: FFmpeg's name of the container; `fragmented mp4` for one in pieces.
      codec: FFmpeg's name of the encoder.
      rate: Hz.
    """
    import av

    channels = sound.shape[1]
    options = {"fflags": "+bitexact"}
    if container == "fragmented mp4":
        container = "mp4"
        options |= {"movflags": "frag_keyframe+empty_moov", "frag_duration": "300000"}
    stream, layout = io.BytesIO(), _LAYOUTS[channels]
    with av.open(stream, "w", format=container, options=options) as file:
        track = file.add_stream(codec, rate=rate, layout=layout)
        context = track.codec_context
        context.bit_rate = 12_200 if "amr" in codec else 64_000 * channels
        context.flags |= int(av.codec.context.Flags.bitexact)
        encode_track(file, track, sound, rate, layout)
    return stream.getvalue()


_REVERSED_BITS = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def _ogg_checksum(page: bytes) -> int:
    """Ogg's CRC-32: zlib's with reversed bits, starting at 0 and not inverted."""
    value = zlib.crc32(page.translate(_REVERSED_BITS), 0xFFFF_FFFF) ^ 0xFFFF_FFFF
    return int(f"{value:032b}"[::-1], 2)


def with_ogg_checksums(data: bytes) -> bytes:
    """The same bytes with correct checksums in all Ogg pages."""
    if b"OggS" not in data:
        return data
    out, at = bytearray(data), data.find(b"OggS")
    while 0 <= at <= len(out) - 27:
        segments = out[at + 26]
        end = at + 27 + segments + sum(out[at + 27 : at + 27 + segments])
        if end <= len(out):
            out[at + 22 : at + 26] = bytes(4)
            struct.pack_into("<I", out, at + 22, _ogg_checksum(bytes(out[at:end])))
        at = data.find(b"OggS", max(at + 4, end if end <= len(out) else 0))
    return bytes(out)
