"""`python -m benchmarks.cluster`."""

import os
import tempfile

from audio_triplet.commands import config_flags
from audio_triplet.errors import UsageError
from benchmarks import cluster, harness
from benchmarks.cluster import faults, growth, hosts, training, work
from benchmarks.cluster.settings import PARTS, Settings
from benchmarks.scaling.settings import ALL_PARTS

__doc__ = cluster.__doc__  # for --help


def measure() -> dict[str, list[harness.Table]]:
    """Runs the parts that --parts names."""
    settings = config_flags.from_flags(Settings)
    wanted = [part for part in settings.parts if part]
    unknown = sorted(set(wanted) - set(PARTS))
    if unknown:
        raise UsageError(f"--parts={','.join(unknown)}: the parts are {', '.join(PARTS)}")
    if not wanted:
        hosts.take_down()
        return {}
    with tempfile.TemporaryDirectory(dir=settings.work_dir or None) as folder:
        os.chmod(folder, 0o755)
        parts = {
            "cluster": work.measure,
            "cluster_faults": faults.measure,
            "cluster_training": training.measure,
            "growth": growth.measure,
        }
        return {part: [parts[part](settings, folder)] for part in PARTS if part in wanted}


if __name__ == "__main__":
    config_flags.define_flags(Settings)
    harness.main(measure, parts=ALL_PARTS, name="scaling")
