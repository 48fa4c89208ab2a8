"""synthetic: the corpus. Made in its folder, as debian-sounds is downloaded into its own.

    --unlabelled='synthetic:DIR?recordings=10000'    beside --corpus, to train on more
    python -m data_prep.synthetic_sounds --output_dir=DIR --recordings=10000

Files in the folder:

    manifest.csv            the corpus
    audio/NNNNNN.flac       recording NNNNNN, 16 kHz, 2 to 10 s
    synthetic.json          the seed

Made by NumPy from a seed, so no file needs a licence, and none was ever in another corpus. A
stopped run is continued; a larger number adds recordings to those that are there. Claim (the lab
notebook, "Sounds made by rule"): after 1,500 steps an encoder trained on these alone is as good on
ESC-50 as one trained on 31 hours of recordings, one trained on both a point better; after as many
steps as the released model's both add nothing to it. "Contrastive Learning from Synthetic Audio
Doppelgängers" (Cherep and Singh, 2024) showed that synthesizers can take the place of recordings;
its positives, a second sound with perturbed parameters, made it worse here.
"""

import os
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import soundfile
from absl import logging

from audio_triplet import locks, storage
from audio_triplet.corpora.synthetic.recording import render
from audio_triplet.corpora.synthetic.signals import RATE
from audio_triplet.data.manifest import Manifest
from audio_triplet.errors import CorpusError

KIND = "synthetic"
MANIFEST_FILE = "manifest.csv"
SETTINGS_FILE = "synthetic.json"
DEFAULT_RECORDINGS = 10_000
BYTES_EACH = 80_000  # on average


def load(location: str) -> Manifest:
    """The corpus in a folder; recordings that are missing are made.

    Args:
      location: `DIR`: what is there, or `DEFAULT_RECORDINGS` if it is empty or absent. Or
        `DIR?recordings=10000`: the first 10,000.

    Returns:
      Its manifest: no labels, no splits, kind "synthetic".

    Raises:
      CorpusError: A folder that holds something else, a number that is none, no space.
    """
    folder, _, wanted = location.partition("?recordings=")
    if not folder or (wanted and not (wanted.isascii() and wanted.isdigit() and int(wanted))):
        raise CorpusError(
            f"synthetic:{location}: write synthetic:DIR or synthetic:DIR?recordings=10000"
        )
    path = os.path.join(folder, MANIFEST_FILE)
    if not os.path.isfile(path):
        return make(folder, int(wanted or DEFAULT_RECORDINGS))
    manifest = Manifest.read(path, name="synthetic")
    if not wanted or int(wanted) == manifest.recordings:
        return manifest
    return make(folder, int(wanted))


def make(output_dir: str, recordings: int, seed: int | None = None) -> Manifest:
    """Makes the recordings that a folder does not hold yet, and the manifest of the first ones.

    Args:
      output_dir: Made if absent.
      recordings: How many.
      seed: Of all; None: the folder's own, 0 in a new one.

    Returns:
      The manifest, as written to `output_dir/manifest.csv`.

    Raises:
      CorpusError: The folder holds something else, or sounds of another seed; no space.
      LockedError: Another run is filling the folder.
    """
    try:
        with locks.exclusive(output_dir):
            locks.clear_leftovers(output_dir)
            seed = _settled_seed(output_dir, seed)
            audio_dir = os.path.join(os.path.abspath(output_dir), "audio")
            os.makedirs(audio_dir, exist_ok=True)
            locks.clear_leftovers(audio_dir)
            held = set(os.listdir(audio_dir))
            missing = [number for number in range(recordings) if _name(number) not in held]
            if missing:
                logging.info("%s: making %d sounds …", output_dir, len(missing))
                # Threads: transforms and sums let go of the interpreter, and two cores give 1.6
                # times the rate of one; processes 2.0, but a killed parent would leave them behind.
                pool = ThreadPoolExecutor(os.cpu_count())
                try:
                    for _ in pool.map(lambda number: _write(audio_dir, seed, number), missing):
                        pass
                finally:  # stopped by hand: what was not begun is not made
                    pool.shutdown(cancel_futures=True)
            manifest = Manifest(
                pd.DataFrame(
                    {
                        "path": [os.path.join(audio_dir, _name(n)) for n in range(recordings)],
                        "recording_id": [f"{n:06d}" for n in range(recordings)],
                        "kind": KIND,
                    }
                ),
                name="synthetic",
            )
            manifest.write(os.path.join(output_dir, MANIFEST_FILE))
    except (OSError, soundfile.LibsndfileError) as error:
        raise CorpusError(
            f"{output_dir}: cannot be written ({error}); name a folder with space for "
            f"{recordings * BYTES_EACH / 1e9:.1f} GB"
        ) from error
    return manifest


def _settled_seed(folder: str, seed: int | None) -> int:
    """The seed of a folder's sounds, written there when it is new."""
    path = os.path.join(folder, SETTINGS_FILE)
    if os.path.isfile(path):
        held = storage.read_json(path)["seed"]
        if seed not in (None, held):
            raise CorpusError(
                f"{folder}: holds sounds of seed {held}; name an empty folder for others"
            )
        return held
    other = [name for name in os.listdir(folder) if name[0] != "."]
    if other:
        raise CorpusError(
            f"{folder}: holds no {SETTINGS_FILE} of synthetic sounds, but other files "
            f"({min(other)}, …); name an empty folder to make them in"
        )
    storage.write_json(path, {"seed": seed or 0})
    return seed or 0


def _name(recording: int) -> str:
    return f"{recording:06d}.flac"


def _write(audio_dir: str, seed: int, recording: int) -> None:
    """Makes one recording; a killed run leaves no half file under its name."""
    with storage.replacing(os.path.join(audio_dir, _name(recording))) as temporary:
        samples = render(seed, recording)
        soundfile.write(temporary, samples, RATE, format="FLAC", subtype="PCM_16")
