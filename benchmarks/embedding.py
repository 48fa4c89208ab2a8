"""Embedding an archive: sound files in, embeddings on disk, hours of sound per minute.

    python -m benchmarks.embedding --corpus=esc50:DIR

Ours is `audio-triplet embed` with an exported encoder, by LiteRT, and by TensorFlow as where there
is no encoder file. PyTorch has the same encoder with the same
weights, channels last in float32: once fed as well as we could (soundfile and soxr in threads,
torch.stft, full batches from any files), once in the obvious way (librosa.load, file by file). Ours
is also timed with --precision=auto, which is bfloat16 where the hardware is faster at it. Goals:
at each width 1.5 times the faster PyTorch variant in float32, and memory flat in the number of
files.
"""

import functools
import itertools
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from concurrent import futures

import numpy as np
from absl import flags

from benchmarks import harness

_RATE = 16_000
_FILE_RATE = 44_100
_SECONDS = 10.56
_BATCH = 64
_WIDTHS = flags.DEFINE_list("widths", ["1", "0.25"], "Widths of vggish; the released one is last.")
_FILES = flags.DEFINE_integer(
    "files", 24, "Sound files, at width 1; more at others, by 1 / width².", lower_bound=2
)
_OURS = "ours, audio-triplet embed"
_TENSORFLOW = "ours, by TensorFlow"
_FASTER = "ours, --precision=auto"


def measure() -> list[harness.Table]:
    """Rates against PyTorch, then memory."""
    with tempfile.TemporaryDirectory() as folder:
        tables = [_rate_table(folder, float(width)) for width in _WIDTHS.value]
        return [*tables, _memory_table(folder)]


def _rate_table(folder: str, width: float) -> harness.Table:
    from audio_triplet import models
    from audio_triplet.embeddings import encoder_file, other_models, saved_model

    sounds = harness.sounds(round(_FILES.value / width**2), _SECONDS, _FILE_RATE)
    place = os.path.join(folder, f"flac {width:g}")
    paths = harness.write_sounds(place, sounds, _FILE_RATE, "flac")
    encoder = models.build_encoder("vggish", width=width)
    path = os.path.join(folder, f"model {width:g}")
    settings = {"architecture": "vggish", "width": width}
    saved_model.export(encoder, path, {"model": settings})
    by_tensorflow = saved_model.Model(path)
    encoder_file.write(by_tensorflow, path)
    opened = {
        _OURS: other_models.open_embedder(path),
        _TENSORFLOW: by_tensorflow,
        _FASTER: saved_model.Model(path, "auto"),
    }
    calls = {
        name: functools.partial(ours(model), os.path.dirname(paths[0]), f"{path}, {name}")
        for name, model in opened.items()
    }
    if not harness.absent("torch"):
        calls |= _peers(encoder, width, paths, os.path.join(folder, f"theirs {width:g}"))
    table = harness.Table(
        f"Embedding an archive: width {width:g}",
        f"{len(paths)} FLAC files of {_SECONDS} s at 44.1 kHz, vggish of width {width:g}, "
        "float32, all cores",
    )
    taken = harness.interleaved(calls, harness.repeats())
    hours = len(paths) * _SECONDS / 3600
    table.compare(taken, hours * 60, "h/min", _OURS)
    table.skip_absent("torch", "librosa")
    peers = [name for name in taken if name not in opened]
    ratios = [taken[_OURS].times_as_fast_as(taken[name]) for name in peers]
    if ratios:
        table.goal("times PyTorch's better one", min(ratios), 1.5)
    return table


def ours(model):
    """A function of a folder of sounds and an output folder that embeds as `embed` does.

    Each call writes into a folder of its own, of that name and a number: files that are there are
    not embedded again, and to replace them takes longer than to make them.
    """
    from audio_triplet.commands import inputs
    from audio_triplet.config import EmbedConfig
    from audio_triplet.embeddings.folder import embed_to_folder

    config = EmbedConfig(batch_size=_BATCH, threads=harness.cores())

    number = itertools.count()

    def run(sounds: str, output_dir: str) -> None:
        manifest, names = inputs.load_inputs([sounds])
        embed_to_folder(model, manifest, names, f"{output_dir} {next(number)}", config)

    return run


