"""A folder of embeddings that is filled file by file; after a stop it continues."""

import collections
import dataclasses
import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from audio_triplet import storage
from audio_triplet.config import EmbedConfig
from audio_triplet.data import chunks
from audio_triplet.data.bad_files import BadFiles
from audio_triplet.data.manifest import Manifest
from audio_triplet.embeddings import model_files
from audio_triplet.embeddings.embed import Embedded, embed_files
from audio_triplet.embeddings.embedding_set import EmbeddingSet, Joined, Origin, stamp_of
from audio_triplet.embeddings.set_files import (
    Part,
    SegmentColumns,
    columns_of,
    load_set,
    read_part,
    save_set,
    set_of,
    write_npz,
    write_parquet,
)
from audio_triplet.errors import ArchiveError, CorpusError

if TYPE_CHECKING:
    from audio_triplet.embeddings.other_models import Embedder

CONFIG_FILE = "embeddings.json"
_PARTS = "parts"
_MAX_NAME_BYTES = 240


@dataclasses.dataclass(frozen=True)
class Summary:
    """What `embed_to_folder` did.

    Attributes:
      files: Sound files embedded now.
      finished: Files that were finished before.
      seconds: Of sound embedded now.
      embeddings: Made now.
    """

    files: int
    finished: int
    seconds: float
    embeddings: int


def output_names(paths: Sequence[str], names: Sequence[str]) -> list[str]:
    """The path below an output folder for the embeddings of each file.

    Args:
      paths: Absolute paths of the sound files, each once.
      names: Their paths below the folder that each was found in.

    Returns:
      For each its name and `.npz`. No name leaves the folder. Where two names would collide (also
      on file systems that ignore case), or one would be too long, a hash of the path is added.
    """
    safe = []
    for name in names:
        parts = [part for part in name.split(os.sep) if part not in ("", ".", "..")]
        safe.append(os.path.join(*parts) if parts else "sound")
    count = collections.Counter(name.casefold() for name in safe)
    result = []
    for path, name in zip(paths, safe, strict=True):
        folder, base = os.path.split(name)
        encoded = base.encode("utf-8", "surrogateescape")
        if count[name.casefold()] > 1 or len(encoded) > _MAX_NAME_BYTES:
            key = hashlib.blake2b(path.encode("utf-8", "surrogateescape"), digest_size=6)
            base = encoded[: _MAX_NAME_BYTES - 16].decode("utf-8", "ignore")
            base = f"{base}.{key.hexdigest()}"
        result.append(os.path.join(folder, f"{base}.npz"))
    return result


