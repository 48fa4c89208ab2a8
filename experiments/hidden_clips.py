"""Finds clips that lie at any moment of long recordings, by an index of those.

    python -m experiments.hidden_clips --corpus=esc50:DIR --output_dir=found \
        --ambiences='debian-sounds:DIR?packages=wide'

Claim: all 80 clips come first, at their moment within 0.1 s, as they are, 6 dB quieter, and as MP3.

Recordings of 5 to 10 minutes are made of the corpus's clips, one of each of its recordings, and of
long sounds of --ambiences into which clips are cut. From clips hidden there parts of one to four
seconds are cut at random offsets, and asked for. Beside it stands the index's plain search, by the
cosine to the mean of the patches. Written to --output_dir: hidden_clips.json, hidden_clips.md.
"""

from __future__ import annotations

import dataclasses
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from absl import flags, logging

from audio_triplet.commands import terminal
from audio_triplet.errors import AudioError, UsageError
from experiments.lib import kept, script, tables

if TYPE_CHECKING:
    import numpy as np

    from audio_triplet.search.sound_index import SoundIndex

RATE = 16_000
WITHIN_SECONDS = 0.1
PLAIN_WITHIN_SECONDS = 1.0

_MINUTES = (5.0, 10.0)  # of a recording
_PART_SECONDS = (1.0, 4.0)
_AMBIENCE_SECONDS = 60.0  # at least
_CLIPS_OF_AMBIENCE = 6
_AUDIBLE = 3e-3  # root mean square of a part that is asked for

PLAIN = "plain cosine"
CHANGES = ("as they are", "6 dB quieter", "3 dB louder", "MP3")


@dataclasses.dataclass(frozen=True, eq=False)
class Hidden:
    """A clip in a long recording.

    Attributes:
      path: The recording.
      start_seconds: Where the clip begins in it.
      clip: float32[samples].
    """

    path: str
    start_seconds: float
    clip: np.ndarray


def define_flags() -> None:
    """Defines the script's flags."""
    flags.DEFINE_string("corpus", None, "The clips, as other scripts have it.", required=True)
    flags.DEFINE_string("ambiences", "", "Long sounds to cut clips into, likewise; empty: none.")
    flags.DEFINE_string("model", None, "Folder of a SavedModel; by default the released one.")
    flags.DEFINE_string("output_dir", None, "Folder for hidden_clips.json and .md.", required=True)
    flags.DEFINE_integer("clips", 80, "How many to ask for.", lower_bound=1)
    flags.DEFINE_integer("recordings", 12, "Most to make of clips, and of ambiences.", 1)
    flags.DEFINE_integer("seed", 0, "Of what is drawn.")


def main(argv: list[str]) -> None:
    """Runs the command."""
    del argv
    terminal.set_up_logging()
    values = flags.FLAGS
    with terminal.clear_errors("hidden_clips"):
        table = make_table(
            values.corpus,
            values.ambiences,
            values.model,
            values.output_dir,
            values.clips,
            values.recordings,
            values.seed,
        )
    print(markdown(table))


