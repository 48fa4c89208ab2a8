"""The front end on one core: waveform to mel energies, ours against the peers'.

    python -m benchmarks.front_end --corpus=esc50:DIR

All candidates compute VGGish's front end (25 ms windows every 10 ms, 512-point magnitude spectrum,
64 HTK mel bands) with the same mel weights, of clips one at a time and of all in one batch where
they can; the difference in log mel from a float64 twin is given for each. OpenL3's front end is
librosa's or kapre's, i.e. tf.signal.stft, with other settings. Goal: the fastest of all in float32
at equal numerics, and at least 1.5 times VGGish's NumPy formulation and librosa.
"""

import functools

import numpy as np

from benchmarks import harness

_RATE = 16_000
_OURS = "NumPy (ours, where Python runs)"
_GRAPH = "TensorFlow graph (ours, exports and batches)"


def twin(waveform: np.ndarray) -> np.ndarray:
    """Float64 mel energies by VGGish's NumPy formulation: frames, window, rfft, abs, product."""
    from audio_triplet import features

    frames = np.lib.stride_tricks.sliding_window_view(waveform, 400)[::160]
    window = 0.5 - 0.5 * np.cos(2 * np.pi / 400 * np.arange(400))
    return np.dot(np.abs(np.fft.rfft(frames * window, 512)), features.mel_weights())


def candidates() -> dict:
    """Name → function float32[clips, samples] → float[clips, frames, 64]."""
    import tensorflow as tf

    from audio_triplet import features

    graph = tf.function(
        features.mel_energies, input_signature=[tf.TensorSpec([None, None], tf.float32)]
    )
    compiled = tf.function(features.mel_energies, jit_compile=True)
    found = {
        _OURS: lambda clips: np.stack([features.mel_energies_numpy(clip) for clip in clips]),
        _GRAPH: lambda clips: graph(clips).numpy(),
        "TensorFlow graph, one clip at a time (ours)": lambda clips: np.concatenate(
            [graph(clip[None]).numpy() for clip in clips]
        ),
        "TensorFlow graph compiled by XLA (ours, fixed shape)": lambda clips: compiled(
            clips
        ).numpy(),
        "tf.signal.stft, as in kapre": tf.function(_tf_signal),
        "VGGish (NumPy, float64)": lambda clips: np.stack([twin(clip) for clip in clips]),
    }
    if not harness.absent("librosa"):
        found["librosa"] = by_librosa
    if not harness.absent("torch"):
        found |= {"torch, unfold and rfft": by_torch, "torch.stft": by_torch_stft}
    if not harness.absent("kaldi_native_fbank"):
        found["kaldi-native-fbank"] = _kaldi
    return found


def _tf_signal(clips):
    """As in the documentation of tf.signal."""
    import tensorflow as tf

    from audio_triplet import features

    spectrum = tf.abs(tf.signal.stft(clips, 400, 160, 512))
    return spectrum @ tf.constant(features.mel_weights(), tf.float32)


def by_librosa(clips: np.ndarray) -> np.ndarray:
    """Float32[clips, samples] → float32[clips, frames, 64]."""
    import librosa

    weights = _weights()
    spectrum = librosa.stft(clips, n_fft=512, hop_length=160, window=_window(), center=False)
    # Its own frames are as long as the transform: so those of 400 that reach further are lost.
    return np.swapaxes(np.einsum("...ft,fm->...mt", np.abs(spectrum), weights, optimize=True), 1, 2)


def by_torch(clips: np.ndarray) -> np.ndarray:
    """Float32[clips, samples] → float32[clips, frames, 64]."""
    import torch

    with torch.inference_mode():
        frames = torch.from_numpy(clips).unfold(-1, 400, 160) * torch.from_numpy(_window()[:400])
        return (torch.fft.rfft(frames, 512).abs() @ torch.from_numpy(_weights())).numpy()


def by_torch_stft(clips: np.ndarray) -> np.ndarray:
    """The same by torch.stft; frames that reach further than 512 samples are lost."""
    import torch

    with torch.inference_mode():
        spectrum = torch.stft(
            torch.from_numpy(clips),
            512,
            160,
            window=torch.from_numpy(_window()),
            center=False,
            return_complex=True,
        )
        return (spectrum.abs().transpose(1, 2) @ torch.from_numpy(_weights())).numpy()