def embed_to_folder(
    model: "Embedder",
    manifest: Manifest,
    names: Sequence[str],
    output_dir: str,
    config: EmbedConfig | None = None,
    *,
    form: str = "files",
    overwrite: bool = False,
    bad_files: BadFiles | None = None,
    on_start: Callable[[Summary, float], object] = lambda summary, seconds: None,
    on_progress: Callable[[float], object] = lambda seconds: None,
    elsewhere: "Elsewhere | None" = None,
) -> Summary:
    """Embeds sound files into a folder; finished files are kept.

    Every file's embeddings are written as soon as it is done, whole or not at all, so that the
    same call continues after a stop. A sound file that has changed since is embedded again.

    Args:
      model: The model.
      manifest: The segments; those of one file go into one output.
      names: For each row its file's name below the folder it was found in, see `output_names`.
      output_dir: The folder.
      config: Granularity, hop, batch and threads.
      form: `files`: an .npz per sound file, in a tree like theirs. `npz`, `parquet`: in the end all
        as one set, embeddings.npz or embeddings.parquet.
      overwrite: Embed all again.
      bad_files: Unreadable files are added to it.
      on_start: Called before anything is embedded, with the number of finished files and the
      seconds of sound that are left.
      on_progress: As for `embed_files`.
      elsewhere: Embeds instead of this process, such as `embed_pipeline.ByPipeline`.

    Returns:
      What was done.

    Raises:
      ArchiveError: The folder holds embeddings of another model, granularity or hop.
      CorpusError: Of the sound that is left to embed, not one file can be read.
    """
    config = config or EmbedConfig()
    bad_files = BadFiles() if bad_files is None else bad_files
    os.makedirs(output_dir, exist_ok=True)
    _check_folder(output_dir, model, config, form, overwrite)
    frame = manifest.frame
    paths, first = np.unique(frame["path"].to_numpy(object), return_index=True)
    folder = output_dir if form == "files" else os.path.join(output_dir, _PARTS)
    outputs = dict(
        zip(paths, output_names(list(paths), [names[row] for row in first]), strict=True)
    )
    whole = os.path.join(output_dir, f"embeddings.{form}")
    earlier = None
    if form != "files" and os.path.exists(whole) and not overwrite:
        earlier = load_set(whole)
    finished = set()
    if not overwrite:
        finished = {
            path for path in paths if _is_finished(os.path.join(folder, outputs[path]), path)
        } | _finished_in(earlier)
    rows = np.flatnonzero(~frame["path"].isin(finished).to_numpy())
    done = Summary(0, len(paths) - frame["path"].iloc[rows].nunique(), 0.0, 0)
    wanted, seconds = readable(manifest, rows, bad_files)
    if wanted is not None:
        on_start(done, float(seconds.sum()))
        targets = {path: os.path.join(folder, output) for path, output in outputs.items()}
        work = model, wanted, targets, config, bad_files, on_progress
        for written in elsewhere(*work, seconds) if elsewhere else write_files(*work):
            done = dataclasses.replace(
                done,
                files=done.files + 1,
                embeddings=done.embeddings + written.embeddings,
                seconds=done.seconds + written.seconds,
            )
    if form != "files" and os.path.isdir(folder):
        _join_parts(folder, whole, earlier)
    return done


class Written(NamedTuple):
    """A file whose embeddings were written.

    Attributes:
      embeddings: How many.
      seconds: Of sound.
    """

    embeddings: int
    seconds: float


class Elsewhere(Protocol):
    """Embeds files by other processes."""

    def __call__(
        self,
        model: "Embedder",
        manifest: Manifest,
        outputs: Mapping[str, str],
        config: EmbedConfig,
        bad_files: BadFiles,
        on_progress: Callable[[float], object],
        seconds: np.ndarray,
    ) -> Iterable[Written]:
        """As `write_files`; `seconds` of sound, float64[n], are in each row."""


def write_files(
    model: "Embedder",
    manifest: Manifest,
    outputs: Mapping[str, str],
    config: EmbedConfig,
    bad_files: BadFiles,
    on_progress: Callable[[float], object],
    unique: bool = False,
) -> Iterator[Written]:
    """Embeds files, and writes the embeddings of each as soon as it is done.

    Args:
      model: The model.
      manifest: The segments.
      outputs: Sound file → the file of its embeddings.
      config: Granularity, hop, batch and threads.
      bad_files: Unreadable files are added to it.
      on_progress: As for `embed_files`.
      unique: Several processes may write the same at the same time.

    Yields:
      What was written.
    """
    origin, of_segments = Origin.of(model, config), SegmentColumns(manifest)
    embedded = embed_files(model, manifest, config, bad_files, on_progress)
    for segments in _by_file(embedded, manifest):
        seconds = float(sum(segment.seconds for segment in segments))
        yield write_one(of_segments.part(Joined.of(segments), origin), outputs, seconds, unique)


def write_one(
    part: Part, outputs: Mapping[str, str], seconds: float, unique: bool = False
) -> Written:
    """Writes the embeddings of one file, which has so many seconds of sound; see `write_files`."""
    columns, _ = part
    output = outputs[str(columns["path"][0])]
    try:
        write_npz(output, part, unique=unique)
    except FileNotFoundError:  # the first of its folder
        os.makedirs(os.path.dirname(output), exist_ok=True)
        write_npz(output, part, unique=unique)
    return Written(len(columns["embeddings"]), seconds)


