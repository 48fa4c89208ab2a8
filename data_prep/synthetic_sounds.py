"""Makes the corpus `synthetic`: sounds by rule, as many as wanted, without a licence.

    python -m data_prep.synthetic_sounds --output_dir=synthetic --recordings=10000

Each 2 to 10 s, 16 kHz FLAC: 10,000 recordings are 13.7 hours and 0.8 GB, in four minutes of two
cores. What they are made of: `audio_triplet/corpora/synthetic`. A stopped run is continued by
the same command, a larger number adds recordings.
"""

import os
from collections.abc import Sequence

from absl import app, flags

from audio_triplet.corpora.synthetic.corpus import DEFAULT_RECORDINGS, MANIFEST_FILE, make
from audio_triplet.errors import CorpusError, LockedError


def _define_flags() -> None:
    """Defines the command's flags; not at import, since tests import this module."""
    flags.DEFINE_string("output_dir", None, "Folder of the corpus; made if missing.", required=True)
    flags.DEFINE_integer("recordings", DEFAULT_RECORDINGS, "How many.", lower_bound=1)
    flags.DEFINE_integer("seed", None, "Of all sounds; by default the folder's own, 0 if new.")


def main(argv: Sequence[str]) -> None:
    """The command: `python -m data_prep.synthetic_sounds --help`."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument {argv[1]!r}")
    values = flags.FLAGS
    try:
        manifest = make(values.output_dir, values.recordings, values.seed)
    except (CorpusError, LockedError) as error:
        raise SystemExit(f"error: {error}") from None
    print(f"{len(manifest)} recordings")
    print(f"wrote {os.path.join(values.output_dir, MANIFEST_FILE)}")


if __name__ == "__main__":
    _define_flags()
    app.run(main)
