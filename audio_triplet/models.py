"""Encoders: log mel patch → unit vector (paper.md, Model).

| architecture | parameters (embedding 128) | forward cost of one patch |
|---|---|---|
| `vggish`, width 1 | 4,565,376 | 1.6 GFLOP |
| `vggish`, width 0.5 | 1,158,400 | 0.4 GFLOP |
| `vggish`, width 0.25 | 298,176 | 0.1 GFLOP |
| `resnet50`, width 1 | 23,764,032 + 53,120 moving statistics | 3.9 GFLOP |
"""

import dataclasses

import keras
import tensorflow as tf
from keras import layers

from audio_triplet import features
from audio_triplet.config import EncoderConfig, FrontEndConfig

_SCALING = "scaling"


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
    front_end: FrontEndConfig = features.DEFAULT,
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
      pooling: `mean` over time and frequency, or `time`: mean and maximum over time beside each
        other, each frequency kept apart, so that the linear layer sees where a sound lies.
      input_scaling: Whether the network begins by scaling each band, see `scale_input`.
      normalize_loudness: Whether before that each patch is brought to one level, see `Level`.
      precision: Keras dtype policy of the layers, `float32` or `mixed_bfloat16`. Pooling over the
        last map, the linear layer and the normalisation are float32 in either.
      seed: Seed of the initial weights.
      front_end: Gives the shape of a patch.

    Returns:
      A Keras model, [batch, 96, 64] log mel → [batch, embedding_size], unit norm, float32.

    Raises:
      ConfigError: An argument is none of those named above.
    """
    # Refuses what is wrong.
    EncoderConfig(
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
    block = _Blocks(width, normalisation, precision, keras.random.SeedGenerator(seed))
    inputs = keras.Input([front_end.patch_frames, front_end.mel_bands], name="log_mel")
    x = inputs
    if normalize_loudness:
        x = Level(front_end.log_offset, dtype="float32", name="level")(x)
    if input_scaling:
        x = BandScaling(dtype="float32", name=_SCALING)(x)
    x = layers.Reshape([front_end.patch_frames, front_end.mel_bands, 1], dtype=precision)(x)
    # [batch, 96, 64, 1]
    x = _vggish(x, block) if architecture == "vggish" else _resnet50(x, block)
    if pooling == "time":
        pooled = TimePooling(dtype="float32", name="pool")(x)  # [batch, 2 * bands * channels]
    else:
        pooled = layers.GlobalAveragePooling2D(dtype="float32", name="pool")(x)
        # [batch, channels]
    x = layers.Dense(
        embedding_size,
        dtype="float32",
        name="embedding",
        kernel_initializer=keras.initializers.GlorotUniform(block.next_seed()),
    )(pooled)
    outputs = UnitNorm(dtype="float32", name="unit")(x)
    return keras.Model(inputs, outputs, name=architecture)


def build(config: EncoderConfig, precision: str = "float32", seed: int = 0) -> keras.Model:
    """Builds the encoder that `config` describes."""
    return build_encoder(**dataclasses.asdict(config), precision=precision, seed=seed)


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
    # A band that never changes says nothing: it is not blown up.
    layer.scale.assign(1.0 / tf.maximum(tf.sqrt(variance), 0.1))


def _vggish(x, block: "_Blocks"):
    for group, (channels, repeats) in enumerate(((64, 1), (128, 1), (256, 2), (512, 2)), 1):
        for repeat in range(1, repeats + 1):
            pool = None
            if repeat == repeats:
                pool = layers.MaxPooling2D(2, dtype=block.precision, name=f"pool{group}")
            x = block.convolution(x, channels, 3, pool=pool, name=f"conv{group}_{repeat}")
    return x  # [batch, 6, 4, 512]


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

    def __init__(self, width, normalisation, precision, seeds):
        self.width, self.normalisation, self.precision = width, normalisation, precision
        self._seeds = seeds

    def next_seed(self) -> int:
        return int(keras.random.randint((), 0, 2**31 - 1, seed=self._seeds))

    def convolution(self, x, channels, size, stride=1, *, activation=True, pool=None, name):
        """Convolution, normalisation, pooling and ReLU, those that are asked for.

        A maximum may be taken before the ReLU as well as after it: outputs and gradients are the
        same, and the ReLU, forward and back, has a quarter of the cells. In bfloat16 on a CPU with
        AMX that is a tenth of the training step at width 0.25.
        """
        channels = max(1, round(channels * self.width))
        plain = self.normalisation == "none"
        x = layers.Conv2D(
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


@keras.saving.register_keras_serializable("audio_triplet")
class Level(layers.Layer):
    """Brings each patch to one mean energy a cell: a louder or quieter copy is the same after it.

    The logarithm is undone, so that its offset does not move with the level. A patch quieter than
    `floor` is raised by as much as one at it and no more: silence stays silence.
    """

    def __init__(self, offset: float, target: float = 1.0, floor: float = 1e-4, **kwargs):
        super().__init__(**kwargs)
        self.offset, self.target, self.floor = offset, target, floor

    def call(self, inputs):
        """float32[batch, frames, mels] log mel → the same shape."""
        energies = tf.maximum(tf.exp(inputs) - self.offset, 0.0)
        mean = tf.reduce_mean(energies, axis=[1, 2], keepdims=True)
        return tf.math.log(energies * (self.target / tf.maximum(mean, self.floor)) + self.offset)

    def get_config(self):
        """Keras configuration of the layer."""
        own = {"offset": self.offset, "target": self.target, "floor": self.floor}
        return super().get_config() | own


@keras.saving.register_keras_serializable("audio_triplet")
class BandScaling(layers.Layer):
    """Subtracts an offset from each mel band and multiplies it by a scale; neither is trained."""

    def build(self, input_shape):
        """Makes offset and scale, each float32[mels]."""
        for name, initial in (("offset", "zeros"), ("scale", "ones")):
            setattr(
                self,
                name,
                self.add_weight(
                    name=name,
                    shape=[input_shape[-1]],
                    initializer=initial,
                    trainable=False,
                    dtype="float32",
                    autocast=False,
                    aggregation="mean",
                ),
            )

    def call(self, inputs):
        """float32[batch, frames, mels] → the same shape."""
        return (inputs - self.offset) * self.scale


@keras.saving.register_keras_serializable("audio_triplet")
class TimePooling(layers.Layer):
    """Mean and maximum over time, of every frequency and channel."""

    def call(self, inputs):
        """float32[batch, time, frequency, channels] → [batch, 2 · frequency · channels]."""
        both = tf.concat([tf.reduce_mean(inputs, 1), tf.reduce_max(inputs, 1)], axis=-1)
        return tf.reshape(both, [-1, both.shape[1] * both.shape[2]])


@keras.saving.register_keras_serializable("audio_triplet")
class UnitNorm(layers.Layer):
    """Divides each vector by its L2 norm; the zero vector stays zero, with a finite gradient."""

    def call(self, inputs):
        """float32[batch, dim] → float32[batch, dim]."""
        return tf.math.l2_normalize(inputs, axis=-1)


@keras.saving.register_keras_serializable("audio_triplet")
class FusedBatchNormalization(layers.Layer):
    """Batch normalisation over [batch, height, width] by TensorFlow's fused kernel.

    Keras 3's own layer is a chain of unfused ops, which on a CPU costs more than the convolution
    before it. Statistics are those of one replica; the moving ones are averaged over replicas.
    """

    def __init__(self, momentum: float = 0.99, epsilon: float = 1e-3, **kwargs):
        super().__init__(**kwargs)
        self.momentum, self.epsilon = momentum, epsilon

    def build(self, input_shape):
        """Makes scale, offset and the two moving statistics, each float32[channels]."""

        def weight(name, initial, trainable):
            return self.add_weight(
                name=name,
                shape=[input_shape[-1]],
                initializer=initial,
                trainable=trainable,
                dtype="float32",
                autocast=False,
                aggregation="mean",
            )

        self.gamma = weight("gamma", "ones", True)
        self.beta = weight("beta", "zeros", True)
        self.moving_mean = weight("moving_mean", "zeros", False)
        self.moving_variance = weight("moving_variance", "ones", False)

    def call(self, inputs, training=False):
        """Same shape and dtype as `inputs`, [batch, height, width, channels]."""
        scale, offset = tf.convert_to_tensor(self.gamma), tf.convert_to_tensor(self.beta)
        if not training:
            outputs, _, _ = tf.compat.v1.nn.fused_batch_norm(
                inputs,
                scale,
                offset,
                tf.convert_to_tensor(self.moving_mean),
                tf.convert_to_tensor(self.moving_variance),
                self.epsilon,
                is_training=False,
            )
            return outputs
        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            inputs, scale, offset, epsilon=self.epsilon, is_training=True
        )
        for moving, new in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + new * (1.0 - self.momentum))
        return outputs

    def get_config(self):
        """Keras configuration of the layer."""
        return super().get_config() | {"momentum": self.momentum, "epsilon": self.epsilon}