def _kaldi(clips: np.ndarray) -> np.ndarray:
    import kaldi_native_fbank

    options = kaldi_native_fbank.FbankOptions()
    options.frame_opts.samp_freq = _RATE
    options.frame_opts.dither = 0
    options.frame_opts.preemph_coeff = 0
    options.frame_opts.remove_dc_offset = False
    options.frame_opts.window_type = "hann"
    options.mel_opts.num_bins = 64
    options.mel_opts.low_freq, options.mel_opts.high_freq = 125, 7500
    options.use_power, options.use_log_fbank = False, False
    found = []
    for clip in clips:
        computer = kaldi_native_fbank.OnlineFbank(options)
        computer.accept_waveform(_RATE, clip)
        found.append([computer.get_frame(n) for n in range(computer.num_frames_ready)])
    return np.array(found)


@functools.cache
def _weights() -> np.ndarray:
    from audio_triplet import features

    return features.mel_weights().astype(np.float32)


@functools.cache
def _window() -> np.ndarray:
    """Float32[512]: a periodic Hann window of 400, then zeros."""
    window = np.zeros(512, np.float32)
    window[:400] = 0.5 - 0.5 * np.cos(2 * np.pi / 400 * np.arange(400))
    return window


def measure() -> list[harness.Table]:
    """All candidates on six clips of 10 s, and ours on other lengths and batches."""
    clips = np.stack(harness.sounds(6, 10.0, _RATE))
    expected = np.log(np.stack([twin(clip.astype(np.float64)) for clip in clips]) + 0.01)
    found = candidates()
    error = {}
    for name, function in found.items():
        log_mel = np.log(np.asarray(function(clips)) + 0.01)
        error[name] = float(np.abs(log_mel - expected[:, : log_mel.shape[1]]).max())
    table = harness.Table("Front end", "6 clips of 10 s at 16 kHz, one core")
    taken = harness.interleaved(
        {name: functools.partial(function, clips) for name, function in found.items()},
        2 * harness.repeats(),
    )
    ours = taken[_OURS]
    for name, measurement in taken.items():
        table.add(
            name,
            clips.size / _RATE / measurement.median,
            "× real time",
            ours=None if "ours" in name else ours.times_as_fast_as(measurement),
            more={"largest difference in log mel": f"{error[name]:.0e}"},
        )
    table.skip_absent("librosa", "torch", "kaldi_native_fbank")
    peers = [name for name in taken if "ours" not in name and error[name] <= 1e-3]
    ratios = {
        way: {name: taken[way].times_as_fast_as(taken[name]) for name in peers}
        for way in (_OURS, _GRAPH)
    }
    for way, ratio in ratios.items():
        table.goal(f"{way}: times the fastest peer", min(ratio.values()), 1.0)
        slow = [ratio[name] for name in ("VGGish (NumPy, float64)", "librosa") if name in ratio]
        table.goal(f"{way}: times VGGish and librosa", min(slow), 1.5)
        table.goal(f"{way}: largest difference in log mel", error[way], 1e-3, at_most=True)
    return [table, _growth(found)]


def _growth(found: dict) -> harness.Table:
    table = harness.Table("Growth of the front end", "time per second of sound, one core")
    sound = np.concatenate(harness.sounds(8, 10.0, _RATE))
    shapes = [(1, 10), (1, 20), (1, 40), (1, 80), (2, 10), (4, 10), (8, 10)]
    calls = {
        (way, count, seconds): functools.partial(
            found[way], sound[: count * seconds * _RATE].reshape(count, -1)
        )
        for way in (_OURS, _GRAPH)
        for count, seconds in shapes
    }
    for (way, count, seconds), taken in harness.interleaved(calls, harness.repeats()).items():
        name = f"{way.split(' (')[0]}, {count} × {seconds} s"
        table.add(name, taken.median / count / seconds * 1e6, "µs per second")
    return table


if __name__ == "__main__":
    harness.main(measure, cores=1)
