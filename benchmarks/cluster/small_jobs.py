"""A command with smaller jobs than it would make, so that few clips are several jobs.

    python -m benchmarks.cluster.small_jobs SECONDS embed SOUND --output_dir=DIR --runner=…

For measurements with few clips only: the least seconds of sound in a job are no flag.
"""

import sys

from audio_triplet.commands import main
from audio_triplet.pipelines import jobs

if __name__ == "__main__":
    jobs.LEAST_SECONDS = float(sys.argv.pop(1))
    sys.exit(main.run())
