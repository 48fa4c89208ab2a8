"""How much a patch of a sound counts: by the root of its energy.

What is loud in a sound is what it is; between its loud parts a room is heard. So searches,
likenesses and descriptions count patches by their loudness. The paper's mean over patches, which an
export gives, counts all alike.

No TensorFlow here.
"""

from __future__ import annotations

import numpy as np

# [D] A patch of a sound counts by this power of its energy. docs/lab_notes.md has the trial.
ENERGY_POWER = 0.5

# [D] So much of the energy of a sound's quietest patch is background. Not all of it: of a steady
# sound all patches are to count.
BACKGROUND = 0.95


def loudness_of(energy: np.ndarray) -> np.ndarray:
    """How much patches count beside others of their sound: float64[n], above 0.

    Args:
      energy: float[n], mean mel energy per cell; NaN where it is not known.
    """
    known = np.nan_to_num(np.asarray(energy, np.float64), nan=1.0)
    return np.maximum(known, np.finfo(np.float32).tiny) ** ENERGY_POWER


def shares_of(energy: np.ndarray, lengths: np.ndarray | None = None) -> np.ndarray:
    """How much each patch of a sound counts by its energy: float32[n], together 1 in each sound.

    Args:
      energy: float[n], mean mel energy per cell; NaN where it is not known.
      lengths: int[sounds], how many patches each of several sounds has, one at least; None: all
        are of one.
    """
    loud = loudness_of(energy)
    lengths = np.array([len(loud)]) if lengths is None else lengths
    total = np.add.reduceat(loud, np.cumsum(lengths) - lengths)
    return (loud / np.repeat(total, lengths)).astype(np.float32)


def above_background(energy: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Energies less what is heard all the time in their sound: float[n], not below 0.

    In noise the patches between two events are noise; what the quietest patch has, most others
    have too.

    Args:
      energy: float[n], mean mel energy per cell; NaN where it is not known.
      lengths: int[sounds], how many patches each sound has, one at least.
    """
    quietest = np.minimum.reduceat(energy, np.cumsum(lengths) - lengths)
    return energy - BACKGROUND * np.repeat(quietest, lengths)
