"""Converts a model for devices and other runtimes, and says what each costs and keeps.

    audio-triplet deploy --model=runs/mine/export --corpus=folders:DIR --output_dir=deploy

Written to --output_dir: TensorFlow Lite models (encoder in float32, float16 and int8, calibrated on
half of the sounds; the front end, and both as one, for sound of --seconds), ONNX where tf2onnx is
installed, `projector/` for `tensorboard --logdir`, and deploy.json and deploy.md with sizes, speed,
and the cosine to the SavedModel's embeddings on the other half of the sounds.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from absl import flags, logging

from audio_triplet import storage
from audio_triplet.errors import CorpusError, DeploymentError, UsageError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from audio_triplet.embeddings.saved_model import Model

# A runtime: float32[1, samples] or [patches, 96, 64] → patch embeddings, or log mel patches.
Runner = Callable[["np.ndarray"], "np.ndarray"]


def define_flags() -> None:
    """Defines the verb's flags."""
    flags.DEFINE_string(
        "corpus",
        None,
        "Real sound to calibrate int8 on, to compare by, and for the projector: folders:DIR, "
        "manifest:FILE.csv, esc50:DIR or another corpus that training takes.",
        required=True,
    )
    flags.DEFINE_string("output_dir", None, "Output folder.", required=True)
    flags.DEFINE_string("model", None, "Folder of a SavedModel; by default the released model.")
    flags.DEFINE_float(
        "seconds",
        0.975,
        "Length of the sound that models with a front end take; the default is one patch.",
        lower_bound=0.025,
    )
    flags.DEFINE_integer("sounds", 200, "Sounds of the corpus to use; half of them calibrate.", 2)
    flags.DEFINE_integer("threads", 2, "Threads of each runtime.", lower_bound=1)
    flags.DEFINE_integer("repeats", 15, "Repeats of each timing; the median is reported.", 1)
    flags.DEFINE_integer("seed", 0, "Seed of the choice of sounds.")


def main(argv: Sequence[str]) -> None:
    """Runs the verb."""
    if argv[1:]:
        raise UsageError(f"unknown arguments: {' '.join(argv[1:])}")
    values = flags.FLAGS
    from audio_triplet.embeddings import model_files, saved_model

    os.makedirs(values.output_dir, exist_ok=True)
    print(
        deploy(
            saved_model.Model(values.model or model_files.released_model_path()),
            values.corpus,
            values.output_dir,
            seconds=values.seconds,
            sounds=values.sounds,
            threads=values.threads,
            repeats=values.repeats,
            seed=values.seed,
        )
    )


