"""Sound files to waveforms: float32, mono, 16 kHz.

| file | what |
|---|---|
| `reading` | the four ways in: `probe`, `load_audio`, `stream_audio`, `read_piece` |
| `libsndfile` | decoding, with what libsndfile gets wrong worked around |
| `ogg` | the pages of an Ogg stream, for exact seeking |
| `resampling` | soxr, or resampy by flag, block by block |
| `graph_decoding` | decoding by TensorFlow's ops, for pipelines in which Python cannot run |
"""

from audio_triplet.audio.libsndfile import AudioInfo, AudioPath
from audio_triplet.audio.reading import load_audio, probe, read_piece, stream_audio
from audio_triplet.audio.resampling import RESAMPLERS
from audio_triplet.errors import AudioError

__all__ = [
    "RESAMPLERS",
    "AudioError",
    "AudioInfo",
    "AudioPath",
    "load_audio",
    "probe",
    "read_piece",
    "stream_audio",
]
