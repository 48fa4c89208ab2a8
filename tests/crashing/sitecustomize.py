"""Python imports this when it starts: libsndfile crashes at files of `CRASHING_FRAMES`."""

import os

import soundfile

CRASHING_FRAMES = 23_456

_read = soundfile.SoundFile.read


def read(self, *arguments, **named):
    """As libsndfile's, but for such files."""
    if self.frames == CRASHING_FRAMES:
        os.abort()
    return _read(self, *arguments, **named)


soundfile.SoundFile.read = read
