"""Writing an index: adding to it, putting its parts together, and FAISS beside it.

See `audio_triplet.search.index` for what lies in the folder. Whatever happens to a writer, the index is
what index.json last listed.
"""

import contextlib
import dataclasses
import json
import os
import secrets
import shutil
import time

import numpy as np
from absl import logging

from audio_triplet import locks, storage
from audio_triplet.data.manifest import Manifest, key_of
from audio_triplet.errors import SearchError
from audio_triplet.search import index, index_format
from audio_triplet.search.index_format import (
    DTYPES,
    INDEX_FILE,
    KINDS,
    SEGMENT,
    SPAN,
    FaissInfo,
    IndexInfo,
    Part,
    PartInfo,
)

_PART_VECTORS = 1 << 18  # parts below this are put together
_RECALL_QUERIES = 200
_RECALL_TOP = 10


class Writer:
    """Adds to an index, or begins one. One process at a time: a second is told so.

    Attributes:
      folder: The index.
      info: What is listed at the moment.
      silent: Vectors left out because they are silent.
      replaced: Segments dropped because their file had changed.
    """

    def __init__(
        self,
        folder: str,
        *,
        model: str,
        model_digest: str,
        dim: int,
        level: str = "patch",
        hop_seconds: float = 0.96,
        dtype: str = "float32",
        silence_energy: float = 1e-3,
        commit_vectors: int = 1 << 16,
        commit_seconds: float = 60.0,
    ):
        """Opens an index for writing.

        Args:
          folder: Its folder; need not be there.
          model: Folder of the SavedModel.
          model_digest: `saved_model.Model.digest`.
          dim: Dimensions.
          level: `patch` or `segment`.
          hop_seconds: From one patch to the next.
          dtype: Of the stored vectors; an index keeps the one it was begun with.
          silence_energy: What is not louder is left out [D]: all silence is alike, and nobody
            looks for it.
          commit_vectors: What is added is listed when it is this much.
          commit_seconds: Or when it is this old.

        Raises:
          index.SearchError: The index is of another model or level.
          LockedError: Another process is writing it.
        """
        self.folder, self.silent, self.replaced = folder, 0, 0
        self._silence, self._commit_vectors = silence_energy, commit_vectors
        self._commit_seconds = commit_seconds
        self._waiting: list = []
        self._count, self._since = 0, time.monotonic()
        if dtype not in DTYPES:
            raise SearchError(f"dtype={dtype!r} is none of {', '.join(DTYPES)}")
        self._lock = contextlib.ExitStack()
        self._lock.enter_context(locks.exclusive(folder))
        try:
            if os.path.exists(os.path.join(folder, INDEX_FILE)):
                self.info = IndexInfo.read(folder)
                self._check(model, model_digest, dim, level, hop_seconds)
            else:
                self._check_free()
                self.info = IndexInfo(
                    os.path.abspath(model), model_digest, int(dim), level, float(hop_seconds), dtype
                )
                self.info.write(folder)
            locks.clear_leftovers(folder)
            self._clear_unlisted()
            self._known = self._read_known()
        except BaseException:
            self._lock.close()
            raise

    def _check(self, name, model_digest, dim, level, hop_seconds) -> None:
        if (self.info.model_digest, self.info.dim) != (model_digest, dim):
            raise SearchError(index_format.other_model(self.folder, self.info, name, model_digest))
        if (self.info.level, self.info.hop_seconds) != (level, hop_seconds):
            raise SearchError(
                f"{self.folder}: holds embeddings of {self.info.level} level, every "
                f"{self.info.hop_seconds:g} s, and {name} are of {level} level, every "
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

    def __exit__(self, kind, *_) -> None:
        """Lists what is waiting, puts small parts together, and lets others write."""
        try:
            self.commit()
            if kind is None:
                self._merge()
        finally:
            self._lock.close()

    def missing(self, manifest: Manifest) -> np.ndarray:
        """Rows of a manifest that are not in the index, or whose file has changed: int64[n]."""
        rows = []
        frame = manifest.frame
        for row, (path, start, end) in enumerate(
            zip(frame["path"], frame["start_seconds"], frame["end_seconds"], strict=True)
        ):
            path = os.path.abspath(path)
            try:
                status = os.stat(path)
            except OSError:
                rows.append(row)  # to be told by who reads it
                continue
            stamp = (status.st_size, status.st_mtime_ns)
            if self._known.get(key_of(path, float(start), float(end))) != stamp:
                rows.append(row)
        return np.array(rows, np.int64)

    def add(self, embeddings) -> int:
        """Adds a set of embeddings; segments that are in the index already are passed over.

        Args:
          embeddings: An `embedding_set.EmbeddingSet`.

        Returns:
          Number of vectors added.

        Raises:
          index.SearchError: It is of another model or level, or holds vectors not of unit norm.
        """
        name = embeddings.manifest.name
        self._check(
            name,
            embeddings.model_digest,
            embeddings.vectors.shape[1],
            embeddings.level,
            embeddings.hop_seconds,
        )
        norms = np.linalg.norm(embeddings.vectors, axis=1)
        if not np.allclose(norms, 1, atol=1e-2):
            raise SearchError(f"{name}: holds vectors that are not of unit norm; embed it again")
        frame = embeddings.manifest.frame
        keys = [
            key_of(os.path.abspath(path), float(start), float(end))
            for path, start, end in zip(
                frame["path"], frame["start_seconds"], frame["end_seconds"], strict=True
            )
        ]
        stamps = list(map(tuple, embeddings.stamp.tolist()))
        new = np.array(
            [self._known.get(key) != stamp for key, stamp in zip(keys, stamps, strict=True)]
        )
        if not new.any():
            return 0
        self._known |= dict(zip(keys, stamps, strict=True))
        audible = new[embeddings.segment] & (embeddings.energy > self._silence)
        self.silent += int(new[embeddings.segment].sum() - audible.sum())
        self._waiting.append((embeddings, new, audible))
        self._count += int(audible.sum())
        age = time.monotonic() - self._since
        if self._count >= self._commit_vectors or age >= self._commit_seconds:
            self.commit()
        return int(audible.sum())

    def commit(self) -> None:
        """Lists all that was added: from here on it stays, whatever happens."""
        self._since = time.monotonic()
        if not self._waiting:
            return
        segments, spans, vectors, lines, first = [], [], [], [], 0
        for embeddings, new, audible in self._waiting:
            # In the order of the segments, as `first` and `count` tell them.
            order = np.flatnonzero(audible)
            order = order[np.argsort(embeddings.segment[order], kind="stable")]
            count = np.bincount(embeddings.segment[order], minlength=len(new))[new]
            segments.append(self._segment_rows(embeddings, new, count, first))
            first += len(order)
            vectors.append(embeddings.vectors[order].astype(self.info.dtype))
            span = np.empty(len(order), SPAN)
            span["start"] = embeddings.start_seconds[order]
            span["end"] = embeddings.end_seconds[order]
            spans.append(span)
            lines += _lines(embeddings, new)
        table = np.concatenate(segments)
        table["offset"] = np.cumsum([0, *map(len, lines[:-1])])
        part = self._write_part(
            [np.concatenate(vectors)], np.concatenate(spans), table, lines, len(table), first
        )
        self._waiting, self._count = [], 0
        parts = self._without_changed(table)
        self._list(dataclasses.replace(self.info, parts=(*parts, part)))

    @staticmethod
    def _segment_rows(embeddings, new, count, first) -> np.ndarray:
        frame = embeddings.manifest.frame[new]
        rows = np.zeros(len(frame), SEGMENT)
        rows["count"] = count
        rows["first"] = first + np.cumsum(count) - count
        paths = [os.path.abspath(path) for path in frame["path"]]
        rows["file"] = [key_of(path) for path in paths]
        rows["key"] = [
            key_of(path, float(start), float(end))
            for path, start, end in zip(
                paths, frame["start_seconds"], frame["end_seconds"], strict=True
            )
        ]
        rows["recording"] = [key_of(name) for name in frame["recording_id"]]
        rows["size"], rows["mtime_ns"] = embeddings.stamp[new].T
        return rows

    def _write_part(self, vectors, spans, segments, lines, n_segments, n_vectors) -> PartInfo:
        """Writes a part aside and renames it: whole, or not there."""
        name = f"part-{secrets.token_hex(6)}"
        path = os.path.join(self.folder, name)
        with storage.replacing(path, sync=True) as temporary:
            os.makedirs(temporary)
            vectors_path = os.path.join(temporary, "vectors.npy")
            shape = (n_vectors, self.info.dim)
            if n_vectors:
                mapped = np.lib.format.open_memmap(vectors_path, "w+", self.info.dtype, shape)
                done = 0
                for block in vectors:
                    mapped[done : done + len(block)] = block
                    done += len(block)
                mapped.flush()
                del mapped
            else:  # a file cannot be mapped that holds nothing
                np.save(vectors_path, np.zeros(shape, self.info.dtype))
            np.save(os.path.join(temporary, "spans.npy"), spans)
            np.save(os.path.join(temporary, "segments.npy"), segments)
            with open(os.path.join(temporary, "names.jsonl"), "wb") as file:
                file.writelines(lines)
        return PartInfo(name, int(n_vectors), int(n_segments))

    def _without_changed(self, table: np.ndarray) -> list[PartInfo]:
        """The parts that are listed, less the segments of files that are in `table` anew."""
        stamp_of = {int(row["file"]): (int(row["size"]), int(row["mtime_ns"])) for row in table}
        files = np.fromiter(stamp_of, np.int64)
        parts = []
        for info in self.info.parts:
            segments = self._segments(info)
            dropped = set(info.dropped)
            for number in np.flatnonzero(np.isin(segments["file"], files)):
                row = segments[number]
                if stamp_of[int(row["file"])] != (int(row["size"]), int(row["mtime_ns"])):
                    dropped.add(int(number))
            self.replaced += len(dropped) - len(info.dropped)
            parts.append(dataclasses.replace(info, dropped=tuple(sorted(dropped))))
        return parts

    def _segments(self, info: PartInfo) -> np.ndarray:
        path = os.path.join(self.folder, info.name, "segments.npy")
        return np.load(path, mmap_mode="r", allow_pickle=False)

    def _read_known(self) -> dict[int, tuple[int, int]]:
        """Segment key → stamp of its file, of all that counts."""
        known = {}
        for info in self.info.parts:
            rows = np.delete(self._segments(info), list(info.dropped))
            stamps = zip(rows["size"].tolist(), rows["mtime_ns"].tolist(), strict=True)
            known |= dict(zip(rows["key"].tolist(), stamps, strict=True))
        return known

    def _list(self, info: IndexInfo) -> None:
        info.write(self.folder)
        self.info = info

    def _clear_unlisted(self) -> None:
        """Removes what no index.json lists: what a killed writer, or a merge, left behind."""
        listed = {info.name for info in self.info.parts}
        if self.info.faiss:
            listed.add(self.info.faiss.file)
        for entry in list(os.scandir(self.folder)):
            if entry.name.startswith(("part-", "faiss-")) and entry.name not in listed:
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path)
                else:
                    os.unlink(entry.path)

    def _merge(self) -> None:
        """Puts small parts, and those of which much was dropped, together into one."""
        covered = set(self.info.faiss.parts) if self.info.faiss else set()
        small = [
            info
            for info in self.info.parts
            if info.name not in covered
            and (info.vectors < _PART_VECTORS or len(info.dropped) * 5 > info.segments)
        ]
        if len(small) < 2 and not any(info.dropped for info in small):
            return
        parts = [Part(self.folder, info, self.info.dim) for info in small]
        kept = [np.delete(np.arange(p.info.segments), list(p.info.dropped)) for p in parts]
        tables, spans, lines = [], [], []
        for part, segments in zip(parts, kept, strict=True):
            tables.append(np.array(part.segments[segments]))
            spans += [part.spans[where] for where in part.ranges(segments)]
            lines += [part.line(int(segment)) for segment in segments]
        table = np.concatenate(tables)
        count = int(table["count"].sum())
        table["first"] = np.cumsum(table["count"]) - table["count"]
        table["offset"] = np.cumsum([0, *map(len, lines[:-1])])
        vectors = (
            part.vectors[where]
            for part, segments in zip(parts, kept, strict=True)
            for where in part.ranges(segments)
        )
        merged = self._write_part(
            vectors,
            np.concatenate(spans) if spans else np.empty(0, SPAN),
            table,
            lines,
            len(table),
            count,
        )
        names = {info.name for info in small}
        rest = [info for info in self.info.parts if info.name not in names]
        self._list(dataclasses.replace(self.info, parts=(*rest, merged)))
        self._clear_unlisted()

    def accelerate(self, kind: str = "ivf", recall: float = 0.95) -> FaissInfo:
        """Builds a FAISS index of all that is listed, and measures what it misses.

        Args:
          kind: `ivf`: lists of similar vectors, of which some are looked at; little more memory
            than the vectors. `hnsw`: a graph of neighbours; quicker to ask, slower to build.
          recall: Share of the exact ten nearest it must find; sets how much it looks at.

        Returns:
          What was built.

        Raises:
          index.SearchError: faiss is not installed, there is nothing to build it of, or `recall` is
            beyond it.
        """
        faiss = index_format.import_faiss()
        if kind not in KINDS:
            raise SearchError(f"faiss={kind!r} is none of {', '.join(KINDS)}")
        self.commit()
        self._list(dataclasses.replace(self.info, faiss=None))
        self._merge()
        start = time.monotonic()
        opened = index.Index(self.folder)
        total = sum(info.vectors for info in self.info.parts)
        if total < 2 * _RECALL_TOP:
            raise SearchError(f"{self.folder}: too few vectors ({total}) for FAISS")
        lists = max(1, min(1 << round(np.log2(4 * np.sqrt(total))), total // 39))
        code = "Flat" if self.info.dtype == "float32" else "SQfp16"
        name = {
            "ivf": f"IVF{lists},{code}",
            "hnsw": "HNSW32" if code == "Flat" else "HNSW32_SQfp16",
        }[kind]
        built = faiss.index_factory(self.info.dim, name, faiss.METRIC_INNER_PRODUCT)
        if not built.is_trained:
            logging.info("training %s", name)
            built.train(opened.sample(64 * lists)[1])
        logging.info("filling %s with %d vectors", name, total)
        for block in opened.blocks():
            built.add(block)
        effort, found = _tune(built, opened, recall)
        seconds = time.monotonic() - start
        file_name = f"faiss-{secrets.token_hex(6)}.bin"
        path = os.path.join(self.folder, file_name)
        with storage.replacing(path) as temporary:
            faiss.write_index(built, temporary)
        told = FaissInfo(
            file_name,
            tuple(info.name for info in self.info.parts),
            name,
            effort,
            found,
            seconds,
            os.path.getsize(path),
        )
        self._list(dataclasses.replace(self.info, faiss=told))
        self._clear_unlisted()
        return told

    @property
    def uncovered(self) -> int:
        """Vectors that no FAISS index covers."""
        covered = set(self.info.faiss.parts) if self.info.faiss else set()
        return sum(info.vectors for info in self.info.parts if info.name not in covered)


def _tune(built, opened: index.Index, wanted: float) -> tuple[int, float]:
    """The least effort with which a FAISS index finds enough, and the recall it then has."""
    numbers, queries = opened.sample(_RECALL_QUERIES)
    # Each query is itself in the index: its own place is left out on both sides.
    top = _RECALL_TOP + 1
    exact = opened.nearest_exactly(queries, top)
    truth = [set(row[row != own][:_RECALL_TOP]) for row, own in zip(exact, numbers, strict=True)]
    effort, recall, most = 1, 0.0, getattr(built, "nlist", 4096)
    while True:
        index_format.set_effort(built, effort)
        _, ids = built.search(queries, top)
        found = [set(row[row != own][:_RECALL_TOP]) for row, own in zip(ids, numbers, strict=True)]
        recall = float(np.mean([len(a & b) / len(a) for a, b in zip(truth, found, strict=True)]))
        if recall >= wanted:
            return effort, recall
        if effort >= most:
            raise SearchError(f"FAISS finds {recall:.3f} at most; lower --recall below that")
        effort = min(most, effort * 2)


def _lines(embeddings, keep: np.ndarray) -> list[bytes]:
    frame = embeddings.manifest.frame[keep]
    return [
        _line({"path": os.path.abspath(path), "recording_id": recording, "labels": labels})
        for path, recording, labels in zip(
            frame["path"], frame["recording_id"], frame["labels"], strict=True
        )
    ]


def _line(told: dict) -> bytes:
    return json.dumps(told).encode() + b"\n"
