"""The recipe of the network trained from scratch. No TensorFlow here: flags are read from it."""

import dataclasses

from audio_triplet.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class ScratchConfig:
    """How the network from scratch is trained [D].

    Attributes:
      steps: Most steps, where clips can be held back to choose the number; the learning rate
        falls to zero over them as a cosine.
      fixed_steps: Steps where there are too few recordings to hold any back, and the fewest
        where there are enough.
      batch_size: Patches per step.
      learning_rate: AdamW's at the start.
      weight_decay: Decoupled, in units of the learning rate; kernels only.
      dropout: Rate before the classification layer.
      noise_sigma: σ of the multiplicative noise, as in the constraint; 0 for none.
      max_mel_shift: Largest shift in frequency, in mel bands; 0 for none.
      mixup: Both parameters of the beta distribution of a mixture's larger share; 0 for none.
      silence_energy: Patches whose mean mel energy per cell is not above this are drawn again.
      evaluate_steps: Steps from one evaluation on the held-back clips to the next.
      patience: Stop after this many evaluations without a better mAP.
      validation_fraction: Share of each class's recordings held back; 0 for none.
    """

    steps: int = 1000
    fixed_steps: int = 400
    batch_size: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    dropout: float = 0.3
    noise_sigma: float = 0.5
    max_mel_shift: int = 4
    mixup: float = 0.4
    silence_energy: float = 1e-3
    evaluate_steps: int = 100
    patience: int = 3
    validation_fraction: float = 0.2

    def plain(self) -> "ScratchConfig":
        """The same without augmentation, as the paper's: on the clips as they are."""
        return dataclasses.replace(self, noise_sigma=0.0, max_mel_shift=0, mixup=0.0)

    def __post_init__(self):
        for name in ("steps", "fixed_steps", "batch_size", "evaluate_steps", "patience"):
            if getattr(self, name) < 1:
                raise ConfigError(f"scratch {name}={getattr(self, name)} must be at least 1")
        if self.learning_rate <= 0:
            raise ConfigError(f"scratch learning_rate={self.learning_rate} must be positive")
        for name in ("weight_decay", "noise_sigma", "max_mel_shift", "mixup", "silence_energy"):
            if getattr(self, name) < 0:
                raise ConfigError(f"scratch {name}={getattr(self, name)} must not be negative")
        for name in ("dropout", "validation_fraction"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"scratch {name}={getattr(self, name)} must lie in [0, 1)")
