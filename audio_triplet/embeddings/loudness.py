"""How much a patch of a sound counts: by the root of its energy above the sound's background.

What is loud in a sound is what it is; between its loud parts a room is heard, or a noise. What the
quietest patch has, most of the others have too: it is taken from all of them, so that a noise
counts for less where a sound stands out of it, and a steady sound counts alike throughout. So
searches, likenesses and descriptions count patches by their loudness. The paper's mean over
patches, which an export gives, counts all alike.

No TensorFlow here.
"""

from __future__ import annotations

import numpy as np

# [D] A patch of a sound counts by this power of its energy. docs/lab_notes.md has the trial.
ENERGY_POWER = 0.5

# [D] So much of the energy of a sound's quietest patch is background. Not all of it: a steady sound
# is no background, and all of its patches are to count.
BACKGROUND = 0.95


def loudness_of(energy: np.ndarray, owners: np.ndarray | None = None) -> np.ndarray:
    """How much patches count beside others of their sound: float64[n], above 0.

    Args:
      energy: float[n], mean mel energy per cell; NaN where it is not known.
      owners: int[n], the sound of each, from 0 on; None: all are of one.
    """
    known = np.nan_to_num(np.asarray(energy, np.float64), nan=1.0)
    owners = np.zeros(len(known), np.intp) if owners is None else owners
    quietest = np.full(np.max(owners, initial=-1) + 1, np.inf)
    np.minimum.at(quietest, owners, known)
    above = known - BACKGROUND * quietest[owners]
    return np.maximum(above, np.finfo(np.float32).tiny) ** ENERGY_POWER


def shares_of(energy: np.ndarray, lengths: np.ndarray | None = None) -> np.ndarray:
    """How much each patch of a sound counts by its energy: float32[n], together 1 in each sound.

    Args:
      energy: float[n], mean mel energy per cell; NaN where it is not known.
      lengths: int[sounds], how many patches each of several sounds has, one at least; None: all
        are of one.
    """
    lengths = np.array([len(energy)]) if lengths is None else np.asarray(lengths)
    owners = np.repeat(np.arange(len(lengths)), lengths)
    loud = loudness_of(energy, owners)
    total = np.add.reduceat(loud, np.cumsum(lengths) - lengths)
    return (loud / total[owners]).astype(np.float32)
