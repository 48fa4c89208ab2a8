"""Models with the HEAR 2021 API: an installed module with `load_model` and two functions.

    hear:MODULE                                        its own weights, windows of 1 s
    hear:MODULE?weights=FILE&window=0.96&hop=0.48      others

The vector of a window is its scene embedding. The API has no word for how long a window should be,
so it is ours to choose; the rate is the model's.
"""

from __future__ import annotations

import importlib
import os
import sys
from importlib import metadata
from typing import Any

import numpy as np

from audio_triplet.embeddings.window_model import Window, WindowModel, digest_of
from audio_triplet.errors import ExportError

_WINDOW_SECONDS = 1.0
_FUNCTIONS = ("load_model", "get_scene_embeddings", "get_timestamp_embeddings")


def open_hear(name: str, options: dict[str, str]) -> WindowModel:
    """Loads a model by its module.

    Args:
      name: The module's dotted name.
      options: `weights`, `window`, `hop`, as typed.

    Raises:
      ExportError: The module is not installed, lacks the API, or cannot load its weights.
    """
    unknown = set(options) - {"weights", "window", "hop"}
    if unknown:
        raise ExportError(
            f"hear:{name}: unknown {', '.join(sorted(unknown))}; weights, window and hop are known"
        )
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        raise ExportError(
            f"hear:{name}: cannot be imported ({error}); install the package that has it"
        ) from error
    missing = [function for function in _FUNCTIONS if not hasattr(module, function)]
    if missing:
        raise ExportError(
            f"hear:{name}: has no {', '.join(missing)}; name the module that has the HEAR 2021 API"
        )
    weights = os.path.abspath(options["weights"]) if options.get("weights") else ""
    if weights and not os.path.exists(weights):
        raise ExportError(f"{weights}: is not there; give the model's weights")
    try:
        model = module.load_model(weights) if weights else module.load_model()
    except Exception as error:  # of any kind: it is the module's own code
        cause = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ExportError(
            f"hear:{name}: cannot load its weights ({cause}); give them by ?weights=FILE"
        ) from error
    values = {"window": _WINDOW_SECONDS, "rate": getattr(model, "sample_rate", None)} | options
    window = Window.of(values, f"hear:{name}")
    to_tensor = _tensors_of(model)
    told = {"module": name, "version": _version(name, module), "window": f"{window.seconds:g}"}
    files = [weights] if os.path.isfile(weights) else []
    if os.path.isdir(weights):  # a SavedModel, such as ours
        files = sorted(
            os.path.join(folder, file) for folder, _, names in os.walk(weights) for file in names
        )
    query = {"weights": weights} if weights else {}
    query |= {key: options[key] for key in ("window", "hop") if key in options}
    path = f"hear:{name}" + ("?" if query else "")
    return WindowModel(
        path + "&".join(f"{key}={value}" for key, value in query.items()),
        digest_of(told, *files),
        window,
        lambda windows: module.get_scene_embeddings(to_tensor(windows), model),
    )


def _tensors_of(model: Any):
    """What makes an array a tensor of the model's own library, where that is loaded."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(model, torch.nn.Module):
        return torch.from_numpy
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is not None and isinstance(model, tensorflow.Module):
        return tensorflow.constant
    return np.asarray


def _version(name: str, module: Any) -> str:
    """The module's version, as far as it is known: another one may have other weights."""
    if hasattr(module, "__version__"):
        return str(module.__version__)
    top = name.partition(".")[0]
    for distribution in metadata.packages_distributions().get(top, []):
        return metadata.version(distribution)
    return ""
