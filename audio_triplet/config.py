"""All configuration: frozen dataclasses, one tree for a training run, written beside it.

No TensorFlow here: scripts read their flags into these before they import it.
"""

import dataclasses

import numpy as np

from audio_triplet import storage
from audio_triplet.errors import ConfigError

CONFIG_FILE = "config.json"
MININGS = ("semi_hard", "hardest", "random")
SCHEDULES = ("constant", "cosine")
ARCHITECTURES = ("vggish", "resnet50")
NORMALISATIONS = ("none", "batch")
GRANULARITIES = ("patch", "segment")
PRECISIONS = ("auto", "float32", "mixed_bfloat16")
LABELLINGS = ("auto", "single", "multi")

CONSTRAINTS = ("gaussian_noise", "translation", "mixing", "proximity")
"""Class-agnostic constraints, in the order of their ids in a batch."""

EXPLICIT = "explicit"
"""The supervised topline; its id is `len(CONSTRAINTS)`."""

COMBINED = "combined"
"""All constraints at once in every pair, see `audio_triplet.augment`; its id is one more [D]."""

OBJECTIVES = ("triplet", "contrastive")
POOLINGS = ("mean", "time")


@dataclasses.dataclass(frozen=True)
class FrontEndConfig:
    """Parameters of the front end. None may change after a model was trained with them.

    Attributes:
      sample_rate: Samples per second of the waveform.
      window_samples: Length of the analysis window (25 ms).
      hop_samples: Step between windows (10 ms).
      fft_length: FFT points; the window is zero-padded to it.
      mel_bands: Number of mel bands F.
      mel_min_hz: Lower edge of the lowest band.
      mel_max_hz: Upper edge of the highest band.
      log_offset: Added to the energies before the logarithm.
      patch_frames: Frames T of a patch.
    """

    sample_rate: int = 16000
    window_samples: int = 400
    hop_samples: int = 160
    fft_length: int = 512
    mel_bands: int = 64
    mel_min_hz: float = 125.0
    mel_max_hz: float = 7500.0
    log_offset: float = 0.01
    patch_frames: int = 96

    @property
    def hop_seconds(self) -> float:
        """Seconds from one frame to the next."""
        return self.hop_samples / self.sample_rate

    @property
    def patch_samples(self) -> int:
        """Fewest samples that make a whole patch: 15,600, i.e. 0.975 s, for the defaults."""
        return (self.patch_frames - 1) * self.hop_samples + self.window_samples

    @property
    def patch_seconds(self) -> float:
        """Seconds from the start of a patch to the start of the next: 0.96 for the defaults."""
        return self.patch_frames * self.hop_seconds

    def frames(self, samples: int) -> int:
        """Number of whole windows in `samples` samples."""
        return max(0, 1 + (samples - self.window_samples) // self.hop_samples)


@dataclasses.dataclass(frozen=True)
class EmbedConfig:
    """How sound files become embeddings.

    Attributes:
      granularity: `patch`: an embedding every hop. `segment`: one for each row of a manifest, else
        for each file: the mean over its patches.
      hop_seconds: From the start of a patch to that of the next, a multiple of 0.01; the default
        sets them side by side.
      batch_size: Patches in a forward pass.
      threads: Files decoded at the same time.
      precision: `float32`, the same on every machine; `mixed_bfloat16`, where hardware has it
        several times as fast and different in the third decimal; `auto`: that where it is faster.
    """

    granularity: str = "patch"
    hop_seconds: float = FrontEndConfig().patch_seconds
    batch_size: int = 64
    threads: int = 2
    precision: str = "float32"

    def __post_init__(self):
        if self.granularity not in GRANULARITIES:
            raise ConfigError(
                f"granularity={self.granularity!r} is none of {', '.join(GRANULARITIES)}"
            )
        if self.precision not in PRECISIONS:
            raise ConfigError(f"precision={self.precision!r} is none of {', '.join(PRECISIONS)}")
        hops = self.hop_seconds / FrontEndConfig().hop_seconds
        if not 0.5 < hops < 1e6 or abs(hops - round(hops)) > 1e-6:
            raise ConfigError(
                f"hop_seconds={self.hop_seconds} must be a multiple of "
                f"{FrontEndConfig().hop_seconds}, and positive"
            )
        if self.batch_size < 1 or self.threads < 1:
            raise ConfigError("batch_size and threads must be at least 1")

    @property
    def hop_samples(self) -> int:
        """The hop in samples."""
        config = FrontEndConfig()
        return round(self.hop_seconds / config.hop_seconds) * config.hop_samples


@dataclasses.dataclass(frozen=True)
class PrepareConfig:
    """How a corpus is prepared.

    Attributes:
      num_shards: Shards of each split; 0: as many as make shards of about 100 MB.
      resampler: `soxr` or `resampy`.
      max_bad_share: A greater share of bad files stops the run.
      seed: Seed of the order of recordings in the shards.
    """

    num_shards: int = 0
    resampler: str = "soxr"
    max_bad_share: float = 0.05
    seed: int = 0

    def __post_init__(self):
        if self.resampler not in ("soxr", "resampy"):
            raise ConfigError(f"resampler={self.resampler!r} is neither soxr nor resampy")
        if not 0 <= self.max_bad_share <= 1 or self.num_shards < 0:
            raise ConfigError("max_bad_share must lie in 0 … 1, and num_shards not be negative")


@dataclasses.dataclass(frozen=True)
class ClassifyConfig:
    """How a classifier of one's own sounds is fitted.

    Attributes:
      hidden_units: Width of the hidden layer (the paper's has 512); 0 for none, which a few labels
        are enough for.
      labelling: `single`: each sound is of one class; `multi`: of any number; `auto`: single if
        every labelled sound has one label.
      folds: Parts that the recordings are divided into for the cross-validated score.
      seed: Seed of the folds, the weights, and of what is drawn for the learning curve.
    """

    hidden_units: int = 0
    labelling: str = "auto"
    folds: int = 5
    seed: int = 0

    def __post_init__(self):
        if self.labelling not in LABELLINGS:
            raise ConfigError(f"labelling={self.labelling!r} is none of {', '.join(LABELLINGS)}")
        if self.hidden_units < 0 or self.folds < 2:
            raise ConfigError("hidden_units must not be negative, and folds be at least 2")


@dataclasses.dataclass(frozen=True)
class CacheConfig:
    """Where decoded sound is kept when sound files are trained on without preparing them.

    Attributes:
      cache_dir: Folder for decoded mel energies, filled in the first epoch: the second decodes
        nothing. May be shared by runs. Empty: every epoch decodes.
      cache_gigabytes: How large it may become; what finds no room is decoded in every epoch.
    """

    cache_dir: str = ""
    cache_gigabytes: float = 50.0

    def __post_init__(self):
        if self.cache_gigabytes < 0:
            raise ConfigError(f"cache_gigabytes={self.cache_gigabytes} must not be negative")


@dataclasses.dataclass(frozen=True)
class TripletConfig:
    """How triplets are made. The defaults are the paper's.

    Attributes:
      constraints: `joint`, one of `CONSTRAINTS`, `explicit`, or `combined`: every pair is two
        patches of one recording less than Δt apart (the same one where there is no other), each
        mixed, noised, equalised, amplified and shifted by the amounts below [D].
      noise_sigma: σ of the Gaussian noise constraint.
      max_mel_shift: S, the largest shift in frequency in mel bands.
      mixing_alpha: α, energy of the mixed-in example relative to the anchor's.
      max_seconds_apart: Δt, bound on the distance in time of a temporal proximity pair.
      shares: Weights of the constraints in `joint`, in the order of `CONSTRAINTS`.
      silence_energy: A patch whose mean mel energy per cell is not above this is silent: it is
        drawn neither as an anchor nor as a proximity positive [D]. A hundredth of it is lost
        beside the front end's log offset of 0.01.
      augment: Whether both patches of every pair are augmented as in `combined`, which always is [D].
      augment_alpha: Most energy of the example mixed in, relative to the patch's own.
      augment_sigma: Most σ of the noise; each patch gets an amount of its own.
      augment_equaliser: Standard deviation of the equaliser's gain at each of six points over the
        bands, in nepers of energy as the front end has it (0.5 is 4.3 dB).
      augment_gain: Standard deviation of the gain over all bands, in nepers.
      augment_zoom: Most enlargement in time and in frequency, as a natural logarithm; reduction is
        half as much. What is reduced is shifted at random and silence is around it.
    """

    constraints: str = "joint"
    noise_sigma: float = 0.5
    max_mel_shift: int = 10
    mixing_alpha: float = 0.25
    max_seconds_apart: float = 10.0
    shares: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)
    silence_energy: float = 1e-3
    augment: bool = False
    augment_alpha: float = 0.4
    augment_sigma: float = 0.3
    augment_equaliser: float = 0.5
    augment_gain: float = 0.5
    augment_zoom: float = 0.5

    def __post_init__(self):
        known = ("joint", *CONSTRAINTS, EXPLICIT, COMBINED)
        if self.constraints not in known:
            raise ConfigError(
                f"constraints={self.constraints!r} is unknown; choose from {', '.join(known)}"
            )
        if len(self.shares) != len(CONSTRAINTS) or min(self.shares) < 0 or sum(self.shares) == 0:
            raise ConfigError(f"shares needs {len(CONSTRAINTS)} weights >= 0, got {self.shares}")
        for name in ("alpha", "sigma", "equaliser", "gain", "zoom"):
            if getattr(self, f"augment_{name}") < 0:
                raise ConfigError(f"augment_{name}={getattr(self, f'augment_{name}')} is negative")

    @property
    def augmented(self) -> bool:
        """Whether both patches of every pair are augmented."""
        return self.augment or self.constraints == COMBINED

    def pattern(self, batch_size: int) -> np.ndarray:
        """Which constraint each place of a batch gets.

        Shares are as equal as `shares` asks (largest remainder), and interleaved, so that a batch
        split over replicas gives each its part of every constraint.

        Args:
          batch_size: Triplets in a (global) batch.

        Returns:
          int32[batch_size] of places in (*CONSTRAINTS, EXPLICIT, COMBINED).
        """
        if self.constraints != "joint":
            kind = (*CONSTRAINTS, EXPLICIT, COMBINED).index(self.constraints)
            return np.full(batch_size, kind, np.int32)
        exact = np.asarray(self.shares) / sum(self.shares) * batch_size
        counts = np.floor(exact).astype(int)
        for index in np.argsort(counts - exact, kind="stable")[: batch_size - counts.sum()]:
            counts[index] += 1
        # The n-th of `count` places of a constraint belongs at (n + 1/2) / count of the batch.
        places = [
            ((place + 0.5) / count, constraint)
            for constraint, count in enumerate(counts)
            for place in range(count)
        ]
        return np.array([constraint for _, constraint in sorted(places)], np.int32)


