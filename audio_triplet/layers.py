"""Layers that the encoders add to Keras' own.

They are registered: a model with these layers can be loaded from a `.keras` file if
`audio_triplet.models` is imported. `models.plain` replaces them by Keras' own.
"""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("audio_triplet")
class LoudnessNormalization(keras.Layer):
    """Scales each patch to the same mean energy per cell: louder and quieter copies become equal.

    The logarithm is undone, so that its offset does not move with the loudness. A patch quieter
    than `floor` is raised by as much as a patch at `floor`: silence stays silence.
    """

    def __init__(self, offset: float, target: float = 1.0, floor: float = 1e-4, **kwargs):
        super().__init__(**kwargs)
        self.offset, self.target, self.floor = offset, target, floor

    def call(self, inputs) -> keras.KerasTensor:
        """float32[batch, frames, mels] log mel → the same shape."""
        energies = tf.maximum(tf.exp(inputs) - self.offset, 0.0)
        mean = tf.reduce_mean(energies, axis=[1, 2], keepdims=True)
        return tf.math.log(energies * (self.target / tf.maximum(mean, self.floor)) + self.offset)

    def get_config(self) -> dict:
        """Keras configuration of the layer."""
        own = {"offset": self.offset, "target": self.target, "floor": self.floor}
        return super().get_config() | own


@keras.saving.register_keras_serializable("audio_triplet")
class BandScaling(keras.Layer):
    """Subtracts an offset from each mel band and multiplies it by a scale; neither is trained."""

    def build(self, input_shape) -> None:
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

    def call(self, inputs) -> keras.KerasTensor:
        """float32[batch, frames, mels] → the same shape."""
        return (inputs - self.offset) * self.scale


@keras.saving.register_keras_serializable("audio_triplet")
class TimePooling(keras.Layer):
    """Mean and maximum over time, of every frequency and channel."""

    def call(self, inputs) -> keras.KerasTensor:
        """float32[batch, time, frequency, channels] → [batch, 2 · frequency · channels]."""
        both = tf.concat([tf.reduce_mean(inputs, 1), tf.reduce_max(inputs, 1)], axis=-1)
        return tf.reshape(both, [-1, both.shape[1] * both.shape[2]])


@keras.saving.register_keras_serializable("audio_triplet")
class TimeMaximum(keras.Layer):
    """Maximum over time, of every frequency and channel."""

    def call(self, inputs) -> keras.KerasTensor:
        """float32[batch, time, frequency, channels] → [batch, frequency · channels]."""
        most = tf.reduce_max(inputs, 1)
        return tf.reshape(most, [-1, most.shape[1] * most.shape[2]])


@keras.saving.register_keras_serializable("audio_triplet")
class UnitNorm(keras.Layer):
    """Divides each vector by its L2 norm; the zero vector stays zero, with a finite gradient."""

    def call(self, inputs) -> keras.KerasTensor:
        """float32[batch, dim] → float32[batch, dim]."""
        return tf.math.l2_normalize(inputs, axis=-1)


@keras.saving.register_keras_serializable("audio_triplet")
class ForwardConvolution(keras.layers.Conv2D):
    """A 3×3 convolution of stride 1, or a 1×1 one, with gradients by the kernels for forward.

    On a CPU without AVX-512 oneDNN's kernels for gradients reach half the rate of its forward ones.
    Of a 3×3 convolution the input's gradient is that of the output convolved with the filter,
    turned round; the filter's is the input convolved with the output's gradient, with channels for
    the batch and the batch for channels. Of a 1×1 convolution both are matrix products. Outputs are
    Keras' own, gradients equal but for rounding.
    """

    def call(self, inputs, training: bool | None = None) -> keras.KerasTensor:
        """float32[batch, height, width, channels] → float32[batch, height, width, filters]."""
        if not training:  # an export holds no gradient of ours
            return super().call(inputs)
        kernel = tf.convert_to_tensor(self.kernel)
        if self.kernel_size == (1, 1):
            step, _ = self.strides
            inputs = inputs[:, ::step, ::step] if step > 1 else inputs
            outputs = _mixed_channels(inputs, kernel)
        else:
            outputs = _convolved(inputs, kernel)
        return tf.nn.bias_add(outputs, self.bias) if self.use_bias else outputs


@tf.custom_gradient
def _convolved(inputs: tf.Tensor, kernel: tf.Tensor):
    def gradients(of_outputs: tf.Tensor):
        # [3, 3, in, out] → [3, 3, out, in]
        turned = tf.transpose(kernel[::-1, ::-1], [0, 1, 3, 2])
        of_inputs = tf.nn.conv2d(of_outputs, turned, 1, "SAME")
        of_kernel = tf.nn.conv2d(
            tf.transpose(inputs, [3, 1, 2, 0]),  # [in, height, width, batch]
            tf.transpose(of_outputs, [1, 2, 0, 3]),  # [height, width, batch, out]
            1,
            [[0, 0], [1, 1], [1, 1], [0, 0]],
        )  # [in, 3, 3, out]
        return of_inputs, tf.transpose(of_kernel, [1, 2, 0, 3])

    return tf.nn.conv2d(inputs, kernel, 1, "SAME"), gradients


@tf.custom_gradient
def _mixed_channels(inputs: tf.Tensor, kernel: tf.Tensor):
    before, after = kernel.shape[2:]

    def gradients(of_outputs: tf.Tensor):
        of_outputs = tf.reshape(of_outputs, [-1, after])  # [cells, out]
        of_inputs = tf.matmul(of_outputs, tf.reshape(kernel, [before, after]), transpose_b=True)
        cells = tf.reshape(inputs, [-1, before])  # [cells, in]
        of_kernel = tf.matmul(cells, of_outputs, transpose_a=True)
        return tf.reshape(of_inputs, tf.shape(inputs)), tf.reshape(of_kernel, kernel.shape)

    return tf.nn.conv2d(inputs, kernel, 1, "SAME"), gradients


@keras.saving.register_keras_serializable("audio_triplet")
class FusedBatchNormalization(keras.Layer):
    """Batch normalisation over [batch, height, width] by TensorFlow's fused kernel.

    Keras 3's own layer is a chain of unfused ops, which on a CPU costs more than the convolution
    before it. Statistics are those of one replica; the moving ones are averaged over replicas. As
    with Keras' layer, `trainable = False` freezes the moving statistics too, which then serve in
    training.
    """

    def __init__(self, momentum: float = 0.99, epsilon: float = 1e-3, **kwargs):
        super().__init__(**kwargs)
        self.momentum, self.epsilon = momentum, epsilon

    def build(self, input_shape) -> None:
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

    def call(self, inputs, training=False) -> keras.KerasTensor:
        """Same shape and dtype as `inputs`, [batch, height, width, channels]."""
        scale, offset = tf.convert_to_tensor(self.gamma), tf.convert_to_tensor(self.beta)
        if not training or not self.trainable:
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

    def get_config(self) -> dict:
        """Keras configuration of the layer."""
        return super().get_config() | {"momentum": self.momentum, "epsilon": self.epsilon}
