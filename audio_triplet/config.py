"""All configuration: frozen dataclasses, one tree for a training run, saved with the run.

Defaults are the paper's where it has a value. The bounds of a field are declared with its default
and checked when an object is made. `experiments.recipes` explains whether flag, recipe or default
decides a value. No TensorFlow here: flags are read before it is imported.
"""

import dataclasses
from collections.abc import Mapping

from audio_triplet import constraints, storage
from audio_triplet.checked import Checked, checked
from audio_triplet.errors import ConfigError

CONFIG_FILE = "config.json"
MININGS = ("semi_hard", "hardest", "random")
SCHEDULES = ("constant", "cosine")
ARCHITECTURES = ("vggish", "resnet50")
NORMALISATIONS = ("none", "batch")
GRANULARITIES = ("patch", "segment")
PRECISIONS = ("auto", "float32", "mixed_bfloat16")
LABELLINGS = ("auto", "single", "multi")
FEEDS = ("auto", "pipeline", "resident", "resident8")
STRATEGIES = ("auto", "cpu", "mirrored", "multi_worker", "tpu")

OBJECTIVES = ("triplet", "contrastive")
POOLINGS = ("mean", "time", "layers")
RESAMPLERS = ("soxr", "resampy")

# The paper's constraints, in the order of their ids in a batch. All there are:
# `audio_triplet.constraints.names()`.
CONSTRAINTS = ("gaussian_noise", "translation", "mixing", "proximity")

# The supervised topline.
EXPLICIT = "explicit"

# All of the paper's constraints at once in every pair, see `audio_triplet.augment` [D].
COMBINED = "combined"


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


# The one front end: changing it makes every trained model and prepared shard worthless.
FRONT_END = FrontEndConfig()


@dataclasses.dataclass(frozen=True)
class EmbedConfig(Checked):
    """How sound files become embeddings.

    Attributes:
      granularity: `patch`: an embedding every hop. `segment`: one for each row of a manifest, else
        for each file: the mean over its patches.
      hop_seconds: From the start of a patch to that of the next, a multiple of 0.01; the default
        sets them side by side.
      batch_size: Patches in a forward pass.
      threads: Files decoded at the same time; one a core at least, where LiteRT embeds them.
      precision: `float32`, the same on every machine; `mixed_bfloat16`, where hardware has it
        several times as fast and different in the third decimal; `auto`: that where it is faster.
    """

    granularity: str = checked("patch", choices=GRANULARITIES)
    hop_seconds: float = FRONT_END.patch_seconds
    batch_size: int = checked(64, least=1)
    threads: int = checked(2, least=1)
    precision: str = checked("float32", choices=PRECISIONS)

    def __post_init__(self):
        super().__post_init__()
        hops = self.hop_seconds / FRONT_END.hop_seconds
        if not 0.5 < hops < 1e6 or abs(hops - round(hops)) > 1e-6:
            raise ConfigError(
                f"hop_seconds={self.hop_seconds} must be a multiple of "
                f"{FRONT_END.hop_seconds}, and positive"
            )

    @property
    def hop_samples(self) -> int:
        """The hop in samples."""
        return round(self.hop_seconds / FRONT_END.hop_seconds) * FRONT_END.hop_samples


@dataclasses.dataclass(frozen=True)
class PrepareConfig(Checked):
    """How a corpus is prepared.

    Attributes:
      num_shards: Shards of each split; 0: as many as make shards of about 100 MB.
      resampler: `soxr` or `resampy`.
      max_bad_share: A greater share of bad files stops the run.
      truncated: Files of which an end is missing: `refuse` them, or `use` what is there.
      seed: Seed of the order of recordings in the shards.
    """

    num_shards: int = checked(0, least=0)
    resampler: str = checked("soxr", choices=RESAMPLERS)
    max_bad_share: float = checked(0.05, least=0, most=1)
    truncated: str = checked("refuse", choices=("refuse", "use"))
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class ClassifyConfig(Checked):
    """How a classifier of your own sounds is fitted.

    Attributes:
      hidden_units: Width of the hidden layer (the paper's has 512); 0 for none, which a few labels
        are enough for.
      likeness: Whether it also learns from how like sounds are to each labelled one, patch by
        patch, and keeps some of their vectors; not with a hidden layer.
      labelling: `single`: each sound is of one class; `multi`: of any number; `auto`: single if
        every labelled sound has one label.
      folds: Parts that the recordings are divided into for the cross-validated score.
      precision: What share of the sounds that are found to be of a class should be of it; each
        class gets the score from which on that holds.
      seed: Seed of the folds, the weights, and of what is drawn for the learning curve.
    """

    hidden_units: int = checked(0, least=0)
    likeness: bool = True
    labelling: str = checked("auto", choices=LABELLINGS)
    folds: int = checked(5, least=2)
    precision: float = checked(0.9, above=0, most=1)
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class CacheConfig(Checked):
    """Keeps decoded sound when sound files are trained on without preparing them.

    Attributes:
      cache_dir: Folder for decoded mel energies, filled in the first epoch: the second decodes
        nothing. May be shared by runs. Empty: every epoch decodes.
      cache_gigabytes: How large it may become; sound that does not fit is decoded every epoch.
    """

    cache_dir: str = ""
    cache_gigabytes: float = checked(50.0, least=0)