@dataclasses.dataclass(frozen=True)
class PipelineConfig:
    """How batches are made.

    Attributes:
      batch_size: Triplets in a global batch.
      batches_per_visit: Batches made from one visit to the same recordings, each with patches of
        its own; above 1 it saves decoding when sound files are read on the fly [D].
      seed: Seed of everything that is drawn.
    """

    batch_size: int = 64
    batches_per_visit: int = 1
    seed: int = 0

    def __post_init__(self):
        if self.batch_size < 2 or self.batches_per_visit < 1:
            raise ConfigError(
                f"batch_size={self.batch_size} must be at least 2 (a triplet needs a negative) and "
                f"batches_per_visit={self.batches_per_visit} at least 1"
            )


@dataclasses.dataclass(frozen=True)
class EncoderConfig:
    """What `build_encoder` needs to build the same network again.

    Attributes:
      architecture: `vggish` or `resnet50`.
      embedding_size: Dimensions of the embedding.
      width: Factor on the number of channels of every layer.
      normalisation: `none`, `batch`, or `default`: none for vggish, batch for resnet50.
      pooling: Of the last map: `mean` over time and frequency (the paper), or `time`: mean and
        maximum over time beside each other, each frequency kept apart [D].
      input_scaling: Whether each mel band is brought to mean 0 and deviation 1, as estimated on
        the unlabelled training audio before the first step [D].
      normalize_loudness: Whether each patch is brought to one mean energy first, so that sound is heard
        alike at any level [D].
    """

    architecture: str = "vggish"
    embedding_size: int = 128
    width: float = 1.0
    normalisation: str = "default"
    pooling: str = "mean"
    input_scaling: bool = False
    normalize_loudness: bool = False

    def __post_init__(self):
        if self.architecture not in ARCHITECTURES:
            raise ConfigError(
                f"architecture={self.architecture!r} is none of {', '.join(ARCHITECTURES)}"
            )
        if self.normalisation not in ("default", *NORMALISATIONS):
            raise ConfigError(
                f"normalisation={self.normalisation!r} is none of default, "
                f"{', '.join(NORMALISATIONS)}"
            )
        if self.pooling not in POOLINGS:
            raise ConfigError(f"pooling={self.pooling!r} is none of {', '.join(POOLINGS)}")
        if self.embedding_size < 1 or self.width <= 0:
            raise ConfigError(
                f"embedding_size={self.embedding_size} and width={self.width} must be positive"
            )


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """How an encoder is trained.

    Attributes:
      steps: Training steps.
      learning_rate: Adam's; the paper's is 1e-4.
      schedule: `constant` (the paper), or `cosine` down to zero at the last step.
      warmup_steps: Steps over which the learning rate rises from zero.
      objective: `triplet` (the paper), or `contrastive`: each pair against all other patches of
        the batch, by the cross-entropy of a softmax (InfoNCE) [D].
      temperature: Of the contrastive objective.
      margin: δ of the triplet loss.
      mining: `semi_hard` (the paper), `hardest`, or `random` for no mining.
      memory: So many anchors of the batches before are negatives too, as they were embedded then;
        0: none (the paper). Their labels are not kept, so the topline does without [D].
      precision: `auto`, `float32` or `mixed_bfloat16`.
      seed: Seed of the initial weights.
      checkpoint_minutes: Longest time between checkpoints.
      checkpoint_steps: Most steps between checkpoints; 0: time alone decides.
      log_steps: Steps from one log entry to the next.
    """

    steps: int = 1000
    learning_rate: float = 1e-4
    schedule: str = "constant"
    warmup_steps: int = 0
    objective: str = "triplet"
    temperature: float = 0.1
    margin: float = 0.1
    mining: str = "semi_hard"
    memory: int = 0
    precision: str = "auto"
    seed: int = 0
    checkpoint_minutes: float = 5.0
    checkpoint_steps: int = 0
    log_steps: int = 20

    def __post_init__(self):
        if self.mining not in MININGS:
            raise ConfigError(f"mining={self.mining!r} is none of {', '.join(MININGS)}")
        if self.schedule not in SCHEDULES:
            raise ConfigError(f"schedule={self.schedule!r} is none of {', '.join(SCHEDULES)}")
        if self.objective not in OBJECTIVES:
            raise ConfigError(f"objective={self.objective!r} is none of {', '.join(OBJECTIVES)}")
        for name in (
            "steps",
            "learning_rate",
            "temperature",
            "margin",
            "log_steps",
            "checkpoint_minutes",
        ):
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name}={getattr(self, name)} must be positive")
        if self.memory < 0:
            raise ConfigError(f"memory={self.memory} is negative; 0 remembers nothing")


