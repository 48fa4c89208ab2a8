"""From pieces to batches of triplets, by tf.data.

    visits → pieces, batched → draws of patches → triplets → training step

Every batch is a pure function of the seed and the step's number, so training resumes at any step.
Energies stay linear up to the training step, which takes the logarithm on the device.
"""

import re
import socket

import tensorflow as tf

from audio_triplet import features, pieces, triplets, views
from audio_triplet.config import EXPLICIT, ConfigError, PipelineConfig, TripletConfig
from audio_triplet.manifest import CorpusError

_PATCH = features.DEFAULT.patch_frames


def draw_patches(piece: dict, draws: int, config: TripletConfig, seed: int) -> dict:
    """Draws anchors and their temporal neighbours from one piece.

    The piece is cut into patches on a grid of random phase [D]. Anchors are drawn from the audible
    patches, without repetition as long as there are enough; a neighbour is another audible patch
    less than Δt away. The draw depends on the seed, the piece's key and the epoch only: it is the
    same whether the piece comes from a sound file or from a shard.

    Args:
      piece: As `PieceSource.visits` gives it.
      draws: How many anchors.
      config: Δt and the bound of silence.
      seed: Seed of the run.

    Returns:
      `anchor` and `neighbour` float32[draws, 96, mels], `has_neighbour` and `drawn` bool[draws],
      `seconds` float32[draws, 2] (where anchor and neighbour begin in the piece), and
      `recording`, `labels` repeated.
    """
    energies, frames = piece["mel_energies"], piece["frames"]
    most = energies.shape[0] // _PATCH
    phase_draw, order_draw, neighbour_draw = tf.split(
        tf.random.stateless_uniform(
            [1 + most + draws * most], tf.stack([piece["piece"] ^ seed, piece["epoch"]])
        ),
        [1, most, draws * most],
    )
    slack = tf.clip_by_value(frames - _PATCH, 0, _PATCH - 1)
    phase = tf.cast(tf.floor(phase_draw[0] * tf.cast(slack + 1, tf.float32)), tf.int32)
    starts = phase + tf.range(most) * _PATCH  # [most]
    # A cut that reaches past the piece is not a patch, unless the piece has no whole one.
    whole = (starts + _PATCH <= frames) | ((tf.range(most) == 0) & (frames > 0))

    padded = tf.pad(energies, [[0, _PATCH], [0, 0]])
    cuts = tf.gather(padded, starts[:, None] + tf.range(_PATCH)[None, :])  # [most, 96, mels]
    audible = whole & (triplets.mean_energy(cuts) > config.silence_energy)
    count = tf.reduce_sum(tf.cast(audible, tf.int32))

    shuffled = tf.argsort(tf.where(audible, order_draw, 2.0))  # audible ones first
    anchor = tf.gather(shuffled, tf.range(draws) % tf.maximum(1, count))  # [draws]
    apart = tf.abs(anchor[:, None] - tf.range(most)[None, :])  # [draws, most], in patches
    seconds = tf.cast(apart, tf.float32) * features.DEFAULT.patch_seconds
    near = audible[None, :] & (apart > 0) & (seconds < config.max_seconds_apart)
    scores = tf.where(near, tf.reshape(neighbour_draw, [draws, most]), -1.0)
    neighbour = tf.argmax(scores, axis=1, output_type=tf.int32)
    begin = tf.gather(starts, tf.stack([anchor, neighbour], axis=1))  # [draws, 2]
    return {
        "anchor": tf.gather(cuts, anchor),
        "neighbour": tf.gather(cuts, neighbour),
        "has_neighbour": tf.reduce_any(near, axis=1),
        "drawn": tf.fill([draws], count > 0),
        "seconds": tf.cast(begin, tf.float32) * features.DEFAULT.hop_seconds,
        "recording": tf.fill([draws], piece["recording"]),
        "labels": tf.tile(piece["labels"][None, :], [draws, 1]),
    }


