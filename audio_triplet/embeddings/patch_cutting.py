"""Cutting sound that comes block by block into patches."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from audio_triplet import front_end
from audio_triplet.audio import resampling
from audio_triplet.config import FRONT_END

_PATCH_SAMPLES = FRONT_END.patch_samples


@dataclasses.dataclass(frozen=True)
class Cutting:
    """How sound is cut for a model.

    Attributes:
      by_mel: Whether patches are given as mel energies, else as waveforms.
      rate: Samples per second of the sound that is cut.
      window_samples: Of a model of others: the length of its windows; 0: one of ours, patches.
    """

    by_mel: bool = True
    rate: int = FRONT_END.sample_rate
    window_samples: int = 0

    @property
    def window_seconds(self) -> float:
        """Length of a patch or window."""
        return (self.window_samples or _PATCH_SAMPLES) / self.rate

    def cut(
        self,
        blocks: Iterable[np.ndarray],
        hop_seconds: float,
        mel_energies: Callable[[np.ndarray], np.ndarray] = front_end.mel_energies_numpy,
    ) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
        """Cuts a stream: see `cut_patches` and `cut_windows`."""
        if self.window_samples:
            return cut_windows(blocks, self.rate, self.window_samples, hop_seconds, mel_energies)
        hop = round(hop_seconds * self.rate)
        return cut_patches(blocks, hop, self.by_mel, mel_energies)


def cut_patches(
    blocks: Iterable[np.ndarray],
    hop: int,
    by_mel: bool,
    mel_energies: Callable[[np.ndarray], np.ndarray] = front_end.mel_energies_numpy,
) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """Cuts a stream into patches.

    Args:
      blocks: float32[samples], consecutive.
      hop: Samples from one patch to the next, whole frames.
      by_mel: Whether patches are given as mel energies, else as waveforms.
      mel_energies: Which function of `front_end` computes them.

    Yields:
      The patches that are complete, n may be 0, as float32[n, 96, mels] or float32[n, samples];
      their energies float32[n]; and the number of samples decoded so far. A stream shorter than a
      patch is one patch: its mel energies padded with silence, or a waveform of as many samples
      as its whole windows have (at least one, padded), the shortest that has the same energies.
    """
    config = FRONT_END
    rest, skip, decoded, count = np.zeros(0, np.float32), 0, 0, 0
    for block in blocks:
        decoded += len(block)
        skipped = min(skip, len(block))
        rest, skip = np.concatenate([rest, block[skipped:]]), skip - skipped
        new = max(0, 1 + (len(rest) - _PATCH_SAMPLES) // hop)
        if new:
            whole = rest[: (new - 1) * hop + _PATCH_SAMPLES]
            yield *_cut_whole(whole, mel_energies(whole), hop, by_mel), decoded
            skip = max(0, new * hop - len(rest))
            rest = rest[new * hop :]
            count += new
        else:
            yield np.zeros((0, 0), np.float32), np.zeros(0, np.float32), decoded
    if decoded and not count:
        windows = max(1, config.frames(len(rest)))
        samples = config.window_samples + (windows - 1) * config.hop_samples
        waveform = np.pad(rest[:samples], (0, max(0, samples - len(rest))))
        mel = np.pad(mel_energies(waveform), ((0, config.patch_frames - windows), (0, 0)))
        yield (mel if by_mel else waveform)[None], mel.mean()[None], decoded


def _cut_whole(
    waveform: np.ndarray, mel: np.ndarray, hop: int, by_mel: bool
) -> tuple[np.ndarray, np.ndarray]:
    """The patches of a waveform that holds whole ones, of mel [frames, mels]; their energies."""
    view = np.lib.stride_tricks.sliding_window_view
    patches = view(mel, FRONT_END.patch_frames, axis=0)[:: hop // FRONT_END.hop_samples]
    patches = patches.transpose(0, 2, 1)  # [n, 96, mels], nothing is copied
    energies = patches.mean(axis=(1, 2))
    return (patches if by_mel else view(waveform, _PATCH_SAMPLES)[::hop]), energies


def cut_windows(
    blocks: Iterable[np.ndarray],
    rate: int,
    samples: int,
    hop_seconds: float,
    mel_energies: Callable[[np.ndarray], np.ndarray] = front_end.mel_energies_numpy,
) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """Cuts a stream of any rate into windows of any length, for a model of others.

    Args:
      blocks: float32[samples], consecutive.
      rate: Samples per second.
      samples: Of a window.
      hop_seconds: From one window to the next.
      mel_energies: Which function of `front_end` computes them.

    Yields:
      As `cut_patches`: windows float32[n, samples]; their energies, the mean mel energy per cell
      at 16 kHz, as of patches; and the number of samples decoded so far. Windows are whole; a
      stream shorter than one is one window, with silence after it.
    """
    rest, first, decoded, count = np.zeros(0, np.float32), 0, 0, 0
    for block in blocks:
        decoded += len(block)
        rest = np.concatenate([rest, block])
        starts = []
        while (start := round(count * hop_seconds * rate)) + samples <= decoded:
            starts.append(start - first)
            count += 1
        windows = np.zeros((len(starts), samples), np.float32)
        for number, start in enumerate(starts):
            windows[number] = rest[start : start + samples]
        yield windows, _energies(windows, rate, mel_energies), decoded
        passed = min(len(rest), round(count * hop_seconds * rate) - first)
        rest, first = rest[passed:], first + passed
    if decoded and not count:
        windows = np.pad(rest, (0, samples - len(rest)))[None]
        yield windows, _energies(windows, rate, mel_energies), decoded


def _energies(
    windows: np.ndarray, rate: int, mel_energies: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Mean mel energy per cell of each window, float32[n]."""
    found = np.zeros(len(windows), np.float32)
    for number, window in enumerate(windows):
        blocks = resampling.resampled(iter([window]), rate, FRONT_END.sample_rate, "soxr")
        sound = np.concatenate([np.zeros(0, np.float32), *blocks])
        sound = np.pad(sound, (0, max(0, FRONT_END.window_samples - len(sound))))
        found[number] = mel_energies(sound).mean()
    return found
