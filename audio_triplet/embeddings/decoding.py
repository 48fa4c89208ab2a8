"""Many sound files decoded, cut into patches, and embedded if a model can, in threads."""

from __future__ import annotations

import collections
import dataclasses
import os
import queue
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from audio_triplet.config import EmbedConfig
from audio_triplet.embeddings.patch_cutting import Cutting
from audio_triplet.embeddings.sounds import RATE, read_blocks
from audio_triplet.errors import AudioError

if TYPE_CHECKING:
    from audio_triplet.data.bad_files import BadFiles
    from audio_triplet.data.manifest import Manifest

# Patches that a thread embeds at a time, of however many files: a network takes so many at once,
# and those of a short file would leave most of a batch empty.
AT_A_TIME = 8

# Row and its sound, float32[samples] at 16 kHz at a time → the same sound; called in threads.
Listen = Callable[[int, Iterator[np.ndarray]], Iterator[np.ndarray]]


@dataclasses.dataclass(frozen=True, eq=False)
class Patches:
    """Some patches of a segment, in order.

    Attributes:
      row: The segment's row in the manifest.
      patches: float32[n, 96, mels] mel energies, or float32[n, samples].
      energies: float32[n].
    """

    row: int
    patches: np.ndarray
    energies: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Vectors:
    """Some patches of a segment, embedded already.

    Attributes:
      row: The segment's row in the manifest.
      vectors: float32[n, dim].
      energies: float32[n].
    """

    row: int
    vectors: np.ndarray
    energies: np.ndarray


@dataclasses.dataclass(frozen=True)
class End:
    """The end of a segment: all its patches have been yielded.

    Attributes:
      row: The segment's row in the manifest.
      seconds: Length of its sound.
    """

    row: int
    seconds: float


@dataclasses.dataclass(frozen=True)
class Failure:
    """A segment that cannot be read to its end; some of its patches may have been yielded.

    Attributes:
      row: The segment's row in the manifest.
      reason: What is wrong with it.
    """

    row: int
    reason: str


Item = Patches | Vectors | End | Failure


