"""Encoders: log mel patch → unit vector (docs/method.md, the model).

| architecture | parameters (embedding 128) | forward cost of one patch |
|---|---|---|
| `vggish`, width 1 | 4,565,376 | 1.6 GFLOP |
| `vggish`, width 0.5 | 1,158,400 | 0.4 GFLOP |
| `vggish`, width 0.25 | 298,176 | 0.1 GFLOP |
| `resnet50`, width 1 | 23,764,032 + 53,120 moving statistics | 3.9 GFLOP |

`build_encoder` makes a Keras model for training, with layers of `audio_triplet.layers` where Keras'
own are slow or lack a finite gradient; `plain` makes the same model of Keras' layers alone.
"""

import dataclasses

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from audio_triplet.config import FRONT_END, EncoderConfig
from audio_triplet.errors import ConfigError
from audio_triplet.layers import (
    BandScaling,
    ForwardConvolution,
    FusedBatchNormalization,
    LoudnessNormalization,
    TimeMaximum,
    TimePooling,
    UnitNorm,
)

_SCALING = "scaling"
_LAYERS = "layers"  # joins the maps that the embedding is read from
EMBEDDING = "embedding"  # the linear layer


def build_encoder(
    architecture: str = "vggish",
    embedding_size: int = 128,
    *,
    width: float = 1.0,
    normalisation: str = "default",
    pooling: str = "mean",
    input_scaling: bool = False,
    normalize_loudness: bool = False,
    precision: str = "float32",
    seed: int = 0,
    forward_gradients: bool = False,
) -> keras.Model:
    """Builds an encoder.

    `vggish` is VGGish's convolutional stack (3×3 convolutions of 64, 128, 2×256 and 2×512
    channels, each group followed by 2×2 max pooling), the mean over time and frequency, and one
    linear layer. `resnet50` is ResNet-50 with a stride-1 first convolution (Hershey et al. 2017),
    the mean, and one linear layer.

    Args:
      architecture: `vggish` or `resnet50`.
      embedding_size: Dimensions of the embedding.
      width: Factor on the number of channels.
      normalisation: `none`, `batch` or `default` (none for vggish, batch for resnet50).
      pooling: `mean` over time and frequency, or `time`: mean and maximum over time,
        concatenated, separately for each frequency, so that the linear layer sees the frequency;
        or `layers`, of vggish: besides the maximum of the map before the last, for what the last
        has forgotten.
      input_scaling: Whether the network begins by scaling each band, see `scale_input`.
      normalize_loudness: Whether before that each patch is brought to one loudness, see
        `LoudnessNormalization`.
      precision: Keras dtype policy of the layers, `float32` or `mixed_bfloat16`. Pooling over the
        last map, the linear layer and the normalisation are float32 in either.
      seed: Seed of the initial weights.
      forward_gradients: Whether the gradients of convolutions are computed by the kernels for
        forward, see `layers.ForwardConvolution`.

    Returns:
      A Keras model, [batch, 96, 64] log mel → [batch, embedding_size], unit norm, float32.

    Raises:
      ConfigError: An argument is none of those named above.
    """
    EncoderConfig(  # raises ConfigError
        architecture,
        embedding_size,
        width,
        normalisation,
        pooling,
        input_scaling,
        normalize_loudness,
    )
    if normalisation == "default":
        normalisation = "batch" if architecture == "resnet50" else "none"
    seeds = keras.random.SeedGenerator(seed)
    block = _Blocks(width, normalisation, precision, seeds, forward_gradients)
    inputs = keras.Input([FRONT_END.patch_frames, FRONT_END.mel_bands], name="log_mel")
    x = inputs
    if normalize_loudness:
        x = LoudnessNormalization(FRONT_END.log_offset, dtype="float32", name="level")(x)
    if input_scaling:
        x = BandScaling(dtype="float32", name=_SCALING)(x)
    x = layers.Reshape([FRONT_END.patch_frames, FRONT_END.mel_bands, 1], dtype=precision)(x)
    # [batch, 96, 64, 1]
    before, x = _vggish(x, block) if architecture == "vggish" else (None, _resnet50(x, block))
    if pooling == "mean":
        pooled = layers.GlobalAveragePooling2D(dtype="float32", name="pool")(x)
        # [batch, channels]
    else:
        pooled = TimePooling(dtype="float32", name="pool")(x)  # [batch, 2 * bands * channels]
    if pooling == "layers":
        most = TimeMaximum(dtype="float32", name="pool_before")(before)
        pooled = layers.Concatenate(dtype="float32", name=_LAYERS)([pooled, most])
        # [batch, 2 * bands * channels + bands before * channels]
    x = layers.Dense(
        embedding_size,
        dtype="float32",
        name=EMBEDDING,
        kernel_initializer=keras.initializers.GlorotUniform(block.next_seed()),
    )(pooled)
    outputs = UnitNorm(dtype="float32", name="unit")(x)
    return keras.Model(inputs, outputs, name=architecture)


