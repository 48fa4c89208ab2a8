"""A tree of sound files: one folder per class, or no folders for unlabelled sound.

In: the root of the tree. Out: one row per sound file, labelled by its folder.
"""

import os
from collections.abc import Mapping

import pandas as pd
from absl import logging

from audio_triplet.audio import audio_extensions, is_audio
from audio_triplet.corpora.passed_over import PassedOver
from audio_triplet.data.manifest import Manifest
from audio_triplet.errors import CorpusError

_CLASSES_TOLD = 5


def load(folder: str, labelled: bool = True) -> Manifest:
    """The tree as a manifest.

    Hidden files and folders are skipped, and so are links to folders (a link could lead outside, or
    in a circle). The order is that of the sorted paths.

    Args:
      folder: The root. Its immediate sub-folders are the classes; files lie in them at any depth.
        Files directly in the root have no label.
      labelled: Whether the sub-folders are classes at all, which is said then. An archive's are
        years and sites.

    Returns:
      One row per file; recording_id = its path below the root; no splits. Its frame's
      `attrs["passed_over"]` counts the other files by extension, as a log line does.

    Raises:
      CorpusError: No such folder, no audio in it, or a class name with ";" where folders are
        classes.
    """
    if not os.path.isdir(folder):
        raise CorpusError(f"{folder}: no such folder; check the path")
    root = os.path.abspath(folder)
    relative, skipped_links, not_utf8 = [], [], []
    passed_over = PassedOver()

    def unreadable(error: OSError):
        logging.warning("%s: skipped (%s)", error.filename, error.strerror)

    for current, folders, files in os.walk(root, onerror=unreadable):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        skipped_links += [
            os.path.join(current, name)
            for name in folders
            if os.path.islink(os.path.join(current, name))
        ]
        for name in sorted(files):
            path = os.path.relpath(os.path.join(current, name), root)
            if not is_audio(name):
                passed_over.add(name)
                continue
            try:
                path.encode("utf-8")
            except UnicodeEncodeError:
                not_utf8.append(path)
                continue
            relative.append(path)
    if skipped_links:
        logging.warning(
            "%s: %d links to folders are not followed (%s, …); move or copy them here if they "
            "belong to the corpus", folder, len(skipped_links), skipped_links[0],
        )  # fmt: skip
    if not_utf8:
        logging.warning(
            "%s: %d files whose names are not UTF-8 are left out (%r, …); rename them",
            folder, len(not_utf8), not_utf8[0],
        )  # fmt: skip
    if not relative:
        raise CorpusError(
            f"{folder}: no audio files in it; looked for {', '.join(audio_extensions())}"
            + (f"; {passed_over}" if str(passed_over) else "")
            + _hint(folder, passed_over.counts())
        )
    passed_over.log(folder)
    labels = [path.split(os.sep)[0] if labelled and os.sep in path else "" for path in relative]
    wrong = sorted({label for label in labels if ";" in label})
    if wrong:
        raise CorpusError(
            f"{os.path.join(folder, wrong[0])}: a class may not have ';' in its name (it "
            "separates labels); rename the folder"
        )
    classes = sorted(set(labels) - {""})
    if classes:
        names = ", ".join(classes[:_CLASSES_TOLD]) + (", …" if len(classes) > _CLASSES_TOLD else "")
        logging.info("%s: its folders are taken for labels: %d (%s)", folder, len(classes), names)
    frame = pd.DataFrame(
        {
            "path": [os.path.join(root, path) for path in relative],
            "recording_id": [path.replace(os.sep, "/") for path in relative],
            "labels": labels,
        }
    )
    manifest = Manifest(frame, name=f"folders:{folder}")
    manifest.frame.attrs["passed_over"] = passed_over.counts()
    return manifest


def _hint(folder: str, kinds: Mapping[str, int]) -> str:
    """What to write where sound may lie inside the files that were passed over."""
    if ".parquet" in kinds:
        return f"; for sound inside tables write parquet:{folder}"
    return f"; for sound inside tar files write webdataset:{folder}" if ".tar" in kinds else ""
