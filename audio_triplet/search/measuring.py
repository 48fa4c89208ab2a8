"""An archive's likeness on disk: estimated while it is indexed, applied when it is searched.

The tables keep the sums of each part (`archive_moments`) and the measure (`archive_likeness`);
beside them lie the lengths of its vectors, `likeness-ID-PART.npy`. All of it follows from the
vectors: what is missing or of another version is computed anew. The measure is estimated again
when the archive has grown or shrunk by a tenth.

No TensorFlow here.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from absl import logging

from audio_triplet import storage
from audio_triplet.search.index_format import IndexInfo, Part
from audio_triplet.search.likeness import Likeness, Moments
from audio_triplet.search.tables import Tables

if TYPE_CHECKING:
    from audio_triplet.search.index_writer import Writer

MOMENTS, LIKENESS = "archive_moments", "archive_likeness"
_VERSION = 1
PREFIX = "likeness-"

# Estimated again when the number of vectors has changed by more than this share.
_CHANGED = 0.1

# Without a stored measure it is estimated from so many vectors.
_SAMPLE = 1 << 17


def measure(writer: Writer) -> None:
    """Brings an archive's likeness up to date with its parts; quick if nothing has changed.

    Args:
      writer: The index, committed.
    """
    tables, info, folder = writer.tables, writer.info, writer.folder
    parts = [Part(folder, part, info.dim) for part in info.parts]
    known, moments = _stored_moments(tables, info.dim), {}
    for part in parts:
        moments[part.info.name] = known.get(part.info.name) or Moments.of([part.vectors], info.dim)
    if set(moments) != set(known):
        writer.set_constant(MOMENTS, _VERSION, _packed(_of_moments(moments)))
    total = sum(moments.values(), Moments.of([], info.dim))
    stored = _stored_likeness(tables, info.dim)
    if stored is None or abs(total.count - stored[1]) > _CHANGED * stored[1]:
        likeness = Likeness.of(total)
        blob = {"mean": likeness.mean, "map": likeness.map, "count": np.asarray(total.count)}
        writer.set_constant(LIKENESS, _VERSION, _packed(blob))
    else:
        likeness = stored[0]
    wanted = {_scales_file(likeness, part) for part in parts}
    for part in parts:
        path = os.path.join(folder, _scales_file(likeness, part))
        if not os.path.exists(path):
            with storage.replacing(path) as temporary, open(temporary, "wb") as file:
                np.save(file, likeness.scales(part.vectors))
    for entry in list(os.scandir(folder)):
        if entry.name.startswith(PREFIX) and entry.name not in wanted:
            os.unlink(entry.path)


def load(
    folder: str, tables: Tables, info: IndexInfo, parts: Sequence[Part]
) -> tuple[Likeness, list[np.ndarray]]:
    """The likeness of an archive, and the scales of its vectors.

    Args:
      folder: The index.
      tables: Its tables.
      info: Its dimensions.
      parts: Its parts.

    Returns:
      likeness: As it is stored; of an index that has none, estimated.
      scales: float32[vectors] of each part, see `Likeness.scales`.
    """
    stored = _stored_likeness(tables, info.dim)
    if stored is None:
        likeness = Likeness.of(_sampled(parts, info.dim))
    else:
        likeness = stored[0]
    missing, scales = 0, []
    for part in parts:
        path = os.path.join(folder, _scales_file(likeness, part))
        try:
            found = np.load(path, mmap_mode="r", allow_pickle=False)
            if found.shape != (len(part),) or found.dtype != np.float32:
                raise ValueError("it is not as long as its part")
        except (OSError, ValueError, EOFError):
            missing += len(part)
            found = likeness.scales(part.vectors)
        scales.append(found)
    if missing > _SAMPLE:
        logging.info(
            "the likenesses of %d vectors are not measured yet, which makes the first search slow; "
            "audio-triplet index, with any sound, stores them",
            missing,
        )
    return likeness, scales


def _sampled(parts: Sequence[Part], dim: int) -> Moments:
    """The moments of about `_SAMPLE` vectors, runs of them from all over the parts."""
    every = max(1, sum(len(part) for part in parts) // _SAMPLE)
    run = 256
    return Moments.of(
        (
            part.vectors[first : first + run]
            for part in parts
            for first in range(0, len(part), run * every)
        ),
        dim,
    )


def _stored_moments(tables: Tables, dim: int) -> dict[str, Moments]:
    content = _unpacked(tables.constant(MOMENTS))
    names = [name.removesuffix("/total") for name in content if name.endswith("/total")]
    found = {
        name: Moments(
            int(content[f"{name}/count"]), content[f"{name}/total"], content[f"{name}/products"]
        )
        for name in names
        if content[f"{name}/products"].shape == (dim, dim)
    }
    return found


def _of_moments(moments: Mapping[str, Moments]) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {}
    for name, one in moments.items():
        arrays[f"{name}/count"] = np.asarray(one.count)
        arrays[f"{name}/total"] = one.total
        arrays[f"{name}/products"] = one.products
    return arrays


def _stored_likeness(tables: Tables, dim: int) -> tuple[Likeness, int] | None:
    """The measure, and of how many vectors it is; None: there is none of this version."""
    content = _unpacked(tables.constant(LIKENESS))
    if not content or content["map"].shape != (dim, dim):
        return None
    return Likeness(content["mean"], content["map"]), int(content["count"])


def _packed(arrays: Mapping[str, np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def _unpacked(constant: tuple[int, bytes] | None) -> dict[str, np.ndarray]:
    """The arrays of a constant; none if it is missing, damaged or of another version."""
    if constant is None or constant[0] != _VERSION:
        return {}
    try:
        with storage.open_arrays(io.BytesIO(constant[1])) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError):
        return {}


def _scales_file(likeness: Likeness, part: Part) -> str:
    digest = hashlib.sha256(likeness.mean.tobytes() + likeness.map.tobytes()).hexdigest()
    return f"{PREFIX}{digest[:12]}-{part.info.name}.npy"
