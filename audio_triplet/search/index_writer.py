"""Writing an index: adding to it, merging its parts, and building its FAISS index.

`index_format` describes the folder. Whatever happens to a writer, the index is what its tables
list.
"""

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from audio_triplet import locks
from audio_triplet.data.manifest import Manifest
from audio_triplet.embeddings import model_files
from audio_triplet.embeddings.embedding_set import EmbeddingSet, stamp_of
from audio_triplet.errors import SearchError
from audio_triplet.search import (
    database,
    earlier_format,
    faiss_search,
    measuring,
    part_writer,
    taking,
)
from audio_triplet.search.database import segment_key
from audio_triplet.search.filling import Filler
from audio_triplet.search.index_format import FaissInfo, IndexInfo, Part, other_model, runs_of
from audio_triplet.search.index_options import DTYPES, KINDS
from audio_triplet.search.outline import Outline
from audio_triplet.search.tables import Tables, exists

# Parts with fewer vectors are merged.
SMALL_PART_VECTORS = 1 << 18


class Writer:
    """Adds to an index, or starts a new index. One process at a time: it is locked for others.

    Attributes:
      folder: The index.
      info: What the index is of, and its parts at present.
      tables: Its tables.
      silent: Vectors left out because they are silent.
      silence_energy: Vectors of sound not above it are left out.
      replaced: Segments dropped because their file had changed.
    """

    def __init__(
        self,
        folder: str,
        *,
        model: str,
        model_digest: str,
        dim: int,
        granularity: str = "patch",
        hop_seconds: float = 0.96,
        dtype: str = "float32",
        silence_energy: float = 1e-3,
        commit_vectors: int = 1 << 16,
        commit_seconds: float = 60.0,
        on_commit: Callable[[], object] | None = None,
    ):
        """Opens an index for writing.

        Args:
          folder: Its folder; may be missing.
          model: Folder of the SavedModel.
          model_digest: `saved_model.Model.digest`.
          dim: Dimensions.
          granularity: `patch` or `segment`.
          hop_seconds: From one patch to the next.
          dtype: Of a new index's vectors; an existing index keeps its own.
          silence_energy: Vectors of sound not above this mean energy per cell are left out [D]: all
          silence is alike, and nobody looks for it.
          commit_vectors: Added vectors are listed when there are this many.
          commit_seconds: Or when this much time has passed.
          on_commit: Called when more has been listed.

        Raises:
          SearchError: The index is of another model or granularity.
          LockedError: Another process is writing it.
        """
        self.folder, self.silent, self.replaced = folder, 0, 0
        self.silence_energy, self._commit_vectors = silence_energy, commit_vectors
        self._commit_seconds, self._on_commit = commit_seconds, on_commit
        self._waiting: list[part_writer.Selection] = []
        self._waiting_stamps: dict[int, tuple[int, int]] = {}  # by the segments' keys
        self._waiting_outlines: dict[int, Outline] = {}
        self._count, self._since = 0, time.monotonic()
        if dtype not in DTYPES:
            raise SearchError(f"dtype={dtype!r} is none of {', '.join(DTYPES)}")
        self._lock = contextlib.ExitStack()
        self._lock.enter_context(locks.exclusive(folder))
        try:
            new = IndexInfo(
                model_files.located(model),
                model_digest,
                int(dim),
                granularity,
                float(hop_seconds),
                dtype,
            )
            if not exists(folder):
                self._check_free()
                with database.creating(folder, new.about()):
                    pass
            elif not os.path.exists(database.path_in(folder)):
                earlier_format.convert(folder)
            self._connection = database.connect(folder, writing=True)
            self._lock.callback(self._connection.close)
            self.tables = Tables(folder, self._connection)
            self.info = self.tables.info()
            self.check(model, model_digest, dim, granularity, hop_seconds)
            locks.clear_leftovers(folder)
            earlier_format.finish(folder)
            self._clear_unlisted()
        except BaseException:
            self._lock.close()
            raise

    def check(
        self, name: str, model_digest: str, dim: int, granularity: str, hop_seconds: float
    ) -> None:
        """Checks that vectors fit the index.

        Raises:
          SearchError: They are of another model, granularity or hop; it begins with their name.
        """
        if (self.info.model_digest, self.info.dim) != (model_digest, dim):
            raise SearchError(other_model(self.folder, self.info, name, model_digest))
        if (self.info.granularity, self.info.hop_seconds) != (granularity, hop_seconds):
            raise SearchError(
                f"{self.folder}: holds embeddings of {self.info.granularity} granularity, every "
                f"{self.info.hop_seconds:g} s, and {name} are of {granularity} granularity, every "
                f"{hop_seconds:g} s; make an index of their own for them"
            )

    def _check_free(self) -> None:
        strange = sorted(set(os.listdir(self.folder)) - {locks.LOCK_FILE})
        strange = [name for name in strange if not name.startswith(("part-", "faiss-", "index"))]
        if strange:
            raise SearchError(
                f"{self.folder}: no index, and not empty ({strange[0]!r}); name another folder"
            )

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_) -> None:
        """Lists what is waiting, merges small parts, measures, and releases the lock."""
        try:
            self.commit()
            if kind is None:
                self.merge()
                measuring.measure(self)
        finally:
            self.close()

    def close(self) -> None:
        """Releases the lock; what is waiting is not listed."""
        self._lock.close()

    def missing(self, manifest: Manifest) -> np.ndarray:
        """Rows of a manifest that are not in the index, or whose file has changed: int64[n]."""
        rows = []
        for row, (path, start, end) in enumerate(_spans(manifest)):
            try:
                stamp = stamp_of(path)
            except OSError:
                rows.append(row)  # whoever reads it will report it
                continue
            if self._known(segment_key(path, start, end)) != stamp:
                rows.append(row)
        return np.array(rows, np.int64)

    def _known(self, key: int) -> tuple[int, int] | None:
        """The stamp of a segment's file when it was embedded; None: the index lacks it."""
        return self._waiting_stamps.get(key) or self.tables.stamp(key)

    def add(
        self, embeddings: EmbeddingSet, outlines: Sequence[Outline | None] | None = None
    ) -> int:
        """Adds a set of embeddings; segments that are in the index already are skipped.

        Args:
          embeddings: A set with times, stamps and origin.
          outlines: What each of its segments sounds like, to find copies; None: not known.

        Returns:
          Number of vectors added.

        Raises:
          SearchError: It is of another model or granularity, or holds vectors not of unit norm.
          ArchiveError: It lacks times, stamps or origin.
        """
        name, (_, _, stamp, origin) = embeddings.manifest.name, embeddings.sources()
        self.check(
            name,
            origin.model_digest,
            embeddings.vectors.shape[1],
            origin.granularity,
            origin.hop_seconds,
        )
        norms = np.linalg.norm(embeddings.vectors, axis=1)
        if not np.allclose(norms, 1, atol=1e-2):
            raise SearchError(f"{name}: holds vectors that are not of unit norm; embed it again")
        keys = [segment_key(*span) for span in _spans(embeddings.manifest)]
        stamps: list[tuple[int, int]] = list(map(tuple, stamp.tolist()))
        if any(self._waiting_stamps.get(k, s) != s for k, s in zip(keys, stamps, strict=True)):
            self.commit()  # a file has changed once more: its new content replaces what waits
        new = np.zeros(len(keys), bool)
        for number, (key, own) in enumerate(zip(keys, stamps, strict=True)):
            if self._known(key) != own:
                new[number] = True
                self._waiting_stamps[key] = own
                if outlines is not None and (outline := outlines[number]) is not None:
                    self._waiting_outlines[key] = outline
        if not new.any():
            return 0
        audible = new[embeddings.segment_index] & (embeddings.energy > self.silence_energy)
        self.silent += int(new[embeddings.segment_index].sum() - audible.sum())
        self._waiting.append((embeddings, new, audible))
        self._count += int(audible.sum())
        age = time.monotonic() - self._since
        if self._count >= self._commit_vectors or age >= self._commit_seconds:
            self.commit()
        return int(audible.sum())

    def commit(self) -> None:
        """Lists all that was added: from now on it stays, whatever happens."""
        self._since = time.monotonic()
        if not self._waiting:
            return
        segments = part_writer.new_segments(self._waiting)
        ids = self.ids([segment.key for segment in segments])
        owners = np.repeat(ids, [segment.count for segment in segments])
        name = ""
        if len(owners):
            name = part_writer.write_selected(self.folder, self.info, self._waiting, owners)
        with self.changing() as filler:
            part = filler.add_part(name, len(owners)) if name else None
            for segment in segments:
                number = filler.add(segment, part)
                if outline := self._waiting_outlines.get(segment.key):
                    filler.add_outline(number, outline)
        self.replaced += filler.replaced
        self._waiting, self._count = [], 0
        self._waiting_stamps, self._waiting_outlines = {}, {}
        if self._on_commit is not None:
            self._on_commit()

    def ids(self, keys: Sequence[int]) -> list[int]:
        """The ids that segments have, or will have if they are added next, in this order."""
        with database.errors_named(database.path_in(self.folder)):
            return Filler(self._connection).ids(keys)

    @contextlib.contextmanager
    def changing(self) -> Iterator[Filler]:
        """What the block changes in the tables is seen at its end, all of it.

        Raises:
          OSError: The disk is full; the tables are as they were.
        """
        with database.errors_named(database.path_in(self.folder)):
            with database.transaction(self._connection, "IMMEDIATE"):
                yield Filler(self._connection)
        self.info = self.tables.info()

    @contextlib.contextmanager
    def choosing(self, other: Tables) -> Iterator[taking.Taking]:
        """What to take of another index, whose tables are attached while the block runs."""
        with other.attached_to(self._connection), taking.choosing(self._connection) as chosen:
            yield chosen

    def _clear_unlisted(self) -> None:
        """Removes parts that the tables do not list, left by a killed writer or a merge."""
        listed = {info.name for info in self.info.parts}
        if self.info.faiss:
            listed.add(self.info.faiss.file)
        for entry in list(os.scandir(self.folder)):
            if entry.name.startswith(("part-", "faiss-")) and entry.name not in listed:
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path)
                else:
                    os.unlink(entry.path)

    def merge(self) -> None:
        """Merges small parts, and parts with many dropped segments, into one."""
        covered = set(self.info.faiss.parts) if self.info.faiss else set()
        small = [
            info
            for info in self.info.parts
            if info.id not in covered
            and (info.vectors < SMALL_PART_VECTORS or info.gone_vectors * 5 > info.vectors)
        ]
        if len(small) < 2 and not any(info.gone for info in small):
            return
        parts = [Part(self.folder, info, self.info.dim) for info in small]
        name, owners = part_writer.write_merged(self.folder, self.info, parts)
        with self.changing() as filler:
            filler.remove_parts(info.id for info in small)
            if name:
                merged = filler.add_part(name, len(owners))
                segments, firsts, _ = runs_of(owners)
                filler.move(segments, merged, firsts)
        self._clear_unlisted()

    def accelerate(self, kind: str = "ivf", recall: float = 0.95) -> FaissInfo:
        """Builds a FAISS index of all that is listed, and measures what it misses.

        Args:
          kind: `ivf`: lists of similar vectors, some of which are searched; little more memory
            than the vectors. `hnsw`: a graph of neighbours; quicker to search, slower to build.
            `ivfpq`: lists of codes of half a byte a dimension, for more vectors than fit in memory.
          recall: Share of the exact ten nearest it must find; sets how much it looks at.

        Returns:
          What was built.

        Raises:
          SearchError: faiss is not installed, there are too few vectors, or `recall` cannot be
            reached.
        """
        faiss_search.import_faiss()  # without it the earlier FAISS index stays
        if kind not in KINDS:
            raise SearchError(f"faiss={kind!r} is none of {', '.join(KINDS)}")
        self.commit()
        with self.changing() as filler:
            filler.set_faiss(None)
        self.merge()
        parts = [Part(self.folder, info, self.info.dim) for info in self.info.parts]
        built = faiss_search.build(self.folder, self.info, parts, kind, recall)
        with self.changing() as filler:
            filler.set_faiss(built)
        self._clear_unlisted()
        return built

    def set_constant(self, name: str, version: int, blob: bytes) -> None:
        """Stores a constant of the archive, such as the mean of its vectors, at once.

        Args:
          name: What it is; it takes the place of an earlier one of that name.
          version: Of the way it is computed and written.
          blob: Its content.
        """
        with self.changing() as filler:
            filler.set_constant(name, version, blob)

    @property
    def uncovered(self) -> int:
        """Vectors that no FAISS index covers."""
        covered = set(self.info.faiss.parts) if self.info.faiss else set()
        return sum(info.vectors for info in self.info.parts if info.id not in covered)


def _spans(manifest: Manifest) -> Iterator[tuple[str, float, float]]:
    """Path, start and end of each segment."""
    frame = manifest.frame
    return zip(frame["path"], frame["start_seconds"], frame["end_seconds"], strict=True)
