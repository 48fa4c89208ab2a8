"""From chunks to batches of triplets, by tf.data.

    visits → draws of patches → patches → triplets → training step

Every batch is a pure function of the seed and the step's number, so training resumes at any step.
A batch is made one way from patches that are read in one of two: single patches where the source
can read them alone (prepared shards on this machine), whole chunks otherwise (sound files, of which
all of a chunk must be decoded for one patch of it; shards elsewhere). The triplets are the same
either way. Energies stay linear up to the training step, which takes the logarithm on the device.
"""

import abc
import re
import socket

import tensorflow as tf

from audio_triplet import augment, triplets
from audio_triplet.config import EXPLICIT, PipelineConfig, TripletConfig
from audio_triplet.data import drawing, pairing, sources
from audio_triplet.errors import ConfigError, CorpusError


@tf.autograph.experimental.do_not_convert
def triplet_batches(
    source: sources.ChunkSource,
    triplet_config: TripletConfig,
    config: PipelineConfig,
    first_step: int = 0,
    service: str = "",
) -> tf.data.Dataset:
    """Endless batches of triplets, from the given step on.

    Args:
      source: Where the chunks come from.
      triplet_config: Constraints.
      config: Batch size, seed.
      first_step: The number of the first batch.
      service: grpc://HOST:PORT of a tf.data service whose workers make the batches. Each visit
        goes to one of them, so an epoch still visits every recording once; but the order is the
        workers' own, so batches are no longer a function of the step.

    Returns:
      Dataset of what `triplets.make_positives` returns. Linear energies.

    Raises:
      CorpusError: The corpus has fewer than two recordings, no labels for `explicit`, or is
        decoded by Python functions, which a service cannot run.
      ConfigError: No service answers, or `far_share` without shards on this machine.
    """
    check_recordings(source)
    if service:
        _check_service(service, source)
    patches = None if service else source.patches()
    reader: SinglePatches | _WholeChunks
    if patches is not None:
        reader = SinglePatches(patches, triplet_config, config)
    else:
        reader = _WholeChunks(source, triplet_config, config, distributed=bool(service))

    def make(step, drawn):
        return assemble(reader, step, drawn, triplet_config, config)

    steps = tf.data.Dataset.range(first_step, tf.int64.max)
    batches = tf.data.Dataset.zip((steps, reader.draws(first_step))).map(make, tf.data.AUTOTUNE)
    if service:
        batches = batches.apply(
            tf.data.experimental.service.distribute(
                tf.data.experimental.service.ShardingPolicy.DYNAMIC, service
            )
        )
    return batches.prefetch(tf.data.AUTOTUNE)


def check_recordings(source: sources.ChunkSource) -> None:
    """Raises CorpusError for a corpus without two recordings."""
    if source.recordings < 2:
        raise CorpusError(
            "the corpus has a single recording; add another recording, for the negatives"
        )


class Reader(abc.ABC):
    """Draws and reads the patches of batches. A visit serves `batches_per_visit` steps in turn."""

    def __init__(self, triplet_config: TripletConfig, config: PipelineConfig):
        self._triplets, self._config = triplet_config, config
        self._explicit = triplet_config.constraints == EXPLICIT

    @abc.abstractmethod
    def draws(self, first_step: int) -> tf.data.Dataset:
        """The draws of each step, from the given one on.

        Returns:
          Dataset of dicts: `has_neighbour`, `drawn` bool[batch], `seconds` float32[batch, 2],
          `recording` int64[batch], `labels` bool[batch, classes], with explicit labels `label`
          int64[batch]; and what `read` needs, batch first.
        """

    @abc.abstractmethod
    def read(self, drawn: dict, near) -> tuple[dict, tf.Tensor]:
        """The patches of a batch.

        Args:
          drawn: As `draws` gives it, in any order.
          near: int32[near], the members whose neighbour is needed.

        Returns:
          `drawn` with `anchor` float32[batch, frames, mels] in place of what only this needed, and
          the neighbours float32[near, frames, mels].
        """


class _WholeChunks(Reader):
    """Reads chunk by chunk and cuts all patches of a visit at once."""

    def __init__(self, source: sources.ChunkSource, triplet_config, config, distributed: bool):
        super().__init__(triplet_config, config)
        if triplet_config.far_share:
            raise ConfigError(
                f"far_share={triplet_config.far_share:g}: needs prepared shards on this machine; "
                "prepare the corpus, or give --far_share=0"
            )
        self._source, self._distributed = source, distributed

    def draws(self, first_step):
        config, draws = self._config, self._config.batches_per_visit
        first_visit = first_step // draws * config.batch_size

        def draw(chunk):
            return drawing.draw_patches(chunk, draws, self._triplets, config.seed)

        def draw_pair(first, second, label):
            drawn = drawing.draw_patches(first, draws, self._triplets, config.seed, second)
            return drawn | {"label": tf.fill([draws], label)}

        arguments = config.seed, first_visit, self._distributed
        if self._explicit:
            drawn = self._source.pairs(*arguments).map(draw_pair, tf.data.AUTOTUNE)
        else:
            drawn = self._source.visits(*arguments).map(draw, tf.data.AUTOTUNE)
        visits = drawn.batch(config.batch_size, drop_remainder=True)  # [batch, draws, …]
        # One batch for each draw, so that no batch has a recording twice.
        if draws == 1:
            return visits.map(lambda batch: {name: t[:, 0] for name, t in batch.items()})

        def per_draw(batch):
            return tf.data.Dataset.from_tensor_slices(
                {name: _swap(tensor) for name, tensor in batch.items()}
            )

        return visits.flat_map(per_draw).skip(first_step % draws)

    def read(self, drawn, near):
        neighbour = drawn.pop("neighbour")
        return drawn, tf.gather(neighbour, near)


