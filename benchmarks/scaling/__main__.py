"""`python -m benchmarks.scaling`."""

import os
import tempfile

from audio_triplet.commands import config_flags
from audio_triplet.errors import UsageError
from benchmarks import harness, scaling
from benchmarks.scaling import kills, large_manifest, losses, preparing, shards
from benchmarks.scaling.clips import make_clips, prepare_command, run_whole
from benchmarks.scaling.settings import ALL_PARTS, PARTS, Settings

__doc__ = scaling.__doc__  # for --help


def measure() -> dict[str, list[harness.Table]]:
    """Runs the parts that --parts names."""
    settings = config_flags.from_flags(Settings)
    unknown = sorted(set(settings.parts) - set(PARTS))
    if unknown:
        raise UsageError(f"--parts={','.join(unknown)}: the parts are {', '.join(PARTS)}")
    with tempfile.TemporaryDirectory(dir=settings.work_dir or None) as folder:
        few = make_clips(os.path.join(folder, "few"), settings.few_clips, settings.seed + 1)
        prepared = os.path.join(folder, "few-prepared")
        parts = {
            "one_core": lambda: preparing.measure_one_core(
                settings, few, os.path.join(folder, "alone")
            ),
            "preparing": lambda: preparing.measure(settings, few, folder),
            "kills": lambda: kills.measure(settings, few, prepared, folder),
            "shards": lambda: shards.measure(settings, prepared),
            "losses": lambda: losses.measure(settings, prepared, folder),
            "manifest": lambda: large_manifest.measure(settings),
        }
        if {"kills", "shards", "losses"} & set(settings.parts):
            run_whole(prepare_command(few, prepared, "--engine=threads"))
        return {part: [parts[part]()] for part in PARTS if part in settings.parts}


if __name__ == "__main__":
    config_flags.define_flags(Settings)
    harness.main(measure, parts=ALL_PARTS, name="scaling")
