"""The parameters of sweeps, their values, and the runs that they need."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from audio_triplet.config import COMBINED, CONSTRAINTS, MININGS, RunConfig

BASE = "base"


def _numbers(part: str, field: str, values: Sequence[float]) -> dict[str, dict]:
    """Numbers for one field of one part."""
    return {f"{value:g}": {part: {field: value}} for value in values}


def _shares() -> dict[str, dict]:
    """Equal weights; each constraint left out; each with as much as the others together."""
    found = {"equal": tuple(1.0 for _ in CONSTRAINTS)}
    for name in CONSTRAINTS:
        found[f"no {name}"] = tuple(float(name != other) for other in CONSTRAINTS)
        rest = float(len(CONSTRAINTS) - 1)
        found[f"half {name}"] = tuple(rest if name == other else 1.0 for other in CONSTRAINTS)
    return {label: {"triplets": {"shares": shares}} for label, shares in found.items()}


_AUGMENTATIONS = ("alpha", "sigma", "equaliser", "gain", "zoom")

# Parameter → name of a value → part of the run's configuration → fields. The last two are the
# differences between the recipes `best` and `paper`, each taken from the one or added to the other.
PARAMETERS: dict[str, dict[str, dict]] = {
    "noise_sigma": _numbers("triplets", "noise_sigma", (0.1, 0.25, 0.5, 1.0)),
    "max_mel_shift": _numbers("triplets", "max_mel_shift", (0, 2, 5, 10, 20)),
    "mixing_alpha": _numbers("triplets", "mixing_alpha", (0.05, 0.1, 0.25, 0.5, 1.0)),
    "max_seconds_apart": _numbers("triplets", "max_seconds_apart", (1.0, 2.0, 4.0, 10.0)),
    "margin": _numbers("training", "margin", (0.02, 0.05, 0.1, 0.2, 0.5)),
    "embedding_size": _numbers("encoder", "embedding_size", (32, 64, 128, 256, 512)),
    "batch_size": _numbers("pipeline", "batch_size", (16, 32, 64, 128, 256)),
    "shares": _shares(),
    "mining": {name: {"training": {"mining": name}} for name in MININGS},
    "memory": _numbers("training", "memory", (0, 64, 256, 1024)),
    "architecture": {
        f"{name}, {'batch norm' if norm == 'batch' else 'no norm'}": {
            "encoder": {"architecture": name, "normalisation": norm}
        }
        for name in ("vggish", "resnet50")
        for norm in ("none", "batch")
    },
    "width": _numbers("encoder", "width", (0.125, 0.25, 0.5, 1.0)),
    "learning_rate": _numbers("training", "learning_rate", (1e-4, 3e-4, 1e-3, 3e-3)),
    "steps": _numbers("training", "steps", (40, 80, 150, 300, 600)),
    "best_without": {
        "variations": {"triplets": {f"augment_{name}": 0.0 for name in _AUGMENTATIONS}},
        **{name: {"triplets": {f"augment_{name}": 0.0}} for name in _AUGMENTATIONS},
        "neighbours in time": {"triplets": {"max_seconds_apart": 0.5}},
        "contrastive objective": {"training": {"objective": "triplet"}},
        "pooling over time alone": {"encoder": {"pooling": "mean"}},
        "batch norm": {"encoder": {"normalisation": "none"}},
        "input scaling": {"encoder": {"input_scaling": False}},
        "schedule": {"training": {"schedule": "constant", "warmup_steps": 0}},
    },
    "paper_with": {
        "variations": {"triplets": {"augment": True}},
        "combined pairs": {"triplets": {"constraints": COMBINED}},
        "contrastive objective": {"training": {"objective": "contrastive"}},
        "pooling over time alone": {"encoder": {"pooling": "time"}},
        "batch norm": {"encoder": {"normalisation": "batch"}},
        "input scaling": {"encoder": {"input_scaling": True}},
        "input level": {"encoder": {"normalize_loudness": True}},
        "schedule": {"training": {"schedule": "cosine", "warmup_steps": 20}},
    },
}

# The default parameters of a sweep.
DEFAULT = [name for name in PARAMETERS if name not in ("best_without", "paper_with")]

TITLES = {
    "noise_sigma": "σ of the noise",
    "max_mel_shift": "S, bands of shift",
    "mixing_alpha": "α of the mixture",
    "max_seconds_apart": "Δt, seconds apart",
    "margin": "δ, margin",
    "embedding_size": "embedding size",
    "batch_size": "batch, triplets",
    "shares": "constraint weights",
    "mining": "negatives",
    "memory": "remembered anchors",
    "architecture": "architecture",
    "width": "width",
    "learning_rate": "learning rate",
    "steps": "steps",
    "best_without": "the preset best without",
    "paper_with": "the paper's method with",
}

# Parameter → name of the paper's value, where one of its values is.
PAPER = {
    "noise_sigma": "0.5",
    "max_mel_shift": "10",
    "mixing_alpha": "0.25",
    "max_seconds_apart": "10",
    "margin": "0.1",
    "embedding_size": "128",
    "shares": "equal",
    "mining": "semi_hard",
    "memory": "0",
    "architecture": "resnet50, batch norm",
    "width": "1",
    "learning_rate": "0.0001",
}


def changed(config: RunConfig, change: dict[str, dict]) -> RunConfig:
    """A run's configuration with some fields of its parts changed."""
    parts = {
        part: dataclasses.replace(getattr(config, part), **fields)
        for part, fields in change.items()
    }
    return dataclasses.replace(config, **parts)


def is_base(config: RunConfig, change: dict[str, dict]) -> bool:
    """Whether a change leaves the run as it is."""
    return resolved(changed(config, change)) == resolved(config)


def resolved(config: RunConfig) -> RunConfig:
    """The configuration with the default normalisation named."""
    if config.encoder.normalisation != "default":
        return config
    name = "batch" if config.encoder.architecture == "resnet50" else "none"
    return changed(config, {"encoder": {"normalisation": name}})


def plan(base: RunConfig, parameters: Sequence[str]) -> dict[str, dict]:
    """The runs to make: label → change; the baseline first, and only once."""
    runs: dict[str, dict] = {BASE: {}}
    for parameter in parameters:
        for value, change in PARAMETERS[parameter].items():
            if not is_base(base, change):
                runs[f"{parameter}={value}"] = change
    return runs


def is_ordered(parameter: str) -> bool:
    """Whether its values are numbers."""
    return next(iter(PARAMETERS[parameter])).replace(".", "").isdigit()


def name_of_base(base: RunConfig, parameter: str) -> str:
    """The name of the baseline's own value, if it is none of the parameter's values."""
    if not is_ordered(parameter):
        return "as given"
    ((part, fields),) = next(iter(PARAMETERS[parameter].values())).items()
    (field,) = fields
    return f"{getattr(getattr(base, part), field):g}"
