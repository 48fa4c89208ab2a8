"""Copies of recordings: how many are found, what else is called one, and what it costs.

    python -m benchmarks.duplicates --corpus=esc50:DIR

Sixty recordings of the corpus are written again in ten ways: as 16-bit WAV, as MP3 and at its
lowest quality, at 8 kHz, 12 and 24 dB softer, with 0.37 and 2.7 s of silence in front, without the
first 0.45 s (which is no copy, but for what begins later), and all at once. All go into one index
with vectors that mean nothing; the search for copies is timed without them. Pairs of the corpus'
own that are found are printed, to be listened to. Goals: of each way but the cut 0.95 found, and at
most 0.15 of the time that embedding takes (5.2 ms of a core for 0.96 s).
"""

import os
import tempfile
import time

import numpy as np
from absl import flags

from benchmarks import harness

_COPIED = 60
_EMBEDDING = 5.2e-3 / 0.96  # of a second, for a second of sound, on a core of the usual machine
_MOST_SECONDS = 30.0  # of what is copied


def _write_copies(path: str, folder: str, name: str) -> None:
    """Writes a recording anew in all ways: NAME__WAY.EXTENSION."""
    import soundfile
    import soxr

    from audio_triplet import audio

    rate = audio.probe(path).sample_rate
    sound = audio.read_piece(path, 0, _MOST_SECONDS, rate)
    soft = 10 ** (-12 / 20)

    def late(seconds):
        return np.concatenate([np.zeros(round(seconds * rate), np.float32), sound])

    def write(way, samples, rate=rate, extension="wav", **options):
        file = os.path.join(folder, f"{name}__{way}.{extension}")
        soundfile.write(file, samples, rate, **options)

    write("wav", sound)
    write("mp3", sound, extension="mp3")
    write("mp3, lowest quality", sound, extension="mp3", compression_level=0.95)
    write("8 kHz", soxr.resample(sound, rate, 8000), 8000)
    write("-12 dB", sound * soft)
    write("-24 dB", sound * soft**2)
    write("0.37 s later", late(0.37))
    write("2.7 s later", late(2.7))
    write("0.45 s cut", sound[round(0.45 * rate) :])
    all_at_once = soxr.resample(late(0.52) * soft, rate, 16_000)
    write("mp3, -12 dB, 16 kHz, later", all_at_once, 16_000, "mp3")


def _indexed(folder: str, paths: list[str]) -> tuple[list, dict[int, str], float, float]:
    """Duplicates among files, the files' names, and seconds of a core for hearing and comparing."""
    import pandas as pd

    from audio_triplet import audio
    from audio_triplet.data.manifest import Manifest
    from audio_triplet.embeddings.embedding_set import EmbeddingSet, Origin, stamp_of
    from audio_triplet.search import duplicates, index_writer, outline

    outlines, heard = [], 0.0
    for path in paths:
        outliner = outline.Outliner()
        for block in audio.stream_audio(path):
            begin = time.process_time()
            outliner.push(block)
            heard += time.process_time() - begin
        outlines.append(outliner.outline())
    count, rng = len(paths), np.random.default_rng(0)
    vectors = rng.normal(size=(count, 8)).astype(np.float32)
    made = EmbeddingSet(
        Manifest(pd.DataFrame({"path": paths})),
        vectors / np.linalg.norm(vectors, axis=1, keepdims=True),
        np.arange(count, dtype=np.int32),
        np.ones(count, np.float32),
        start_seconds=np.zeros(count),
        end_seconds=np.ones(count),
        stamp=np.array([stamp_of(path) for path in paths]),
        origin=Origin("/generated", "0" * 64, "patch", 0.96),
    )
    with index_writer.Writer(folder, model="/generated", model_digest="0" * 64, dim=8) as writer:
        writer.add(made, outlines)
        begin = time.process_time()
        found = duplicates.find(writer)
        taken = time.process_time() - begin
        names = writer.tables.segments({n for same in found for n in (same.first, same.second)})
    return found, {number: segment.path for number, segment in names.items()}, heard, taken


def measure() -> list[harness.Table]:
    """The two tables."""
    from audio_triplet import audio
    from audio_triplet.corpora import registry

    if not flags.FLAGS.corpus:
        raise SystemExit("benchmarks.duplicates needs --corpus, recordings that are real")
    paths = sorted(registry.load_corpus(flags.FLAGS.corpus).frame["path"].unique())
    seconds = sum(audio.probe(path).duration_seconds for path in paths)
    table = harness.Table("Copies", f"{len(paths):,} recordings, {seconds / 3600:.1f} h")
    with tempfile.TemporaryDirectory() as folder:
        found, names, heard, taken = _indexed(os.path.join(folder, "own"), paths)
        for same in found:
            harness.progress(f"{names[same.first]} = {names[same.second]}: {same}")
        table.add("pairs of the corpus' own", len(found), "pairs")
        table.add("hearing", 1000 * heard / seconds, "ms a second of sound")
        table.add("comparing", 1000 * taken / seconds, "ms a second of sound")
        share = (heard + taken) / seconds / _EMBEDDING
        table.goal("share of the time of embedding", share, 0.15, at_most=True)
        copies = os.path.join(folder, "copies")
        os.makedirs(copies)
        drawn = np.random.default_rng(3).choice(len(paths), min(_COPIED, len(paths)), replace=False)
        for number in drawn.tolist():
            _write_copies(paths[number], copies, str(number))
        every = sorted(os.path.join(copies, name) for name in os.listdir(copies))
        group = _groups(*_indexed(os.path.join(folder, "all"), [*paths, *every])[:2])
        shares: dict[str, list[bool]] = {}
        for path in every:
            number, way = os.path.splitext(os.path.basename(path))[0].split("__")
            is_found = group.get(path, path) == group.get(paths[int(number)])
            shares.setdefault(way, []).append(is_found)
        for way, hits in shares.items():
            table.add(f"found: {way}", float(np.mean(hits)), "of the copies")
            if not way.endswith("cut"):
                table.goal(f"found: {way}", float(np.mean(hits)), 0.95)
    return [table]


def _groups(found: list, names: dict[int, str]) -> dict[str, int]:
    """Path → the first segment of its group."""
    first: dict[int, int] = {}
    for _ in range(len(names)):
        before = dict(first)
        for same in found:
            least = min(first.get(n, n) for n in (same.first, same.second))
            first[same.first] = first[same.second] = least
        if first == before:
            break
    return {names[number]: least for number, least in first.items()}


if __name__ == "__main__":
    harness.main(measure)
