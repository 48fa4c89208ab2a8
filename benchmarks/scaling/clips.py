"""The clips, the command that prepares them, and digests of what it writes."""

import hashlib
import math
import os
import subprocess
import sys

import numpy as np

from benchmarks import harness
from benchmarks.scaling.settings import CLIP_RATE, CLIP_SECONDS


def make_clips(folder: str, count: int, seed: int) -> str:
    """Writes clips of --corpus's recordings, in folders of 1,000; returns their folder."""
    import soundfile

    recordings = harness.sounds(min(count, 200), CLIP_SECONDS, CLIP_RATE)
    harness.progress(f"writing {count} clips from {len(recordings)} recordings")
    draw = np.random.default_rng(seed)
    for number in range(count):
        first, second = draw.integers(len(recordings), size=2)
        cut = draw.integers(len(recordings[first]))
        clip = np.concatenate([recordings[first][cut:], recordings[second][:cut]])
        path = os.path.join(folder, f"{number // 1000:04d}", f"{number:07d}.flac")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        soundfile.write(path, clip.clip(-1, 1), CLIP_RATE)
    return folder


def prepare_command(clips: str, output_dir: str, *more: str) -> list[str]:
    """The command that prepares clips."""
    count = sum(len(names) for _, _, names in os.walk(clips))
    return [
        sys.executable,
        "-m",
        "data_prep.prepare",
        f"--corpus=folders:{clips}",
        f"--output_dir={output_dir}",
        f"--num_shards={max(4, math.ceil(count / 1000) * 2)}",
        *more,
    ]


def run_whole(arguments: list[str]) -> None:
    """Runs a command to its end."""
    subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def digests(folder: str) -> dict[str, str]:
    """File name → digest of its bytes, of all files of a folder."""
    found = {}
    for name in sorted(os.listdir(folder)):
        with open(os.path.join(folder, name), "rb") as file:
            found[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found
