"""What silent channels do to embeddings: averaged over all channels, and over those with sound.

    python -m benchmarks.silent_channels --corpus=esc50:DIR

Clips of the corpus are written as eight tracks of which six are silent, and as stereo of which one
channel is dead. Each is read twice: by the mean of all channels, and by `audio.load_audio`, which
averages those that carry sound. Their embeddings are compared with those of the clips themselves:
the cosine, how often a clip is its copy's nearest of all clips, and the share of the ten nearest
others that are of the clip's class.
"""

from __future__ import annotations

import json
import os
import tempfile

import numpy as np
import soundfile
from absl import app, flags

RATE = 16_000
_AT_A_TIME = 20
# name: (channels, those that carry the sound)
LAYOUTS = {"eight tracks, six silent": (8, (2, 5)), "stereo, one dead": (2, (0,))}


def measure(corpus: str, clips: int, model_path: str | None) -> list[dict]:
    """A row for each layout and way to average.

    Args:
      corpus: The sound, with labels, as `--corpus` has it.
      clips: How many of its files, evenly spaced.
      model_path: Folder of a SavedModel; None: the released one.
    """
    import audio_triplet
    from audio_triplet import audio
    from audio_triplet.corpora import registry

    model = audio_triplet.load(model_path)
    frame = registry.load_corpus(corpus).frame
    chosen = np.linspace(0, len(frame) - 1, min(clips, len(frame))).astype(int)
    frame = frame.iloc[chosen]
    labels = frame["labels"].to_numpy()
    sounds = [audio.load_audio(path) for path in frame["path"]]
    samples = min(map(len, sounds))
    sounds = [sound[:samples] for sound in sounds]

    def embedded(waveforms: list[np.ndarray]) -> np.ndarray:
        found = []
        for first in range(0, len(waveforms), _AT_A_TIME):
            batch = np.stack(waveforms[first : first + _AT_A_TIME])
            found.append(model(batch)["segment_embedding"])
        return np.concatenate(found)

    originals = embedded(sounds)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "clip.wav")
        for layout, (channels, carrying) in LAYOUTS.items():
            over_all, over_carrying = [], []
            for sound in sounds:
                tracks = np.zeros((len(sound), channels), np.float32)
                tracks[:, carrying] = sound[:, np.newaxis]
                soundfile.write(path, tracks, RATE, subtype="FLOAT")
                over_all.append(soundfile.read(path, dtype="float32")[0].mean(axis=1))
                over_carrying.append(audio.load_audio(path))
            for way, found in (("all", over_all), ("carrying", over_carrying)):
                rows.append(
                    {"layout": layout, "mean over": way}
                    | compare(embedded(found), originals, labels)
                )
    return rows


def compare(vectors: np.ndarray, originals: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """How near float32[clips, dim] unit vectors are to those of the clips themselves."""
    cosines = vectors @ originals.T  # [clips, clips]
    own = np.diag(cosines)
    others = cosines.copy()
    np.fill_diagonal(others, -2)
    nearest = np.argsort(-others, axis=1)[:, :10]
    return {
        "cosine to the clip": float(own.mean()),
        "clip is nearest": float((cosines.argmax(axis=1) == np.arange(len(own))).mean()),
        "same class of ten": float((labels[nearest] == labels[:, np.newaxis]).mean()),
    }


def main(argv):
    """Runs the command."""
    del argv
    values = flags.FLAGS
    rows = measure(values.corpus, values.clips, values.model)
    for row in rows:
        print("  ".join(f"{name}: {value:.4f}" if isinstance(value, float) else f"{name}: {value}"
                        for name, value in row.items()))  # fmt: skip
    if values.output:
        with open(values.output, "w") as file:
            json.dump(rows, file, indent=1)


if __name__ == "__main__":
    flags.DEFINE_string("corpus", None, "Sound with labels, e.g. esc50:DIR.", required=True)
    flags.DEFINE_integer("clips", 400, "How many clips, evenly spaced.", lower_bound=20)
    flags.DEFINE_string("model", None, "Folder of a SavedModel; by default the released model.")
    flags.DEFINE_string("output", None, "Also write the rows there, as JSON.")
    app.run(main)
