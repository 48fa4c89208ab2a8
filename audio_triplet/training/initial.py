"""Beginning with the weights of an earlier export: fine-tuning.

    model = initial.describe("released")       # its path, digest and network; no TensorFlow
    config = RunConfig(encoder=model.network, init_model=model.path, init_model_digest=model.digest)
    initial.apply(trainer)                     # at step 0; `loop.run` does it

An export's weights are all of it: band scaling and the moving statistics of batch normalisation
come along. The optimizer begins anew.
"""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING, Any

from audio_triplet import storage
from audio_triplet.config import CONFIG_FILE, EncoderConfig, current_names
from audio_triplet.embeddings import model_files
from audio_triplet.errors import ConfigError, ExportError

if TYPE_CHECKING:
    from audio_triplet.training.trainer import Trainer

RELEASED = "released"


@dataclasses.dataclass(frozen=True)
class InitialModel:
    """An export to begin with.

    Attributes:
      path: Its folder.
      digest: Of its graph and weights.
      network: The network that it holds.
    """

    path: str
    digest: str
    network: EncoderConfig


def describe(path: str) -> InitialModel:
    """What an export holds, by its config.json.

    Args:
      path: Its folder; `released`: the released model.

    Raises:
      ExportError: It is not there, or not an export of ours.
    """
    if path == RELEASED:
        path = model_files.released_model_path()
    if not model_files.holds_model(path):
        raise ExportError(
            f"{path}: holds no saved_model.pb; give the folder of an export "
            f"(OUTPUT_DIR/export of a run), or {RELEASED!r}"
        )
    described = metadata(path).get("model", {})
    names = {field.name for field in dataclasses.fields(EncoderConfig)}
    try:
        if "architecture" not in described:
            raise KeyError("it names no architecture")
        described = current_names(described)
        network = EncoderConfig(**{name: described[name] for name in names & set(described)})
    except (AttributeError, ConfigError, KeyError, TypeError) as error:
        cause = error.args[0] if error.args else error
        raise ExportError(
            f"{path}: its {CONFIG_FILE} does not describe a network of audio_triplet ({cause}); "
            "begin with an export of train_embedding"
        ) from error
    return InitialModel(path, model_files.digest_of(path), network)


def apply(trainer: Trainer) -> None:
    """Gives a trainer's encoder the weights that its configuration names.

    Args:
      trainer: Before its first step; on all replicas.

    Raises:
      ExportError: The export is gone, damaged, another than the run was configured with, or of
        another network.
    """
    from audio_triplet.embeddings.saved_model import Model

    config = trainer.config
    model = Model(config.init_model)
    if model.digest != config.init_model_digest:
        raise ExportError(
            f"{config.init_model}: is another model than this run was to begin with; "
            "give that one, or another --output_dir"
        )
    values = [variable.numpy() for variable in model.network.variables]
    variables = trainer.encoder.variables
    shapes = [tuple(variable.shape) for variable in variables]
    if shapes != [value.shape for value in values]:
        raise ExportError(
            f"{config.init_model}: holds another network than {config.encoder.architecture} of "
            f"width {config.encoder.width:g}; train the network that it holds"
        )
    with trainer.strategy.scope():
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)


def provenance(path: str, digest: str) -> dict[str, Any]:
    """What an export says of the model that it began with.

    Args:
      path: Folder of that model.
      digest: Its digest.

    Returns:
      `path`, `digest`, and if it is still there how it was trained: `corpus`, `steps_done`,
      `commit`, `date`, and the model that it began with itself, as far as known.
    """
    told: dict[str, Any] = {"path": path, "digest": digest}
    try:
        content = metadata(path)
    except ExportError:
        return told
    if content.get("digest") != digest:
        return told
    trained = content.get("training", {})
    told |= {name: trained[name] for name in ("corpus", "steps_done") if name in trained}
    names = ("commit", "date", "initial_model")
    return told | {name: content[name] for name in names if name in content}


def metadata(path: str) -> dict[str, Any]:
    """config.json of an export; {} if there is none.

    Raises:
      ExportError: It is damaged.
    """
    file = os.path.join(path, CONFIG_FILE)
    try:
        content = storage.read_json(file)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ExportError(f"{file}: is damaged ({error}); copy the export again") from error
    return content if isinstance(content, dict) else {}
