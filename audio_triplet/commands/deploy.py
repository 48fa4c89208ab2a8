"""Converts an export for devices and other runtimes, and says what each costs and keeps.

    audio-triplet deploy --model=runs/mine/export --corpus=folders:DIR --output_dir=deploy

Written to --output_dir: TensorFlow Lite models (encoder in float32, float16 and int8, calibrated on
half of the corpus; the front end, and both as one, for sound of --seconds), ONNX where tf2onnx is
installed, `projector/` for `tensorboard --logdir`, and deploy.json and deploy.md with sizes, speed,
and the cosine to the SavedModel's embeddings on the corpus's other half.
"""

import os
import time

from absl import app, flags, logging

from audio_triplet import storage
from audio_triplet.commands import terminal
from audio_triplet.corpora import registry


def define_flags() -> None:
    """Defines the script's flags."""
    flags.DEFINE_string("model", None, "Folder of a SavedModel.", required=True)
    flags.DEFINE_string(
        "corpus",
        None,
        "Real sound to calibrate int8 on, to compare by, and for the projector: "
        f"{registry.accepted_forms()}.",
        required=True,
    )
    flags.DEFINE_string("output_dir", None, "Folder for all that is written.", required=True)
    flags.DEFINE_float(
        "seconds",
        0.975,
        "Length of the sound that models with a front end take; the default is one patch.",
        lower_bound=0.025,
    )
    flags.DEFINE_integer("sounds", 200, "Sounds of the corpus to hear; half of them calibrate.", 2)
    flags.DEFINE_integer("threads", 2, "Threads of each runtime.", lower_bound=1)
    flags.DEFINE_integer("repeats", 15, "Repeats of each timing; the median is told.", 1)
    flags.DEFINE_integer("seed", 0, "Seed of the choice of sounds.")


def main(argv):
    """Runs the command."""
    del argv
    terminal.quiet_tensorflow()
    with terminal.clear_errors("deploy"):
        print(deploy())


def deploy() -> str:
    """Converts, compares and writes.

    Returns:
      The table, Markdown.

    Raises:
      CorpusError: The corpus cannot be used, or holds too few sounds.
      DeploymentError: The model cannot be converted, or a converted one is not what it was.
    """
    from audio_triplet import features
    from audio_triplet.embeddings import conversion, saved_model
    from audio_triplet.errors import DeploymentError
    from audio_triplet.provenance import provenance

    values = flags.FLAGS
    os.makedirs(values.output_dir, exist_ok=True)
    model = saved_model.Model(values.model)
    sounds, rows = _sounds(values.corpus, values.sounds, values.seconds, values.seed)
    half = len(sounds) // 2
    log_mel = [
        features.log_mel(features.patches(features.mel_energies(sound[None]))[0]).numpy()
        for sound in sounds
    ]
    outputs = [model(sound[None]) for sound in sounds]
    wanted = [output["patch_embeddings"][0].numpy() for output in outputs]

    samples, results, runners = len(sounds[0]), [], {}
    run_saved = _SavedModel(model)
    runners["SavedModel, waveform"] = lambda: run_saved(sounds[:1])
    runners["SavedModel, encoder"] = lambda: model.encode(log_mel[0]).numpy()
    for name, content, inputs, precision in _converted(
        model, samples, [patch for patches in log_mel[:half] for patch in patches]
    ):
        path = os.path.join(values.output_dir, name)
        with storage.open_replacing(path, "wb") as file:
            file.write(content)
        run = _runner(content, name, values.threads)
        given = [sound[None] for sound in sounds] if inputs == "waveform" else log_mel
        runners[name] = lambda run=run, given=given: run(given[0])
        result = {"file": name, "input": inputs, "bytes": len(content)}
        if name.startswith("front_end"):
            apart = max(
                abs(run(item) - mel).max() for item, mel in zip(given, log_mel, strict=True)
            )
            result["log_mel_apart"] = float(apart)
        else:
            cosine = _cosines([run(item) for item in given[half:]], wanted[half:])
            result |= {"cosine_min": float(cosine.min()), "cosine_mean": float(cosine.mean())}
            least = conversion.LEAST_COSINE[precision]
            if cosine.min() < least:
                raise DeploymentError(
                    f"{path}: cosine to the SavedModel is {cosine.min():.5f} on real sound, below "
                    f"{least}; do not use it"
                )
        results.append(result)
    for name, seconds in _interleaved(runners, values.repeats).items():
        entry = next((result for result in results if result["file"] == name), None)
        if entry is None:
            entry = {"file": name, "input": name.split(", ")[1].replace("encoder", "log mel")}
            results.append(entry)
            if name.endswith("waveform"):
                entry["bytes"] = _folder_bytes(values.model)
        entry["milliseconds"] = 1000 * seconds
    _write_projector(outputs, rows)
    table = _table(results, values.seconds)
    told = {
        "results": results,
        "model": values.model,
        "model_config": model.config,
        "corpus": values.corpus,
        "seconds": values.seconds,
        "threads": values.threads,
        "sounds": {"calibration": half, "compared": len(sounds) - half},
        **provenance(),
    }
    storage.write_json(os.path.join(values.output_dir, "deploy.json"), told)
    storage.write_text(os.path.join(values.output_dir, "deploy.md"), table)
    return table


