"""Writing encoder files, by which `quick_model` works: converted, compared, whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from absl import logging

from audio_triplet import front_end, storage
from audio_triplet.config import FRONT_END
from audio_triplet.embeddings import quick_model
from audio_triplet.embeddings.native_log import without_chatter
from audio_triplet.embeddings.quick_model import ENCODER_FILE, EncoderOrigin, QuickModel
from audio_triplet.embeddings.window_model import WindowModel
from audio_triplet.errors import AudioTripletError, DeploymentError, ExportError

if TYPE_CHECKING:
    from audio_triplet.embeddings.other_models import Embedder
    from audio_triplet.embeddings.saved_model import Model


def write(model: Model, folder: str) -> None:
    """Converts a model's encoder and writes it into a folder.

    Args:
      model: A loaded export.
      folder: Where the file will be: the export's own folder, or an index.

    Raises:
      DeploymentError: Its embeddings are not the SavedModel's (cosine below 0.9999).
      ExportError: The export has no encoder signature, or LiteRT is not installed.
    """
    from audio_triplet.embeddings import conversion, saved_model

    if model.precision != "float32":
        model = saved_model.Model(model.path)
    with without_chatter():
        content = conversion.encoder_tflite(model)
    patches = real_like_patches()
    expected = np.asarray(model.encode(patches))
    with storage.replacing(os.path.join(folder, ENCODER_FILE), unique=True) as path:
        quick_model.write_file(path, content, model.digest, 0.0)
        found = QuickModel(path).encode(patches)
        cosine = float((found * expected).sum(axis=1).min())
        if not cosine >= conversion.LEAST_COSINE["float32"]:
            raise DeploymentError(
                f"{model.path}: by LiteRT its embeddings differ (cosine {cosine:.5f}); no "
                f"{ENCODER_FILE} is written, TensorFlow serves"
            )
        quick_model.write_file(path, content, model.digest, round(cosine, 7))


def provide(
    folder: str, digest: str, model: Embedder | None = None, beside: Iterable[str] = ()
) -> bool:
    """Sees to it that a folder holds a model's encoder file.

    It is kept if it is there, copied if it lies beside the model, and else made.

    Args:
      folder: An index, or the export's own folder.
      digest: The model's digest.
      model: The model; None: it is not loaded, the file is copied or missing.
      beside: Folders that may hold the file.

    Returns:
      Whether it is there now. If it cannot be made, a line says why.
    """
    for place in (folder, *beside):
        path = os.path.join(place, ENCODER_FILE)
        try:
            if EncoderOrigin.read(path).model_digest != digest:
                continue
        except (OSError, ExportError):
            continue
        if place != folder:
            with storage.replacing(os.path.join(folder, ENCODER_FILE), unique=True) as temporary:
                shutil.copyfile(path, temporary)
        return True
    if model is None or isinstance(model, WindowModel | QuickModel) or not model.has_encoder:
        return False
    try:
        write(model, folder)
    except AudioTripletError as error:
        logging.info("%s", error)
        return False
    return True


def real_like_patches() -> np.ndarray:
    """Patches like those of real sound: float32[n, 96, 64] log mel.

    Voices (harmonics under a formant), hiss, clicks, falling tones and silence, from loud to faint.
    """
    random = np.random.default_rng(0)
    time = np.arange(FRONT_END.patch_samples) / FRONT_END.sample_rate
    sounds = [np.zeros_like(time)]
    for gain in (1.0, 0.1, 0.003):
        for pitch in (90.0, 240.0, 900.0):
            phase = 2 * np.pi * pitch * time * (1 + 0.1 * np.sin(9 * time))
            voice = sum(
                np.sin(number * phase) / (1 + ((number * pitch - 1200) / 600) ** 2)
                for number in range(1, int(7000 / pitch))
            )
            sounds.append(gain * voice * np.abs(np.sin(3 * np.pi * time)))
        hiss = random.normal(size=time.size)
        sounds += [
            gain * hiss,
            gain * hiss * (np.sin(2 * np.pi * 7 * time) > 0.97),
            gain * np.sin(2 * np.pi * (4000 - 1800 * time) * time) * np.exp(-4 * time),
            gain * np.cumsum(hiss) / 40,
        ]
    noise = 1e-4 * random.normal(size=(len(sounds), time.size))
    waveforms = np.asarray(sounds) + noise * (np.arange(len(sounds))[:, None] > 0)
    energies = [front_end.mel_energies_at_once(waveform) for waveform in waveforms]
    return front_end.log_mel_numpy(np.stack(energies))