def deploy(
    model: Model,
    corpus: str,
    output_dir: str,
    *,
    seconds: float,
    sounds: int,
    threads: int,
    repeats: int,
    seed: int,
) -> str:
    """Converts, compares, times and writes.

    Args:
      model: What is converted.
      corpus: Real sound, as --corpus takes it.
      output_dir: Output folder.
      seconds: Length of the sound that models with a front end take.
      sounds: Number of the corpus' sounds to use; half of them calibrate.
      threads: Of each runtime.
      repeats: Of each timing.
      seed: Of the choice of sounds.

    Returns:
      The table, Markdown.

    Raises:
      CorpusError: The corpus cannot be used, or holds too few sounds.
      DeploymentError: The model cannot be converted, or a conversion differs too much from it.
    """
    import numpy as np

    from audio_triplet import features
    from audio_triplet.embeddings import conversion
    from audio_triplet.provenance import provenance

    waveforms, rows = _draw_sounds(corpus, sounds, seconds, seed)
    half = len(waveforms) // 2
    log_mel = [
        features.log_mel(features.patches(features.mel_energies(waveform[None]))[0]).numpy()
        for waveform in waveforms
    ]
    outputs = [model(waveform[None]) for waveform in waveforms]
    expected = [output["patch_embeddings"][0].numpy() for output in outputs]

    results: list[dict[str, Any]] = []
    calls: dict[str, Callable[[], object]] = {
        "SavedModel, waveform": lambda: model(waveforms[0][None])["patch_embeddings"].numpy(),
        "SavedModel, encoder": lambda: model.encode(log_mel[0]).numpy(),
    }
    for name, content, takes, precision in _converted(
        model, len(waveforms[0]), np.concatenate(log_mel[:half])
    ):
        path = os.path.join(output_dir, name)
        with storage.open_replacing(path, "wb") as file:
            file.write(content)
        run = _runner(content, name, threads)
        inputs = [waveform[None] for waveform in waveforms] if takes == "waveform" else log_mel
        calls[name] = lambda run=run, first=inputs[0]: run(first)  # type: ignore[misc]
        result = {"file": name, "input": takes, "bytes": len(content)}
        if name.startswith("front_end"):
            result["log_mel_apart"] = _largest_difference(run, inputs, log_mel)
        else:
            cosine = _cosines([run(given) for given in inputs[half:]], expected[half:])
            result |= {"cosine_min": float(cosine.min()), "cosine_mean": float(cosine.mean())}
            least = conversion.LEAST_COSINE[precision]
            if cosine.min() < least:
                raise DeploymentError(
                    f"{path}: cosine to the SavedModel is {cosine.min():.5f} on real sound, below "
                    f"{least}; do not use it"
                )
        results.append(result)
    results = _with_times(results, _median_seconds(calls, repeats), model.path)
    _write_projector(os.path.join(output_dir, "projector"), outputs, rows)
    table = _table(results, seconds)
    report = {
        "results": results,
        "model": model.path,
        "model_config": model.config,
        "corpus": corpus,
        "seconds": seconds,
        "threads": threads,
        "sounds": {"calibration": half, "compared": len(waveforms) - half},
        **provenance(),
    }
    storage.write_json(os.path.join(output_dir, "deploy.json"), report)
    storage.write_text(os.path.join(output_dir, "deploy.md"), table)
    return table


def _draw_sounds(
    corpus: str, count: int, seconds: float, seed: int
) -> tuple[list[np.ndarray], list[pd.Series]]:
    """Draws sounds of equal length from a corpus; silent ones calibrate nothing.

    Returns:
      float32[samples] each, padded with silence where the file is shorter, and their rows of the
      manifest.
    """
    import numpy as np

    from audio_triplet import audio, features
    from audio_triplet.corpora import registry
    from audio_triplet.errors import AudioError

    manifest = registry.load_corpus(corpus)
    samples = round(seconds * features.DEFAULT.sample_rate)
    waveforms, rows = [], []
    for number in np.random.default_rng(seed).permutation(len(manifest)):
        row = manifest.frame.iloc[number]
        length = np.fmin(row["end_seconds"] - row["start_seconds"], seconds)
        try:
            waveform = audio.read_piece(row["path"], row["start_seconds"], float(length))
        except AudioError as error:
            logging.warning("skipped %s", error)
            continue
        if not waveform.any():
            continue
        waveforms.append(np.pad(waveform[:samples], (0, max(0, samples - len(waveform)))))
        rows.append(row)
        if len(waveforms) == count:
            break
    if len(waveforms) < 2:
        raise CorpusError(f"{corpus}: has fewer than two audible sounds; name another corpus")
    return waveforms, rows


def _converted(
    model: Model, samples: int, calibration: np.ndarray
) -> Iterator[tuple[str, bytes, str, str]]:
    """(file name, content, what it takes, precision) of each conversion, as it is made."""
    from audio_triplet.embeddings import conversion

    for precision in conversion.PRECISIONS:
        content = conversion.encoder_tflite(model, precision, calibration)
        yield f"encoder_{precision}.tflite", content, "log mel", precision
    yield "front_end.tflite", conversion.front_end_tflite(samples), "waveform", "float32"
    for precision in ("float32", "float16"):
        content = conversion.waveform_tflite(model, samples, precision)
        yield f"waveform_{precision}.tflite", content, "waveform", precision
    try:
        yield "encoder.onnx", conversion.encoder_onnx(model), "log mel", "float32"
    except DeploymentError as error:
        logging.warning("encoder.onnx was not made: %s", error)


