"""An encoder as a SavedModel: waveform in, embeddings out.

The export holds front end and encoder and is loaded by TensorFlow alone; `config.json` in its
folder says how it was made. `Model` is a loaded export.
"""

import dataclasses
import functools
import os
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from audio_triplet import distribution, features, models, storage
from audio_triplet.config import EncoderConfig, current_names
from audio_triplet.embeddings.model_files import check_model, digest_of, released_model_path
from audio_triplet.embeddings.sound_embedding import SoundEmbedding, embed_sound
from audio_triplet.errors import ConfigError, ExportError

__all__ = [
    "Model",
    "SoundEmbedding",
    "check",
    "embed_waveforms",
    "export",
    "released_model_path",
]

CONFIG_FILE = "config.json"
SIGNATURE = "serving_default"
ENCODER_SIGNATURE = "encode"

_PATCH_SHAPE = (features.DEFAULT.patch_frames, features.DEFAULT.mel_bands)


def embed_waveforms(encoder, waveform, hop_frames: int = 96) -> dict[str, tf.Tensor]:
    """Waveforms to embeddings, the same on a live model and in the export.

    Args:
      encoder: float32[n, 96, 64] log mel → float32[n, dim].
      waveform: float32[batch, samples], 16 kHz, any number of samples; one shorter than a patch
        is padded with silence. Values that are not finite count as zero.
      hop_frames: Frames from one patch to the next.

    Returns:
      `patch_embeddings` float32[batch, patches, dim] of unit norm, `segment_embedding`
      float32[batch, dim], their mean scaled to unit norm, and `timestamps` float32[patches], the
      seconds at which the patches' centres lie.
    """
    config = features.DEFAULT
    waveform = tf.where(tf.math.is_finite(waveform), waveform, 0.0)
    # Beyond this bound, absurd for sound, the spectrum's squares would overflow.
    waveform = tf.clip_by_value(waveform, -1e15, 1e15)
    missing = tf.maximum(0, config.window_samples - tf.shape(waveform)[1])
    waveform = tf.pad(waveform, [[0, 0], [0, missing]])
    energies = features.mel_energies(waveform)  # [batch, frames, mels]
    patches = features.patches(energies, hop_frames)  # [batch, patches, 96, mels]
    batch, count = tf.unstack(tf.shape(patches)[:2])
    flat = tf.reshape(patches, [-1, config.patch_frames, config.mel_bands])
    embeddings = encoder(features.log_mel(flat))
    embeddings = tf.reshape(embeddings, [batch, count, embeddings.shape[-1]])
    starts = tf.cast(tf.range(count) * hop_frames, tf.float32) * config.hop_seconds
    return {
        "patch_embeddings": embeddings,
        "segment_embedding": tf.math.l2_normalize(tf.reduce_mean(embeddings, axis=1), axis=-1),
        "timestamps": starts + config.patch_samples / config.sample_rate / 2,
    }


class _Export(tf.Module):
    """The module that is saved. A Keras 3 model is no tf.Module, so its variables are held here.

    The model itself is not: its weights would be saved once more, under its own names.
    """

    def __init__(self, encoder: keras.Model):
        super().__init__()
        self._encode = lambda log_mel: encoder(log_mel, training=False)
        self._variables = [variable.value for variable in encoder.variables]

    @tf.function(
        input_signature=[tf.TensorSpec([None, None], tf.float32, name="waveform")],
        autograph=False,
    )
    def __call__(self, waveform):
        return embed_waveforms(self._encode, waveform)

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None], tf.float32, name="waveform"),
            tf.TensorSpec([], tf.int32, name="hop_frames"),
        ],
        autograph=False,
    )
    def with_hop(self, waveform, hop_frames):
        return embed_waveforms(self._encode, waveform, hop_frames)

    @tf.function(
        input_signature=[tf.TensorSpec([None, *_PATCH_SHAPE], tf.float32, name="log_mel")],
        autograph=False,
    )
    def encode(self, log_mel):
        return {"embedding": self._encode(log_mel)}


def export(encoder: keras.Model, path: str, config: dict) -> None:
    """Writes a SavedModel, whole or not at all, replacing an earlier one.

    Args:
      encoder: A float32 encoder.
      path: Folder of the SavedModel.
      config: What config.json will say: how the model was trained and on what.
    """
    module = _Export(encoder)
    with storage.replacing(path) as temporary:
        tf.saved_model.save(
            module,
            temporary,
            signatures={
                SIGNATURE: module.__call__.get_concrete_function(),
                "with_hop": module.with_hop.get_concrete_function(),
                ENCODER_SIGNATURE: module.encode.get_concrete_function(),
            },
        )
        config = config | {"digest": digest_of(temporary)}
        storage.write_json(os.path.join(temporary, CONFIG_FILE), config)