def make_table(
    corpus: str,
    ambiences: str,
    model: str | None,
    output_dir: str,
    count: int,
    recordings: int,
    seed: int,
) -> dict:
    """Hides clips, asks for them, and writes the table.

    Args:
      corpus: Where the clips are from.
      ambiences: Where long sounds are from; empty: none.
      model: Folder of a SavedModel; None: the released one.
      output_dir: Output folder.
      count: How many to ask for.
      recordings: Most to make of clips, and of ambiences.
      seed: Of what is drawn.

    Returns:
      Content of hidden_clips.json.

    Raises:
      UsageError: The corpus has too few audible clips.
    """
    import numpy as np

    import audio_triplet
    from audio_triplet import storage
    from audio_triplet.provenance import provenance

    made_by = provenance()
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        clips = _clips(corpus, rng)  # each is hidden once
        hidden: list[Hidden] = []
        if ambiences:
            hidden += _of_ambiences(folder, ambiences, clips, recordings, rng)
        hidden += _of_clips(folder, clips, recordings, rng)
        asked = list(_asked(hidden, count, rng))
        if len(asked) < count:
            raise UsageError(f"{corpus}: has {len(asked)} audible clips for {count}; lower --clips")
        paths = sorted({one.path for one in hidden})
        index = audio_triplet.build_index(os.path.join(folder, "index"), paths, model)
        changes: tuple[Callable[[np.ndarray], np.ndarray], ...] = (
            lambda part: part,
            lambda part: 0.5 * part,
            lambda part: 1.4 * part,
            lambda part: _through_mp3(part, folder),
        )
        rows = [
            {"name": name, **_found(index, asked, change)}
            for name, change in zip(CHANGES, changes, strict=True)
        ]
        rows.append({"name": PLAIN, **_found_plainly(index, asked)})
        config = {
            "corpus": corpus,
            "ambiences": ambiences,
            "clips": count,
            "recordings": len(paths),
            "hours": round(sum(_seconds(path) for path in paths) / 3600, 2),
            "vectors": len(index),
            "seed": seed,
        }
    table = {"rows": rows, "config": config | made_by}
    kept.write_json(os.path.join(output_dir, "hidden_clips.json"), table)
    storage.write_text(os.path.join(output_dir, "hidden_clips.md"), markdown(table))
    return table


def markdown(table: dict) -> str:
    """The table as Markdown."""
    config = table["config"]
    rows = [
        (
            row["name"],
            f"{row['first']} of {config['clips']}",
            f"{row['among_ten']} of {config['clips']}",
            "–" if row["median_error"] is None else f"{1000 * row['median_error']:.0f} ms",
            tables.cell(row["least_score"]),
            f"{1000 * row['median_seconds']:.0f} ms",
        )
        for row in table["rows"]
    ]
    head = ("clips", "first", "among ten", "median error", "least score", "search")
    return "\n".join(
        [
            f"# Clips hidden in {config['recordings']} recordings of {config['hours']:g} hours",
            "",
            *tables.heading(*head),
            *(tables.line(*row) for row in rows),
            "",
            f"First: the first hit begins within {WITHIN_SECONDS:g} s of the clip's moment, by the",
            f"plain cosine within {PLAIN_WITHIN_SECONDS:g} s, its grid. The least score is of hits",
            "at the right moment; the time is of a whole query, embedded and searched.",
            "",
            *tables.how_to_repeat(config),
        ]
    )


def _of_clips(
    folder: str, clips: Iterator[np.ndarray], recordings: int, rng: np.random.Generator
) -> Iterator[Hidden]:
    """Recordings made of clips."""
    import numpy as np

    for number in range(recordings):
        path = os.path.join(folder, f"clips-{number:02d}.wav")
        length, sounds, inside = 60 * rng.uniform(*_MINUTES) * RATE, [], []
        done = 0
        for clip in clips:
            inside.append(Hidden(path, done / RATE, clip))
            sounds.append(clip)
            done += len(clip)
            if done >= length:
                break
        if sounds:
            _write(path, np.concatenate(sounds))
        yield from inside


def _of_ambiences(
    folder: str,
    ambiences: str,
    clips: Iterator[np.ndarray],
    recordings: int,
    rng: np.random.Generator,
) -> Iterator[Hidden]:
    """Long sounds into which clips are cut."""
    import numpy as np

    from audio_triplet import audio
    from audio_triplet.corpora import registry

    most = round(60 * _MINUTES[1] * RATE)
    number = 0
    for path in rng.permutation(registry.load_corpus(ambiences).frame["path"].unique()):
        if number == recordings:
            return
        try:
            if audio.probe(path).duration_seconds < _AMBIENCE_SECONDS:
                continue
            sound = audio.load_audio(path)[:most]
        except AudioError:
            continue
        places = np.sort(rng.integers(0, len(sound), _CLIPS_OF_AMBIENCE))
        pieces, inside, done = np.split(sound, places), [], 0
        path = os.path.join(folder, f"ambience-{number:03d}.wav")
        mixed = [pieces[0]]
        done = len(pieces[0])
        for piece, clip in zip(pieces[1:], clips, strict=False):
            inside.append(Hidden(path, done / RATE, clip))
            mixed += [clip, piece]
            done += len(clip) + len(piece)
        _write(path, np.concatenate(mixed))
        yield from inside
        number += 1


