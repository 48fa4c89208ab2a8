"""Cutting sound that comes block by block into patches."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from audio_triplet import front_end
from audio_triplet.config import FRONT_END

_PATCH_SAMPLES = FRONT_END.patch_samples


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