def readable(
    manifest: Manifest, rows: np.ndarray, bad_files: BadFiles
) -> tuple[Manifest | None, np.ndarray]:
    """The rows left to embed whose files can be read, by their headers.

    Args:
      manifest: All segments.
      rows: int64[n], those of its rows that are left; the others were embedded before.
      bad_files: Where the files are listed that cannot be read.

    Returns:
      Those rows in their order, None if there are none; and the seconds of sound in each,
      float64[n].

    Raises:
      CorpusError: Nothing can be read, and nothing was before.
    """
    if not len(rows):
        return None, np.zeros(0)
    try:
        table = chunks.scan(manifest.take(rows), bad_files)
    except CorpusError:
        if len(rows) == len(manifest):
            raise
        return None, np.zeros(0)
    order = np.argsort(table.row, kind="stable")
    return table.manifest.take(order), table.duration[order]


def _check_folder(
    output_dir: str, model: "Embedder", config: EmbedConfig, form: str, overwrite: bool
) -> None:
    """Notes model and settings; refuses a folder that others have filled."""
    path = os.path.join(output_dir, CONFIG_FILE)
    settings = {
        "model": model_files.located(model.path),
        "model_digest": model.digest,
        "embedding_size": model.embedding_size,
        "level": config.granularity,  # as in older versions
        "hop_seconds": config.hop_seconds,
        "form": form,
        "precision": model.precision,
    }
    if os.path.exists(path) and not overwrite:
        try:
            earlier = {"precision": "float32"} | storage.read_json(path)  # older ones had no other
            wrong = [
                name for name in settings if name != "model" and earlier[name] != settings[name]
            ]
        except (ValueError, KeyError, TypeError) as error:
            raise ArchiveError(f"{path}: is damaged ({error}); delete it") from error
        if wrong:
            changes = "; ".join(
                f"{'granularity' if name == 'level' else name} was {earlier[name]}, "
                f"is {settings[name]}"
                for name in wrong
            )
            raise ArchiveError(
                f"{output_dir}: holds embeddings of other settings ({changes}); choose another "
                "--output_dir, or --overwrite"
            )
    storage.write_json(path, settings)


def _is_finished(output: str, source: str) -> bool:
    """Whether there is an undamaged file of embeddings of this sound file as it is now."""
    try:
        with storage.open_arrays(output) as file:
            return str(file["path"][0]) == source and tuple(file["stamp"][0]) == stamp_of(source)
    except (OSError, ValueError):
        return False


def _finished_in(earlier: EmbeddingSet | None) -> set[str]:
    """The sound files of a set that have not changed since."""
    if earlier is None:
        return set()
    finished = set()
    for path, stamp in zip(earlier.manifest.frame["path"], earlier.sources().stamp, strict=True):
        try:
            if tuple(stamp) == stamp_of(path):
                finished.add(path)
        except OSError:
            continue
    return finished


def _by_file(found: Iterable[Embedded], manifest: Manifest) -> Iterator[list[Embedded]]:
    """Gathers the segments of each file; those of a file with a bad segment come last."""
    paths = manifest.frame["path"].to_numpy(object)
    missing = collections.Counter(paths)
    waiting: dict[str, list[Embedded]] = collections.defaultdict(list)
    for segment in found:
        path = paths[segment.row]
        waiting[path].append(segment)
        missing[path] -= 1
        if not missing[path]:
            yield waiting.pop(path)
    yield from waiting.values()


def _join_parts(folder: str, whole: str, earlier: EmbeddingSet | None) -> None:
    """Writes one set of all parts, and of the rest of an earlier set."""
    parts = sorted(
        os.path.join(current, name)
        for current, _, names in os.walk(folder)
        for name in names
        if name.endswith(".npz")
    )
    if not parts:
        return
    renewed = set()

    def read():
        for part in parts:
            columns, origin = read_part(part)
            renewed.update(columns["path"].tolist())
            yield columns, origin
        if earlier is not None:
            keep = ~earlier.manifest.frame["path"].isin(renewed).to_numpy()
            if keep.any():
                yield columns_of(earlier.select(keep))

    if whole.endswith(".parquet"):
        write_parquet(whole, read())
    else:
        columns = list(read())
        save_set(set_of(columns, [whole] * len(columns)), whole)
    shutil.rmtree(folder)
