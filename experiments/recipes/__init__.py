"""Recipes: the values of a result, a file each, with its claim, time and command.

A value is decided in one place. From first to last:

1. A flag that is given on the command line.
2. The recipe: `--recipe=NAME` (`--preset` is another name of the flag), or the script's own:
   `short`, but `demo` for `experiments.demo`, `debian_sounds` for `experiments.release`, and
   `fine_tune` with `--init_model`.
   `--help` shows the values of the script's own recipe as the flags' defaults.
3. The dataclasses of `audio_triplet.config`, whose defaults are the paper's.

With `--init_model` the network is that model's, and the learning rate is `fine_tune`'s whatever the
recipe. Two values depend on what is trained: the explicit-label topline's learning rate is
`topline_learning_rate` where that is set, and it has no memory; and sound files that are decoded
while training give `FILES_BATCHES_PER_VISIT` batches per visit.

| recipe | what |
|---|---|
| `paper` | the paper's values |
| `short` | the paper's values, but a learning rate that fits a thousand steps |
| `best` | what was found to work best without labels |
| `debian_sounds` | the released model |
| `fine_tune` | going on from a model, with sound of your own |
| `demo` | `make demo` |

A new recipe is a new file: a docstring, and `RECIPE`.
"""

import dataclasses
import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any

from audio_triplet.config import EncoderConfig, PipelineConfig, TrainingConfig, TripletConfig

# Several batches from one visit, so that decoding does not hold up training.
FILES_BATCHES_PER_VISIT = 4


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Values of a run, and the part of the corpus that it is trained on.

    Attributes:
      triplets: How triplets are made.
      pipeline: Batches.
      encoder: Network.
      training: Optimisation.
      topline_learning_rate: The explicit-label topline's, if it differs.
      test_splits: Splits held out; empty: chosen by what the corpus has.
      max_share: Kind of sound → its greatest share of the recordings.
    """

    triplets: TripletConfig = TripletConfig()
    pipeline: PipelineConfig = PipelineConfig()
    encoder: EncoderConfig = EncoderConfig()
    training: TrainingConfig = TrainingConfig()
    topline_learning_rate: float | None = None
    test_splits: tuple[str, ...] = ()
    max_share: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def settings(self) -> dict[str, Any]:
        """Name → value, as arguments of `experiments.lib.settings.ExperimentSettings`."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}


def names() -> list[str]:
    """The recipes there are, in alphabetical order."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def load(name: str) -> Recipe:
    """The recipe of one of `names()`."""
    return importlib.import_module(f"{__name__}.{name}").RECIPE
