"""Writing one shard from its layout alone; the bytes are the same on every machine."""

import collections
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures

import numpy as np

from audio_triplet import audio, storage
from audio_triplet.data.bad_files import BadFiles
from audio_triplet.errors import AudioError
from data_prep.layout import work_path


def is_finished(folder: str, name: str) -> bool:
    """Whether a shard is complete; it gets its name after its report is written."""
    return storage.exists(work_path(folder, name, "done")) and storage.exists(
        storage.join(folder, name)
    )


def write_shard(
    folder: str,
    name: str,
    resampler: str,
    *,
    threads: int = 1,
    unique: bool = False,
    advance: Callable[[int], object] = lambda chunks_done: None,
) -> None:
    """Makes one shard from its layout, unless it is finished; the bytes depend on the layout alone.

    Args:
      folder: The folder to prepare.
      name: File name of the shard.
      resampler: `soxr` or `resampy`.
      threads: Chunks decoded at the same time.
      unique: Several workers may make this shard at the same time.
      advance: Called with 1 after each chunk.
    """
    if is_finished(folder, name):
        return
    # Imported late: a process that only lays out the work should not wait for TensorFlow.
    import tensorflow as tf

    from audio_triplet.data import file_source, shard_format

    work = storage.read_json(work_path(folder, name, "work"))
    bad_files = BadFiles(work.get("truncated", "refuse"))  # not in layouts of earlier versions

    def record(index: int) -> bytes:
        file = work["file"][index]
        path, labels = work["paths"][file], np.zeros(work["classes"], bool)
        labels[work["labels"][file]] = True
        try:
            waveform = audio.read_piece(
                path,
                work["start"][index],
                work["seconds"][index],
                resampler=resampler,
                truncated=bad_files.truncated,
                log=bad_files.log,
            )
        except AudioError as error:
            bad_files.add(path, error.reason)
            waveform = np.zeros(0, np.float32)
        chunk = {key: work[key][index] for key in ("recording", "piece", "segment", "position")}
        energies = file_source.chunk_energies_numpy(waveform)
        chunk |= {"mel_energies": energies, "frames": len(energies), "labels": labels}
        return shard_format.encode(chunk, work["turn"][index], work["turns"][index])

    path = storage.join(folder, name)
    with storage.replacing(path, unique=unique, direct=True) as temporary:
        with tf.io.TFRecordWriter(temporary) as writer:
            for made in _in_order(record, range(len(work["file"])), threads):
                writer.write(made)
                advance(1)
        report = {
            "bytes": storage.size(temporary),
            "bad_files": bad_files.entries,
            "truncated": bad_files.log.truncated,
            "decoded": bad_files.log.counts(),
        }
        storage.write_json(work_path(folder, name, "done"), report, indent=None)


def _in_order(function: Callable, items: Sequence, threads: int) -> Iterator:
    """`map` in threads, only a few items ahead of the consumer."""
    if threads == 1:
        yield from map(function, items)
        return
    waiting = collections.deque()
    with futures.ThreadPoolExecutor(threads) as pool:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > 4 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