class SinglePatches(Reader):
    """Draws for whole batches at a time, and reads no more than the patches that are used."""

    def __init__(self, source: sources.PatchSource, triplet_config, config):
        super().__init__(triplet_config, config)
        self._source = source

    def draws(self, first_step: int) -> tf.data.Dataset:
        """As `Reader.draws`."""
        steps = tf.data.Dataset.range(first_step, tf.int64.max)
        visited = self.visited(first_step)
        return tf.data.Dataset.zip((steps, visited)).map(self.draw, tf.data.AUTOTUNE)

    def visited(self, first_step: int) -> tf.data.Dataset:
        """The chunks of each step, from the given one on.

        Returns:
          Dataset of dicts: int64[batch, 2] `handles` and `epochs`, of anchor and neighbour; with
          explicit labels int64[batch] `label`.
        """
        if self._explicit:
            return self._paired(first_step)
        return tf.data.Dataset.range(first_step, tf.int64.max).map(self._visited)

    def _visited(self, step) -> dict[str, tf.Tensor]:
        """The chunks of a step, and their epochs: int64[batch, 2] each."""
        size, draws = self._config.batch_size, self._config.batches_per_visit
        visits = step // draws * size + tf.range(size, dtype=tf.int64)
        handles, epochs = self._source.order.pairs_visited(
            self._config.seed, visits, self._triplets.far_share
        )
        return {"handles": handles, "epochs": tf.stack([epochs] * 2, 1)}

    def _paired(self, first_step: int) -> tf.data.Dataset:
        """The same for explicit labels, from a step on: two chunks and the `label` they share."""
        config, draws = self._config, self._config.batches_per_visit
        pairs = pairing.pairs_of_visits(
            self._source.order, *self._source.all_labels(), config.seed, config.batch_size
        ).skip(first_step // draws)
        again = pairs.flat_map(lambda pair: tf.data.Dataset.from_tensors(pair).repeat(draws))
        return again.skip(first_step % draws)

    def draw(self, step, visited: dict) -> dict[str, tf.Tensor]:
        """The draws of a step, as `draws` gives them, from what `visited` gives for it."""
        draws = self._config.batches_per_visit
        visited = dict(visited)
        handles, epochs = visited["handles"], visited.pop("epochs")
        anchors = self._drawable(handles[:, 0], epochs[:, 0])
        partners, in_partner = None, True
        if self._triplets.in_two_chunks:
            partners = self._drawable(handles[:, 1], epochs[:, 1])
            in_partner = self._explicit | (handles[:, 0] != handles[:, 1])
        drawn = drawing.draw_starts(
            anchors, draws, self._triplets, self._config.seed, partners, in_partner
        )
        this_draw = tf.cast(step % draws, tf.int32)
        # A gather, not a slice: XLA would make a slice's place, and so the step, a constant.
        drawn = {name: tf.gather(tensor, this_draw, axis=1) for name, tensor in drawn.items()}
        drawn = visited | drawn
        metadata, _ = anchors
        drawn |= {name: metadata[name] for name in ("recording", "labels")}
        return drawn | {"seconds": drawing.seconds_of(drawn["starts"])}

    def _drawable(self, handles, epochs) -> drawing.Drawable:
        metadata = self._source.chunk_metadata(handles) | {"epoch": epochs}
        return metadata, lambda starts: self._source.patch_energies(handles, starts)

    def read(self, drawn: dict, near) -> tuple[dict, tf.Tensor]:
        """As `Reader.read`."""
        handles, starts = drawn.pop("handles"), drawn.pop("starts")  # [batch, 2]
        drawn["anchor"] = self._source.cut(handles[:, 0], starts[:, 0])
        return drawn, self._source.cut(
            tf.gather(handles[:, 1], near), tf.gather(starts[:, 1], near)
        )


def assemble(
    reader: Reader, step, drawn: dict, triplet_config: TripletConfig, config: PipelineConfig
) -> dict[str, tf.Tensor]:
    """The batch of a step.

    Args:
      reader: Reads its patches.
      step: int64, the step's number.
      drawn: Its draws, as `Reader.draws` gives them.
      triplet_config: Constraints.
      config: The seed.

    Returns:
      As `triplets.make_positives`, augmented where it is wanted.
    """
    order, near = triplets.assign(drawn["has_neighbour"], triplet_config)
    drawn = {name: tf.gather(tensor, order) for name, tensor in drawn.items()}
    drawn, neighbour = reader.read(drawn, near)
    seed = tf.stack([config.seed, step])
    made = triplets.make_positives(drawn, neighbour, seed, triplet_config)
    return augment.augment_pairs(made, seed, triplet_config) if triplet_config.augmented else made


def _check_service(service: str, source: sources.ChunkSource) -> None:
    """Raises for what a tf.data service cannot do: TensorFlow itself would wait for ever."""
    if not source.graph_only:
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
