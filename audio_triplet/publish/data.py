"""The files that a page searches in: vectors, times, names, words, the map."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence

import numpy as np

from audio_triplet.browse import mapping
from audio_triplet.publish import archive as stored
from audio_triplet.publish import packing
from audio_triplet.publish.answers import Answers
from audio_triplet.publish.archive import PART, Archive, Words, constants
from audio_triplet.publish.coarse import CELLS, Coarse
from audio_triplet.publish.credits import Credits
from audio_triplet.search.index import Index
from audio_triplet.web import pictures

VERSION = 3

# Vectors in a file of their further 8 bits: 32 kB for 128 dimensions, fetched where something was
# found; of up to so many bytes all are loaded at once, in fewer files, and answer offline [D].
BLOCK, BLOCK_AT_ONCE, _AT_ONCE = 256, 2048, 4_000_000

COARSE_BLOCK = 1024  # vectors in a file of 16 kB
_SHELF = 1000  # files in a folder

# Of a larger archive as many moments are on the map, drawn by lot.
_MOST_POINTS = mapping.MOST_POINTS


def write_vectors(folder: str, index: Index, archive: Archive, words: Words) -> dict:
    """Writes vectors, their times and the archive's measure.

    Returns:
      In which form, for the page.
    """
    likeness = index.likeness[0]
    numbers = np.concatenate([likeness.mean, likeness.map.ravel()])
    for name, array in (("constants.f32", numbers), ("words.f32", words.vectors)):
        write_bytes(folder, name, array.astype("<f4").tobytes())
    write_bytes(folder, "spans.f64.gz", packing.planes(archive.spans))
    write_bytes(folder, "segments.u32.gz", packing.planes(archive.owners))
    if len(archive.owners) <= stored.WHOLE_UP_TO:
        return _write_whole(folder, archive)
    return _write_parts(folder, archive)


def _write_whole(folder: str, archive: Archive) -> dict:
    write_bytes(folder, "vectors.i8", archive.vectors.tobytes())
    write_bytes(folder, "scales.f32", archive.scales.astype("<f4").tobytes())
    os.makedirs(os.path.join(folder, "fine"))
    at_once = archive.fine.nbytes <= _AT_ONCE
    size = BLOCK_AT_ONCE if at_once else BLOCK
    for number, first in enumerate(range(0, len(archive.fine), size)):
        block = archive.fine[first : first + size]
        write_bytes(folder, f"fine/{number}.i8", block.tobytes())
    return {"form": "whole", "block": size, "fine_at_once": at_once}


def _write_parts(folder: str, archive: Archive) -> dict:
    """Landmarks, which a page loads, and what it fetches where something may be found: coarse
    vectors, and parts.
    """
    coarse = Coarse.of(archive.vectors * archive.scales[:, None])
    write_bytes(folder, "landmarks.i8", coarse.landmarks.tobytes())
    write_bytes(folder, "landmarks.f32", coarse.scales.astype("<f4").tobytes())
    write_bytes(folder, "cells.u16.gz", packing.planes(coarse.nearest))
    write_bytes(folder, "centres.f32", coarse.centres.astype("<f4").tobytes())
    _write_files(folder, "coarse", "u8", COARSE_BLOCK, [coarse.codes])
    arrays = [archive.vectors, archive.fine, archive.scales.astype("<f4")]
    _write_files(folder, "parts", "bin", PART, arrays)
    return {
        "form": "parts",
        "block": COARSE_BLOCK,
        "part": PART,
        "shelf": _SHELF,
        "pieces": coarse.codes.shape[1],
        "cells": CELLS,
    }


def _write_files(
    folder: str, name: str, ending: str, size: int, arrays: Sequence[np.ndarray]
) -> None:
    """Writes so many items of arrays into each file, the arrays one after the other."""
    for number, first in enumerate(range(0, len(arrays[0]), size)):
        shelf = os.path.join(name, str(number // _SHELF))
        os.makedirs(os.path.join(folder, shelf), exist_ok=True)
        content = b"".join(array[first : first + size].tobytes() for array in arrays)
        write_bytes(folder, f"{shelf}/{number}.{ending}", content)


def write_map(folder: str, archive: Archive) -> int:
    """Lays the moments out in the plane.

    Returns:
      How many.
    """
    numbers = np.arange(len(archive.owners))
    if len(numbers) > _MOST_POINTS:
        drawn = np.random.default_rng(0).permutation(len(numbers))[:_MOST_POINTS]
        numbers = np.sort(drawn)
    vectors = archive.vectors[numbers] * archive.scales[numbers, None]
    places = mapping.positions(vectors)
    write_bytes(folder, "map.f32", np.ascontiguousarray(places.T, "<f4").tobytes())
    write_bytes(folder, "map.u32.gz", packing.planes(numbers.astype("<u4")))
    return len(numbers)


def write_names(
    folder: str,
    archive: Archive,
    words: Words,
    answers: Answers,
    credits: Credits,
    pieces: Sequence[Sequence[str]],
) -> None:
    """Writes names, times, labels and what can be asked for."""
    files: list[dict] = [
        {"name": file.name, "recorded_at": file.recorded_at, "sound": of_file}
        for file, of_file in zip(archive.files, pieces, strict=True)
    ]
    for file, of_file, credit in zip(files, pieces, credits.of_files, strict=True):
        if of_file:
            file["bytes"] = os.path.getsize(os.path.join(folder, of_file[0]))
        if credit is not None:
            file["credit"] = credit
    content = {
        "files": files,
        "segments": archive.segments,
        "answers": answers.spans,
        "credits": credits.texts,
        "words": words.places,
    }
    write_bytes(folder, "names.json.gz", packing.packed(_json(content)))


def write_head(folder: str, index: Index, archive: Archive, **more: object) -> None:
    """Writes what a page reads first."""
    palette = pictures.palette()
    head = {"version": VERSION, **constants(index), "vectors": len(archive.owners)}
    write_bytes(folder, "archive.json", _json({**head, **more, "palette": list(palette)}))


def write_bytes(folder: str, name: str, content: bytes) -> None:
    """Writes a file of the site."""
    with open(os.path.join(folder, name), "wb") as file:
        file.write(content)


def _json(content: object) -> bytes:
    return json.dumps(content, ensure_ascii=True, separators=(",", ":")).encode()
