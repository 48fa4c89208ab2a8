"""The sound that a command line names: files, folders, manifests and corpora, in any mixture."""

import os
import re
from collections.abc import Sequence

import pandas as pd

from audio_triplet.annotations import reading as annotations
from audio_triplet.corpora import folders, registry
from audio_triplet.data.manifest import Manifest
from audio_triplet.errors import UsageError

FORMS = (
    "Each input is a sound file, a folder of them at any depth, a manifest (.csv) or a table of an "
    "annotation program (.txt, .csv, .json), or a corpus as for --corpus, such as esc50:DIR."
)


def load_inputs(arguments: Sequence[str]) -> tuple[Manifest, list[str]]:
    """The segments that the arguments name, each once.

    A file below a folder keeps the label that its sub-folder gives; it is a recording of its own,
    known by its path. Manifests and corpora keep their recordings, and their splits if they come
    alone.

    Args:
      arguments: As typed; `FORMS` says what they may be.

    Returns:
      The manifest, paths absolute; and for each row its file's name below the folder it was found
      in.

    Raises:
      UsageError: No argument, or one that is nothing of that.
      CorpusError: A folder without sound, a wrong manifest.
    """
    if not arguments:
        raise UsageError(f"name the sound. {FORMS}")
    frames, names = [], []
    for argument in arguments:
        frame, root = _load(argument)
        frames.append(frame)
        names += [os.path.relpath(path, root) for path in frame["path"]]
    if len(frames) == 1:
        return Manifest(frames[0], arguments[0]), names
    # Splits of different corpora mean different things.
    together = pd.concat([frame.assign(split="") for frame in frames], ignore_index=True)
    is_first = ~together.duplicated(["path", "start_seconds", "end_seconds"])
    names = [name for name, keep in zip(names, is_first, strict=True) if keep]
    return Manifest(together[is_first], "the inputs"), names


def _load(argument: str) -> tuple[pd.DataFrame, str]:
    """One argument's rows, and the folder below which its files have their names."""
    try:
        argument.encode("utf-8")
    except UnicodeEncodeError:
        name = os.fsencode(argument)
        raise UsageError(f"{name!r}: a name that is not UTF-8; rename it") from None
    path = os.path.abspath(os.path.expanduser(argument))
    if registry.is_prepared(argument):
        raise UsageError(f"{argument}: prepared shards, which hold no sound; name its source")
    if os.path.isdir(path):
        frame = folders.load(path).frame
        return frame.assign(recording_id=frame["path"]), path
    is_table = path.lower().endswith(annotations.ENDINGS)
    if os.path.exists(path) and not is_table:
        frame = Manifest(pd.DataFrame({"path": [path]}), argument).frame
        return frame, os.path.dirname(path)
    if re.match(r"[A-Za-z][\w-]+:", argument):
        frame = registry.load_corpus(argument).frame
    elif is_table:
        frame = annotations.read(path, argument).frame
    else:
        raise UsageError(f"{argument}: no such file or folder. {FORMS}")
    absolute = [os.path.abspath(path) for path in frame["path"]]
    return frame, os.path.commonpath([os.path.dirname(path) for path in absolute])
