"""From pieces to batches of triplets, by tf.data.

    visits → draws of patches → patches → triplets → training step

Every batch is a pure function of the seed and the step's number, so training resumes at any step.
Prepared shards are read patch by patch, whole batches at a time; sound files piece by piece, since
all of a piece must be decoded for one patch of it. The triplets are the same either way. Energies
stay linear up to the training step, which takes the logarithm on the device.
"""

import re
import socket
from collections.abc import Callable

import tensorflow as tf

from audio_triplet import augment, features, triplets
from audio_triplet.config import EXPLICIT, PipelineConfig, TripletConfig
from audio_triplet.data import chunks, sources
from audio_triplet.errors import ConfigError, CorpusError

_PATCH = features.DEFAULT.patch_frames
_MOST = chunks.CHUNK_PATCHES


def uniforms(key, count: int) -> tf.Tensor:
    """Uniform numbers in [0, 1) drawn for each of many keys: float32[n, count] from int64[n].

    SplitMix64, seeded by the key: TensorFlow's own generators take one seed for all.
    """

    def mixed(x):
        x = (x ^ tf.bitwise.right_shift(x, _u64(30))) * _u64(0xBF58476D1CE4E5B9)
        x = (x ^ tf.bitwise.right_shift(x, _u64(27))) * _u64(0x94D049BB133111EB)
        return x ^ tf.bitwise.right_shift(x, _u64(31))

    state = mixed(tf.bitcast(key, tf.uint64))[:, None]
    steps = tf.range(1, count + 1, dtype=tf.int64)[None, :]
    bits = mixed(state + tf.cast(steps, tf.uint64) * _u64(0x9E3779B97F4A7C15))
    bits = tf.bitcast(tf.bitwise.right_shift(bits, _u64(40)), tf.int64)
    return tf.cast(bits, tf.float32) * 2.0**-24


def draw_places(
    outline: dict,
    energies: Callable[[tf.Tensor], tf.Tensor],
    draws: int,
    config: TripletConfig,
    seed: int,
) -> dict:
    """Draws where in each of some pieces anchors and their temporal neighbours begin.

    A piece is cut into patches on a grid of random phase [D]. Anchors are drawn from the audible
    patches, without repetition as long as there are enough; a neighbour is another audible patch
    less than Δt away. The draw depends on the seed, the piece's key and the epoch only: it is the
    same whether the piece comes from a sound file or from a shard.

    Args:
      outline: `frames` int32[n], `piece` int64[n], `epoch` int64[n].
      energies: As `PatchSource.patch_energies` of these pieces: int32[n, k] → float32[n, k].
      draws: How many anchors.
      config: Δt and the bound of silence.
      seed: Seed of the run.

    Returns:
      `starts` int32[n, draws, 2], the first frame of anchor and neighbour; `has_neighbour` and
      `drawn` bool[n, draws].
    """
    frames = outline["frames"][:, None]  # [n, 1]
    key = outline["piece"] ^ (outline["epoch"] * 0x9E3779B1 + (seed * 0x85EBCA6B & (2**63 - 1)))
    phase_draw, order_draw, neighbour_draw = tf.split(
        uniforms(key, 1 + _MOST + draws * _MOST), [1, _MOST, draws * _MOST], axis=1
    )
    slack = tf.clip_by_value(frames - _PATCH, 0, _PATCH - 1)
    phase = tf.cast(tf.floor(phase_draw * tf.cast(slack + 1, tf.float32)), tf.int32)
    grid = tf.range(_MOST)[None, :]
    starts = phase + grid * _PATCH  # [n, most]
    # A cut that reaches past the piece is not a patch, unless the piece has no whole one.
    whole = (starts + _PATCH <= frames) | ((grid == 0) & (frames > 0))
    audible = whole & (energies(starts) > config.silence_energy)
    count = tf.reduce_sum(tf.cast(audible, tf.int32), axis=1, keepdims=True)

    shuffled = tf.argsort(tf.where(audible, order_draw, 2.0), axis=1)  # audible ones first
    places = tf.range(draws)[None, :] % tf.maximum(1, count)  # [n, draws]
    anchor = tf.gather(shuffled, places, batch_dims=1)
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


