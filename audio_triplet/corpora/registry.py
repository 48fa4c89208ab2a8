"""From a `--corpus` string to a manifest: the table of adapters."""

import dataclasses
import os
import re
from collections.abc import Callable

from audio_triplet import storage
from audio_triplet.annotations import reading as annotations
from audio_triplet.corpora import (
    audioset,
    esc50,
    folders,
    fsd50k,
    parquet,
    urbansound8k,
    webdataset,
)
from audio_triplet.corpora.debian_sounds import corpus as debian_sounds
from audio_triplet.corpora.synthetic import corpus as synthetic
from audio_triplet.data import prepared
from audio_triplet.data.manifest import Manifest
from audio_triplet.errors import CorpusError


@dataclasses.dataclass(frozen=True)
class Adapter:
    """The reader of one kind of corpus.

    Attributes:
      location: Placeholder of the text after the colon, for messages.
      meaning: Its explanation, for messages.
      load: Location → manifest.
      needs_folder: Whether the location is a folder that must exist; else `load` checks it.
    """

    location: str
    meaning: str
    load: Callable[[str], Manifest]
    needs_folder: bool = False


ADAPTERS = {
    "esc50": Adapter(
        "DIR", "ESC-50 as published (meta/esc50.csv, audio/) or mirrored", esc50.load, True
    ),
    "audioset": Adapter(
        "DIR",
        "AudioSet's published tables and audio named by YTID; without some classes: "
        "'DIR?without=Speech;Music', or with all below them in the ontology: "
        "'DIR?without_subtree=Human voice;Music'; moments of its strong labels: 'DIR?strong'",
        audioset.load_without,
    ),
    "fsd50k": Adapter(
        "DIR", "FSD50K as published (FSD50K.ground_truth/ …) or mirrored", fsd50k.load
    ),
    "urbansound8k": Adapter("DIR", "UrbanSound8K as published or mirrored", urbansound8k.load),
    "folders": Adapter("DIR", "one folder per class, or files without folders", folders.load, True),
    "manifest": Adapter(
        "FILE",
        "a table of files, see audio_triplet/data/manifest_csv.py, or of Raven, Audacity, BirdNET, "
        "Sonic Visualiser or Label Studio",
        annotations.read,
    ),
    "parquet": Adapter(
        "DIR",
        "Parquet tables with sound in them, as the Hugging Face hub has them; columns, if they are "
        "not found: 'DIR?labels=COLUMN;COLUMN&audio=COLUMN'",
        parquet.load,
    ),
    "webdataset": Adapter(
        "DIR", "tar files of sound with .json or .cls; 'DIR?labels=KEY'", webdataset.load
    ),
    "debian-sounds": Adapter(
        "DIR",
        "recorded sounds from Debian packages; downloaded if DIR is empty; larger sets are "
        "'DIR?packages=all', '…=wide', '…=widest' and '…=widest,packed'",
        debian_sounds.load,
    ),
    "synthetic": Adapter(
        "DIR",
        "sounds made by rule, to train on beside recorded ones; made if DIR is empty, as many as "
        "'DIR?recordings=10000' says",
        synthetic.load,
    ),
}


def accepted_forms() -> str:
    """The forms of `--corpus`, for messages and --help."""
    forms = [
        f"{scheme}:{adapter.location} ({adapter.meaning})" for scheme, adapter in ADAPTERS.items()
    ]
    return "; ".join([*forms, "DIR (a folder of prepared TFRecord shards)"])


def is_prepared(spec: str) -> bool:
    """Whether a string is a folder of prepared TFRecord shards (it holds `prepared.json`)."""
    return storage.exists(storage.join(os.path.expanduser(spec), prepared.INFO_FILE))


def scheme_of_file(path: str) -> str | None:
    """The scheme for a file that holds sound inside it, by its name; None for others."""
    extension = os.path.splitext(path)[1].lower()
    return {".tar": "webdataset", ".parquet": "parquet"}.get(extension)


def load_corpus(spec: str) -> Manifest:
    """Reads the table of a corpus.

    Args:
      spec: `SCHEME:LOCATION`, see `accepted_forms`. Prepared shards are not read here: ask
        `is_prepared` first.

    Returns:
      Its manifest, paths absolute.

    Raises:
      CorpusError: Unknown form, or a location that does not hold such a corpus.
      ManifestError: The corpus's table is wrong.
    """
    if storage.is_remote(spec):
        storage.check_readable(spec)
        raise CorpusError(_without_scheme(spec))
    # One letter before a colon is a drive, not a scheme.
    match = re.match(r"([A-Za-z][\w-]+):(.*)", spec, re.DOTALL)
    if not match:
        raise CorpusError(_without_scheme(spec))
    scheme, location = match[1], os.path.expanduser(match[2])
    adapter = ADAPTERS.get(scheme)
    if adapter is None:
        raise CorpusError(f"{spec}: unknown corpus {scheme!r}; use one of: {accepted_forms()}")
    if not location.strip():
        raise CorpusError(f"{spec}: nothing after the colon; write {scheme}:{adapter.location}")
    if adapter.needs_folder and not os.path.isdir(location):
        raise CorpusError(f"{location}: no such folder; check the path given to {scheme}:")
    return adapter.load(location)


def _without_scheme(spec: str) -> str:
    """The message for a string without a scheme, with the likely fix."""
    location = os.path.expanduser(spec)
    missing = f"{spec}: holds no {prepared.INFO_FILE}"
    if is_prepared(spec):
        return f"{spec}: prepared shards, which have no manifest; train from them directly"
    if storage.is_remote(spec):
        return f"{missing}; for sound there give a manifest:FILE.csv of it"
    if (scheme := scheme_of_file(location)) and os.path.isfile(location):
        return f"{spec}: holds sound inside it; write {scheme}:{spec}"
    if os.path.isfile(os.path.join(location, "meta", "esc50.csv")):
        return f"{spec}: looks like ESC-50; write esc50:{spec}"
    if os.path.isdir(location):
        return f"{missing}; for a folder of sound write folders:{spec}"
    if spec.lower().endswith(annotations.ENDINGS):
        return f"{spec}: for a manifest write manifest:{spec}"
    return f"{spec!r}: not a corpus; use one of: {accepted_forms()}"