PRESETS = {
    # The dataclasses' defaults are the paper's; scripts have a higher learning rate.
    "paper": {"learning_rate": 1e-4},
    # What the measurements in BUILD_NOTES, "What helps", found best for its cost; label-free.
    "best": {
        "constraints": COMBINED,
        "augment": True,
        "objective": "contrastive",
        "normalisation": "batch",
        "pooling": "time",
        "input_scaling": True,
        "batch_size": 128,
        "learning_rate": 1e-3,
        "schedule": "cosine",
        "warmup_steps": 20,
        "steps": 1000,
    },
}
"""Values of the fields of a `RunConfig`'s parts, by the name of the preset."""

RENAMED = {
    "vary": "augment",
    "vary_alpha": "augment_alpha",
    "vary_sigma": "augment_sigma",
    "vary_equaliser": "augment_equaliser",
    "vary_gain": "augment_gain",
    "vary_zoom": "augment_zoom",
    "input_level": "normalize_loudness",
    "level": "granularity",
}
"""Fields by their earlier names, which config.json of older runs and exports still has.

The flags keep the earlier names as aliases.
"""


def current_names(values: dict) -> dict:
    """The same values under the names that fields have now."""
    return {RENAMED.get(name, name): value for name, value in values.items()}


# May differ between a run and its continuation: they shape no weight, or only how long it trains.
_FREE = {"steps", "checkpoint_minutes", "checkpoint_steps", "log_steps"}


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """All that shapes a trained encoder.

    Attributes:
      corpus: What `--corpus` said, or the prepared folder.
      corpus_fingerprint: Digest of the corpus, so that a run is not continued on another one.
      splits: Splits trained on.
      triplets: Constraints.
      pipeline: Batches and seed.
      encoder: Network.
      training: Optimisation.
    """

    corpus: str = ""
    corpus_fingerprint: str = ""
    splits: tuple[str, ...] = ()
    triplets: TripletConfig = TripletConfig()
    pipeline: PipelineConfig = PipelineConfig()
    encoder: EncoderConfig = EncoderConfig()
    training: TrainingConfig = TrainingConfig()

    def __post_init__(self):
        if self.triplets.constraints == EXPLICIT and self.training.memory:
            raise ConfigError(
                f"memory={self.training.memory}: labels are not remembered, so explicit triplets "
                "take no negatives from there; use memory=0"
            )

    def write(self, folder: str) -> None:
        """Writes config.json into a folder, whole or not at all."""
        storage.write_json(storage.join(folder, CONFIG_FILE), dataclasses.asdict(self))

    @classmethod
    def read(cls, folder: str) -> "RunConfig":
        """Reads config.json of a folder.

        Raises:
          ConfigError: It is missing or damaged.
        """
        path = storage.join(folder, CONFIG_FILE)
        try:
            return cls.from_dict(storage.read_json(path))
        except FileNotFoundError as error:
            raise ConfigError(f"{path}: missing; is {folder} the folder of a run?") from error
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ConfigError(f"{path}: is damaged ({error}); restore or delete the run") from error

    @classmethod
    def from_dict(cls, content: dict) -> "RunConfig":
        """The inverse of `dataclasses.asdict`, after a round trip through JSON."""

        def part(kind, values):
            values = current_names(values)
            return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})

        nested = {
            "triplets": TripletConfig,
            "pipeline": PipelineConfig,
            "encoder": EncoderConfig,
            "training": TrainingConfig,
        }
        return cls(
            **{
                name: part(nested[name], value)
                if name in nested
                else tuple(value)
                if isinstance(value, list)
                else value
                for name, value in content.items()
            }
        )

    def check_continues(self, earlier: "RunConfig", folder: str) -> None:
        """Raises ConfigError unless a run of `earlier` can be continued with this configuration."""
        mine, theirs = _flat(self), _flat(earlier)
        differing = [
            f"{name} (there {theirs.get(name)!r}, now {value!r})"
            for name, value in mine.items()
            if theirs.get(name) != value and name.rsplit(".", 1)[-1] not in _FREE
        ]
        scheduled = self.training.schedule != "constant"
        if scheduled and self.training.steps != earlier.training.steps:
            differing.append(
                f"training.steps (there {earlier.training.steps}, now {self.training.steps}: "
                "the learning rate schedule depends on it)"
            )
        if differing:
            raise ConfigError(
                f"{folder}: holds a run with another configuration: {'; '.join(differing)}; "
                "choose another --output_dir, or --noresume to replace it"
            )


def _flat(config, prefix: str = "") -> dict:
    """Dotted names → values of a tree of dataclasses. The corpus is known by its fingerprint."""
    values = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            values |= _flat(value, f"{prefix}{field.name}.")
        elif prefix or field.name != "corpus":
            values[f"{prefix}{field.name}"] = value
    return values
