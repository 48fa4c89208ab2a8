"""The folder of a published archive, written whole or not at all.

write(SiteConfig(index="archive.index", output_dir="site", title="Our birds"))
"""

from __future__ import annotations

import dataclasses
import importlib.resources
import json
import os
from collections.abc import Sequence

import numpy as np

from audio_triplet import storage
from audio_triplet.embeddings import model_files
from audio_triplet.embeddings.quick_model import ENCODER_FILE, EncoderOrigin
from audio_triplet.errors import DeploymentError, UsageError
from audio_triplet.publish import runtime, sounds
from audio_triplet.publish.archive import BLOCK, Archive, Words, constants
from audio_triplet.publish.fixed_batch import fixed_batch
from audio_triplet.search.index import Index
from audio_triplet.web import formatting, templating

_ARCHIVE = "archive.json"
_VERSION = 1

_STATIC = (
    "base.css",
    "player.css",
    "player.js",
    "publish/publish.css",
    "publish/page.js",
    "publish/worker.js",
    "publish/asking.js",
    "publish/front_end.js",
    "publish/resampling.js",
    "publish/decoding.js",
    "publish/encoder.js",
)

POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; "
    "connect-src 'self'; style-src 'self'; img-src 'self' data:; media-src blob:; "
    "base-uri 'none'; form-action 'none'"
)


@dataclasses.dataclass(frozen=True)
class SiteConfig:
    """What is published, and how.

    Attributes:
      index: The index's folder.
      output_dir: The site's folder; it is replaced if it is a site already.
      title: Of the page; empty: the index's name.
      audio: `opus`, `copy` or `none`, see `sounds`.
      audio_seconds: As Opus so much of each file, from its beginning; 0: all.
      licence: Of what is published: plain text.
      exclude: Patterns of files that are left out.
      runtime: Folder of the runtime's packages; empty: see `runtime`.
    """

    index: str
    output_dir: str
    title: str = ""
    audio: str = "opus"
    audio_seconds: float = 60.0
    licence: str = ""
    exclude: Sequence[str] = ()
    runtime: str = ""


@dataclasses.dataclass(frozen=True)
class Written:
    """What was written.

    Attributes:
      files: How many sound files it holds.
      vectors: How many vectors.
      bytes: Its size.
      recall: See `archive.Archive`.
    """

    files: int
    vectors: int
    bytes: int
    recall: float


def write(config: SiteConfig) -> Written:
    """Publishes an index.

    Args:
      config: What, and how.

    Returns:
      What was written.

    Raises:
      SearchError: The index cannot be published.
      DeploymentError: Its encoder or the runtime is missing.
      UsageError: The output folder holds something else.
    """
    _check_output(config.output_dir)
    index = Index(config.index)
    archive = Archive.of(index, config.exclude)
    encoder = fixed_batch(_encoder(index))
    with storage.replacing(config.output_dir) as folder:
        os.makedirs(folder)
        _write_static(folder)
        runtime.write(os.path.join(folder, "runtime"), config.runtime or None)
        _write_bytes(folder, "encoder.tflite", encoder)
        _write_archive(folder, config, index, archive)
        _write_page(folder, config, archive)
        _write_readme(folder, config, archive)
        size = sum(
            os.path.getsize(os.path.join(current, name))
            for current, _, names in os.walk(folder)
            for name in names
        )
    return Written(len(archive.files), len(archive.owners), size, archive.recall)


def _check_output(path: str) -> None:
    if not os.path.lexists(path):
        return
    if not os.path.isdir(path):
        raise UsageError(f"{path}: is a file; name a folder")
    if os.listdir(path) and not os.path.exists(os.path.join(path, _ARCHIVE)):
        raise UsageError(f"{path}: holds something else than a published archive; name another one")


def _encoder(index: Index) -> bytes:
    """The index's encoder as a TensorFlow Lite model."""
    for folder in (index.folder, index.info.model, *model_files.released_folders()):
        path = os.path.join(folder, ENCODER_FILE)
        if os.path.exists(path):
            origin = EncoderOrigin.read(path)
            if origin.model_digest == index.info.model_digest:
                with open(path, "rb") as file:
                    return file.read(origin.size)
    raise DeploymentError(
        f"{index.folder}: has no {ENCODER_FILE}, which the page embeds sounds by; "
        "audio-triplet index --index=… makes it"
    )