@dataclasses.dataclass(frozen=True)
class TripletConfig(Checked):
    """How triplets are made. The defaults are the paper's.

    Attributes:
      constraints: `joint`, or one of `audio_triplet.constraints.names()`.
      noise_sigma: σ of the Gaussian noise constraint.
      max_mel_shift: S, the largest shift in frequency in mel bands.
      mixing_alpha: α, energy of the mixed-in example relative to the anchor's.
      max_seconds_apart: Δt, bound on the distance in time of a temporal proximity pair.
      far_share: Share of the pairs of patches of one recording (`proximity`, `combined`) that lie
        in two of its chunks: in two files of it, takes of one sound, or beyond Δt in a long one.
        A recording with a single chunk has none. Needs prepared shards on this machine [D].
      shares: Weights of the constraints in `joint`, in the order of `constraints.joint_names()`,
        the paper's four first; constraints without a weight are not part of it.
      silence_energy: A patch whose mean mel energy per cell is not above this is silent: it is
        drawn neither as an anchor nor as a proximity positive [D]. A hundredth of it is
        negligible compared with the front end's log offset of 0.01.
      augment: Whether both patches of every pair are augmented as in `combined`, which always
        augments them [D].
      augment_alpha: Most energy of the example mixed in, relative to the patch's own.
      augment_sigma: Most σ of the noise; each patch gets an amount of its own.
      augment_equaliser: Standard deviation of the equaliser's gain at each of six points over the
        bands, in nepers of energy as the front end has it (0.5 is 4.3 dB).
      augment_gain: Standard deviation of the gain over all bands, in nepers.
      augment_zoom: Most enlargement in time and in frequency, as a natural logarithm; reduction is
        half as much. A reduced patch is shifted at random, with silence around it.
      augment_room: Share of the patches that are heard in a room: with reverberation.
      augment_background: Share of the patches that noise of a random colour is added to.
      augment_band: Share of the patches of which low and high bands are cut, as by a telephone.
      constraint_parameters: Parameters of constraints beyond the paper's, by name; those that are
        not here have the default of their constraint.
    """

    constraints: str = "joint"
    noise_sigma: float = 0.5
    max_mel_shift: int = 10
    mixing_alpha: float = 0.25
    max_seconds_apart: float = 10.0
    far_share: float = checked(0.0, least=0, most=1)
    shares: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)
    silence_energy: float = 1e-3
    augment: bool = False
    augment_alpha: float = checked(0.4, least=0)
    augment_sigma: float = checked(0.3, least=0)
    augment_equaliser: float = checked(0.5, least=0)
    augment_gain: float = checked(0.5, least=0)
    augment_zoom: float = checked(0.5, least=0)
    augment_room: float = checked(0.0, least=0, most=1)
    augment_background: float = checked(0.0, least=0, most=1)
    augment_band: float = checked(0.0, least=0, most=1)
    constraint_parameters: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        super().__post_init__()
        known = ("joint", *constraints.names())
        if self.constraints not in known:
            raise ConfigError(
                f"constraints={self.constraints!r} is unknown; choose from {', '.join(known)}"
            )
        fewest, most = len(CONSTRAINTS), len(constraints.joint_names())
        if not fewest <= len(self.shares) <= most or min(self.shares) < 0 or sum(self.shares) == 0:
            count = fewest if fewest == most else f"{fewest} to {most}"
            raise ConfigError(f"shares needs {count} weights >= 0, got {self.shares}")

    @property
    def in_two_chunks(self) -> bool:
        """Whether the patches of a pair may lie in two chunks."""
        return self.constraints == EXPLICIT or self.far_share > 0

    @property
    def augmented(self) -> bool:
        """Whether both patches of every pair are augmented."""
        return self.augment or (
            self.constraints != "joint" and constraints.get(self.constraints).augments
        )