def _peers(encoder, width: float, paths: list[str], output_dir: str) -> dict:
    import soundfile
    import soxr
    import torch

    from benchmarks import front_end, torch_twin

    torch.set_num_threads(harness.cores())
    twin = torch_twin.twin(encoder, "vggish", width).eval()
    number = itertools.count()

    def load(path: str) -> np.ndarray:
        waveform, rate = soundfile.read(path, dtype="float32")
        return soxr.resample(waveform, rate, _RATE)

    def patches(waveform: np.ndarray) -> torch.Tensor:
        mel = torch.from_numpy(front_end.by_torch_stft(waveform[None])[0])
        return torch.log(mel[: len(mel) // 96 * 96] + 0.01).reshape(-1, 96, 64)

    def save(folder: str, path: str, vectors: torch.Tensor) -> None:
        np.save(os.path.join(folder, os.path.basename(path)), vectors.numpy())

    def new_folder() -> str:
        folder = f"{output_dir} {next(number)}"
        os.mkdir(folder)
        return folder

    def in_batches() -> None:
        folder = new_folder()
        with torch.inference_mode(), futures.ThreadPoolExecutor(harness.cores()) as pool:
            loaded = zip(paths, pool.map(load, paths), strict=True)
            for group in _groups((path, patches(waveform)) for path, waveform in loaded):
                vectors = twin(torch.cat([cut for _, cut in group]))
                for (path, _), found in zip(
                    group, vectors.split([len(cut) for _, cut in group]), strict=True
                ):
                    save(folder, path, found)

    def file_by_file() -> None:
        import librosa

        folder = new_folder()
        with torch.inference_mode():
            for path in paths:
                save(folder, path, twin(patches(librosa.load(path, sr=_RATE)[0])))

    found = {"PyTorch, soundfile and soxr in threads, full batches": in_batches}
    if not harness.absent("librosa"):
        found["PyTorch, librosa.load, file by file"] = file_by_file
    return found


def _groups(items) -> Iterator[list]:
    """Items (path, patches) in groups of at least a batch of patches."""
    group, count = [], 0
    for path, patches in items:
        group.append((path, patches))
        count += len(patches)
        if count >= _BATCH:
            yield group
            group, count = [], 0
    if group:
        yield group


def embed_copies(model: str, path: str, count: int) -> float:
    """Embeds many copies of a file, under different names.

    Returns:
      Seconds it took, the model's loading left out.
    """
    from audio_triplet.embeddings import other_models

    with tempfile.TemporaryDirectory() as folder:
        sounds = os.path.join(folder, "sounds")
        os.makedirs(sounds)
        for number in range(count):
            shutil.copy(path, os.path.join(sounds, f"{number}.flac"))
        run = ours(other_models.open_embedder(model))
        begin = time.perf_counter()
        run(sounds, os.path.join(folder, "embeddings"))
        return time.perf_counter() - begin


def _memory_table(folder: str) -> harness.Table:
    from audio_triplet import models
    from audio_triplet.embeddings import encoder_file, saved_model

    model = os.path.join(folder, "small")
    saved_model.export(models.build_encoder("vggish", width=0.25), model, {})
    encoder_file.write(saved_model.Model(model), model)
    path = os.path.join(folder, f"flac {float(_WIDTHS.value[0]):g}", "00000.flac")
    table = harness.Table(
        "Embedding an archive: growth",
        f"copies of a FLAC file of {_SECONDS} s at 44.1 kHz, vggish of width 0.25, a process each",
    )
    peaks = []
    for count in (50, 100, 200):
        seconds, gigabytes = harness.in_child(
            "benchmarks.embedding:embed_copies", model=model, path=path, count=count
        )
        peaks.append(gigabytes)
        table.add(
            f"{count} files", gigabytes, "GB at most", more={"ms a file": 1000 * seconds / count}
        )
    table.goal("memory of four times the files", peaks[-1] / peaks[0], 1.1, at_most=True)
    return table


if __name__ == "__main__":
    harness.main(measure)