def build(
    config: EncoderConfig,
    precision: str = "float32",
    seed: int = 0,
    forward_gradients: bool = False,
) -> keras.Model:
    """Builds the encoder that `config` describes; the rest as in `build_encoder`."""
    return build_encoder(
        **dataclasses.asdict(config),
        precision=precision,
        seed=seed,
        forward_gradients=forward_gradients,
    )


def scale_input(encoder: keras.Model, log_mel) -> None:
    """Sets the band scaling of an encoder built with `input_scaling` from examples.

    Args:
      encoder: The encoder.
      log_mel: float32[examples, frames, mels].
    """
    layer = encoder.get_layer(_SCALING)
    before = keras.Model(encoder.inputs, layer.input)  # what the layer gets
    mean, variance = tf.nn.moments(before(tf.cast(log_mel, tf.float32)), axes=[0, 1])
    layer.offset.assign(mean)
    # A constant band carries no information: it is not amplified.
    layer.scale.assign(1.0 / tf.maximum(tf.sqrt(variance), 0.1))


def before_embedding(encoder: keras.Model) -> keras.Model:
    """What the linear layer of an encoder gets: log mel patches → float32[batch, features]."""
    return keras.Model(encoder.input, encoder.get_layer(EMBEDDING).input)


def layer_sizes(encoder: keras.Model) -> list[int]:
    """How many features the linear layer has of the last map, and of the one before."""
    return [tensor.shape[-1] for tensor in encoder.get_layer(_LAYERS).input]


def freeze(encoder: keras.Model, count: int) -> None:
    """Makes the first convolutions, each with its normalisation, stay as they are in training.

    Args:
      encoder: The encoder.
      count: How many.

    Raises:
      ConfigError: It has fewer.
    """
    names = [layer.name for layer in encoder.layers if isinstance(layer, layers.Conv2D)]
    if count > len(names):
        raise ConfigError(
            f"frozen_layers={count}: {encoder.name} has {len(names)} convolutions; freeze fewer"
        )
    frozen = {name for first in names[:count] for name in (first, f"{first}_norm")}
    for layer in encoder.layers:
        if layer.name in frozen:
            layer.trainable = False


def plain(encoder: keras.Model) -> keras.Model:
    """The same encoder of Keras' own layers: saved as `.keras`, it needs Keras alone to be loaded.

    Outputs agree within rounding. Trained on, it is slower with batch normalisation, see
    `layers.FusedBatchNormalization`.

    Args:
      encoder: From `build_encoder`, with or without training.

    Returns:
      A Keras model with weights of its own.
    """
    copy = keras.models.clone_model(encoder, clone_function=_plain_layer)
    for layer in encoder.layers:
        if layer.weights and not isinstance(layer, BandScaling):
            copy.get_layer(layer.name).set_weights(layer.get_weights())
    return copy