def _sounds(spec: str, count: int, seconds: float, seed: int):
    """Draws sounds of equal length from a corpus.

    Returns:
      float32[samples] each, padded with silence where the file is shorter, and their rows of the
      manifest.
    """
    import numpy as np

    from audio_triplet import audio, features
    from audio_triplet.errors import AudioError

    manifest = registry.load_corpus(spec)
    samples = round(seconds * features.DEFAULT.sample_rate)
    order = np.random.default_rng(seed).permutation(len(manifest))
    sounds, rows = [], []
    for row in order:
        segment = manifest.frame.iloc[row]
        length = np.fmin(segment["end_seconds"] - segment["start_seconds"], seconds)
        try:
            sound = audio.read_piece(segment["path"], segment["start_seconds"], float(length))
        except AudioError as error:
            logging.warning("skipped %s", error)
            continue
        if not sound.any():
            continue  # silence calibrates nothing
        sounds.append(np.pad(sound[:samples], (0, max(0, samples - len(sound)))))
        rows.append(segment)
        if len(sounds) == count:
            break
    if len(sounds) < 2:
        raise registry.CorpusError(f"{spec}: needs two sounds that can be heard")
    return sounds, rows


def _converted(model, samples: int, calibration):
    """(file name, content, what it takes, precision) of each conversion, as it is made."""
    import numpy as np

    from audio_triplet.embeddings import conversion
    from audio_triplet.errors import DeploymentError

    calibration = np.stack(calibration)
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


class _SavedModel:
    """The export as the others are called."""

    def __init__(self, model):
        self._model = model

    def __call__(self, sounds):
        return self._model(sounds)["patch_embeddings"].numpy()


def _runner(content: bytes, name: str, threads: int):
    """A function from a batch to patch embeddings [n, dim], or to log mel patches."""
    from audio_triplet.embeddings import conversion
    from audio_triplet.errors import DeploymentError

    if name.endswith(".onnx"):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(content, options)
        return lambda given: session.run(["embedding"], {"log_mel": given})[0]
    lite = conversion.TfLite(content, threads)
    flex = [operator for operator in lite.operators if operator.startswith("Flex")]
    if flex:
        raise DeploymentError(f"{name}: needs TensorFlow's own operators: {flex}")

    def run(given):
        outputs = lite(given)
        if "patch_embeddings" in outputs:
            return outputs["patch_embeddings"][0]
        return next(iter(outputs.values()))

    return run


def _cosines(found, wanted):
    """float[patches]: cosine of each vector to the one it should be."""
    import numpy as np

    found, wanted = np.concatenate(found), np.concatenate(wanted)
    norms = np.linalg.norm(found, axis=1) * np.linalg.norm(wanted, axis=1)
    return (found * wanted).sum(axis=1) / norms


def _interleaved(runners: dict, repeats: int) -> dict[str, float]:
    """Median seconds of a call of each; in turns, so that other load falls on all alike."""
    import statistics

    times: dict[str, list[float]] = {name: [] for name in runners}
    for run in runners.values():
        run()  # the first call plans and allocates
    for _ in range(repeats):
        for name, run in runners.items():
            begin = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - begin)
    return {name: statistics.median(values) for name, values in times.items()}


def _folder_bytes(folder: str) -> int:
    return sum(
        os.path.getsize(os.path.join(current, name))
        for current, _, names in os.walk(folder)
        for name in names
    )


def _write_projector(outputs, rows) -> None:
    import numpy as np

    from audio_triplet.embeddings import projector

    projector.write_projector(
        os.path.join(flags.FLAGS.output_dir, "projector"),
        np.concatenate([output["segment_embedding"].numpy() for output in outputs]),
        {
            "label": [row["labels"].replace(";", ", ") for row in rows],
            "file": [os.path.basename(row["path"]) for row in rows],
            "start_seconds": [f"{row['start_seconds']:g}" for row in rows],
        },
    )


def _table(results, seconds: float) -> str:
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


def run() -> None:
    """Entry point of the command."""
    define_flags()
    app.run(main)


if __name__ == "__main__":
    run()
