"""The folder of a published archive, written whole or not at all.

write(SiteConfig(index="archive.index", output_dir="site", title="Our birds"))
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.resources
import os
from collections.abc import Sequence

from audio_triplet import storage
from audio_triplet.embeddings import model_files
from audio_triplet.embeddings.quick_model import ENCODER_FILE, EncoderOrigin
from audio_triplet.errors import DeploymentError, UsageError
from audio_triplet.publish import data, readme, runtime, sounds
from audio_triplet.publish.answers import Answers
from audio_triplet.publish.archive import Archive, Words
from audio_triplet.publish.browser_encoder import for_browsers
from audio_triplet.publish.credits import Credits
from audio_triplet.search.index import Index
from audio_triplet.web import templating

_ARCHIVE = "archive.json"

# Scripts and styles, shared with the other pages and the site's own.
_STYLES = ("base", "player", "shared/map", "publish/publish")
_SCRIPTS = (
    "player",
    "shared/dom",
    "shared/wav",
    "shared/record",
    "shared/palette",
    "shared/scatter",
    "shared/map_canvas",
    "publish/page",
    "publish/library",
    "publish/tiles",
    "publish/map",
    "publish/worker",
    "publish/loading",
    "publish/keeping",
    "publish/asking",
    "publish/question",
    "publish/products",
    "publish/assembly",
    "publish/stores",
    "publish/choosing",
    "publish/front_end",
    "publish/picture",
    "publish/resampling",
    "publish/decoding",
    "publish/mp3",
    "publish/encoder",
)

_STATIC = (*(f"{name}.css" for name in _STYLES), *(f"{name}.js" for name in _SCRIPTS))
_SERVICE = "publish/service.js"

# What a browser keeps of the page itself, to open it without a network.
_OPENS = ["./", "index.html", "README.txt", *(f"static/{name}" for name in _STATIC)]

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
      credits: Table of what is said of each file, see `credits`; empty: none.
      exclude: Patterns of files that are left out.
      labels: File of answers, of `browse --labels`; empty: none.
      map: Whether the page has a map.
      runtime: Folder of the runtime's packages; empty: see `runtime`.
    """

    index: str
    output_dir: str
    title: str = ""
    audio: str = "opus"
    audio_seconds: float = 60.0
    licence: str = ""
    credits: str = ""
    exclude: Sequence[str] = ()
    labels: str = ""
    map: bool = True
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
      UsageError: The output folder holds something else, there are no such labels, or a pattern of
        `exclude` fits nothing.
    """
    _check_output(config.output_dir)
    index = Index(config.index)
    archive = Archive.of(index, config.exclude)
    credits = Credits.read(config.credits, archive) if config.credits else Credits.none(archive)
    encoder = for_browsers(_encoder(index))
    with storage.replacing(config.output_dir) as folder:
        os.makedirs(folder)
        _write_static(folder)
        runtime.write(os.path.join(folder, "runtime"), config.runtime or None)
        data.write_bytes(folder, "encoder.tflite", encoder)
        head = _write_archive(folder, config, index, archive, credits)
        _write_page(folder, config, archive)
        told = readme.text(
            _title(config),
            config.licence,
            archive,
            form=head["form"],
            kind=config.audio,
            seconds=config.audio_seconds,
            has_map=config.map,
            credits=credits.lines(),
        )
        data.write_bytes(folder, "README.txt", told.encode())
        data.write_head(folder, index, archive, **head, opens=_OPENS, site=_digest(folder))
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
        data.write_bytes(folder, target, source.joinpath(name).read_bytes())
    # Of a service worker only what lies beside or below it is its own.
    data.write_bytes(folder, "service.js", source.joinpath(_SERVICE).read_bytes())


def _digest(folder: str) -> str:
    """A name of what a site holds, but for sounds: a page tells it from an earlier one by it."""
    digest = hashlib.sha256()
    for current, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name != "sounds")
        for name in sorted(names):
            path = os.path.join(current, name)
            digest.update(os.path.relpath(path, folder).encode())
            with open(path, "rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


def _write_archive(
    folder: str, config: SiteConfig, index: Index, archive: Archive, credits: Credits
) -> dict:
    """Writes what a page searches in; gives what the page is told of it."""
    answers = Answers.read(config.labels, archive) if config.labels else Answers.none()
    words = Words.of(index, archive, answers.examples)
    form = data.write_vectors(folder, index, archive, words)
    pieces = sounds.write(folder, archive.files, config.audio, config.audio_seconds)
    data.write_names(folder, archive, words, answers, credits, pieces)
    told = {
        "kind": config.audio,
        "piece_seconds": sounds.PIECE_SECONDS,
        "most_seconds": sounds.MOST_SECONDS,
    }
    shown = data.write_map(folder, archive) if config.map else 0
    return {**form, "sounds": told, "map": shown}


def _write_page(folder: str, config: SiteConfig, archive: Archive) -> None:
    content = (
        templating.environment()
        .get_template("publish.html")
        .render(
            title=_title(config),
            sections={"search": "Search", "found": "Found"}
            | ({"map": "Map"} if config.map else {}),
            data={},
            policy=POLICY,
            styles=_STYLES,
            vectors=len(archive.owners),
            files=len(archive.files),
            licence=config.licence,
        )
    )
    data.write_bytes(folder, "index.html", content.encode())


def _title(config: SiteConfig) -> str:
    return config.title or os.path.basename(os.path.abspath(config.index))
