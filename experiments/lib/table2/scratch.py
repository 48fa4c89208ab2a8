"""The network of limited supervision that has only the labelled clips: trained from scratch.

It is the encoder's own body with a classification layer on its pooled map, on the same front end.
The recipe is meant to be fair to it: patches are cut at random positions of the clips, shifted in
frequency, mixed with others and their labels, and made noisy by the package's own operations; the
number of steps is chosen on held-back recordings where there are five or more per class, and then
all labelled clips are trained on for that long, as for the classifiers on embeddings.
"""

import dataclasses
from collections.abc import Hashable, Sequence

import keras
import numpy as np
import tensorflow as tf

from audio_triplet import features, models, triplets
from audio_triplet.config import EncoderConfig
from audio_triplet.data import sources
from audio_triplet.embeddings.embedding_set import mean_by_segment
from audio_triplet.evaluation import grouped_splits, metrics
from experiments.lib.table2.scratch_config import ScratchConfig

_FRAMES, MELS = features.DEFAULT.patch_frames, features.DEFAULT.mel_bands
_TRIES = 8
_PREDICT_BATCH = 128


@dataclasses.dataclass(frozen=True, eq=False)
class Clips:
    """Labelled clips in memory.

    Attributes:
      energies: float16[frames, mels] of each clip, linear, at least one patch long.
      labels: bool[clips, classes].
      recordings: One hashable per clip.
    """

    energies: Sequence[np.ndarray]
    labels: np.ndarray
    recordings: Sequence[Hashable]

    def select(self, keep: np.ndarray) -> "Clips":
        """The clips at the given indices, int[n] or bool[clips]."""
        chosen = np.arange(len(self.energies))[keep]
        return Clips(
            [self.energies[index] for index in chosen],
            self.labels[chosen],
            [self.recordings[index] for index in chosen],
        )


def read_energies(source: sources.ChunkSource, rows: np.ndarray) -> dict[int, np.ndarray]:
    """Whole segments as mel energies.

    Args:
      source: The corpus's chunks.
      rows: int[n], the manifest's rows of the segments wanted.

    Returns:
      Row → float16[frames, mels], its chunks joined in time, zero-padded to one patch at least.
      Segments that could not be read are not in it.
    """
    wanted = tf.constant(np.unique(rows), tf.int64)
    found: dict[int, dict[int, np.ndarray]] = {}
    chosen = source.in_order().filter(lambda chunk: tf.reduce_any(wanted == chunk["segment"]))
    for chunk in chosen.prefetch(2):
        frames = int(chunk["frames"])
        if frames:
            energies = np.minimum(chunk["mel_energies"][:frames], np.finfo(np.float16).max)
            of_segment = found.setdefault(int(chunk["segment"]), {})
            of_segment[int(chunk["position"])] = energies.astype(np.float16)
    result = {}
    for row, parts in found.items():
        whole = np.concatenate([parts[position] for position in sorted(parts)])
        missing = max(0, _FRAMES - len(whole))
        result[row] = np.pad(whole, [(0, missing), (0, 0)])
    return result


def draw_patch(
    energies: np.ndarray, rng: np.random.Generator, max_mel_shift: int, silence_energy: float
) -> np.ndarray:
    """One training patch: a random cut in time, a random shift in frequency.

    Cutting the patch out of the whole clip is a translation in time without the seam of a
    circular one. A silent cut is drawn again, a few times.

    Args:
      energies: float[frames, mels] of a clip.
      rng: Where randomness comes from.
      max_mel_shift: Largest shift, bands; vacated bands are zero.
      silence_energy: Mean energy per cell up to which a patch is silent.

    Returns:
      float32[96, mels].
    """
    for _ in range(_TRIES):
        start = rng.integers(len(energies) - _FRAMES + 1)
        patch = energies[start : start + _FRAMES].astype(np.float32)
        if patch.mean() > silence_energy:
            break
    shift = rng.integers(-max_mel_shift, max_mel_shift + 1)
    shifted = np.zeros_like(patch)
    mels = patch.shape[1]
    shifted[:, max(0, shift) : mels + min(0, shift)] = patch[
        :, max(0, -shift) : mels - max(0, shift)
    ]
    return shifted


