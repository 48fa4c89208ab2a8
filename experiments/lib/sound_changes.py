"""What happens to sound on its way to an archive: telephones, codecs, noise, rooms, company.

Each change takes float64[samples] at `RATE` and gives as many; draws are seeded by the segment's
name, so that a table is the same on every machine. No TensorFlow.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

RATE = 44_100  # Hz: what codecs and rooms are heard at

TELEPHONE_BAND = (300.0, 3400.0)  # Hz
REVERBERATION_SECONDS = 0.6  # until 60 dB are gone
DIRECT_TO_REVERBERANT = 0.0  # dB
NOISE_DECIBELS = 10.0  # that the sound is above the noise
COMPANION_DECIBELS = 6.0  # that a second sound is below the first
MP3_BITS = 64_000  # per second, one channel


@dataclasses.dataclass(frozen=True)
class Change:
    """A change.

    Attributes:
      key: Its name in flags.
      title: Its name in tables.
      make: (sound, draws, another segment's sound) → the changed sound.
      suffix: Of the file that it is written to: `.mp3` is encoded.
    """

    key: str
    title: str
    make: Callable[[np.ndarray, np.random.Generator, np.ndarray], np.ndarray]
    suffix: str = ".wav"


def louder(decibels: float) -> Change:
    """A change of loudness."""
    gain = 10 ** (decibels / 20)
    return Change("level", f"{decibels:+g} dB", lambda sound, draws, other: gain * sound)


def telephone(sound: np.ndarray) -> np.ndarray:
    """Sound as sampled at 8 kHz after a band pass, 24 dB an octave on either side."""
    import scipy.signal

    band = scipy.signal.butter(4, TELEPHONE_BAND, "bandpass", fs=RATE, output="sos")
    narrow = scipy.signal.sosfilt(band, sound)
    up, down = 80, 441  # 8,000 / 44,100
    sampled = scipy.signal.resample_poly(narrow, up, down)
    return scipy.signal.resample_poly(sampled, down, up)[: len(sound)]


def with_noise(sound: np.ndarray, draws: np.random.Generator) -> np.ndarray:
    """Sound and pink noise (as much power in every octave), `NOISE_DECIBELS` below it."""
    spectrum = np.fft.rfft(draws.normal(size=len(sound)))
    hertz = np.fft.rfftfreq(len(sound), 1 / RATE)
    noise = np.fft.irfft(spectrum / np.sqrt(np.maximum(hertz, 20.0)), len(sound))
    return sound + noise * _scale(sound, noise, NOISE_DECIBELS)


def in_a_room(sound: np.ndarray, draws: np.random.Generator) -> np.ndarray:
    """Sound and its reverberation: noise that decays exponentially, as loud as before in all."""
    import scipy.signal

    time = np.arange(round(1.5 * REVERBERATION_SECONDS * RATE)) / RATE
    tail = draws.normal(size=len(time)) * 10 ** (-3 * time / REVERBERATION_SECONDS)
    tail *= 10 ** (-DIRECT_TO_REVERBERANT / 20) / max(np.sqrt(np.sum(tail**2)), 1e-12)
    tail[0] += 1  # the direct sound
    changed = scipy.signal.fftconvolve(sound, tail)[: len(sound)]
    return changed * _scale(sound, changed, 0.0)


def in_company(sound: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Sound and another one, repeated or cut to its length, `COMPANION_DECIBELS` below it."""
    other = np.resize(other, len(sound))
    return sound + other * _scale(sound, other, COMPANION_DECIBELS)


def _scale(sound: np.ndarray, other: np.ndarray, decibels: float) -> float:
    """The factor by which another sound is so many decibels below this one, by mean power."""
    power = float(np.mean(other**2))
    return float(np.sqrt(np.mean(sound**2) / power)) * 10 ** (-decibels / 20) if power else 0.0


CHANGES = {
    change.key: change
    for change in (
        Change(
            "telephone",
            "telephone, 8 kHz, 300 to 3,400 Hz",
            lambda sound, draws, other: telephone(sound),
        ),
        Change("mp3", "MP3, 64 kbit/s", lambda sound, draws, other: sound, ".mp3"),
        Change(
            "noise",
            f"pink noise {NOISE_DECIBELS:g} dB below",
            lambda sound, draws, other: with_noise(sound, draws),
        ),
        Change(
            "reverberation",
            f"room of {REVERBERATION_SECONDS:g} s reverberation",
            lambda sound, draws, other: in_a_room(sound, draws),
        ),
        Change(
            "second_sound",
            f"a second sound {COMPANION_DECIBELS:g} dB below",
            lambda sound, draws, other: in_company(sound, other),
        ),
    )
}


def write(path: str, sound: np.ndarray) -> None:
    """Writes sound as 32-bit WAV, which has no bounds, or as MP3.

    Args:
      path: `….wav` or `….mp3`.
      sound: float[samples] at `RATE`.
    """
    import soundfile

    if not path.endswith(".mp3"):
        soundfile.write(path, sound.astype(np.float32), RATE, "FLOAT")
        return
    import av

    with av.open(path, "w") as file:
        track = file.add_stream("mp3", rate=RATE, layout="mono")
        track.bit_rate = MP3_BITS
        frame = av.AudioFrame.from_ndarray(sound.astype(np.float32)[None], "fltp", "mono")
        frame.sample_rate = RATE
        size = track.codec_context.frame_size or 1152
        resampler = av.AudioResampler(track.format, "mono", RATE, size)
        for given in (frame, None):
            for part in resampler.resample(given):
                file.mux(track.encode(part))
        file.mux(track.encode(None))