def _write_static(folder: str) -> None:
    source = importlib.resources.files("audio_triplet.web") / "static"
    for name in _STATIC:
        target = os.path.join("static", *name.split("/"))
        os.makedirs(os.path.dirname(os.path.join(folder, target)), exist_ok=True)
        _write_bytes(folder, target, source.joinpath(name).read_bytes())


def _write_archive(folder: str, config: SiteConfig, index: Index, archive: Archive) -> None:
    words = Words.of(index, archive)
    likeness = index.likeness[0]
    numbers = np.concatenate([likeness.mean, likeness.map.ravel()])
    for name, array in (
        ("vectors.i8", archive.vectors),
        ("scales.f32", archive.scales.astype("<f4")),
        ("spans.f64", archive.spans.astype("<f8")),
        ("segments.u32", archive.owners.astype("<u4")),
        ("constants.f32", numbers.astype("<f4")),
        ("words.f32", words.vectors.astype("<f4")),
    ):
        _write_bytes(folder, name, array.tobytes())
    os.makedirs(os.path.join(folder, "fine"))
    for number, first in enumerate(range(0, len(archive.fine), BLOCK)):
        block = archive.fine[first : first + BLOCK]
        _write_bytes(folder, f"fine/{number}.i8", block.tobytes())
    pieces = sounds.write(folder, archive.files, config.audio, config.audio_seconds)
    content = {
        "version": _VERSION,
        **constants(index),
        "sounds": {
            "kind": config.audio,
            "piece_seconds": sounds.PIECE_SECONDS,
            "most_seconds": sounds.MOST_SECONDS,
        },
        "files": [
            {"name": file.name, "recorded_at": file.recorded_at, "sound": of_file}
            for file, of_file in zip(archive.files, pieces, strict=True)
        ],
        "segments": archive.segments,
        "words": words.places,
    }
    text = json.dumps(content, ensure_ascii=True, separators=(",", ":"))
    _write_bytes(folder, _ARCHIVE, text.encode())


def _write_page(folder: str, config: SiteConfig, archive: Archive) -> None:
    content = (
        templating.environment()
        .get_template("publish.html")
        .render(
            title=_title(config),
            sections={"search": "Search", "found": "Found"},
            data={},
            policy=POLICY,
            vectors=len(archive.owners),
            files=len(archive.files),
            licence=config.licence,
        )
    )
    _write_bytes(folder, "index.html", content.encode())


def _write_readme(folder: str, config: SiteConfig, archive: Archive) -> None:
    told = {
        "opus": "sounds/         pieces of the recordings, Opus, mono, 24 kHz: "
        + (f"the first {config.audio_seconds:g} s" if config.audio_seconds else "all")
        + " of each\n",
        "copy": "sounds/         the recordings\n",
        "none": "",
    }[config.audio]
    text = f"""{formatting.clean(_title(config))}

An archive of {len(archive.files):,} recordings that searches itself in a browser. Put this folder
on any web server, below any address; on one machine: python -m http.server

index.html      the page
static/         its styles and scripts
runtime/        LiteRT for browsers (Apache License 2.0), versions
                {", ".join(package.file for package in runtime.PACKAGES)}
encoder.tflite  the network that sounds are compared by
archive.json    names, times and labels
vectors.i8, scales.f32, spans.f64, segments.u32
                {len(archive.owners):,} vectors in 8 bits, and the moments they are of;
                {archive.recall:.3f} of the ten nearest by 32 bits are the ten nearest by these
fine/           8 bits more of them, looked at where something was found
constants.f32, words.f32
                mean and map by which likeness is measured; vectors of the words
{told}
Licence of the recordings: {formatting.clean(config.licence) or "not stated"}
"""
    _write_bytes(folder, "README.txt", text.encode())


def _title(config: SiteConfig) -> str:
    return config.title or os.path.basename(os.path.abspath(config.index))


def _write_bytes(folder: str, name: str, content: bytes) -> None:
    with open(os.path.join(folder, name), "wb") as file:
        file.write(content)