class Model:
    """A loaded export.

        found = model.embed("bark.wav")           # a file, or an array with its sample rate
        outputs = model(waveform)                 # the SavedModel's own signature
        head = keras.layers.Dense(10)(model.encoder.output)

    Attributes:
      path: Folder of the SavedModel.
      config: Its config.json without the digest; {} if there is none.
      embedding_size: Dimensions of the embedding.
      precision: What `encode` computes in: `float32`, as it was exported, or `mixed_bfloat16`.
    """

    def __init__(self, path: str, precision: str = "float32"):
        """Loads a SavedModel of the contract.

        Args:
          path: Its folder.
          precision: Of `encode`; `auto`: bfloat16 where the hardware is faster at it. Embeddings
            then differ from those of float32 in the third decimal.

        Raises:
          ExportError: It is not there, damaged, has another signature, or its config.json does
            not describe the network, which bfloat16 needs.
        """
        check_model(path)
        self.path = path
        self.config = {}
        config_path = os.path.join(path, CONFIG_FILE)
        try:
            if os.path.exists(config_path):
                self.config = storage.read_json(config_path)
            expected = self.config.pop("digest", None)
            if "model" in self.config:
                self.config["model"] = current_names(self.config["model"])
        except (OSError, ValueError, AttributeError) as error:
            raise ExportError(f"{config_path}: is damaged ({error}); export it again") from error
        if expected is not None and expected != self.digest:
            raise ExportError(
                f"{path}: is damaged, or not what was exported: its files do not have the digest "
                f"in {CONFIG_FILE}; copy it again"
            )
        try:
            self._loaded = tf.saved_model.load(path)
            self._embed = self._loaded.signatures[SIGNATURE]
        except (OSError, KeyError, ValueError, tf.errors.OpError) as error:
            cause = (str(error).strip().splitlines() or [type(error).__name__])[0]  # hints follow
            raise ExportError(f"{path}: cannot be loaded as a SavedModel ({cause})") from error
        inputs = self._embed.structured_input_signature[1]
        outputs = self._embed.structured_outputs
        wanted = {"patch_embeddings", "segment_embedding", "timestamps"}
        if set(inputs) != {"waveform"} or not wanted <= set(outputs):
            raise ExportError(
                f"{path}: its signature takes {sorted(inputs)} and gives {sorted(outputs)}; a "
                f"model exported by audio_triplet takes waveform and gives {sorted(wanted)}"
            )
        self.embedding_size = outputs["segment_embedding"].shape[-1]
        if precision != "float32":
            precision = distribution.choose_precision(precision, distribution.build_strategy())
        self.precision = precision
        self._encode = None if precision == "float32" else self._encode_in(precision)

    @functools.cached_property
    def digest(self) -> str:
        """A hash of graph and weights, the same wherever the model lies."""
        return digest_of(self.path)

    def __call__(self, waveform, hop_frames: int = 96) -> dict[str, tf.Tensor]:
        """Embeds waveforms, see `embed_waveforms`.

        Args:
          waveform: float32[batch, samples] at 16 kHz.
          hop_frames: Frames (10 ms) from one patch to the next.
        """
        waveform = tf.convert_to_tensor(waveform, tf.float32)
        if hop_frames == features.DEFAULT.patch_frames:
            return self._embed(waveform=waveform)
        hop = self._loaded.signatures["with_hop"]
        return hop(waveform=waveform, hop_frames=tf.constant(hop_frames, tf.int32))

    def embed(
        self, sound: Any, sample_rate: float | None = None, hop_seconds: float = 0.96
    ) -> SoundEmbedding:
        """Embeds one sound of any length.

        Args:
          sound: A path or an open binary file; or float[samples] or float[channels, samples],
            nominally within ±1. Channels are averaged.
          sample_rate: Samples per second of an array, which is resampled to 16 kHz.
          hop_seconds: From the start of a patch to that of the next, a multiple of 0.01.

        Returns:
          Its embeddings. A sound shorter than a patch (0.975 s) is padded with silence to one.

        Raises:
          AudioError: The sound cannot be read or used.
          ConfigError: The hop is no multiple of 0.01.
        """
        return embed_sound(self, sound, sample_rate, hop_seconds)

    @functools.cached_property
    def encoder(self) -> keras.Model:
        """The encoder as a plain Keras model, float32[n, 96, 64] log mel → float32[n, dim].

        Built from config.json with the export's weights: it can be trained further, without any
        effect on the export. All its layers are Keras' own, so that a `.keras` file of it is
        loaded without this package.

        Raises:
          ExportError: config.json does not describe the network, as in exports of others.
        """
        return models.plain(self.network)

    @functools.cached_property
    def network(self) -> keras.Model:
        """The same of `audio_triplet.models`' layers, as `models.build` makes it for training.

        Raises:
          ExportError: As `encoder`.
        """
        return self._built_encoder("float32")

    @property
    def variables(self) -> tuple[tf.Variable, ...]:
        """The weights."""
        return tuple(self._embed.variables)

    @property
    def has_encoder(self) -> bool:
        """Whether `encode` works: exports of older versions and of other programs lack it."""
        return ENCODER_SIGNATURE in self._loaded.signatures

    def encode(self, log_mel) -> tf.Tensor:
        """The encoder without its front end.

        Args:
          log_mel: float32[n, 96, 64].

        Returns:
          float32[n, dim], unit norm.

        Raises:
          ExportError: The export is from before it had this signature.
        """
        log_mel = tf.convert_to_tensor(log_mel, tf.float32)
        if self._encode is not None:
            return self._encode(log_mel)
        return self._as_exported(log_mel)

    def _as_exported(self, log_mel) -> tf.Tensor:
        if not self.has_encoder:
            raise ExportError(
                f"{self.path}: has no signature {ENCODER_SIGNATURE!r}, an older version wrote it; "
                "repeat the command that trained it: nothing is left to train, it only exports"
            )
        return self._loaded.signatures[ENCODER_SIGNATURE](log_mel=log_mel)["embedding"]

    def _built_encoder(self, precision: str) -> keras.Model:
        """The encoder built from config.json with the export's weights, and compared."""
        known = {field.name for field in dataclasses.fields(EncoderConfig)}
        held = getattr(self._loaded, "_variables", ())
        try:
            described = self.config["model"]
            encoder = models.build(
                EncoderConfig(**{name: described[name] for name in known & set(described)}),
                precision,
            )
            for variable, value in zip(encoder.variables, held, strict=True):
                variable.assign(value)
        except (KeyError, TypeError, ValueError, ConfigError) as error:
            raise ExportError(
                f"{self.path}: its {CONFIG_FILE} does not describe the network that it holds "
                f"({error}); it can be used as a SavedModel in float32 only"
            ) from error
        probe = tf.random.stateless_normal([4, *_PATCH_SHAPE], [0, 1])
        outputs = encoder(probe, training=False)
        agreement = tf.reduce_sum(outputs * self._as_exported(probe), axis=1)
        if float(tf.reduce_min(agreement)) < 0.99:
            raise ExportError(
                f"{self.path}: its {CONFIG_FILE} describes another network than it holds"
            )
        return encoder

    def _encode_in(self, precision: str):
        """`encode` in another precision."""
        encoder = self._built_encoder(precision)
        return tf.function(
            lambda log_mel: encoder(log_mel, training=False),
            input_signature=[tf.TensorSpec([None, *_PATCH_SHAPE], tf.float32)],
            autograph=False,
        )


