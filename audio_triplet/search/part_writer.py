"""Writing a part of an index, whole or not at all."""

import os
import secrets
from collections.abc import Iterable, Sequence

import numpy as np

from audio_triplet import storage
from audio_triplet.audio import clock
from audio_triplet.embeddings.embedding_set import EmbeddingSet
from audio_triplet.search.database import segment_key
from audio_triplet.search.filling import NewSegment
from audio_triplet.search.index_format import BLOCK, OWNER, SPAN, IndexInfo, Part, with_energy

# A set, and which of its segments and which of its vectors to write: bool[segments], bool[n].
Selection = tuple[EmbeddingSet, np.ndarray, np.ndarray]


def new_segments(chosen: Sequence[Selection]) -> list[NewSegment]:
    """The segments of a part that `write_selected` will write, in its order."""
    segments: list[NewSegment] = []
    first = 0
    for embeddings, wanted, audible in chosen:
        sources = embeddings.sources()
        order = _in_order(embeddings, audible)
        counts = np.bincount(embeddings.segment_index[order], minlength=len(wanted))[wanted]
        starts = sources.start_seconds[order]
        frame = embeddings.manifest.frame[wanted]
        times = {path: clock.recorded_at(path) for path in frame["path"].unique()}
        done = 0
        for path, recording, labels, begin, end, stamp, count in zip(
            frame["path"],
            frame["recording_id"],
            frame["labels"],
            frame["start_seconds"],
            frame["end_seconds"],
            sources.stamp[wanted].tolist(),
            counts.tolist(),
            strict=True,
        ):
            own = starts[done : done + count]
            segments.append(
                NewSegment(
                    key=segment_key(path, begin, end),
                    path=os.path.abspath(path),
                    start_seconds=float(begin),
                    end_seconds=None if np.isnan(end) else float(end),
                    recording_id=recording,
                    labels=labels,
                    stamp=(stamp[0], stamp[1]),
                    recorded_at=times[path],
                    first=first + done,
                    count=count,
                    starts=(float(own[0]), float(own[-1])) if count else None,
                )
            )
            done += count
        first += done
    return segments


def write_selected(
    folder: str, info: IndexInfo, chosen: Sequence[Selection], owners: np.ndarray
) -> str:
    """Writes chosen segments of sets of embeddings as a part.

    Args:
      folder: The index.
      info: Gives dimensions and dtype.
      chosen: What to write; at least one vector.
      owners: int[n], the ids of the segments of the vectors, in order.

    Returns:
      The part's name; the caller lists it.
    """
    spans, vectors = [], []
    for embeddings, _, audible in chosen:
        sources = embeddings.sources()
        order = _in_order(embeddings, audible)
        vectors.append(embeddings.vectors[order].astype(info.dtype))
        span = np.empty(len(order), SPAN)
        span["start"] = sources.start_seconds[order]
        span["end"] = sources.end_seconds[order]
        span["energy"] = embeddings.energy[order]
        spans.append(span)
    return _write(folder, info, vectors, np.concatenate(spans), owners)


def write_merged(folder: str, info: IndexInfo, parts: Sequence[Part]) -> tuple[str, np.ndarray]:
    """Writes several parts as one, without the vectors that are gone.

    Args:
      folder: The index.
      info: Gives dimensions and dtype.
      parts: The parts, which stay as they are.

    Returns:
      The part's name, and its `owners`; the caller lists it instead of them. Empty if no vector is
      left: then nothing is written.
    """
    counting = [part.info.counting() for part in parts]
    owners = np.concatenate([p.owners[keep] for p, keep in zip(parts, counting, strict=True)])
    if not len(owners):
        return "", owners
    spans = np.concatenate(
        [with_energy(p.spans[keep]) for p, keep in zip(parts, counting, strict=True)]
    )
    vectors = (
        part.vectors[first:last]
        for part, keep in zip(parts, counting, strict=True)
        for first, last in stretches(keep)
    )
    return _write(folder, info, vectors, spans, owners), owners


def write_linked(folder: str, info: IndexInfo, part: Part, owners: np.ndarray, dtype: str) -> str:
    """Writes a part of another index, with owners of this one.

    A part never changes, so its files are linked where the file system can; else they are copied.

    Args:
      folder: The index.
      info: Gives dimensions and dtype.
      part: The other index's part.
      owners: int[n], the ids of the segments of its vectors here.
      dtype: Of its vectors.

    Returns:
      The part's name; the caller lists it.
    """
    if dtype != info.dtype:
        blocks = (part.vectors[first : first + BLOCK] for first in range(0, len(part), BLOCK))
        return _write(folder, info, blocks, part.spans, owners)
    name = f"part-{secrets.token_hex(6)}"
    with storage.replacing(os.path.join(folder, name), sync=True) as temporary:
        os.makedirs(temporary)
        for file in ("vectors.npy", "spans.npy"):
            source, target = os.path.join(part.path, file), os.path.join(temporary, file)
            storage.link_or_copy(source, target)
        np.save(os.path.join(temporary, "owners.npy"), owners.astype(OWNER))
    return name


def _write(
    folder: str,
    info: IndexInfo,
    vectors: Iterable[np.ndarray],
    spans: np.ndarray,
    owners: np.ndarray,
) -> str:
    """Writes a part aside and renames it."""
    name = f"part-{secrets.token_hex(6)}"
    path = os.path.join(folder, name)
    with storage.replacing(path, sync=True) as temporary:
        os.makedirs(temporary)
        # Not memory-mapped: on a full disk that ends the process.
        with open(os.path.join(temporary, "vectors.npy"), "wb") as file:
            shape, dtype = (len(owners), info.dim), np.dtype(info.dtype)
            np.lib.format.write_array_header_1_0(
                file, {"descr": dtype.str, "fortran_order": False, "shape": shape}
            )
            for block in vectors:
                file.write(np.ascontiguousarray(block, dtype).data)
        np.save(os.path.join(temporary, "spans.npy"), spans)
        np.save(os.path.join(temporary, "owners.npy"), owners.astype(OWNER))
    return name


def _in_order(embeddings: EmbeddingSet, audible: np.ndarray) -> np.ndarray:
    """Numbers of the vectors to write, segment by segment."""
    order = np.flatnonzero(audible)
    return order[np.argsort(embeddings.segment_index[order], kind="stable")]


def stretches(keep: np.ndarray) -> Iterable[tuple[int, int]]:
    """Beginnings and ends of the stretches where bool[n] is true."""
    edges = np.flatnonzero(np.diff(np.r_[False, keep, False].astype(np.int8)))
    return zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
