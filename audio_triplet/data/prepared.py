"""Metadata of a prepared folder: `prepared.json` and the names of its shards.

No TensorFlow here, see `audio_triplet.data.chunks`.
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from audio_triplet import storage
from audio_triplet.config import FrontEndConfig, PrepareConfig
from audio_triplet.data.manifest import Manifest
from audio_triplet.errors import CorpusError

FORMAT = 1
INFO_FILE = "prepared.json"
MANIFEST_FILE = "manifest.csv"


@dataclasses.dataclass(frozen=True)
class SplitInfo:
    """What a prepared split holds.

    Attributes:
      shards: File names.
      recordings: Number of recordings.
      pieces: Number of records, i.e. of chunks.
      most_turns: Most chunks of one recording.
      seconds: Seconds of sound.
      shard_bytes: Size of each shard; empty in folders prepared by earlier versions.
      shard_recordings: Recordings in each shard; likewise.
      shard_decoded: Decoder → files that it read for each shard; likewise.
    """

    shards: tuple[str, ...]
    recordings: int
    pieces: int
    most_turns: int
    seconds: float
    shard_bytes: tuple[int, ...] = ()
    shard_recordings: tuple[int, ...] = ()
    shard_decoded: tuple[Mapping[str, int], ...] = ()

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "SplitInfo":
        """From JSON, which has no tuples."""
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in content.items()
        }
        return cls(**values)


@dataclasses.dataclass(frozen=True)
class PreparedInfo:
    """The content of prepared.json.

    Attributes:
      source: The corpus it was made from.
      fingerprint: Digest of the manifest and of all that shaped the records.
      classes: Names of the labels, in the order of their numbers.
      splits: Split name → what it holds.
      bad_files: [path, reason] of each file left out.
      front_end: The front end's parameters.
      versions: Package → version it was made with.
      format: Version of the record format.
    """

    source: str
    fingerprint: str
    classes: tuple[str, ...]
    splits: dict[str, SplitInfo]
    bad_files: tuple[tuple[str, str], ...] = ()
    front_end: dict = dataclasses.field(
        default_factory=lambda: dataclasses.asdict(FrontEndConfig())
    )
    versions: dict = dataclasses.field(default_factory=dict)
    format: int = FORMAT

    def write(self, folder: str) -> None:
        """Writes prepared.json, whole or not at all; written last, it marks a finished folder."""
        storage.write_json(storage.join(folder, INFO_FILE), dataclasses.asdict(self))

    @classmethod
    def read(cls, folder: str) -> "PreparedInfo":
        """Reads prepared.json.

        Raises:
          CorpusError: It is missing, broken, or of another format or front end.
        """
        path = storage.join(folder, INFO_FILE)
        try:
            content = storage.read_json(path)
            splits = {
                name: SplitInfo.from_dict(split) for name, split in content.pop("splits").items()
            }
            bad_files = tuple(map(tuple, content.pop("bad_files")))
            classes = tuple(content.pop("classes"))
            info = cls(splits=splits, bad_files=bad_files, classes=classes, **content)
        except OSError as error:
            raise CorpusError(
                f"{path}: cannot be read; is {folder} a folder made by data_prep.prepare?"
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise CorpusError(
                f"{path}: is damaged ({error}); delete {folder} and prepare again"
            ) from error
        if info.format != FORMAT or info.front_end != dataclasses.asdict(FrontEndConfig()):
            raise CorpusError(
                f"{path}: was prepared with another format or front end; prepare it again"
            )
        return info


def fingerprint(manifest: Manifest, config: PrepareConfig) -> str:
    """Digest of everything that shapes the shards: see `Manifest.fingerprint`."""
    settings = dataclasses.asdict(config) | {"format": FORMAT, "max_bad_share": None}
    if config.truncated == "refuse":  # as folders of earlier versions
        del settings["truncated"]
    return manifest.fingerprint(settings)


def read_manifest(folder: str, name: str | None = None) -> Manifest:
    """The segments of a prepared folder, wherever it is."""
    with storage.local_copy(storage.join(folder, MANIFEST_FILE)) as path:
        return Manifest.read(path, name)


def shard_name(split: str, number: int, count: int) -> str:
    """File name of a shard; split names are made safe for file systems."""
    safe = re.sub(r"[^\w.-]", "_", split) or "all"
    return f"{safe}-{number:05d}-of-{count:05d}.tfrecord"
