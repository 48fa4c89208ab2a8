"""`aisfx` for `benchmarks.whole`; runs in an environment of its own, and nothing of ours.

    VENV/bin/python benchmarks/whole_aisfx.py about
    VENV/bin/python benchmarks/whole_aisfx.py embed FOLDER OUTPUT_DIR
    VENV/bin/python benchmarks/whole_aisfx.py search FILE OUTPUT_DIR

By its own `aisfx.inference.main`, with its defaults: every file of a folder, spectra by essentia
(by librosa it takes frames for bands). It passes a file through the network at once, so that a
recording of hours would need more memory than there is: files beyond a minute are cut into minutes
first.
"""

import glob
import os
import sys
import tempfile
from importlib import metadata

import numpy as np
import soundfile
import torch
import whole_vectors  # its folder is that of this script
from aisfx import inference

_PIECE_SECONDS = 60
_HOP_SECONDS = 0.5 * inference.EMB_BLOCK_LENGTH * inference.SPEC_HOP_LENGTH / inference.SAMPLE_RATE

# What its file of weights holds beside tensors, and PyTorch since 2.6 wants to be told.
_PLAIN = ((np.float64(0).__reduce__()[0], "numpy.core.multiarray.scalar"), np.dtype)
_PLAIN = (*_PLAIN, type(np.dtype(np.int64)))


def embedded(paths: list[str]) -> tuple[list[tuple[str, float]], np.ndarray]:
    """Moments, and vectors of 2.3 s each."""
    with tempfile.TemporaryDirectory() as folder:
        sounds, found = os.path.join(folder, "sounds"), os.path.join(folder, "found")
        os.mkdir(sounds)
        begins = {}  # name of a piece without its ending → its file, and where it begins
        for number, path in enumerate(paths):
            for second, piece in _pieces(path, sounds, number):
                begins[os.path.splitext(os.path.basename(piece))[0]] = path, second
        with torch.serialization.safe_globals(list(_PLAIN)):
            inference.main(sounds, found)
        moments, vectors = [], []
        for path in sorted(glob.glob(os.path.join(found, "*.npy"))):
            vectors.append(np.load(path, allow_pickle=False))
            file, begin = begins[os.path.splitext(os.path.basename(path))[0]]
            hops = _HOP_SECONDS * np.arange(len(vectors[-1]))
            moments += [(os.path.basename(file), begin + float(at)) for at in hops]
    return moments, np.concatenate(vectors)


def _pieces(path: str, folder: str, number: int):
    """Files of a minute at most: where each begins, and its path."""
    if soundfile.info(path).duration <= _PIECE_SECONDS:
        piece = os.path.join(folder, f"{number}-0{os.path.splitext(path)[1]}")
        os.symlink(os.path.abspath(path), piece)
        yield 0.0, piece
        return
    with soundfile.SoundFile(path) as file:
        blocks = file.blocks(blocksize=_PIECE_SECONDS * file.samplerate, dtype="int16")
        for minute, block in enumerate(blocks):
            piece = os.path.join(folder, f"{number}-{minute}.wav")
            soundfile.write(piece, block, file.samplerate)
            yield float(_PIECE_SECONDS * minute), piece


def embed(folder: str, output_dir: str) -> None:
    """Vectors of all files of a folder."""
    whole_vectors.save(output_dir, *embedded(whole_vectors.sounds_in(folder)))


def search(path: str, output_dir: str) -> None:
    """What is nearest to a sound."""
    whole_vectors.print_nearest(output_dir, embedded([path])[1])


if __name__ == "__main__":
    if sys.argv[1] == "about":
        print(f"aisfx {metadata.version('aisfx')}, torch {torch.__version__.partition('+')[0]}")
    else:
        {"embed": embed, "search": search}[sys.argv[1]](*sys.argv[2:])
