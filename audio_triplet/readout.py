"""An encoder's last layer, made anew after training from what the layers before it hear.

    encoder, config = readout.read_from_layers(encoder, config, batches)

The objective asks to tell recordings apart, and what a layer does not need for it, it forgets: the
maps before the last layer know more of a sound than the embedding does, as contrastive learning
knows of its projection heads (Chen et al. 2020). So the embedding is read from them, by one linear
layer that is computed from unlabelled sound, without a step of training. Three parts, each of the
same variance in all: the last map (mean and maximum over time), the one before (maximum), and the
embedding as it was trained. Of them what survives noise, rooms and narrow bands (a Wiener filter,
by patches as they are and changed), along its principal axes, each divided by the fourth root of
its variance: half of a whitening. The network is as quick as before [D].
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import keras
import numpy as np

from audio_triplet import models
from audio_triplet.config import EncoderConfig
from audio_triplet.errors import ConfigError

# [D] A feature's variance is divided by the root of the variance there: half of a whitening.
_WHITENING = 0.5

# [D] How much what a change does to a patch counts, beside how patches vary.
_CHANGES = 0.3

# Axes of less than this share of the largest variance are rounding.
_LEAST_VARIANCE = 1e-6

# [D] Of a part's mean deviation: added to each feature's, so that what hardly varies is not blown
# up.
_LEAST_DEVIATION = 0.05


def read_from_layers(
    encoder: keras.Model, config: EncoderConfig, batches: Iterable[Sequence[np.ndarray]]
) -> tuple[keras.Model, EncoderConfig]:
    """An encoder of the same network whose embedding is read from several layers.

    Args:
      encoder: A trained one with `pooling` `time`, or `layers`, whose last layer is made anew.
      config: Its settings.
      batches: Of unlabelled sound, log mel patches, float32[n, 96, 64]: first as they are, then
        the same patches changed in ways that are to change an embedding little; any number of
        them, none too. At least twice as many patches in all as the embedding has dimensions,
        better some thousand, of as many recordings.

    Returns:
      The encoder, a new one of float32, and its settings.

    Raises:
      ConfigError: The encoder pools otherwise, or the patches are too few.
    """
    wide, config = _wide(encoder, config)
    dim, layer = config.embedding_size, wide.get_layer(models.EMBEDDING)
    mean, covariance, changes = _moments(models.before_embedding(wide), batches, 2 * dim)
    # Beside the features the embedding as it was trained, before it is brought to unit norm: a
    # linear function of them, so its moments need no patches.
    trained = np.asarray(layer.kernel, np.float64)  # [features, dim]
    spread = np.hstack([np.eye(len(mean)), trained])  # [features, features + dim]
    deviations = np.sqrt(np.maximum(np.einsum("fj,fg,gj->j", spread, covariance, spread), 0.0))
    spread *= _scales(deviations, [*models.layer_sizes(wide), dim])
    variances, axes = _principal(spread.T @ covariance @ spread)
    axes = spread @ axes  # [features, axes], along which they vary
    told = variances[:, None] * np.linalg.inv(
        np.diag(variances) + _CHANGES * (axes.T @ changes @ axes)
    )  # Wiener's filter: along an axis, what of it is told by a changed patch
    remaining, turned = _principal((told * variances) @ told.T)
    if len(remaining) < dim:
        raise ConfigError(f"the patches vary in fewer than {dim} ways; give more of other sound")
    kept = turned[:, :dim] * remaining[:dim] ** (-_WHITENING / 2)
    kernel = axes @ told.T @ kept  # [features, dim]
    layer.set_weights([kernel.astype(np.float32), (-mean @ kernel).astype(np.float32)])
    return wide, config


def _principal(covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Variances along principal axes, the largest first, and the axes, float64[features, axes]."""
    variances, axes = np.linalg.eigh(covariance)
    kept = np.flatnonzero(variances > _LEAST_VARIANCE * variances[-1])[::-1]
    return variances[kept], axes[:, kept]


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
    features: keras.Model, batches: Iterable[Sequence[np.ndarray]], least: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean and covariance of features, and the mean product of what changes add to them; float64.

    Raises:
      ConfigError: There are fewer patches than `least`.
    """
    size = features.output.shape[-1]
    count, total, products = 0, np.zeros(size), np.zeros((size, size))
    changed, changes = 0, np.zeros((size, size))
    for batch in batches:
        values, *others = (np.asarray(features(part, training=False), float) for part in batch)
        count += len(values)
        total += values.sum(axis=0)
        products += values.T @ values
        for other in others:
            changed += len(other)
            changes += (other - values).T @ (other - values)
    if count < least:
        raise ConfigError(f"{count} patches are too few to read layers by; give at least {least}")
    mean = total / count
    return mean, products / count - np.outer(mean, mean), changes / max(changed, 1)


def _scales(deviations: np.ndarray, parts: list[int]) -> np.ndarray:
    """What features are multiplied by, so that in each part they vary alike, and parts in all."""
    scales = []
    for part in np.split(deviations, np.cumsum(parts)[:-1]):
        typical = np.sqrt(np.mean(part**2))
        divided = part + _LEAST_DEVIATION * typical
        scale = 1.0 / np.where(divided > 0, divided, 1.0)
        scales.append(scale / max(np.sqrt(np.sum((part * scale) ** 2)), 1e-12))
    return np.concatenate(scales)
