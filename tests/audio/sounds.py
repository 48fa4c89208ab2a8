"""Sound files made for these tests."""

import io
import pathlib
import struct

import numpy as np
import soundfile

# (format, subtype, rates, tolerance of a piece against the whole)
CODECS = {
    "wav16": ("WAV", "PCM_16", (8000, 16000, 22050, 44100, 48000), 1e-6),
    "wav_float": ("WAV", "FLOAT", (11025, 44100), 1e-6),
    "wav_adpcm": ("WAV", "IMA_ADPCM", (16000, 44100), 1e-6),
    "aiff24": ("AIFF", "PCM_24", (48000,), 1e-6),
    "flac": ("FLAC", "PCM_16", (8000, 44100, 96000), 1e-6),
    "vorbis": ("OGG", "VORBIS", (8000, 16000, 44100, 48000), 1e-6),
    "opus": ("OGG", "OPUS", (8000, 16000, 48000), 2e-3),  # its decoder's state is long-lived
    "mp3": ("MP3", "MPEG_LAYER_III", (8000, 16000, 44100, 48000), 1e-6),
}


def encode(data, rate, file_format="WAV", subtype="PCM_16") -> bytes:
    """Sound file bytes. Written in parts: libvorbis overflows the stack on one long array."""
    data = np.asarray(data)
    stream = io.BytesIO()
    channels = data.shape[1] if data.ndim == 2 else 1
    with soundfile.SoundFile(
        stream, "w", rate, channels, format=file_format, subtype=subtype
    ) as sound:
        for start in range(0, len(data), 8192):
            sound.write(data[start : start + 8192])
    return stream.getvalue()


def pulsing_noise(seconds, rate, channels=1, seed=0):
    """Noise in swells, with a digital silence inside: hard on bit reservoirs and Ogg pages."""
    rng = np.random.default_rng(seed)
    frames = round(seconds * rate)
    time = np.arange(frames) / rate
    swell = np.square(np.square(np.sin(2 * np.pi * time / 1.7)))  # a power is ten times as slow
    swell *= (time < 0.4 * seconds) | (time > 0.6 * seconds)
    return 0.3 * swell[:, np.newaxis] * rng.standard_normal((frames, channels))


def sine(frequency, frames, rate):
    return np.sin(2 * np.pi * frequency * np.arange(frames) / rate + 0.5)


def saved(tmp_path, data, name="sound") -> pathlib.Path:
    path = tmp_path / name
    path.write_bytes(data)
    return path


def mp3_frame_offsets(data):
    """Offsets of all MPEG layer III frames, by walking their headers."""
    kbps = (
        (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
        (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    )
    hertz = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
    offset, offsets = 0, []
    if data[:3] == b"ID3":
        offset = 10 + sum((b & 127) << s for b, s in zip(data[6:10], (21, 14, 7, 0), strict=True))
    while offset + 4 <= len(data) and data[offset] == 0xFF:
        offsets.append(offset)
        version, index = data[offset + 1] >> 3 & 3, data[offset + 2]
        rate = hertz[version][index >> 2 & 3]
        bits = kbps[version != 3][index >> 4] * 1000
        offset += (144 if version == 3 else 72) * bits // rate + (index >> 1 & 1)
    return [*offsets, offset]


def wav_header(n_bytes, rate=44_100, channels=1, bits=16, tag=1):
    block = channels * bits // 8
    fields = (b"fmt ", 16, tag, channels, rate, rate * block, block, bits, b"data", n_bytes)
    riff = struct.pack("<4sI4s", b"RIFF", min(n_bytes + 36, 2**32 - 1), b"WAVE")
    return riff + struct.pack("<4sIHHIIHH4sI", *fields)
