"""Pieces of sound files against the whole: is a position what it says?

    python -m benchmarks.pieces --corpus=esc50:DIR

Every file of the corpus is read whole, and by three pieces each at random places, by
`audio.load_audio` and `audio.read_piece`. A row for each format and decoder: files, files that are
refused, pieces, and the goal: no piece that differs. Pieces of lossy formats may differ by 2e-3
(the state of Opus's decoder reaches further back than what is decoded before a piece). Each file
with such pieces is named, with the place and the difference.
"""

import collections
import os

import numpy as np
from absl import flags

from benchmarks import harness

_PIECES = 3
_PIECE_SECONDS = 1.0
_RATE = 16_000
_TOLERANCE = 2e-3


def measure() -> list[harness.Table]:
    """One table, a goal for each format."""
    from audio_triplet.corpora import registry
    from audio_triplet.errors import UsageError

    if not flags.FLAGS.corpus:
        raise UsageError("--corpus is missing; name the sounds to read, e.g. esc50:DIR")
    paths = sorted(set(registry.load_corpus(flags.FLAGS.corpus).frame["path"]))
    if flags.FLAGS.files:
        chosen = np.linspace(0, len(paths) - 1, min(flags.FLAGS.files, len(paths)))
        paths = [paths[int(number)] for number in chosen]
    files: collections.Counter = collections.Counter()
    refused: collections.Counter = collections.Counter()
    pieces: collections.Counter = collections.Counter()
    wrong: collections.Counter = collections.Counter()
    for number, path in enumerate(paths):
        kind, n_pieces, found = compare(path, number)
        files[kind] += 1
        refused[kind] += n_pieces == 0
        pieces[kind] += n_pieces
        wrong[kind] += len(found)
        for line in found:
            harness.progress(line)
    table = harness.Table(
        "Pieces", f"{_PIECES} pieces of {_PIECE_SECONDS:g} s each of {len(paths)} files"
    )
    for kind in sorted(files):
        what = f"{kind}: {files[kind]} files ({refused[kind]} refused), {pieces[kind]} pieces"
        table.goal(f"{what}, differing", wrong[kind], 0, at_most=True)
    return [table]


def compare(path: str, seed: int) -> tuple[str, int, list[str]]:
    """Reads a file whole and by pieces.

    Args:
      path: The file.
      seed: Of the places.

    Returns:
      Its extension and decoder, how many pieces were read (0: it is refused), and a line for each
      that differs or is refused although the whole is not.
    """
    from audio_triplet import audio
    from audio_triplet.errors import AudioError

    extension = os.path.splitext(path)[1].lower().lstrip(".")
    try:
        decoder = audio.probe(path).decoder
        whole = audio.load_audio(path, _RATE)
    except AudioError:
        return extension, 0, []
    starts = np.random.default_rng(seed).uniform(0, len(whole) / _RATE, _PIECES)
    found = [
        f"{path}: {problem}" for start in starts for problem in differences(path, whole, start)
    ]
    return f"{extension} by {decoder}", _PIECES, found


def differences(path: str, whole: np.ndarray, start_seconds: float) -> list[str]:
    """Compares a piece with the whole.

    Args:
      path: The file.
      whole: float32[samples] of all of it, at 16 kHz.
      start_seconds: Where the piece begins.

    Returns:
      What is wrong with the piece, as a sentence; none if it is right.
    """
    from audio_triplet import audio
    from audio_triplet.errors import AudioError

    first = round(start_seconds * _RATE)
    expected = whole[first : first + round(_PIECE_SECONDS * _RATE)]
    at = f"at {start_seconds:.3f} s"
    try:
        piece = audio.read_piece(path, start_seconds, _PIECE_SECONDS, _RATE)
    except AudioError as error:
        return [f"{at}: {error.reason}"]
    if len(piece) != len(expected):
        return [f"{at} {len(piece)} samples for {len(expected)}"]
    difference = np.abs(piece - expected).max(initial=0)
    if difference > _TOLERANCE * max(1.0, np.abs(expected).max(initial=0)):
        return [f"{at} differs by {difference:.2g}"]
    return []


if __name__ == "__main__":
    flags.DEFINE_integer("files", None, "How many files, spread over the corpus; all by default.")
    harness.main(measure, cores=1)