def _plain_layer(layer: keras.Layer) -> keras.Layer:
    """An equal layer of Keras' own, or a model of such layers, without weights."""
    name = layer.name
    if isinstance(layer, FusedBatchNormalization):
        return layers.BatchNormalization(
            momentum=layer.momentum, epsilon=layer.epsilon, dtype=layer.dtype_policy, name=name
        )
    if isinstance(layer, ForwardConvolution):
        return layers.Conv2D.from_config(layer.get_config())
    if isinstance(layer, BandScaling):
        variance = np.asarray(layer.scale) ** -2.0
        return layers.Normalization(
            mean=np.asarray(layer.offset).tolist(), variance=variance.tolist(), name=name
        )
    if isinstance(layer, UnitNorm):
        return layers.UnitNormalization(name=name)
    if isinstance(layer, TimePooling):
        inputs = keras.Input(layer.input.shape[1:])
        time = inputs.shape[1]
        mean = layers.AveragePooling2D((time, 1))(inputs)  # [batch, 1, frequency, channels]
        most = layers.MaxPooling2D((time, 1))(inputs)
        pooled = layers.Flatten()(layers.Concatenate()([mean, most]))
        return keras.Model(inputs, pooled, name=name)
    if isinstance(layer, TimeMaximum):
        inputs = keras.Input(layer.input.shape[1:])
        most = layers.MaxPooling2D((inputs.shape[1], 1))(inputs)
        return keras.Model(inputs, layers.Flatten()(most), name=name)
    if isinstance(layer, LoudnessNormalization):
        inputs = keras.Input(layer.input.shape[1:])
        energies = keras.ops.relu(keras.ops.exp(inputs) - layer.offset)
        mean = keras.ops.mean(energies, axis=[1, 2], keepdims=True)
        scaled = energies * (layer.target / keras.ops.maximum(mean, layer.floor))
        return keras.Model(inputs, keras.ops.log(scaled + layer.offset), name=name)
    return layer.__class__.from_config(layer.get_config())


def _vggish(x, block: "_Blocks"):
    """The last two maps."""
    before = None
    for group, (channels, repeats) in enumerate(((64, 1), (128, 1), (256, 2), (512, 2)), 1):
        for repeat in range(1, repeats + 1):
            pool = None
            if repeat == repeats:
                pool = layers.MaxPooling2D(2, dtype=block.precision, name=f"pool{group}")
            before = x
            x = block.convolution(x, channels, 3, pool=pool, name=f"conv{group}_{repeat}")
    return before, x  # [batch, 12, 8, 512], [batch, 6, 4, 512]


def _resnet50(x, block: "_Blocks"):
    pool = layers.MaxPooling2D(3, 2, padding="same", dtype=block.precision, name="stem_pool")
    x = block.convolution(x, 64, 7, pool=pool, name="stem")  # stride 1, as in Hershey et al. 2017
    for stage, (channels, repeats) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3)), 2):
        for repeat in range(1, repeats + 1):
            name = f"stage{stage}_{repeat}"
            stride = 2 if repeat == 1 and stage > 2 else 1
            shortcut = x
            if repeat == 1:
                shortcut = block.convolution(
                    x, 4 * channels, 1, stride, activation=False, name=f"{name}_shortcut"
                )
            x = block.convolution(x, channels, 1, stride, name=f"{name}_a")
            x = block.convolution(x, channels, 3, name=f"{name}_b")
            x = block.convolution(x, 4 * channels, 1, activation=False, name=f"{name}_c")
            x = layers.Add(dtype=block.precision, name=f"{name}_add")([x, shortcut])
            x = layers.ReLU(dtype=block.precision, name=f"{name}_relu")(x)
    return x  # [batch, 6, 4, 2048]


class _Blocks:
    """Convolution, normalisation and rectification with the settings of one network."""

    def __init__(self, width, normalisation, precision, seeds, forward_gradients):
        self.width, self.normalisation, self.precision = width, normalisation, precision
        self._seeds, self._forward_gradients = seeds, forward_gradients

    def next_seed(self) -> int:
        return int(keras.random.randint((), 0, 2**31 - 1, seed=self._seeds))

    def convolution(self, x, channels, size, stride=1, *, activation=True, pool=None, name):
        """Convolution, normalisation, pooling and ReLU, each as the settings ask.

        The maximum is taken before the ReLU: outputs and gradients are the same as after it, and
        the ReLU has a quarter of the cells, forward and backward. In bfloat16 on a CPU with AMX
        this saves a tenth of the training step at width 0.25.
        """
        channels = max(1, round(channels * self.width))
        plain = self.normalisation == "none"
        # Not the first: it needs no gradient of its input, and its filter's takes little time.
        suits = size == 1 or (size, stride) == (3, 1)
        forward = self._forward_gradients and suits and x.shape[-1] > 1
        convolution = ForwardConvolution if forward else layers.Conv2D
        x = convolution(
            channels,
            size,
            stride,
            padding="same",
            use_bias=plain,
            dtype=self.precision,
            kernel_initializer=keras.initializers.HeNormal(self.next_seed()),
            name=name,
        )(x)
        if not plain:
            x = FusedBatchNormalization(dtype=self.precision, name=f"{name}_norm")(x)
        if pool:
            x = pool(x)
        if activation:
            x = layers.ReLU(dtype=self.precision, name=f"{name}_relu")(x)
        return x
