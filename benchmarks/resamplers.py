"""Which resampler? soxr HQ, resampy kaiser_best and the in-graph one: speed, faults, consequence.

    python -m benchmarks.resamplers --corpus=FOLDER --output_dir=/tmp/resamplers
    python -m benchmarks.resamplers --output_dir=/tmp/resamplers     # generated sounds instead

Speed: seconds of audio a second, one thread, medians of interleaved repeats. Faults, from 44.1 to
16 kHz: what is left of the tone above 8 kHz of which most is left, the gain error and delay of
tones up to 7 kHz, and the gain at 7.5 kHz, where the highest mel band ends. Consequence: the
difference in log mel from soxr HQ over all cells of the corpus, soxr VHQ being the yardstick.
Writes resamplers.json and resamplers.md. A minute for 20 files of 5 s.
"""

import json
import os
import pathlib
import platform
import subprocess
import sys
import time

import numpy as np
from absl import app, flags, logging

_CORPUS = flags.DEFINE_string("corpus", None, "Folder of sound files; default: generated sounds.")
_OUTPUT_DIR = flags.DEFINE_string("output_dir", None, "Where to write the table.", required=True)
_MAX_FILES = flags.DEFINE_integer("max_files", 20, "Files used, spread evenly.", lower_bound=1)
_SECONDS = flags.DEFINE_float("seconds", 5.0, "Used of each file.", lower_bound=0.1)
_REPEATS = flags.DEFINE_integer("repeats", 5, "Of the timing.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "Of the generated sounds.")

_TARGET_RATE = 16_000
_TONE_RATE = 44_100
_EXTENSIONS = {".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff"}


def resamplers() -> dict:
    """Name to function (float32[samples], rate) -> float32[samples] at 16 kHz."""
    import resampy
    import soxr
    import tensorflow as tf

    from audio_triplet import graph_audio

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    in_graph = tf.function(
        graph_audio.resample,
        input_signature=[tf.TensorSpec([None], tf.float32), tf.TensorSpec([], tf.int32)],
    )
    return {
        "soxr HQ": lambda x, rate: soxr.resample(x, rate, _TARGET_RATE, "HQ"),
        "soxr VHQ": lambda x, rate: soxr.resample(x, rate, _TARGET_RATE, "VHQ"),
        "resampy kaiser_best": lambda x, rate: resampy.resample(
            x, rate, _TARGET_RATE, filter="kaiser_best"
        ),
        "in graph": lambda x, rate: in_graph(x, rate).numpy(),
    }


def corpus_sounds(folder: str, max_files: int, seconds: float) -> list[tuple[np.ndarray, int]]:
    """Mono beginnings, at their own rates, of files spread evenly over a folder tree."""
    from audio_triplet import audio

    found = sorted(p for p in pathlib.Path(folder).rglob("*") if p.suffix.lower() in _EXTENSIONS)
    usable = []
    for path in found[:: max(1, len(found) // (4 * max_files))]:
        try:
            info = audio.probe(path)
            if info.sample_rate == _TARGET_RATE or info.duration_seconds < 0.5:
                continue
            sound = audio.read_piece(path, 0.0, seconds, sample_rate=info.sample_rate)
        except audio.AudioError as error:
            logging.warning("%s", error)
            continue
        if np.any(sound):
            usable.append((sound, info.sample_rate))
    if not usable:
        raise app.UsageError(
            f"--corpus={folder}: no sound file of another rate than 16 kHz; leave the flag out "
            "to use generated sounds"
        )
    return usable[:: max(1, len(usable) // max_files)][:max_files]


def generated_sounds(n: int, seconds: float, seed: int) -> list[tuple[np.ndarray, int]]:
    """Swells of noise with a falling spectrum, as outdoor sounds have, at the usual rates."""
    rng = np.random.default_rng(seed)
    sounds = []
    for index in range(n):
        rate = (44_100, 48_000, 22_050, 96_000)[index % 4]
        frames = round(seconds * rate)
        spectrum = np.fft.rfft(rng.standard_normal(frames))
        hertz = np.fft.rfftfreq(frames, 1 / rate)
        noise = np.fft.irfft(spectrum / np.maximum(hertz, 50.0) ** rng.uniform(0.3, 1.0), frames)
        swell = np.sin(np.pi * np.arange(frames) / rate * rng.uniform(0.2, 3.0)) ** 2
        sound = noise * swell
        sounds.append(((0.5 * sound / np.abs(sound).max()).astype(np.float32), rate))
    return sounds


def times_real_time(functions: dict, sounds: list, repeats: int) -> dict[str, float]:
    """Seconds of audio resampled per second; interleaved, so that all meet the same machine."""
    total = sum(len(sound) / rate for sound, rate in sounds)
    taken = {name: [] for name in functions}
    for repeat in range(repeats + 1):
        for name, function in functions.items():
            start = time.perf_counter()
            for sound, rate in sounds:
                function(sound, rate)
            if repeat:  # the first round compiles
                taken[name].append(time.perf_counter() - start)
    return {name: total / float(np.median(values)) for name, values in taken.items()}


def tone(hertz: float, rate: int, seconds: float = 1.0) -> np.ndarray:
    """float32[seconds * rate], a sine of amplitude 0.5."""
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(
        np.float32
    )


def faults(function) -> dict[str, float]:
    """Aliases, gain error and delay at 44.1 kHz, measured on tones, away from the ends."""
    inside = slice(2000, -2000)
    stop_hertz = np.concatenate([np.linspace(8000, 9000, 21), np.linspace(9250, 21_900, 30)])
    left = [np.abs(function(tone(f, _TONE_RATE), _TONE_RATE)[inside]).max() for f in stop_hertz]
    left_db = 20 * np.log10(np.maximum(left, 1e-12) / 0.5)
    gains, delays = [], []
    for hertz in [*np.linspace(100, 7000, 37), 7500]:
        output = function(tone(hertz, _TONE_RATE), _TONE_RATE)
        time_out = np.arange(len(output)) / _TARGET_RATE
        basis = np.stack([f(2 * np.pi * hertz * time_out) for f in (np.sin, np.cos)], axis=1)
        sine, cosine = np.linalg.lstsq(basis[inside], output[inside], rcond=None)[0]
        gains.append(20 * np.log10(np.hypot(sine, cosine) / 0.5))
        delays.append(-np.arctan2(cosine, sine) / (2 * np.pi * hertz) * _TARGET_RATE)
    return {
        "left_of_8_to_9_khz_db": float(left_db[:21].max()),
        "left_above_9_khz_db": float(left_db[21:].max()),
        "pass_band_error_db": float(np.abs(gains[:-1]).max()),
        "gain_at_7500_hz_db": float(gains[-1]),
        "delay_samples": float(np.abs(delays[:-1]).max()),
    }


def log_mel_differences(functions: dict, sounds: list) -> dict[str, dict[str, float]]:
    """Difference in log mel from soxr HQ, over all cells of all sounds."""
    from audio_triplet import features

    differences = {name: [] for name in functions}
    for sound, rate in sounds:
        outputs = {name: function(sound, rate) for name, function in functions.items()}
        samples = min(len(output) for output in outputs.values())
        log_mels = {
            name: features.log_mel(features.mel_energies(output[:samples])).numpy()
            for name, output in outputs.items()
        }
        for name, log_mel in log_mels.items():
            differences[name].append(np.abs(log_mel - log_mels["soxr HQ"]).ravel())
    return {
        name: {
            "log_mel_mean": float(np.concatenate(values).mean()),
            "log_mel_max": float(np.concatenate(values).max()),
        }
        for name, values in differences.items()
    }


def machine() -> dict:
    """What a reader needs in order to compare."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=pathlib.Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return {
        "command": " ".join(["python -m benchmarks.resamplers", *sys.argv[1:]]),
        "commit": commit.stdout.strip() or "unknown",
        "processor": platform.processor() or platform.machine(),
        "processors": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
    }


def markdown(rows: list[dict], config: dict) -> str:
    """The table, with what it was made from."""
    lines = [
        "| resampler | × real time | left of 8–9 kHz | left above 9 kHz | to 7 kHz "
        "| at 7.5 kHz | delay, samples | log mel mean | log mel max |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        lines.append(
            f"| {row['name']} | {row['times_real_time']:,.0f} "
            f"| {row['left_of_8_to_9_khz_db']:.0f} dB | {row['left_above_9_khz_db']:.0f} dB "
            f"| ±{row['pass_band_error_db']:.1g} dB "
            f"| {row['gain_at_7500_hz_db']:.3f} dB | {row['delay_samples']:.1g} "
            f"| {row['log_mel_mean']:.1e} | {row['log_mel_max']:.1e} |"
        )
    lines += ["", *(f"- {name}: {value}" for name, value in config.items()), ""]
    return "\n".join(lines)


def main(argv):
    """Measures, prints and writes the table."""
    if len(argv) > 1:
        raise app.UsageError(f"unknown arguments: {argv[1:]}")
    config = machine()
    if _CORPUS.value:
        sounds = corpus_sounds(_CORPUS.value, _MAX_FILES.value, _SECONDS.value)
    else:
        sounds = generated_sounds(_MAX_FILES.value, _SECONDS.value, _SEED.value)
    rates = [rate for _, rate in sounds]
    config["sounds"] = ", ".join(f"{rates.count(r)} at {r} Hz" for r in sorted(set(rates)))
    config["seconds"] = round(sum(len(sound) / rate for sound, rate in sounds), 1)
    functions = resamplers()
    differences = log_mel_differences(functions, sounds)
    speeds = times_real_time(functions, sounds, _REPEATS.value)
    rows = [
        {
            "name": name,
            "times_real_time": speeds[name],
            **faults(function),
            **differences[name],
        }
        for name, function in functions.items()
    ]
    table = markdown(rows, config)
    print(table)
    output_dir = pathlib.Path(_OUTPUT_DIR.value)
    output_dir.mkdir(parents=True, exist_ok=True)
    (output_dir / "resamplers.md").write_text(table, encoding="utf-8")
    (output_dir / "resamplers.json").write_text(
        json.dumps({"rows": rows, "config": config}, indent=2) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    app.run(main)
