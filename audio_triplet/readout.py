"""An encoder's last layer, made anew after training from what all of the network hears.

    encoder, config = readout.read_from_layers(encoder, config, batches)  # batches of log mel

The objective asks to tell recordings apart, and what a layer does not need for it, it forgets: the
maps before the last layer know more of a sound than the embedding does, as contrastive learning
knows of its projection heads (Chen et al. 2020). So the embedding is read from them, by one linear
layer that is computed from unlabelled sound, without a step of training: principal axes of the last
three maps' pooled features and of the embedding as it was trained, so that each of the four has the
same variance in all; along each axis divided by the fourth root of its variance, half of a
whitening. The network is as large and as quick as before but for that layer [D].
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import keras
import numpy as np

from audio_triplet import models
from audio_triplet.config import EncoderConfig
from audio_triplet.errors import ConfigError

# [D] A feature's variance is divided by the root of the variance there: half of a whitening.
_WHITENING = 0.5

# [D] Of a part's mean deviation: added to each feature's, so that what hardly varies is not blown
# up.
_LEAST_DEVIATION = 0.05


def read_from_layers(
    encoder: keras.Model, config: EncoderConfig, batches: Iterable[np.ndarray]
) -> tuple[keras.Model, EncoderConfig]:
    """An encoder of the same network whose embedding is read from several layers.

    Args:
      encoder: A trained one with `pooling` `time`, or `layers`, whose last layer is made anew.
      config: Its settings.
      batches: float32[n, 96, 64] each, log mel patches of unlabelled sound: at least twice as many
        in all as the embedding has dimensions, better some thousand, of as many recordings.

    Returns:
      The encoder, a new one of float32, and its settings.

    Raises:
      ConfigError: The encoder pools otherwise, or the patches are too few.
    """
    wide, config = _wide(encoder, config)
    features = models.before_embedding(wide)
    layer = wide.get_layer(models.EMBEDDING)
    kernel = np.asarray(layer.kernel, np.float64)  # [features, dim]
    mean, covariance = _moments(features, batches, 2 * config.embedding_size)
    # Beside the features the embedding as it was trained, before it is brought to unit norm: a
    # linear function of them, so its moments need no patches.
    spread = np.hstack([np.eye(len(mean)), kernel])  # [features, features + dim]
    parts = [*models.layer_sizes(wide), config.embedding_size]
    scale = _scales(np.sqrt(np.einsum("fj,fg,gj->j", spread, covariance, spread)), parts)
    spread *= scale
    variances, axes = np.linalg.eigh(spread.T @ covariance @ spread)
    variances, axes = variances[::-1], axes[:, ::-1]
    kept = slice(config.embedding_size)
    least = np.finfo(np.float32).eps * variances[0]
    if variances[kept][-1] <= least:
        raise ConfigError(
            f"the patches vary in fewer than {config.embedding_size} ways; give more of other sound"
        )
    kernel = spread @ (axes[:, kept] * variances[kept] ** (-_WHITENING / 2))  # [features, dim]
    layer.set_weights([kernel.astype(np.float32), (-mean @ kernel).astype(np.float32)])
    return wide, config


def _wide(encoder: keras.Model, config: EncoderConfig) -> tuple[keras.Model, EncoderConfig]:
    """The same encoder with `pooling` `layers`: as yet its last layer ignores all but the last map.

    Raises:
      ConfigError: It pools otherwise.
    """
    if config.pooling not in ("time", "layers"):
        raise ConfigError(
            f"pooling={config.pooling!r}: layers can be read from after training with "
            "pooling='time'"
        )
    wider = dataclasses.replace(config, pooling="layers")
    wide = models.build(wider)
    for layer in encoder.layers:
        if layer.weights and layer.name != models.EMBEDDING:
            wide.get_layer(layer.name).set_weights(layer.get_weights())
    kernel, bias = encoder.get_layer(models.EMBEDDING).get_weights()
    missing = sum(models.layer_sizes(wide)) - len(kernel)
    kernel = np.pad(kernel, ((0, missing), (0, 0)))
    wide.get_layer(models.EMBEDDING).set_weights([kernel, bias])
    return wide, wider


def _moments(
    features: keras.Model, batches: Iterable[np.ndarray], least: int
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of features, float64.

    Raises:
      ConfigError: There are fewer patches than `least`.
    """
    size = features.output.shape[-1]
    count, total, products = 0, np.zeros(size), np.zeros((size, size))
    for batch in batches:
        values = np.asarray(features(batch, training=False), np.float64)
        count += len(values)
        total += values.sum(axis=0)
        products += values.T @ values
    if count < least:
        raise ConfigError(f"{count} patches are too few to read layers by; give at least {least}")
    mean = total / count
    return mean, products / count - np.outer(mean, mean)


def _scales(deviations: np.ndarray, parts: list[int]) -> np.ndarray:
    """What features are multiplied by, so that in each part they vary alike, and parts in all."""
    scales = []
    for part in np.split(deviations, np.cumsum(parts)[:-1]):
        typical = np.sqrt(np.mean(part**2))
        divided = part + _LEAST_DEVIATION * typical
        scale = 1.0 / np.where(divided > 0, divided, 1.0)
        scales.append(scale / max(np.sqrt(np.sum((part * scale) ** 2)), 1e-12))
    return np.concatenate(scales)
