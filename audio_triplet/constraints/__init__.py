"""The constraints: rules that say which two patches belong together. One file each.

In: anchors of a batch, linear mel energies. Out: their positives, and, where a constraint names
them itself, their negatives. In reading order:

| file | constraint |
|---|---|
| `base` | the base class of constraints, and the registry |
| `gaussian_noise` | the same patch with multiplicative noise |
| `translation` | the same patch shifted in time and frequency |
| `mixing` | the same patch with another sound mixed in, which is the negative |
| `proximity` | another patch of the recording, close in time |
| `explicit` | a patch with the same label: the supervised topline |
| `combined` | a close patch, and both augmented [D] |

A further constraint is a file in this folder with a registered class, see `base.Constraint`. Its
name becomes a value of `--triplets` and of the tables' `--rows`, its fields become flags, and its
loss is shown in TensorBoard. `joint` mixes the paper's four; a further one joins it when
`--shares` has a weight for it.

No TensorFlow is imported before a batch is made, so that flags are quick.
"""

import importlib
import pkgutil

from audio_triplet.constraints.base import (
    Anchors,
    Constraint,
    Made,
    get,
    joint_names,
    names,
    register,
)

__all__ = ["Anchors", "Constraint", "Made", "get", "joint_names", "names", "register"]

# In the order of their ids in a batch, which continued runs rely on; further ones follow.
_FIRST = ("gaussian_noise", "translation", "mixing", "proximity", "explicit", "combined")

for _name in dict.fromkeys((*_FIRST, *(file.name for file in pkgutil.iter_modules(__path__)))):
    importlib.import_module(f"{__name__}.{_name}")
