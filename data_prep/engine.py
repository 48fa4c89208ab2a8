"""Reading headers and writing shards: by threads of this process, or by a subclass elsewhere."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from audio_triplet.data import chunks
from audio_triplet.provenance import cores
from data_prep.write_shards import write_shard


class Engine:
    """Reads and writes here, in threads of this process; sub-classes do it elsewhere."""

    def read_lengths(
        self, folder: str, fingerprint: str, paths: Sequence[str], truncated: str = "refuse"
    ) -> Iterable[tuple[float, str]]:
        """Reads the header of every file.

        Args:
          folder: The folder to prepare, with its `WORK_DIR`.
          fingerprint: Digest of corpus and settings.
          paths: The files.
          truncated: Whether truncated files are read, as for `audio.load_audio`.

        Returns:
          The result of `chunks.read_length` for each, in their order.
        """
        del folder, fingerprint
        return chunks.read_lengths(paths, truncated)

    def write_shards(
        self,
        folder: str,
        todo: Mapping[str, int],
        resampler: str,
        advance: Callable[[int], object],
    ) -> Iterator[str]:
        """Runs `write_shard` for shards and yields the names of those that are finished.

        Args:
          folder: The folder to prepare.
          todo: File name of each shard → its number of chunks.
          resampler: `soxr` or `resampy`.
          advance: Is called with the number of chunks done since the last call.
        """
        for name in todo:
            write_shard(folder, name, resampler, threads=cores(), advance=advance)
            yield name