def _clips(corpus: str, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Clips in random order, one of each recording."""
    from audio_triplet import audio
    from audio_triplet.corpora import registry

    frame = registry.load_corpus(corpus).frame.drop_duplicates("recording_id")
    for row in rng.permutation(len(frame)):
        try:
            yield audio.load_audio(frame["path"].iloc[row])
        except AudioError as error:
            logging.warning("%s", error)


def _asked(hidden: Sequence[Hidden], count: int, rng: np.random.Generator) -> Iterator[Hidden]:
    """Parts of hidden clips, cut at random offsets, and where those are."""
    import numpy as np

    for number in rng.permutation(len(hidden)):
        one = hidden[number]
        length = round(rng.uniform(*_PART_SECONDS) * RATE)
        if len(one.clip) <= length:
            continue
        offset = int(rng.integers(len(one.clip) - length))
        part = one.clip[offset : offset + length]
        if np.sqrt(np.mean(part**2)) >= _AUDIBLE and count > 0:
            count -= 1
            yield Hidden(one.path, one.start_seconds + offset / RATE, part)


# A hit: path, start and score.
_Answer = tuple[str, float, float]


def _found(
    index: SoundIndex, asked: Sequence[Hidden], change: Callable[[np.ndarray], np.ndarray]
) -> dict:
    """How many are found where they are, after a change."""
    import numpy as np

    answers, seconds = [], []
    for one in asked:
        sound = change(one.clip)
        begin = time.perf_counter()
        found = index.find(sound, sample_rate=RATE)
        seconds.append(time.perf_counter() - begin)
        answers.append([(hit.path, hit.start_seconds, hit.score) for hit in found])
    return _counted(asked, answers, WITHIN_SECONDS) | {"median_seconds": float(np.median(seconds))}


def _found_plainly(index: SoundIndex, asked: Sequence[Hidden]) -> dict:
    """The same by the cosine to the mean of the patches."""
    import numpy as np

    from audio_triplet.search.query import embed_query

    answers, seconds = [], []
    for one in asked:
        begin = time.perf_counter()
        vector = embed_query(index.query_model, index.index.info, one.clip, sample_rate=RATE)
        found = index.index.search(vector)
        seconds.append(time.perf_counter() - begin)
        answers.append([(hit.path, hit.start_seconds, hit.score) for hit in found])
    return _counted(asked, answers, PLAIN_WITHIN_SECONDS) | {
        "median_seconds": float(np.median(seconds))
    }


def _counted(asked: Sequence[Hidden], answers: Sequence[list[_Answer]], within: float) -> dict:
    """How many of the answers are right, and how right they are."""
    import numpy as np

    first, among_ten, errors, scores, missed = 0, 0, [], [], []
    for one, hits in zip(asked, answers, strict=True):
        right = [
            (abs(start - one.start_seconds), score)
            for path, start, score in hits
            if path == one.path and abs(start - one.start_seconds) <= within
        ]
        is_first = any(
            path == one.path and abs(start - one.start_seconds) <= within
            for path, start, _ in hits[:1]
        )
        first += is_first
        among_ten += bool(right)
        errors += [error for error, _ in right[:1]]
        scores += [score for _, score in right[:1]]
        if not is_first:
            missed.append([os.path.basename(one.path), round(one.start_seconds, 2)])
    return {
        "first": first,
        "among_ten": among_ten,
        "median_error": float(np.median(errors)) if errors else None,
        "least_score": min(scores, default=None),
        "missed": missed,
    }


def _through_mp3(part: np.ndarray, folder: str) -> np.ndarray:
    """The sound after MP3; what the codec puts before it stays."""
    import soundfile

    from audio_triplet import audio

    path = os.path.join(folder, "part.mp3")
    soundfile.write(path, part, RATE, format="MP3")
    return audio.load_audio(path)


def _write(path: str, sound: np.ndarray) -> None:
    import soundfile

    soundfile.write(path, sound, RATE, subtype="FLOAT")


def _seconds(path: str) -> float:
    from audio_triplet import audio

    return audio.probe(path).duration_seconds


if __name__ == "__main__":
    script.start(define_flags, main)