class FromScratch:
    """A network that each `fit` trains from new weights; it is traced only once.

    Attributes:
      steps: Steps of the last fit.
      validation_map: mAP on the held-back clips, at each evaluation of the last fit; empty if
        none were held back.
    """

    def __init__(
        self, encoder: EncoderConfig, classes: int, single_label: bool, config: ScratchConfig
    ):
        """Builds the network.

        Args:
          encoder: The encoder whose body it is.
          classes: Number of classes.
          single_label: Whether each clip has exactly one: softmax, else a sigmoid per class.
          config: The recipe.
        """
        self.steps, self.validation_map = 0, ()
        self._config, self._encoder, self._softmax = config, encoder, single_label
        self._body = _body(encoder, 0)
        channels = self._body.output.shape[-1]
        self._kernel = keras.Variable(np.zeros([channels, classes], np.float32), name="kernel")
        self._bias = keras.Variable(np.zeros([classes], np.float32), name="bias")
        self._variables = [*self._body.trainable_variables, self._kernel, self._bias]
        self._optimizer = keras.optimizers.AdamW(weight_decay=config.weight_decay)
        self._optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
        self._optimizer.build(self._variables)

    def fit(self, clips: Clips, seed: int) -> None:
        """Trains on labelled clips; the same clips and seed give the same network.

        Args:
          clips: The clips to learn from.
          seed: Of the initial weights and of all draws.
        """
        config, steps, curve = self._config, self._config.fixed_steps, []
        held_back = grouped_splits.hold_out(
            clips.labels, clips.recordings, config.validation_fraction, seed
        )
        if held_back.any():
            held = clips.select(held_back)
            patches = [_whole_patches(energies) for energies in held.energies]
            segment = np.repeat(np.arange(len(patches)), [len(part) for part in patches])
            inputs = features.log_mel(np.concatenate(patches)).numpy()
            looks = []
            for step in self._train(clips.select(~held_back), seed, config.steps):
                # Early evaluations, at a high learning rate, are noise: too few steps.
                if step < min(config.fixed_steps, config.steps):
                    continue
                if step % config.evaluate_steps and step != config.steps:
                    continue
                scores = self.predict_segments(inputs, segment, len(patches))
                precision = metrics.average_precision_per_class(held.labels, scores)
                curve.append(metrics.mean_over_classes(precision))
                looks.append(step)
                if len(curve) - 1 - int(np.argmax(curve)) >= config.patience:
                    break
            steps = looks[int(np.argmax(curve))]
        for _ in self._train(clips, seed, steps):  # the learning rate falls to zero over these
            pass
        self.steps, self.validation_map = steps, tuple(curve)

    def predict_segments(self, log_mel, patch_segment, num_segments: int) -> np.ndarray:
        """Mean of the patch scores of each segment, as for the classifiers.

        Args:
          log_mel: float32[patches, 96, mels].
          patch_segment: int[patches], the segment each is of.
          num_segments: Number of segments, each with a patch.

        Returns:
          float32[num_segments, classes] in [0, 1].
        """
        scores = [
            self._scores(tf.constant(log_mel[start : start + _PREDICT_BATCH], tf.float32)).numpy()
            for start in range(0, len(log_mel), _PREDICT_BATCH)
        ]
        return mean_by_segment(np.concatenate(scores), patch_segment, num_segments)

    def _train(self, clips: Clips, seed: int, most: int):
        """Trains from new weights for `most` steps; yields the number of steps after each."""
        config = self._config
        self._restart(clips.labels, seed)
        rng = np.random.default_rng([seed, 1])
        targets = clips.labels.astype(np.float32)
        order = np.empty(0, np.int64)
        for step in range(most):
            while len(order) < config.batch_size:  # the rest of a pass begins the next
                order = np.concatenate([order, rng.permutation(len(targets))])
            drawn, order = order[: config.batch_size], order[config.batch_size :]
            batch = np.stack(
                [
                    draw_patch(clips.energies[i], rng, config.max_mel_shift, config.silence_energy)
                    for i in drawn
                ]
            )
            share = np.ones(config.batch_size)
            if config.mixup:
                share = rng.beta(config.mixup, config.mixup, config.batch_size)
            rate = 0.5 * config.learning_rate * (1 + np.cos(np.pi * step / most))
            self._optimizer.learning_rate = rate
            self._step(
                tf.constant(batch),
                tf.constant(targets[drawn]),
                tf.constant(np.maximum(share, 1 - share), tf.float32),
                tf.constant(rng.permutation(config.batch_size), tf.int32),
                tf.constant([seed, step], tf.int32),
            )
            yield step + 1

    def _restart(self, labels: np.ndarray, seed: int) -> None:
        """New weights, drawn by `seed` alone, and a new optimizer."""
        self._body.set_weights(_body(self._encoder, seed).get_weights())
        rng = np.random.default_rng([seed, 0])
        limit = np.sqrt(6 / sum(self._kernel.shape))  # Glorot
        self._kernel.assign(rng.uniform(-limit, limit, self._kernel.shape))
        # Sigmoids start at the class frequencies, as in the shallow classifier.
        frequency = (labels.sum(axis=0) + 0.5) / (len(labels) + 1)
        self._bias.assign(
            np.zeros(len(frequency)) if self._softmax else np.log(frequency / (1 - frequency))
        )
        for variable in self._optimizer.variables:
            variable.assign(tf.zeros_like(variable))

    @tf.function(autograph=False)
    def _step(self, energies, targets, share, partner, seed) -> None:
        """One step.

        Args:
          energies: float32[batch, 96, mels], linear.
          targets: float32[batch, classes].
          share: float32[batch], of the patch itself in its mixture, 0.5 … 1.
          partner: int32[batch], index in the batch of the patch to mix in.
          seed: int32[2].
        """
        config = self._config
        if config.mixup:
            ratio = ((1 - share) / share)[:, None, None]
            energies = triplets.mix(energies, tf.gather(energies, partner), ratio)
            weight = share[:, None]
            targets = weight * targets + (1 - weight) * tf.gather(targets, partner)
        noise_seed, dropout_seed = tf.unstack(tf.random.experimental.stateless_split(seed, 2))
        if config.noise_sigma:
            energies = triplets.gaussian_noise(energies, noise_seed, config.noise_sigma)
        with tf.GradientTape() as tape:
            pooled = self._body(features.log_mel(energies), training=True)  # [batch, channels]
            if config.dropout:
                pooled = tf.nn.experimental.stateless_dropout(pooled, config.dropout, dropout_seed)
            logits = pooled @ self._kernel.value + self._bias.value
            if self._softmax:
                losses = tf.nn.softmax_cross_entropy_with_logits(targets, logits)
            else:
                losses = tf.reduce_sum(
                    tf.nn.sigmoid_cross_entropy_with_logits(targets, logits), axis=-1
                )
            loss = tf.reduce_mean(losses)
        gradients = tape.gradient(loss, [variable.value for variable in self._variables])
        self._optimizer.apply_gradients(zip(gradients, self._variables, strict=True))

    @tf.function(
        input_signature=[tf.TensorSpec([None, _FRAMES, MELS], tf.float32)], autograph=False
    )
    def _scores(self, log_mel):
        """float32[patches, classes] in [0, 1]."""
        logits = self._body(log_mel, training=False) @ self._kernel.value + self._bias.value
        return tf.nn.softmax(logits) if self._softmax else tf.nn.sigmoid(logits)


def _body(config: EncoderConfig, seed: int) -> keras.Model:
    """The encoder up to its pooled map: [batch, 96, mels] → [batch, channels]."""
    encoder = models.build(config, seed=seed)
    return keras.Model(encoder.input, encoder.get_layer("pool").output)


def _whole_patches(energies: np.ndarray) -> np.ndarray:
    """Patches side by side from the start, as at evaluation: float32[patches, 96, mels]."""
    count = len(energies) // _FRAMES
    return energies[: count * _FRAMES].reshape(count, _FRAMES, -1).astype(np.float32)
