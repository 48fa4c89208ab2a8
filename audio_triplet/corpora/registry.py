"""The one place that turns a `--corpus` string into a manifest."""

import os
import re
from collections.abc import Callable

from audio_triplet import storage
from audio_triplet.corpora import audioset, esc50, folders, fsd50k, urbansound8k
from audio_triplet.corpora.debian_sounds import corpus
from audio_triplet.data.manifest import Manifest
from audio_triplet.errors import CorpusError

__all__ = ["CorpusError", "accepted_forms", "is_prepared", "load_corpus"]

PREPARED_FILE = "prepared.json"

# scheme → (what follows the colon, what it means, loader)
_SCHEMES: dict[str, tuple[str, str, Callable[[str], Manifest]]] = {
    "esc50": ("DIR", "ESC-50 in its published layout (meta/esc50.csv, audio/)", esc50.load),
    "audioset": (
        "DIR",
        "AudioSet's published tables and audio named by YTID; without some classes: "
        "'DIR?without=Speech;Music', or with all below them in the ontology: "
        "'DIR?without_subtree=Human voice;Music'",
        audioset.load_without,
    ),
    "fsd50k": ("DIR", "FSD50K in its published layout (FSD50K.ground_truth/ …)", fsd50k.load),
    "urbansound8k": ("DIR", "UrbanSound8K in its published layout", urbansound8k.load),
    "folders": ("DIR", "one folder per class, or files without folders", folders.load),
    "manifest": ("FILE.csv", "a table of files, see audio_triplet/manifest.py", Manifest.read),
    "debian-sounds": (
        "DIR",
        "recorded sounds from Debian packages; downloaded if DIR is empty; larger sets are "
        "'DIR?packages=all' and 'DIR?packages=wide'",
        corpus.load,
    ),
}


def accepted_forms() -> str:
    """The forms of `--corpus`, for messages and --help."""
    forms = [f"{scheme}:{rest} ({meaning})" for scheme, (rest, meaning, _) in _SCHEMES.items()]
    return "; ".join([*forms, "DIR (a folder of prepared TFRecord shards)"])


def is_prepared(spec: str) -> bool:
    """Whether `spec` names a folder of prepared TFRecord shards (it holds `prepared.json`)."""
    return storage.exists(storage.join(os.path.expanduser(spec), PREPARED_FILE))


def load_corpus(spec: str) -> Manifest:
    """The manifest of a corpus.

    Args:
      spec: `SCHEME:PLACE`, see `accepted_forms`. Prepared shards are not a manifest: ask
        `is_prepared` first.

    Returns:
      Its manifest, paths absolute.

    Raises:
      CorpusError: unknown form, or a place that does not hold such a corpus.
      ManifestError: the corpus's table is wrong.
    """
    if storage.is_remote(spec):
        storage.check_readable(spec)
        raise CorpusError(_without_scheme(spec))
    # One letter before a colon is a drive, not a scheme.
    match = re.match(r"([A-Za-z][\w-]+):(.*)", spec, re.DOTALL)
    if not match:
        raise CorpusError(_without_scheme(spec))
    scheme, place = match[1], os.path.expanduser(match[2])
    if scheme not in _SCHEMES:
        raise CorpusError(f"{spec}: unknown corpus {scheme!r}; use one of: {accepted_forms()}")
    if not place.strip():
        raise CorpusError(f"{spec}: nothing after the colon; write {scheme}:{_SCHEMES[scheme][0]}")
    _, _, load = _SCHEMES[scheme]
    # The two loaders that may begin with nothing, or with a file, look for themselves.
    if load in (esc50.load, folders.load) and not os.path.isdir(place):
        raise CorpusError(f"{place}: no such folder; check the path given to {scheme}:")
    return load(place)


def _without_scheme(spec: str) -> str:
    """The message for a spec that has no scheme, with the likely mend."""
    place = os.path.expanduser(spec)
    if storage.is_remote(spec) and not is_prepared(spec):
        return f"{spec}: holds no {PREPARED_FILE}; for sound there give a manifest:FILE.csv of it"
    if is_prepared(spec):
        return f"{spec}: prepared shards, which have no manifest; train from them directly"
    if os.path.isfile(os.path.join(place, "meta", "esc50.csv")):
        return f"{spec}: looks like ESC-50; write esc50:{spec}"
    if os.path.isdir(place):
        return f"{spec}: holds no {PREPARED_FILE}; for a folder of sound write folders:{spec}"
    if spec.lower().endswith(".csv"):
        return f"{spec}: for a manifest write manifest:{spec}"
    return f"{spec!r}: not a corpus; use one of: {accepted_forms()}"
