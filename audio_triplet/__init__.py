"""Unsupervised semantic audio representations from triplets (Jansen et al., ICASSP 2018).

For a script or a notebook, see `audio_triplet.library`:

    model = audio_triplet.load()
    found = model.embed("bark.wav")
    index = audio_triplet.open_index("archive.index")
    hits = index.find("bark.wav", top=10)

Packages and modules, in the order that data flows through them: `audio` (files to waveforms),
`features` (log mel), `corpora` and `data` (sound into batches), `constraints`, `triplets`,
`augment`, `mining`, `losses`, `models` (the method), `training`, `embeddings` (a trained model, and
vectors by it), `evaluation`, `search`, `classify` (uses of vectors), `web` and `commands` (pages
and command line). Importing the package itself imports neither TensorFlow nor any of them.
"""

from audio_triplet.library import build_index, load, open_index

__version__ = "0.1.0"

__all__ = ["build_index", "load", "open_index"]