def draw_patches(piece: dict, draws: int, config: TripletConfig, seed: int) -> dict:
    """Draws anchors and their temporal neighbours from one piece, see `draw_places`.

    Args:
      piece: As `ChunkSource.visits` gives it.
      draws: How many anchors.
      config: Δt and the bound of silence.
      seed: Seed of the run.

    Returns:
      `anchor` and `neighbour` float32[draws, 96, mels], `has_neighbour` and `drawn` bool[draws],
      `seconds` float32[draws, 2] (where anchor and neighbour begin in the piece), and
      `recording`, `labels` repeated.
    """
    padded = tf.pad(piece["mel_energies"], [[0, _PATCH], [0, 0]])

    def cut(starts):  # [n] → [n, 96, …]
        return tf.gather(padded, starts[:, None] + tf.range(_PATCH)[None, :])

    def energies(starts):  # [1, k]
        return triplets.mean_energy(cut(starts[0]))[None]

    outline = {name: piece[name][None] for name in ("frames", "piece", "epoch")}
    places = draw_places(outline, energies, draws, config, seed)
    starts = places.pop("starts")[0]  # [draws, 2]
    return {name: tensor[0] for name, tensor in places.items()} | {
        "anchor": cut(starts[:, 0]),
        "neighbour": cut(starts[:, 1]),
        "seconds": _seconds(starts),
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
        "seconds": tf.stack([anchors["seconds"][:, 0], positives["seconds"][:, 0]], axis=1),
        "label": tf.fill([draws], label),
    }


def triplet_batches(
    source: sources.ChunkSource,
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
    elif patches := source.patches():
        return _from_patches(patches, triplet_config, config, first_step)
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
        return (
            augment.augment_pairs(made, seed, triplet_config) if triplet_config.augmented else made
        )

    steps = tf.data.Dataset.range(first_step, tf.int64.max)
    made = tf.data.Dataset.zip((steps, batches)).map(make, tf.data.AUTOTUNE)
    if service:
        made = made.apply(
            tf.data.experimental.service.distribute(
                tf.data.experimental.service.ShardingPolicy.DYNAMIC, service
            )
        )
    return made.prefetch(tf.data.AUTOTUNE)


def _from_patches(
    source: sources.PatchSource, triplet_config: TripletConfig, config: PipelineConfig, first_step
) -> tf.data.Dataset:
    """`triplet_batches` where patches can be read alone: a batch is one call of one function."""
    draws, size = config.batches_per_visit, config.batch_size
    steps = tf.data.Dataset.range(first_step, tf.int64.max)
    if triplet_config.constraints == EXPLICIT:
        first_batch = first_step // draws
        pairs = sources.by_label(source.numbers(config.seed, 0), source.label_ids, config.seed)
        pairs = pairs.skip(first_batch * size).batch(size, drop_remainder=True)
        again = pairs.flat_map(lambda *pair: tf.data.Dataset.from_tensors(pair).repeat(draws))
        steps = tf.data.Dataset.zip((steps, again.skip(first_step % draws)))
    else:
        steps = steps.map(lambda step: (step, ()))

    def draw(handles, epochs, seed):
        outline = source.outline(handles) | {"epoch": epochs}
        return outline, draw_places(
            outline,
            lambda starts: source.patch_energies(handles, starts),
            draws,
            triplet_config,
            seed,
        )

    def make(step, pair):
        this_draw = tf.cast(step % draws, tf.int32)
        if pair:
            handles, epochs, labels = pair
            outline, places = draw(handles[:, 0], epochs[:, 0], config.seed)
            # Another seed: the two may be the same piece.
            _, others = draw(handles[:, 1], epochs[:, 1], config.seed + 1)
            places["starts"] = tf.stack([places["starts"][..., 0], others["starts"][..., 0]], 2)
            places["has_neighbour"] = others["drawn"]
        else:
            visits = step // draws * size + tf.range(size, dtype=tf.int64)
            handles, epochs = source.visited(config.seed, visits)
            outline, places = draw(handles, epochs, config.seed)
            handles = tf.stack([handles, handles], axis=1)
        chosen = {name: tensor[:, this_draw] for name, tensor in places.items()}
        chosen |= {name: outline[name] for name in ("recording", "labels")}
        chosen |= {"label": labels[:, 0]} if pair else {}
        order, near = triplets.assign(chosen["has_neighbour"], triplet_config)
        handles = tf.gather(handles, order)
        chosen = {name: tf.gather(tensor, order) for name, tensor in chosen.items()}
        starts = chosen.pop("starts")
        chosen["anchor"] = source.cut(handles[:, 0], starts[:, 0])
        chosen["seconds"] = _seconds(starts)
        neighbour = source.cut(tf.gather(handles[:, 1], near), tf.gather(starts[:, 1], near))
        seed = tf.stack([config.seed, step])
        made = triplets.make_positives(chosen, neighbour, seed, triplet_config)
        return (
            augment.augment_pairs(made, seed, triplet_config) if triplet_config.augmented else made
        )

    return steps.map(make, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def _seconds(starts: tf.Tensor) -> tf.Tensor:
    """Seconds at which frames begin."""
    return tf.cast(starts, tf.float32) * features.DEFAULT.hop_seconds


def _u64(number: int) -> tf.Tensor:
    return tf.constant(number, tf.uint64)


def _check_service(service: str, source: sources.ChunkSource) -> None:
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
