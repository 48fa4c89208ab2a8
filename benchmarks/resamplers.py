"""Comparison of resamplers: soxr HQ, resampy kaiser_best and the in-graph one.

    python -m benchmarks.resamplers --corpus=folders:PATH
    python -m benchmarks.resamplers     # generated sounds instead

Speed: seconds of 44.1 kHz audio per second, one core. Faults, from 44.1 to 16 kHz: the largest rest
of a tone above 8 kHz, the gain error of tones up to 7 kHz, and the gain at 7.5 kHz, where the
highest mel band ends. Consequence: the difference in log mel from soxr HQ over all cells of the
sounds; soxr VHQ shows how large a harmless difference is.
"""

import functools

import numpy as np

from benchmarks import harness

_RATE = 44_100
_TARGET_RATE = 16_000
_REFERENCE = "soxr HQ (ours)"


def resamplers() -> dict:
    """Name to function float32[samples] at 44.1 kHz -> float32[samples] at 16 kHz."""
    import soxr
    import tensorflow as tf

    from audio_triplet.audio import graph_resampling

    in_graph = tf.function(
        lambda waveform: graph_resampling.resample(waveform, _RATE),
        input_signature=[tf.TensorSpec([None], tf.float32)],
    )
    found = {
        _REFERENCE: lambda x: soxr.resample(x, _RATE, _TARGET_RATE, "HQ"),
        "soxr VHQ": lambda x: soxr.resample(x, _RATE, _TARGET_RATE, "VHQ"),
        "in graph (ours)": lambda x: in_graph(x).numpy(),
    }
    if not harness.absent("resampy"):
        import resampy

        for name in ("kaiser_best", "kaiser_fast"):
            found[f"resampy {name}"] = functools.partial(
                resampy.resample, sr_orig=_RATE, sr_new=_TARGET_RATE, filter=name
            )
    found["scipy polyphase"] = _scipy_polyphase
    return found


def _scipy_polyphase(waveform: np.ndarray) -> np.ndarray:
    from scipy import signal

    return signal.resample_poly(waveform, 160, 441).astype(np.float32)


def tone(hertz: float, seconds: float = 1.0) -> np.ndarray:
    """float32[samples] at 44.1 kHz, a sine of amplitude 0.5."""
    time_axis = np.arange(round(seconds * _RATE)) / _RATE
    return (0.5 * np.sin(2 * np.pi * hertz * time_axis)).astype(np.float32)


def faults(function) -> dict[str, str]:
    """Aliases and gain errors, measured on tones, away from the ends."""
    inside = slice(2000, -2000)
    stop_hertz = np.concatenate([np.linspace(8000, 9000, 21), np.linspace(9250, 21_900, 30)])
    left = [np.abs(function(tone(f))[inside]).max() for f in stop_hertz]
    left_db = 20 * np.log10(np.maximum(left, 1e-12) / 0.5)
    gains = []
    for hertz in [*np.linspace(100, 7000, 37), 7500]:
        output = function(tone(hertz))
        time_out = np.arange(len(output)) / _TARGET_RATE
        basis = np.stack([f(2 * np.pi * hertz * time_out) for f in (np.sin, np.cos)], axis=1)
        sine, cosine = np.linalg.lstsq(basis[inside], output[inside], rcond=None)[0]
        gains.append(20 * np.log10(np.hypot(sine, cosine) / 0.5))
    return {
        "left of 8–9 kHz": f"{left_db[:21].max():.0f} dB",
        "left above 9 kHz": f"{left_db[21:].max():.0f} dB",
        "gain error to 7 kHz": f"{np.abs(gains[:-1]).max():.1g} dB",
        "gain at 7.5 kHz": f"{gains[-1]:.2f} dB",
    }


def log_mel_differences(functions: dict, waveforms: list) -> dict[str, dict[str, str]]:
    """Difference in log mel from soxr HQ, over all cells of all sounds."""
    from audio_triplet import features

    differences = {name: [] for name in functions}
    for waveform in waveforms:
        outputs = {name: function(waveform) for name, function in functions.items()}
        samples = min(len(output) for output in outputs.values())
        log_mels = {
            name: features.log_mel(features.mel_energies(output[:samples])).numpy()
            for name, output in outputs.items()
        }
        for name, log_mel in log_mels.items():
            differences[name].append(np.abs(log_mel - log_mels[_REFERENCE]).ravel())
    return {
        name: {
            "log mel mean": f"{np.concatenate(values).mean():.1e}",
            "log mel max": f"{np.concatenate(values).max():.1e}",
        }
        for name, values in differences.items()
    }


def measure() -> list[harness.Table]:
    """Measures all resamplers on the same sounds."""
    waveforms = harness.sounds(8, 5.0, _RATE)
    functions = resamplers()
    table = harness.Table("Resamplers", "44.1 to 16 kHz, 8 sounds of 5 s, one core")
    differences = log_mel_differences(functions, waveforms)
    taken = harness.interleaved(
        {
            name: (lambda function=function: [function(waveform) for waveform in waveforms])
            for name, function in functions.items()
        },
        harness.repeats(),
    )
    for name, measurement in taken.items():
        table.add(
            name,
            sum(map(len, waveforms)) / _RATE / measurement.median,
            "× real time",
            ours=None if name == _REFERENCE else taken[_REFERENCE].times_as_fast_as(measurement),
            more=faults(functions[name]) | differences[name],
        )
    table.skip_absent("resampy")
    return [table]


if __name__ == "__main__":
    harness.main(measure, cores=1)