def draw_pair(
    first: dict, second: dict, label, draws: int, config: TripletConfig, seed: int
) -> dict:
    """Draws anchors from one piece and positives from another with the same label.

    Args:
      first: The anchors' piece.
      second: The positives' piece.
      label: int64, the label both share.
      draws: How many.
      config: TripletConfig.
      seed: Seed of the run.

    Returns:
      As `draw_patches`, the neighbour being a patch of `second`; plus `label` int64[draws].
    """
    anchors = draw_patches(first, draws, config, seed)
    # Another seed: the two may be the same piece.
    positives = draw_patches(second, draws, config, seed + 1)
    return anchors | {
        "neighbour": positives["anchor"],
        "has_neighbour": positives["drawn"],
        "label": tf.fill([draws], label),
    }


def triplet_batches(
    source: pieces.PieceSource,
    triplet_config: TripletConfig,
    config: PipelineConfig,
    first_step: int = 0,
    service: str = "",
) -> tf.data.Dataset:
    """Endless batches of triplets, from the given step on.

    Args:
      source: Where the pieces come from.
      triplet_config: Constraints.
      config: Batch size, seed.
      first_step: The number of the first batch.
      service: grpc://HOST:PORT of a tf.data service whose workers make the batches. Each visit
        is dealt out to one of them, so an epoch still visits every recording once; but the order
        is the workers' own, so batches are no longer a function of the step.

    Returns:
      Dataset of what `triplets.make_triplets` returns. Linear energies.

    Raises:
      CorpusError: The corpus has fewer than two recordings, no labels for `explicit`, or is
        decoded by Python functions, which do not travel to a service.
      ConfigError: No service answers.
    """
    if source.recordings < 2:
        raise CorpusError(
            "a triplet's negative comes from another recording, and this corpus has only one"
        )
    if service:
        _check_service(service, source)
    draws = config.batches_per_visit
    first_visit = first_step // draws * config.batch_size
    if triplet_config.constraints == EXPLICIT:
        def draw(first, second, label):
            return draw_pair(first, second, label, draws, triplet_config, config.seed)

        drawn = source.pairs(config.seed, first_visit, bool(service)).map(draw, tf.data.AUTOTUNE)
    else:
        def draw(piece):
            return draw_patches(piece, draws, triplet_config, config.seed)

        drawn = source.visits(config.seed, first_visit, bool(service)).map(draw, tf.data.AUTOTUNE)
    batches = drawn.batch(config.batch_size, drop_remainder=True)
    # [batch, draws, …]: one batch for each draw, so that no batch has a recording twice.
    if draws == 1:
        batches = batches.map(lambda batch: {name: t[:, 0] for name, t in batch.items()})
    else:
        def per_draw(batch):
            return tf.data.Dataset.from_tensor_slices(
                {name: _swap(tensor) for name, tensor in batch.items()}
            )

        batches = batches.flat_map(per_draw).skip(first_step % draws)

    def make(step, batch):
        seed = tf.stack([config.seed, step])
        made = triplets.make_triplets(batch, seed, triplet_config)
        return views.vary_pairs(made, seed, triplet_config) if triplet_config.varied else made

    steps = tf.data.Dataset.range(first_step, tf.int64.max)
    made = tf.data.Dataset.zip((steps, batches)).map(make, tf.data.AUTOTUNE)
    if service:
        made = made.apply(tf.data.experimental.service.distribute(
            tf.data.experimental.service.ShardingPolicy.DYNAMIC, service
        ))
    return made.prefetch(tf.data.AUTOTUNE)


def _check_service(service: str, source: pieces.PieceSource) -> None:
    """Refuses what a tf.data service cannot do: TensorFlow itself would wait for ever."""
    if not source.travels:
        raise CorpusError(
            f"{service}: a tf.data service runs no Python functions; prepare the corpus, or use "
            "--decoder=in_graph, which needs tensorflow-io"
        )
    match = re.fullmatch(r"grpc://(.+):(\d+)", service)
    if not match:
        raise ConfigError(f"data_service={service}: write grpc://HOST:PORT")
    try:
        socket.create_connection((match[1], int(match[2])), timeout=10).close()
    except OSError as error:
        raise ConfigError(
            f"{service}: no tf.data service answers ({error.strerror or error}); start one by "
            "python -m experiments.data_service"
        ) from error


def _swap(tensor: tf.Tensor) -> tf.Tensor:
    """Exchanges the first two axes."""
    return tf.transpose(tensor, [1, 0, *range(2, tensor.shape.rank)])
