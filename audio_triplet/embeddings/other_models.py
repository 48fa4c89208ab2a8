"""One door to all models: --model=FOLDER is one of ours, --model=KIND:… one of others.

    open_model("models/debian-sounds")             a SavedModel of the contract
    open_model("hear:panns_hear?weights=FILE")     an installed module with the HEAR 2021 API
    open_model("tflite:BirdNET.tflite")            a file, with JSON beside it
    open_model("onnx:perch.onnx")                  likewise

`open_embedder` opens the same models for whoever only embeds by them: one of ours by its encoder
file, which is quicker. No TensorFlow here but for a SavedModel.
"""

from __future__ import annotations

import dataclasses
import urllib.parse
from typing import TYPE_CHECKING, Any, TypeAlias

from audio_triplet.embeddings import model_files, quick_model
from audio_triplet.errors import ExportError

if TYPE_CHECKING:
    from audio_triplet.config import EmbedConfig
    from audio_triplet.embeddings.quick_model import QuickModel
    from audio_triplet.embeddings.saved_model import Model
    from audio_triplet.embeddings.window_model import WindowModel

    AnyModel: TypeAlias = Model | WindowModel
    Embedder: TypeAlias = Model | QuickModel | WindowModel


def open_model(spec: str | None = None, precision: str = "float32") -> AnyModel:
    """Opens a model.

    Args:
      spec: A folder, `hear:MODULE[?weights=FILE&window=SECONDS&hop=SECONDS]`, `tflite:FILE` or
        `onnx:FILE`; None: the released model.
      precision: Of one of ours, see `saved_model.Model`; others compute as they do.

    Raises:
      ExportError: It is not there, cannot be loaded, or is not what it is said to be.
    """
    kind, _, rest = (spec or "").partition(":")
    if spec is None or not model_files.is_of_others(spec):
        from audio_triplet.embeddings.saved_model import Model

        return Model(spec or model_files.released_model_path(), precision)
    if not rest:
        raise ExportError(f"{spec}: names no model; write {kind}:{model_files.OTHERS[kind]}")
    if kind == "hear":
        from audio_triplet.embeddings.hear_model import open_hear

        name, _, query = rest.partition("?")
        pairs = urllib.parse.parse_qsl(query, keep_blank_values=True)
        return open_hear(name, dict(pairs))
    from audio_triplet.embeddings.file_models import open_file

    return open_file(kind, rest)


def open_embedder(spec: str | None = None, precision: str = "float32") -> Embedder:
    """Opens a model to embed sound by.

    In float32 one of ours is its encoder file, if that lies beside it, by MNN or by LiteRT: these
    take a third and two thirds of the time that TensorFlow takes, start at once, and differ by
    rounding.

    Args:
      spec: As of `open_model`.
      precision: Likewise.

    Raises:
      ExportError: As `open_model`.
    """
    if precision == "float32" and (spec is None or not model_files.is_of_others(spec)):
        path = spec or model_files.released_model_path()
        model_files.check_model(path)
        if found := quick_model.find([path], model_files.digest_of(path)):
            from audio_triplet.embeddings import mnn_encoder

            mnn_encoder.serve(found)
            return found
    return open_model(spec, precision)


def with_own_hop(config: EmbedConfig, model: Any) -> EmbedConfig:
    """The configuration with the hop that a model of others names; of ours as it is."""
    window = getattr(model, "window", None)
    return config if window is None else dataclasses.replace(config, hop_seconds=window.hop_seconds)