def check(run, atol: float = 1e-4) -> dict[str, np.ndarray]:
    """Checks that something behaves as the contract says an export does.

    The one check for the live model, a restored checkpoint and the reloaded SavedModel; equal
    results from two of them say that they are the same model.

    Args:
      run: float32[batch, samples] → dict of the three outputs.
      atol: Tolerance on norms and on invariances.

    Returns:
      The outputs for a fixed test signal, to be compared.

    Raises:
      AssertionError: A promise does not hold; the message says which.
    """
    rate = features.DEFAULT.sample_rate
    time = np.arange(int(2.5 * rate)) / rate
    chirp = np.sin(2 * np.pi * (200 + 800 * time) * time)
    noise = np.random.default_rng(0).normal(size=time.size)
    waveform = np.stack([0.5 * chirp, 0.1 * noise, 0 * time]).astype(np.float32)
    outputs = {name: np.asarray(value) for name, value in run(waveform).items()}
    patches, segment = outputs["patch_embeddings"], outputs["segment_embedding"]
    stamps = outputs["timestamps"]
    count = features.DEFAULT.frames(time.size) // features.DEFAULT.patch_frames
    _promise(patches.shape[:2] == (3, count), f"3 waveforms have {count} patches each")
    _promise(stamps.shape == (count,), "timestamps has one entry per patch")
    _promise(all(v.dtype == np.float32 for v in outputs.values()), "outputs are float32")
    _promise(all(np.isfinite(v).all() for v in outputs.values()), "outputs are finite")
    for vectors in (patches, segment):
        norms = np.linalg.norm(vectors, axis=-1)
        _promise(np.allclose(norms, 1, atol=atol), "embeddings have unit norm")
    mean = patches.mean(axis=1)
    mean /= np.linalg.norm(mean, axis=-1, keepdims=True)
    _promise(np.allclose(mean, segment, atol=atol), "segment_embedding is the patches' mean")
    _promise(np.allclose(np.diff(stamps), 0.96) and 0.4 < stamps[0] < 0.5, "timestamps are centres")
    alone = run(waveform[:1])
    _promise(
        np.allclose(np.asarray(alone["segment_embedding"]), segment[:1], atol=atol),
        "a waveform's embedding does not depend on the batch",
    )
    for samples in (0, 1, 399, 400, 15600):
        short = {k: np.asarray(v) for k, v in run(waveform[:, :samples]).items()}
        _promise(short["patch_embeddings"].shape[1] == 1, f"{samples} samples make one patch")
        _promise(np.isfinite(short["patch_embeddings"]).all(), f"{samples} samples stay finite")
    return outputs


def _promise(holds: bool, what: str) -> None:
    if not holds:
        raise AssertionError(f"the model breaks its contract: {what}")