def _runner(content: bytes, name: str, threads: int) -> Runner:
    """Loads a converted model, ready to be called."""
    from audio_triplet.embeddings import conversion

    if name.endswith(".onnx"):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(content, options)
        return lambda log_mel: session.run(["embedding"], {"log_mel": log_mel})[0]
    lite = conversion.TfLite(content, threads)
    flex = [operator for operator in lite.operators if operator.startswith("Flex")]
    if flex:
        raise DeploymentError(f"{name}: needs TensorFlow's own operators: {flex}")

    def run(given: np.ndarray) -> np.ndarray:
        outputs = lite(given)
        if "patch_embeddings" in outputs:
            return outputs["patch_embeddings"][0]
        return next(iter(outputs.values()))

    return run


def _largest_difference(
    run: Runner, inputs: Sequence[np.ndarray], expected: Sequence[np.ndarray]
) -> float:
    differences = (
        abs(run(given) - output).max() for given, output in zip(inputs, expected, strict=True)
    )
    return float(max(differences))


def _cosines(found: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> np.ndarray:
    """float[patches]: cosine of each vector to the SavedModel's."""
    import numpy as np

    mine, theirs = np.concatenate(found), np.concatenate(expected)
    norms = np.linalg.norm(mine, axis=1) * np.linalg.norm(theirs, axis=1)
    return (mine * theirs).sum(axis=1) / norms


def _median_seconds(calls: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median seconds of each call; they take turns, so that other load falls on all alike."""
    for call in calls.values():
        call()  # the first one plans and allocates
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            begin = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - begin)
    return {name: statistics.median(values) for name, values in times.items()}


def _with_times(
    results: Sequence[dict[str, Any]], seconds: Mapping[str, float], model_path: str
) -> list[dict[str, Any]]:
    """Adds the times to the results, and then rows for the SavedModel's two signatures."""
    timed = [result | {"milliseconds": 1000 * seconds[result["file"]]} for result in results]
    converted = {result["file"] for result in results}
    for name in [name for name in seconds if name not in converted]:
        own: dict[str, Any] = {
            "file": name,
            "input": name.split(", ")[1].replace("encoder", "log mel"),
        }
        if name.endswith("waveform"):
            own["bytes"] = _folder_bytes(model_path)
        timed.append(own | {"milliseconds": 1000 * seconds[name]})
    return timed


def _folder_bytes(folder: str) -> int:
    return sum(
        os.path.getsize(os.path.join(current, name))
        for current, _, names in os.walk(folder)
        for name in names
    )


def _write_projector(folder: str, outputs: Sequence[Mapping], rows: Sequence[pd.Series]) -> None:
    import numpy as np

    from audio_triplet.embeddings import projector

    projector.write_projector(
        folder,
        np.concatenate([output["segment_embedding"].numpy() for output in outputs]),
        {
            "label": [row["labels"].replace(";", ", ") for row in rows],
            "file": [os.path.basename(row["path"]) for row in rows],
            "start_seconds": [f"{row['start_seconds']:g}" for row in rows],
        },
    )


def _table(results: Sequence[Mapping[str, Any]], seconds: float) -> str:
    lines = [
        f"| {seconds:g} s of sound | takes | size | one call | cosine to the SavedModel, "
        "least / mean |",
        "|---|---|---|---|---|",
    ]
    for result in results:
        size = f"{result['bytes'] / 1e6:.2f} MB" if "bytes" in result else ""
        kept = ""
        if "cosine_min" in result:
            kept = f"{result['cosine_min']:.6f} / {result['cosine_mean']:.6f}"
        elif "log_mel_apart" in result:
            kept = f"log mel within {result['log_mel_apart']:.0e}"
        lines.append(
            f"| {result['file']} | {result['input']} | {size} | "
            f"{result['milliseconds']:.2f} ms | {kept} |"
        )
    return "\n".join(lines)
