"""Sound files to waveforms.

In: a path (local or gs://…) or a binary file object, of any format that libsndfile or FFmpeg
reads. Out:
float32[samples], mono, finite, at 16 kHz; or an `AudioError` that names the file, cause and fix.

Files, in reading order:

| file | what |
|---|---|
| `reading` | the four ways in: `probe`, `load_audio`, `stream_audio`, `read_piece` |
| `decoder` | what a decoder gives (`Decoder`, `AudioInfo`), and what every decoder refuses |
| `files` | paths and file objects, opened and named |
| `formats` | which files are sound, by their extensions |
| `libsndfile` | the first decoder, with what libsndfile gets wrong worked around |
| `pyav` | the second, FFmpeg, for what the first does not know |
| `ogg`, `ogg_pages`, `mp3` | what it must know of these: safe seeks, stated lengths |
| `flac` | whether a FLAC file was cut out of another, so that its header is wrong |
| `wav` | WAV files whose chunks are flawed and whose sound is not |
| `resampling` | soxr, or resampy by flag, block by block |
| `graph_decoding`, `graph_resampling` | the same by TensorFlow's ops, where Python cannot run |
"""

from audio_triplet.audio.decoder import AudioInfo, AudioPath
from audio_triplet.audio.formats import audio_extensions, is_audio
from audio_triplet.audio.reading import load_audio, probe, read_piece, stream_audio
from audio_triplet.audio.resampling import RESAMPLERS
from audio_triplet.errors import AudioError

__all__ = [
    "RESAMPLERS",
    "AudioError",
    "AudioInfo",
    "AudioPath",
    "audio_extensions",
    "is_audio",
    "load_audio",
    "probe",
    "read_piece",
    "stream_audio",
]
