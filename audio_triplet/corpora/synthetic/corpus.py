"""synthetic: the corpus. Made in its folder, as debian-sounds is downloaded into its own.

    --unlabelled='synthetic:DIR?recordings=6000'    beside --corpus, to train on more
    python -m data_prep.synthetic_sounds --output_dir=DIR --recordings=6000

Files in the folder:

    manifest.csv                 the corpus; takes of one recording share a recording_id
    audio/NNNNNN_T.flac          take T of recording NNNNNN, 16 kHz
    synthetic.json               seed and variation

Made by NumPy from a seed, so no file needs a licence, and none was ever in another corpus. A
stopped run is continued; a larger number adds recordings to those that are there. Claim (the lab
notebook, "Sounds made by rule"): half of the draws from it make an embedding better on recorded
sound that is in neither. After "Contrastive Learning from Synthetic Audio Doppelgängers" (Cherep
and Singh, 2024), who perturb a synthesizer's parameters for positives.
"""

import itertools
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor

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
TAKES = 2
VARIATION = 0.1
DEFAULT_RECORDINGS = 6_000


def load(location: str) -> Manifest:
    """The corpus in a folder; recordings that are missing are made.

    Args:
      location: `DIR`: what is there, or `DEFAULT_RECORDINGS` if it is empty or absent. Or
        `DIR?recordings=6000`: the first 6,000.

    Returns:
      Its manifest: no labels, no splits, kind "synthetic".

    Raises:
      CorpusError: A folder that holds something else, a number that is none, no space.
    """
    folder, _, wanted = location.partition("?recordings=")
    if not folder or (wanted and not (wanted.isascii() and wanted.isdigit() and int(wanted))):
        raise CorpusError(
            f"synthetic:{location}: write synthetic:DIR or synthetic:DIR?recordings=6000"
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
      recordings: How many; each has `TAKES` takes of 2 to 10 s.
      seed: Of all; None: the folder's own, 0 in a new one.

    Returns:
      The manifest, as written to `output_dir/manifest.csv`.

    Raises:
      CorpusError: The folder holds something else, or sounds of another seed; no space.
      LockedError: Another run is filling the folder.
    """
    takes = list(itertools.product(range(recordings), range(TAKES)))
    try:
        with locks.exclusive(output_dir):
            locks.clear_leftovers(output_dir)
            seed = _settled_seed(output_dir, seed)
            audio_dir = os.path.join(os.path.abspath(output_dir), "audio")
            os.makedirs(audio_dir, exist_ok=True)
            locks.clear_leftovers(audio_dir)
            held = set(os.listdir(audio_dir))
            missing = [take for take in takes if _name(*take) not in held]
            if missing:
                logging.info("%s: making %d sounds …", output_dir, len(missing))
                # Processes, since NumPy holds the interpreter for most of what is done here.
                spawn = multiprocessing.get_context("spawn")
                with ProcessPoolExecutor(mp_context=spawn) as pool:
                    work = ((audio_dir, seed, *take) for take in missing)
                    for _ in pool.map(_write, work, chunksize=32):
                        pass
            manifest = Manifest(
                pd.DataFrame(
                    {
                        "path": [os.path.join(audio_dir, _name(*take)) for take in takes],
                        "recording_id": [f"{recording:06d}" for recording, _ in takes],
                        "kind": KIND,
                    }
                ),
                name="synthetic",
            )
            manifest.write(os.path.join(output_dir, MANIFEST_FILE))
    except OSError as error:
        raise CorpusError(f"{output_dir}: cannot be written: {error.strerror}") from error
    return manifest


def _settled_seed(folder: str, seed: int | None) -> int:
    """The seed of a folder's sounds, written there when it is new."""
    path = os.path.join(folder, SETTINGS_FILE)
    if os.path.isfile(path):
        held = storage.read_json(path)
        if held.get("variation") != VARIATION or seed not in (None, held.get("seed")):
            raise CorpusError(
                f"{folder}: holds sounds of seed {held.get('seed')} and variation "
                f"{held.get('variation')}; name an empty folder for others"
            )
        return held["seed"]
    other = [name for name in os.listdir(folder) if name[0] != "."]
    if other:
        raise CorpusError(
            f"{folder}: holds no {SETTINGS_FILE} of synthetic sounds, but other files "
            f"({min(other)}, …); name an empty folder to make them in"
        )
    storage.write_json(path, {"seed": seed or 0, "variation": VARIATION})
    return seed or 0


def _name(recording: int, take: int) -> str:
    return f"{recording:06d}_{take}.flac"


def _write(work: tuple[str, int, int, int]) -> None:
    """Makes one take; a killed run leaves no half file under its name."""
    audio_dir, seed, recording, take = work
    path = os.path.join(audio_dir, _name(recording, take))
    with storage.replacing(path) as temporary:
        samples = render(seed, recording, take, VARIATION)
        soundfile.write(temporary, samples, RATE, format="FLAC", subtype="PCM_16")
