"""The sound named on a command line: files, folders, manifests and corpora, in any mixture."""

import collections
import os
import re
from collections.abc import Sequence

import pandas as pd
from absl import logging

from audio_triplet import audio
from audio_triplet.annotations import reading as annotations
from audio_triplet.corpora import folders, registry
from audio_triplet.data.manifest import Manifest
from audio_triplet.errors import UsageError

FORMS = (
    "Each input is a sound file, a folder of them at any depth, a manifest (.csv) or a table of an "
    "annotation program (.txt, .csv, .json), or a corpus as for --corpus, such as esc50:DIR."
)


def load_inputs(arguments: Sequence[str], labels: str = "folders") -> tuple[Manifest, list[str]]:
    """The segments that the arguments name, each once.

    A file below a folder is a recording of its own, known by its path. Manifests and corpora keep
    their labels and recordings, and their splits if they come alone.

    Args:
      arguments: As typed; `FORMS` says what they may be.
      labels: What labels the files of folders, and files: `folders`, the sub-folder that they lie
        in; `none`; or a manifest that names them.

    Returns:
      The manifest, paths absolute, with `attrs["passed_over"]` as `folders.load` has it; and for
      each row its file's name below the folder it was found in.

    Raises:
      UsageError: No argument, or one of none of these forms; or `labels` is none of its forms,
        labels parts of files, or none of the files.
      CorpusError: A folder without sound, a wrong manifest.
    """
    if not arguments:
        raise UsageError(f"name the sound. {FORMS}")
    given = None if labels in ("folders", "none") else _labels_of_files(labels)
    frames, names, matched = [], [], 0
    passed_over: collections.Counter[str] = collections.Counter()
    for argument in arguments:
        frame, root, is_bare = _load(argument, by_folder=labels == "folders")
        if given is not None and is_bare:
            frame["labels"] = [given.get(os.path.realpath(path), "") for path in frame["path"]]
            matched += int((frame["labels"] != "").sum())
        frames.append(frame)
        passed_over.update(frame.attrs.get("passed_over") or {})
        names += [os.path.relpath(path, root) for path in frame["path"]]
    if given is not None:
        if not matched:
            raise UsageError(
                f"--labels={labels}: names none of the sounds that are given; its paths are "
                "relative to its own folder"
            )
        logging.info("%s: labels %d files", labels, matched)
    if len(frames) == 1:
        manifest = Manifest(frames[0], arguments[0])
        manifest.frame.attrs["passed_over"] = dict(sorted(passed_over.items()))
        return manifest, names
    # Splits of different corpora mean different things.
    together = pd.concat([frame.assign(split="") for frame in frames], ignore_index=True)
    is_first = ~together.duplicated(["path", "start_seconds", "end_seconds"])
    names = [name for name, keep in zip(names, is_first, strict=True) if keep]
    manifest = Manifest(together[is_first], "the inputs")
    manifest.frame.attrs["passed_over"] = dict(sorted(passed_over.items()))
    return manifest, names


def _labels_of_files(table: str) -> dict[str, str]:
    """A label table's files (resolved) and their labels, joined by ";"."""
    path = os.path.abspath(os.path.expanduser(table))
    if not os.path.isfile(path):
        raise UsageError(f"--labels={table}: no such file; give folders, none or a manifest (.csv)")
    labels: dict[str, list[str]] = {}
    for row in Manifest.read(path, table).frame.itertuples():
        if row.start_seconds > 0 or row.end_seconds == row.end_seconds:
            raise UsageError(
                f"--labels={table}: labels parts of {row.path}; give the table itself as an input"
            )
        labels.setdefault(os.path.realpath(row.path), []).append(row.labels)
    return {name: ";".join(dict.fromkeys(filter(None, of))) for name, of in labels.items()}


def _load(argument: str, by_folder: bool) -> tuple[pd.DataFrame, str, bool]:
    """One argument's rows, the folder below which its files have their names, and if it is bare.

    Bare is what has no labels of its own: folders and files.
    """
    try:
        argument.encode("utf-8")
    except UnicodeEncodeError:
        name = os.fsencode(argument)
        raise UsageError(f"{name!r}: the name is not UTF-8; rename the file") from None
    path = os.path.abspath(os.path.expanduser(argument))
    if registry.is_prepared(argument):
        raise UsageError(
            f"{argument}: prepared shards hold no sound; name the corpus they were made from"
        )
    if (scheme := registry.scheme_of_file(path)) and os.path.isfile(path):
        raise UsageError(f"{argument}: holds sound inside it; write {scheme}:{argument}")
    if os.path.isdir(path):
        frame = folders.load(path, labelled=by_folder).frame
        return frame.assign(recording_id=frame["path"]), path, True
    is_table = path.lower().endswith(annotations.ENDINGS)
    if os.path.exists(path) and not is_table:
        frame = Manifest(pd.DataFrame({"path": [path]}), argument).frame
        return frame.copy(), os.path.dirname(path), True
    if re.match(r"[A-Za-z][\w-]+:", argument):
        frame = registry.load_corpus(argument).frame
    elif is_table:
        frame = annotations.read(path, argument).frame
    elif audio.container_of(path):  # as answers name it
        frame = Manifest(pd.DataFrame({"path": [path]}), argument).frame
    else:
        raise UsageError(f"{argument}: no such file or folder. {FORMS}")
    absolute = [os.path.abspath(path) for path in frame["path"]]
    return frame, os.path.commonpath([os.path.dirname(path) for path in absolute]), False
