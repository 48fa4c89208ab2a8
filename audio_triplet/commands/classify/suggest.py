"""audio-triplet classify suggest"""

import csv
import os

from audio_triplet import storage
from audio_triplet.commands.classify.predict import load_classifier, scored
from audio_triplet.commands.classify.shared import write_bad_files
from audio_triplet.config import EmbedConfig
from audio_triplet.errors import UsageError

# --- suggest -------------------------------------------------------------------------------------


def suggest(
    manifest,
    classifier_dir: str,
    output_dir: str,
    count: int,
    window_seconds: float = 10.0,
    ignore_labels: bool = False,
    model_path: str | None = None,
) -> str:
    """Writes suggest.csv and suggest.html: the sounds whose labels would teach the most.

    Args:
      manifest: The sounds to choose from; those the classifier knows are passed over.
      classifier_dir: Folder of a classifier.
      output_dir: Where both files go.
      count: How many.
      window_seconds: Longer sounds are cut into windows of this length.
      ignore_labels: Whether sounds that have a label of the classifier's are candidates too.
      model_path: As for `predict`.

    Returns:
      A line or two for the user.
    """
    import numpy as np

    from audio_triplet.classify import suggestions
    from audio_triplet.data.bad_files import BadFiles
    from audio_triplet.web import classifier_page

    fitted, model = load_classifier(classifier_dir, model_path)
    bad_files = BadFiles()
    known = {tuple(place) for place in fitted.metadata.get("fitted_on", ())}
    is_new = np.array([place_of(row) not in known for row in manifest.frame.itertuples()])
    if not ignore_labels:
        is_new &= ~manifest.label_matrix(fitted.classes).any(axis=1)
    if not is_new.any():
        raise UsageError(
            f"{manifest.name}: every sound has a label already (--ignore_labels takes them too)"
        )
    windows = _windows(manifest.take(np.flatnonzero(is_new)), window_seconds, bad_files)
    found = [
        (one.row, scores.mean(axis=0))
        for one, scores in scored(fitted, model, windows, EmbedConfig(), bad_files)
    ]
    write_bad_files(bad_files, output_dir)
    if not found:
        raise UsageError(f"{manifest.name}: not one sound could be read")
    frame = windows.frame.iloc[[row for row, _ in found]]
    scores = np.stack([values for _, values in found])
    chosen = suggestions.suggest(scores, frame["recording_id"].tolist(), count)
    frame, scores = frame.iloc[chosen], scores[chosen]
    path = os.path.join(output_dir, "suggest.csv")
    with storage.open_replacing(path) as file:
        writer = csv.writer(file)
        writer.writerow(classifier_page.LABEL_COLUMNS)
        writer.writerows(classifier_page.label_rows(frame))
    page = os.path.join(output_dir, "suggest.html")
    classifier_page.write_suggestions(page, frame, scores, fitted.classes, len(found))
    return (
        f"{len(frame)} of {len(found):,} sounds to label, the least clear first: listen and label "
        f"on {page},\nor fill the column `labels` of {path}; then fit with that file too"
    )


def place_of(row) -> tuple:
    """What tells a manifest row from others, as JSON keeps it."""
    end = float(row.end_seconds)
    return row.path, float(row.start_seconds), None if end != end else end


def _windows(manifest, seconds: float, bad_files):
    """Cuts long segments; the last window takes what would be left, if that is less than a patch.

    Returns:
      The manifest of the windows.
    """
    import numpy as np

    from audio_triplet import audio
    from audio_triplet.data.manifest import Manifest
    from audio_triplet.errors import AudioError, CorpusError

    rows, starts, ends = [], [], []
    for place, row in enumerate(manifest.frame.itertuples()):
        start, end = float(row.start_seconds), float(row.end_seconds)
        try:
            whole = float(np.fmin(end, audio.probe(row.path).duration_seconds)) - start
        except AudioError as error:
            bad_files.add(row.path, error.reason)
            continue
        count = max(1, round(np.ceil((whole - 1) / seconds)))
        for number in range(count):
            rows.append(place)
            starts.append(start + number * seconds)
            ends.append(end if number == count - 1 else start + (number + 1) * seconds)
    if not rows:
        raise CorpusError(f"{manifest.name}: not one sound could be read")
    frame = manifest.frame.iloc[rows].assign(start_seconds=starts, end_seconds=ends, split="")
    return Manifest(frame.reset_index(drop=True), manifest.name)
