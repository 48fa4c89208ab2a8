"""From a `--corpus` string to a manifest: the one table of adapters."""

import dataclasses
import os
import re
from collections.abc import Callable

from audio_triplet import storage
from audio_triplet.annotations import reading as annotations
from audio_triplet.corpora import audioset, esc50, folders, fsd50k, urbansound8k
from audio_triplet.corpora.debian_sounds import corpus as debian_sounds
from audio_triplet.data import prepared
from audio_triplet.data.manifest import Manifest
from audio_triplet.errors import CorpusError


@dataclasses.dataclass(frozen=True)
class Adapter:
    """What reads one kind of corpus.

    Attributes:
      location: What follows the colon, for messages.
      meaning: What that is, for messages.
      load: Location → manifest.
      needs_folder: The location is a folder that must be there; else `load` checks it.
    """

    location: str
    meaning: str
    load: Callable[[str], Manifest]
    needs_folder: bool = False


ADAPTERS = {
    "esc50": Adapter(
        "DIR", "ESC-50 in its published layout (meta/esc50.csv, audio/)", esc50.load, True
    ),
    "audioset": Adapter(
        "DIR",
        "AudioSet's published tables and audio named by YTID; without some classes: "
        "'DIR?without=Speech;Music', or with all below them in the ontology: "
        "'DIR?without_subtree=Human voice;Music'",
        audioset.load_without,
    ),
    "fsd50k": Adapter(
        "DIR", "FSD50K in its published layout (FSD50K.ground_truth/ …)", fsd50k.load
    ),
    "urbansound8k": Adapter("DIR", "UrbanSound8K in its published layout", urbansound8k.load),
    "folders": Adapter("DIR", "one folder per class, or files without folders", folders.load, True),
    "manifest": Adapter(
        "FILE.csv",
        "a table of files, see audio_triplet/data/manifest_csv.py, or of Raven, Audacity, BirdNET, "
        "Sonic Visualiser or Label Studio",
        annotations.read,
    ),
    "debian-sounds": Adapter(
        "DIR",
        "recorded sounds from Debian packages; downloaded if DIR is empty; larger sets are "
        "'DIR?packages=all' and 'DIR?packages=wide'",
        debian_sounds.load,
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
    if os.path.isfile(os.path.join(location, "meta", "esc50.csv")):
        return f"{spec}: looks like ESC-50; write esc50:{spec}"
    if os.path.isdir(location):
        return f"{missing}; for a folder of sound write folders:{spec}"
    if spec.lower().endswith(annotations.ENDINGS):
        return f"{spec}: for a manifest write manifest:{spec}"
    return f"{spec!r}: not a corpus; use one of: {accepted_forms()}"