@dataclasses.dataclass(frozen=True)
class PipelineConfig(Checked):
    """How batches are made.

    Attributes:
      batch_size: Triplets in a global batch.
      batches_per_visit: Batches made from one visit to the same recordings, each with patches of
        its own; above 1 it saves decoding when sound files are read on the fly [D].
      seed: Seed of all random draws.
    """

    batch_size: int = checked(64, least=2)  # a triplet needs a negative
    batches_per_visit: int = checked(1, least=1)
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class EncoderConfig(Checked):
    """The settings from which `build_encoder` builds the same network again.

    Attributes:
      architecture: `vggish` or `resnet50`.
      embedding_size: Dimensions of the embedding.
      width: Factor on the number of channels of every layer.
      normalisation: `none`, `batch`, or `default`: none for vggish, batch for resnet50.
      pooling: Of the last map: `mean` over time and frequency (the paper), or `time`: mean and
        maximum over time, concatenated, separately for each frequency; or `layers`, of vggish:
        besides the maximum of the map before, see `readout` [D].
      input_scaling: Whether each mel band is brought to mean 0 and deviation 1, as estimated on
        the unlabelled training audio before the first step [D].
      normalize_loudness: Whether each patch is brought to one mean energy first, so that a sound
        has the same embedding at any loudness [D].
    """

    architecture: str = checked("vggish", choices=ARCHITECTURES)
    embedding_size: int = checked(128, least=1)
    width: float = checked(1.0, above=0)
    normalisation: str = checked("default", choices=("default", *NORMALISATIONS))
    pooling: str = checked("mean", choices=POOLINGS)
    input_scaling: bool = False
    normalize_loudness: bool = False

    def __post_init__(self):
        super().__post_init__()
        if self.pooling == "layers" and self.architecture != "vggish":
            raise ConfigError(
                f"pooling='layers' is of vggish; of {self.architecture} take 'mean' or 'time'"
            )


@dataclasses.dataclass(frozen=True)
class TrainingConfig(Checked):
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
      memory: Number of anchors of earlier batches that are negatives too, as embedded then; 0:
        none (the paper). Their labels are not kept, so the topline has no memory [D].
      frozen_layers: The first convolutions, each with its normalisation, that keep the weights
        of the model that the run begins with; 0: all are trained.
      precision: `auto`, `float32` or `mixed_bfloat16`.
      seed: Seed of the initial weights.
      checkpoint_minutes: Longest time between checkpoints.
      checkpoint_steps: Most steps between checkpoints; 0: only time decides.
      log_steps: Steps from one log entry to the next.
    """

    steps: int = checked(1000, above=0)
    learning_rate: float = checked(1e-4, above=0)
    schedule: str = checked("constant", choices=SCHEDULES)
    warmup_steps: int = 0
    objective: str = checked("triplet", choices=OBJECTIVES)
    temperature: float = checked(0.1, above=0)
    margin: float = checked(0.1, above=0)
    mining: str = checked("semi_hard", choices=MININGS)
    memory: int = checked(0, least=0)
    frozen_layers: int = checked(0, least=0)
    precision: str = checked("auto", choices=PRECISIONS)
    seed: int = 0
    checkpoint_minutes: float = checked(5.0, above=0)
    checkpoint_steps: int = 0
    log_steps: int = checked(20, above=0)


# Fields by their earlier names, which config.json of older runs and exports still has. The flags
# keep them as aliases.
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


def current_names(values: dict) -> dict:
    """The same values under the names that fields have now."""
    return {RENAMED.get(name, name): value for name, value in values.items()}


# May differ between a run and its continuation: they change no weight, or only the run's length.
_FREE = {"steps", "checkpoint_minutes", "checkpoint_steps", "log_steps"}


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """All that shapes a trained encoder.

    Attributes:
      corpus: The value of `--corpus`, or the prepared folder.
      corpus_fingerprint: Digest of the corpus, so that a run is not continued on another one.
      splits: The splits trained on.
      triplets: Constraints.
      pipeline: Batches and seed.
      encoder: Network.
      training: Optimisation.
      init_model: Folder of the export whose weights the run begins with; empty: random ones.
      init_model_digest: That export's digest, so that a run is not continued with another one.
    """

    corpus: str = ""
    corpus_fingerprint: str = ""
    splits: tuple[str, ...] = ()
    triplets: TripletConfig = TripletConfig()
    pipeline: PipelineConfig = PipelineConfig()
    encoder: EncoderConfig = EncoderConfig()
    training: TrainingConfig = TrainingConfig()
    init_model: str = ""
    init_model_digest: str = ""

    def __post_init__(self):
        if self.training.frozen_layers and not self.init_model:
            raise ConfigError(
                f"frozen_layers={self.training.frozen_layers}: random layers would never be "
                "trained; begin with a model (--init_model), or freeze none"
            )
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
        parts = {
            "triplets": TripletConfig,
            "pipeline": PipelineConfig,
            "encoder": EncoderConfig,
            "training": TrainingConfig,
        }
        values = _with_tuples(content)
        for name, kind in parts.items():
            if name in values:
                values[name] = kind(**_with_tuples(current_names(values[name])))
        return cls(**values)

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


def _with_tuples(values: Mapping[str, object]) -> dict:
    """The same with tuples for lists, which JSON has for both."""
    return {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}


def _flat(config, prefix: str = "") -> dict[str, object]:
    """Dotted names → values of a tree of dataclasses, but places: digests tell what lies there."""
    values: dict[str, object] = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            values |= _flat(value, f"{prefix}{field.name}.")
        elif prefix or field.name not in ("corpus", "init_model"):
            values[f"{prefix}{field.name}"] = value
    return values
