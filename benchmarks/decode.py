"""From sound files to mel energies on one core: decoding, resampling, front end.

    python -m benchmarks.decode --corpus=esc50:DIR

Per format: `audio.load_audio` with the NumPy front end; the same through `FileChunks` in tf.data;
the same steps done separately (soundfile, soxr, front end); everything in the graph (tensorflow-io,
polyphase convolution); librosa; and the path of VGGish's own script (soundfile, resampy
kaiser_best, NumPy front end). Goals: at least 10 times the resampy path where there is something to
resample, and at most 15 % over the steps done separately; of M4A, by FFmpeg, 300 times real time.
"""

import functools
import os
import tempfile

import numpy as np

from benchmarks import front_end, harness

_RATE = 16_000
_SECONDS = 10.56
_FILES = 4
_PASSES = 32  # over the files by the pipeline: it begins once a run, which takes 20 ms
_OURS = "libsndfile, soxr (ours)"
_FFMPEG = "FFmpeg, soxr (ours)"
_PIPELINE = "the same through tf.data (ours)"
_GRAPH = "in graph (ours)"
_SEPARATE = "soundfile, soxr, front end separately"
_RESAMPY = "soundfile, resampy kaiser_best, VGGish's front end"


def measure() -> list[harness.Table]:
    """A table for each format."""
    tables = []
    with tempfile.TemporaryDirectory() as folder:
        for rate in (44_100, _RATE):
            sounds = harness.sounds(_FILES, _SECONDS, rate)
            for suffix in ("wav", "flac", "ogg", "mp3") if rate != _RATE else ("flac",):
                paths = harness.write_sounds(
                    os.path.join(folder, f"{suffix}{rate}"), sounds, rate, suffix
                )
                tables.append(_table(paths, rate))
        tables.append(_m4a_table(folder))
    return tables


def _m4a_table(folder: str) -> harness.Table:
    """M4A, which of the peers none reads."""
    from audio_triplet import audio, features

    paths = [
        _write_m4a(os.path.join(folder, f"{number}.m4a"), sound)
        for number, sound in enumerate(harness.sounds(_FILES, _SECONDS, 44_100))
    ]

    def ours():
        for path in paths:
            features.mel_energies_numpy(audio.load_audio(path))

    table = harness.Table(
        "Decode: M4A, 44.1 kHz", f"{_FILES} files of {_SECONDS} s to mel energies, one core"
    )
    taken = harness.interleaved({_FFMPEG: ours}, harness.repeats())
    table.compare(taken, _FILES * _SECONDS, "× real time", _FFMPEG)
    speed = _FILES * _SECONDS / float(np.median(taken[_FFMPEG].seconds))
    table.goal("× real time", speed, 300)
    return table


def _write_m4a(path: str, sound: np.ndarray) -> str:
    """Writes float32[samples] at 44.1 kHz as AAC of 128 kbit/s."""
    import av

    with av.open(path, "w", format="ipod") as file:
        track = file.add_stream("aac", rate=44_100, layout="mono")
        track.codec_context.bit_rate = 128_000
        frame = av.AudioFrame.from_ndarray(sound[np.newaxis], "fltp", "mono")
        frame.sample_rate, frame.pts = 44_100, 0
        file.mux(track.encode(frame))
        file.mux(track.encode(None))
    return path


def _table(paths: list[str], rate: int) -> harness.Table:
    suffix = paths[0].rsplit(".", 1)[-1].upper()
    table = harness.Table(
        f"Decode: {suffix}, {rate / 1000:g} kHz",
        f"{_FILES} files of {_SECONDS} s to mel energies, one core",
    )
    found = _candidates(paths, rate)
    taken = harness.interleaved(found, harness.repeats())
    passes = taken[_PIPELINE].seconds
    taken[_PIPELINE] = harness.Measurement(tuple(seconds / _PASSES for seconds in passes))
    table.compare(taken, _FILES * _SECONDS, "× real time", _OURS)
    table.skip_absent("resampy", "librosa", "tensorflow_io")
    if rate != _RATE and _RESAMPY in taken:
        table.goal("times the resampy path", taken[_OURS].times_as_fast_as(taken[_RESAMPY]), 10)
        if _GRAPH in taken:
            ratio = taken[_GRAPH].times_as_fast_as(taken[_RESAMPY])
            table.goal("in graph, times the resampy path", ratio, 10)
    for name in (_OURS, _PIPELINE):
        over = taken[_SEPARATE].times_as_fast_as(taken[name])
        table.goal(f"{name}: time, in times the steps'", over, 1.15, at_most=True)
    return table


def _candidates(paths: list[str], rate: int) -> dict:
    import soundfile
    import soxr

    from audio_triplet import audio, features
    from audio_triplet.audio import graph_decoding
    from audio_triplet.corpora import registry
    from audio_triplet.data import chunks
    from audio_triplet.data.bad_files import BadFiles
    from audio_triplet.data.file_source import FileChunks

    def ours():
        for path in paths:
            features.mel_energies_numpy(audio.load_audio(path))

    def separately():
        for path in paths:
            waveform, _ = soundfile.read(path, dtype="float32")
            features.mel_energies_numpy(
                waveform if rate == _RATE else soxr.resample(waveform, rate, _RATE)
            )

    bad_files = BadFiles()
    table = chunks.scan(registry.load_corpus(f"folders:{os.path.dirname(paths[0])}"), bad_files)
    stream = FileChunks(table, bad_files).in_order().repeat(_PASSES)

    def pipeline():
        for _ in stream:  # to its end: nothing is read ahead for a later turn
            pass

    found = {_OURS: ours, _PIPELINE: pipeline, _SEPARATE: separately}
    if graph_decoding.tensorflow_io_works():
        found[_GRAPH] = functools.partial(_in_graph(), paths)
    if not harness.absent("librosa"):
        found["librosa.load (soxr), librosa's front end"] = functools.partial(_librosa, paths)
    if not harness.absent("resampy"):
        found[_RESAMPY] = functools.partial(_resampy, paths)
    return found


@functools.cache
def _in_graph():
    import tensorflow as tf

    from audio_triplet import features
    from audio_triplet.audio import graph_decoding

    @tf.function(input_signature=[tf.TensorSpec([], tf.string)])
    def energies(path):
        return features.mel_energies(graph_decoding.load(path))

    return lambda paths: [energies(path) for path in paths]


def _librosa(paths: list[str]) -> None:
    import librosa

    for path in paths:
        waveform, _ = librosa.load(path, sr=_RATE)
        front_end.by_librosa(waveform[None])


def _resampy(paths: list[str]) -> None:
    import resampy
    import soundfile

    for path in paths:
        waveform, rate = soundfile.read(path, dtype="float32")
        if rate != _RATE:
            waveform = resampy.resample(waveform, rate, _RATE, filter="kaiser_best")
        front_end.twin(np.asarray(waveform, np.float64))


if __name__ == "__main__":
    harness.main(measure, cores=1)
