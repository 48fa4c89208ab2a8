"""`aisfx` (Ma et al., ISMIR 2022: sound effects, trained with labels) behind the HEAR 2021 API.

    --model='hear:experiments.lib.peers.aisfx_hear?window=2.3&hop=1.35'

Needs `aisfx` with its weights, PyTorch and librosa. Its own command normalises a file by its peak,
and computes spectra by essentia if it is told to; here a window is, by librosa.
"""

import numpy as np

_BLOCK, _HOP, _MELS = 2048, 1024, 96
_FRAMES = 100  # of a block of the network
_TOP = 9.457798957824707  # the package's own scale


class _Model:
    sample_rate = 44_100
    scene_embedding_size = timestamp_embedding_size = 512

    def __init__(self):
        import torch
        from aisfx import inference

        # By the package: PyTorch since 2.6 unpickles tensors and plain values only, and these, by
        # which the file has its numbers of classes.
        scalar = (np.core.multiarray.scalar, "numpy.core.multiarray.scalar")  # as NumPy 1 named it
        numbers = scalar, np.dtype, type(np.dtype(np.int64))
        with torch.serialization.safe_globals(numbers):
            weights, datasets = inference.load_weights("cpu")
        self.network = inference.load_bestModel(weights, datasets, torch.device("cpu"))


def load_model(model_file_path: str = "") -> _Model:
    """The package's network; it brings its weights."""
    del model_file_path
    return _Model()


def get_scene_embeddings(audio, model: _Model):
    """[n, 512] of [n, samples] at 44.1 kHz; each is one window of 2.3 s."""
    import librosa
    import torch

    blocks = []
    for sound in np.asarray(audio, np.float32):
        peak = np.abs(sound).max()
        mel = librosa.feature.melspectrogram(
            y=sound / peak if peak else sound,
            sr=model.sample_rate,
            n_mels=_MELS,
            norm=1.0,
            htk=True,
            n_fft=_BLOCK,
            hop_length=_HOP,
        )
        log = (np.log10(mel * 10_000.0 + 1) / _TOP).T[:_FRAMES]  # [frames, mels]
        blocks.append(np.pad(log, ((0, _FRAMES - len(log)), (0, 0))))
    with torch.no_grad():
        return model.network.get_embedding(torch.tensor(np.stack(blocks), dtype=torch.float32))


def get_timestamp_embeddings(audio, model: _Model):
    """The API asks for it; one vector of each sound, at its middle."""
    vectors = get_scene_embeddings(audio, model)
    middle = 500.0 * np.asarray(audio).shape[1] / model.sample_rate  # ms
    return vectors[:, None], np.full([len(vectors), 1], middle)