class Decoder:
    """Decodes the segments of a manifest in threads.

    Iterating gives `Patches` or `Vectors`, and for each segment an `End` or a `Failure`; those of
    one segment come in order, those of different segments may alternate.

    With `encode` there is a thread for each core, and a thread embeds what it decoded, some files'
    patches at once, so that no core waits for another. As soon as there are fewer files left than
    threads, patches are given out as they are: the cores that are idle then can embed them.
    """

    def __init__(
        self,
        manifest: Manifest,
        config: EmbedConfig,
        cutting: Cutting,
        bad_files: BadFiles,
        listen: Listen | None = None,
        encode: Callable[[np.ndarray], np.ndarray] | None = None,
    ):
        """Makes the threads, which start with the iteration.

        Args:
          manifest: The segments.
          config: Hop and number of threads.
          cutting: How patches are cut.
          bad_files: Says whether truncated files are used; notes what was read.
          listen: Hears the sound of each row, and passes it on.
          encode: Patches as `Patches` has them → float32[n, dim], the same for a patch whatever
            others are with it; called in threads.
        """
        self._listen, self._encode = listen, encode
        self._hop, self._cutting = config.hop_samples / RATE, cutting
        # Lists: pandas takes longer for a row than libsndfile for a second of sound.
        columns = (manifest.frame[name] for name in ("path", "start_seconds", "end_seconds"))
        self._paths, self._starts, self._ends = (column.tolist() for column in columns)
        self._bad_files = bad_files
        self._rows = iter(range(len(manifest)))
        self._lock = threading.Lock()
        wanted = max(config.threads, os.cpu_count() or 1) if encode else config.threads
        self._queue: queue.Queue = queue.Queue(4 * wanted)
        self._stopped = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, daemon=True, name=f"decode-{number}")
            for number in range(min(wanted, len(manifest)))
        ]
        self._all_busy = len(self._threads) == wanted  # from False it never goes back

    def __iter__(self) -> Iterator[Item]:
        for thread in self._threads:
            thread.start()
        working = len(self._threads)
        while working:
            item = self._queue.get()
            if isinstance(item, BaseException):
                raise item
            if item is None:
                working -= 1
            else:
                yield item

    def stop(self) -> None:
        """Ends the threads, whatever they are doing."""
        self._stopped.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    def _put(self, item: Item | BaseException | None) -> None:
        while not self._stopped.is_set():
            try:
                return self._queue.put(item, timeout=0.2)
            except queue.Full:
                continue

    def _work(self) -> None:
        gathered = _Gathered()
        try:
            while not self._stopped.is_set():
                with self._lock:
                    row = next(self._rows, None)
                if row is None:
                    self._all_busy = False
                    break
                for item in self._decode(row):
                    if not self._encode:
                        self._put(item)
                        continue
                    gathered.items.append(item)
                    while self._all_busy and gathered.count >= AT_A_TIME:
                        self._embed(gathered.taken(AT_A_TIME))
                    if not self._all_busy:
                        self._put_all(gathered)
            self._put_all(gathered)
        except BaseException as error:  # raised again in the consumer's thread
            self._put(error)
        else:
            self._put(None)

    def _read(self, path: str, start: float, end: float, rate: int) -> Iterator[np.ndarray]:
        bad_files = self._bad_files
        return read_blocks(path, start, end, bad_files.truncated, bad_files.log, rate)

    def _embed(self, items: list[Item]) -> None:
        """Gives out some items with their patches embedded."""
        assert self._encode is not None
        vectors = self._encode(
            np.concatenate([item.patches for item in items if isinstance(item, Patches)])
        )
        first = 0
        for item in items:
            if isinstance(item, Patches):
                last = first + len(item.patches)
                self._put(Vectors(item.row, vectors[first:last], item.energies))
                first = last
            else:
                self._put(item)

    def _put_all(self, gathered: _Gathered) -> None:
        """Gives out what is left as it is: cores that are idle now can embed it."""
        for item in gathered.items:
            self._put(item)
        gathered.items.clear()

    def _decode(self, row: int) -> Iterator[Patches | End | Failure]:
        path, start, end = self._paths[row], self._starts[row], self._ends[row]
        seconds = 0.0
        try:
            rate = self._cutting.rate
            blocks = self._read(path, start, end, rate)
            if self._listen is not None and rate == RATE:
                blocks = self._listen(row, blocks)
            elif self._listen is not None:  # it hears 16 kHz
                for _ in self._listen(row, self._read(path, start, end, RATE)):
                    if self._stopped.is_set():
                        return
            for patches, energies, decoded in self._cutting.cut(blocks, self._hop):
                if self._stopped.is_set():
                    return
                if len(patches):
                    yield Patches(row, patches, energies)
                seconds = decoded / rate
            if not seconds:
                raise AudioError(path, f"no sound at {start:g} s")
        except AudioError as error:
            yield Failure(row, error.reason)
        else:
            yield End(row, seconds)


class _Gathered:
    """What a thread has decoded and not given out yet, in order."""

    def __init__(self):
        self.items: collections.deque[Item] = collections.deque()

    @property
    def count(self) -> int:
        """Patches in it."""
        return sum(len(item.patches) for item in self.items if isinstance(item, Patches))

    def taken(self, count: int) -> list[Item]:
        """Takes out items up to a number of patches, and what ends with them; cuts the last."""
        taken: list[Item] = []
        while self.items:
            item = self.items[0]
            if isinstance(item, Patches):
                if not count:
                    break
                if len(item.patches) > count:
                    taken.append(Patches(item.row, item.patches[:count], item.energies[:count]))
                    rest = item.patches[count:], item.energies[count:]
                    self.items[0] = Patches(item.row, *rest)
                    break
                count -= len(item.patches)
            taken.append(self.items.popleft())
        return taken
