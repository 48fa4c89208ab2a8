"""Sound files that the tests of this room share."""

import pandas as pd
import pytest
import soundfile

from audio_triplet.data.manifest import Manifest
from tests.conftest import tone


def files(*paths, **columns):
    return Manifest(pd.DataFrame({"path": [str(path) for path in paths]} | columns))


@pytest.fixture(scope="session")
def sounds(tmp_path_factory):
    """Files of many lengths, formats and rates, one broken, one empty of samples."""
    root = tmp_path_factory.mktemp("sounds")
    lengths = (0.01, 0.3, 0.3, 0.97, 0.975, 1.2, 2.5, 5.0, 23.4)
    for number, seconds in enumerate(lengths):
        rate = (16000, 44100, 8000)[number % 3]
        suffix = ("wav", "flac", "ogg")[number % 3]
        sound = tone(seconds, 300 + 100 * number, number, rate)
        soundfile.write(root / f"s{number}.{suffix}", sound, rate)
    (root / "broken.wav").write_bytes(b"RIFF not a sound")
    return [str(path) for path in sorted(root.iterdir())]
