"""At which frames of chunks the patches of triplets begin: anchors, neighbours, explicit positives.

A draw depends on the run's seed, the chunk's key and the epoch only: it is the same whether the
chunk comes from a sound file or from a shard.
"""

from collections.abc import Callable, Mapping

import tensorflow as tf

from audio_triplet import features, triplets
from audio_triplet.config import TripletConfig
from audio_triplet.data import chunks
from audio_triplet.draws import uniforms_of_keys

_PATCH = features.DEFAULT.patch_frames
_MOST = chunks.CHUNK_PATCHES

# Some chunks to draw from: their metadata (`frames` int32[n], `piece` int64[n], `epoch` int64[n]
# and whatever else), and the mean energies of patches that begin at int32[n, k]: float32[n, k].
Drawable = tuple[Mapping[str, tf.Tensor], Callable[[tf.Tensor], tf.Tensor]]


def draw_starts(
    drawable: Drawable,
    draws: int,
    config: TripletConfig,
    seed: int,
    partners: Drawable | None = None,
    in_partner: tf.Tensor | bool = True,
) -> dict[str, tf.Tensor]:
    """Draws where in each of some chunks anchors begin, and where their positives could.

    Args:
      drawable: The chunks of the anchors.
      draws: How many anchors per chunk.
      config: Δt and the bound of silence.
      seed: Seed of the run.
      partners: As many chunks of which the positives are drawn: with explicit labels they share
        one with those of the anchors, else they are of the same recordings.
      in_partner: bool[n], where the positive is drawn of the partner; elsewhere, and without
        partners, it is a neighbour in time.

    Returns:
      `starts` int32[n, draws, 2], the first frame of anchor and neighbour; `has_neighbour` and
      `drawn` bool[n, draws] (false: there is no audible anchor).
    """
    anchors = _draw_in_time(*drawable, draws, config, seed)
    if partners is None:
        return anchors
    # Another seed: the two may be the same chunk.
    positives = _draw_in_time(*partners, draws, config, seed + 1)
    there = tf.reshape(in_partner, [-1, 1])
    positive = tf.where(there, positives["starts"][..., 0], anchors["starts"][..., 1])
    return anchors | {
        "starts": tf.stack([anchors["starts"][..., 0], positive], axis=2),
        "has_neighbour": tf.where(there, positives["drawn"], anchors["has_neighbour"]),
    }


def draw_patches(
    chunk: dict, draws: int, config: TripletConfig, seed: int, partner: dict | None = None
) -> dict[str, tf.Tensor]:
    """Draws anchors and their neighbours from a chunk that is read whole, see `draw_starts`.

    Args:
      chunk: As `ChunkSource.visits` gives it.
      draws: How many anchors.
      config: Δt and the bound of silence.
      seed: Seed of the run.
      partner: For explicit labels, the chunk of the positives.

    Returns:
      `anchor` and `neighbour` float32[draws, 96, mels], `has_neighbour` and `drawn` bool[draws],
      `seconds` float32[draws, 2] (where anchor and neighbour begin in their chunks), and
      `recording`, `labels` repeated.
    """

    def patches_of(chunk):
        padded = tf.pad(chunk["mel_energies"], [[0, _PATCH], [0, 0]])

        def cut(starts):  # [n] → [n, 96, mels]
            return tf.gather(padded, starts[:, None] + tf.range(_PATCH)[None, :])

        def energies(starts):  # [1, k] → [1, k]
            return triplets.mean_energy(cut(starts[0]))[None]

        metadata = {name: chunk[name][None] for name in ("frames", "piece", "epoch")}
        return cut, (metadata, energies)

    cut_anchor, drawable = patches_of(chunk)
    cut_neighbour, partners = cut_anchor, None
    if partner is not None:
        cut_neighbour, partners = patches_of(partner)
    drawn = draw_starts(drawable, draws, config, seed, partners)
    drawn = {name: tensor[0] for name, tensor in drawn.items()}
    starts = drawn.pop("starts")  # [draws, 2]
    return drawn | {
        "anchor": cut_anchor(starts[:, 0]),
        "neighbour": cut_neighbour(starts[:, 1]),
        "seconds": seconds_of(starts),
        "recording": tf.fill([draws], chunk["recording"]),
        "labels": tf.tile(chunk["labels"][None, :], [draws, 1]),
    }


def seconds_of(starts: tf.Tensor) -> tf.Tensor:
    """Seconds at which frames begin: float32 of int32, of any shape."""
    return tf.cast(starts, tf.float32) * features.DEFAULT.hop_seconds


def _draw_in_time(
    metadata: Mapping[str, tf.Tensor],
    energies: Callable[[tf.Tensor], tf.Tensor],
    draws: int,
    config: TripletConfig,
    seed: int,
) -> dict[str, tf.Tensor]:
    """Draws anchors and their temporal neighbours, as `draw_starts` returns them.

    A chunk is cut into patches on a grid of random phase [D]. Anchors are drawn from the audible
    patches, without repetition as long as there are enough; a neighbour is another audible patch
    less than Δt away.
    """
    frames = metadata["frames"][:, None]  # [n, 1]
    key = metadata["piece"] ^ (metadata["epoch"] * 0x9E3779B1 + (seed * 0x85EBCA6B & (2**63 - 1)))
    phase_draw, order_draw, neighbour_draw = tf.split(
        uniforms_of_keys(key, 1 + _MOST + draws * _MOST), [1, _MOST, draws * _MOST], axis=1
    )
    slack = tf.clip_by_value(frames - _PATCH, 0, _PATCH - 1)
    phase = tf.cast(tf.floor(phase_draw * tf.cast(slack + 1, tf.float32)), tf.int32)
    grid = tf.range(_MOST)[None, :]
    starts = phase + grid * _PATCH  # [n, most]
    # A patch that would reach past the chunk does not count, unless the chunk has no whole patch.
    whole = (starts + _PATCH <= frames) | ((grid == 0) & (frames > 0))
    audible = whole & (energies(starts) > config.silence_energy)
    count = tf.reduce_sum(tf.cast(audible, tf.int32), axis=1, keepdims=True)

    audible_first = tf.argsort(tf.where(audible, order_draw, 2.0), axis=1)
    wanted = tf.range(draws)[None, :] % tf.maximum(1, count)  # [n, draws]
    anchor = tf.gather(audible_first, wanted, batch_dims=1)
    apart = tf.abs(anchor[:, :, None] - grid[:, None, :])  # [n, draws, most], in patches
    seconds = tf.cast(apart, tf.float32) * features.DEFAULT.patch_seconds
    near = audible[:, None, :] & (apart > 0) & (seconds < config.max_seconds_apart)
    scores = tf.where(near, tf.reshape(neighbour_draw, [-1, draws, _MOST]), -1.0)
    neighbour = tf.argmax(scores, axis=2, output_type=tf.int32)
    drawn = tf.stack([anchor, neighbour], axis=2)  # [n, draws, 2]
    return {
        "starts": phase[:, :, None] + drawn * _PATCH,
        "has_neighbour": tf.reduce_any(near, axis=2),
        "drawn": tf.broadcast_to(count > 0, tf.shape(anchor)),
    }
