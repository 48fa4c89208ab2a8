"""Where sound is prepared: in threads of this process, or by a subclass elsewhere."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from audio_triplet.data import chunks
from data_prep.layout import cores
from data_prep.write_shards import write_shard


class Engine:
    """Where sound is read: here, in threads of this process; sub-classes do it elsewhere."""

    def read_lengths(
        self, folder: str, digest: str, paths: Sequence[str]
    ) -> Iterable[tuple[float, str]]:
        """Reads the header of every file.

        Args:
          folder: The folder to be prepared, with its `WORK_DIR`.
          digest: Of what is prepared, the files' sizes included.
          paths: The files.

        Returns:
          What `chunks.read_length` returns for each, in their order.
        """
        del folder, digest
        return chunks.read_lengths(paths)

    def write_shards(
        self,
        folder: str,
        todo: Mapping[str, int],
        resampler: str,
        advance: Callable[[int], object],
    ) -> Iterator[str]:
        """Runs `write_shard` for shards and yields the names of those that are finished.

        Args:
          folder: The folder to be prepared.
          todo: File name of each shard → its number of pieces.
          resampler: `soxr` or `resampy`.
          advance: To be called with the number of pieces done since the last call.
        """
        for name in todo:
            write_shard(folder, name, resampler, threads=cores(), advance=advance)
            yield name
