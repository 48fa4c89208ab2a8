"""Sounds to measure on: recordings of a corpus, or generated ones; and files of them."""

import os
from collections.abc import Sequence

import numpy as np

from audio_triplet.errors import UsageError


def sounds(corpus: str | None, count: int, seconds: float, rate: int) -> list[np.ndarray]:
    """Sounds to measure on.

    Args:
      corpus: What --corpus takes; None for generated sounds.
      count: How many.
      seconds: Length of each.
      rate: Hz.

    Returns:
      float32[round(seconds * rate)] each, not silent: recordings of the corpus, spread evenly over
      it, put end to end and resampled; without one, swells of noise with a falling spectrum,
      as outdoor sounds have.
    """
    samples = round(seconds * rate)
    if not corpus:
        return [generated(samples, rate, seed) for seed in range(count)]
    from audio_triplet import audio
    from audio_triplet.corpora import registry
    from audio_triplet.errors import AudioError

    paths = registry.load_corpus(corpus).frame["path"].unique()
    stream, found = np.zeros(0, np.float32), []
    for number in np.random.default_rng(0).permutation(len(paths)):
        try:
            sound = audio.load_audio(paths[number], rate)
        except AudioError:
            continue
        if np.abs(sound).max() > 1e-3:
            stream = np.concatenate([stream, sound])
        while len(stream) >= samples and len(found) < count:
            found.append(stream[:samples])
            stream = stream[samples:]
        if len(found) == count:
            return found
    raise UsageError(
        f"{corpus}: holds less than {count * seconds:.0f} s of sound; "
        "leave --corpus out to measure on generated sounds"
    )


def generated(samples: int, rate: int, seed: int) -> np.ndarray:
    """float32[samples] with a peak of 0.5: a swell of noise with a falling spectrum."""
    rng = np.random.default_rng(seed)
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    hertz = np.fft.rfftfreq(samples, 1 / rate)
    noise = np.fft.irfft(spectrum / np.maximum(hertz, 50.0) ** rng.uniform(0.3, 1.0), samples)
    swell = np.sin(np.pi * np.arange(samples) / rate * rng.uniform(0.2, 3.0)) ** 2
    sound = noise * swell
    return (0.5 * sound / np.abs(sound).max()).astype(np.float32)


def write_sounds(folder: str, waveforms: Sequence[np.ndarray], rate: int, suffix: str) -> list[str]:
    """Writes files: `wav`, `flac` (16 bits), `ogg` (Vorbis), `opus` or `mp3`; returns paths."""
    import soundfile

    os.makedirs(folder, exist_ok=True)
    paths = []
    for number, waveform in enumerate(waveforms):
        paths.append(os.path.join(folder, f"{number:05d}.{suffix}"))
        # In blocks: libsndfile's Vorbis encoder overflows its stack on long ones.
        how = {"format": "OGG", "subtype": "OPUS"} if suffix == "opus" else {}
        with soundfile.SoundFile(paths[-1], "w", rate, 1, **how) as file:
            for begin in range(0, len(waveform), rate):
                file.write(waveform[begin : begin + rate])
    return paths
