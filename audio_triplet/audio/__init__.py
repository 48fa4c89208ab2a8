"""Sound files to waveforms.

In: a path (local or gs://…) or a binary file object, of any format that libsndfile or FFmpeg
reads. Out:
float32[samples], mono, finite, at 16 kHz; or an `AudioError` that names the file, cause and fix.

Files, in reading order:

| file | what |
|---|---|
| `reading` | the four functions: `probe`, `load_audio`, `stream_audio`, `read_piece` |
| `decoder` | the interface of decoders (`Decoder`, `AudioInfo`), and checks that all share |
| `either` | both decoders behind that interface: what one refuses is offered to the other |
| `channels` | which channels carry sound: their mean is what is read |
| `read_log` | notes on files: which decoder read them, which are truncated |
| `files` | opening paths and file objects, and naming them in messages |
| `known` | what was found out about files, each time once |
| `containers` | sound inside tar files and Parquet tables, by paths below theirs |
| `clock` | when a recording was made, by its name or its chunks |
| `formats` | which files are sound, by their extensions |
| `libsndfile` | the first decoder, with work-arounds for faults of libsndfile |
| `pyav` | the second decoder, FFmpeg, for what the first does not read |
| `steady` | for it: whether time stamps say where packets lie, so that a seek is exact |
| `apart` | what crashed a decoder once, read by another process |
| `ogg`, `ogg_pages`, `mp3` | for the decoders: safe seeks, stated lengths, where frames lie |
| `flac` | whether a FLAC file was cut out of another, so that its header is wrong |
| `truncation` | truncated MP4 and CAF, which FFmpeg does not report |
| `wav` | WAV files whose chunks are flawed and whose sound is not |
| `virtual_file` | bytes that lie in parts of files, as a file |
| `resampling` | soxr, or resampy by flag, block by block |
| `graph_decoding`, `graph_resampling` | the same by TensorFlow's ops, where Python cannot run |
"""

from audio_triplet.audio.containers import container_of, status
from audio_triplet.audio.decoder import AudioInfo, AudioPath
from audio_triplet.audio.formats import audio_extensions, is_audio
from audio_triplet.audio.read_log import ReadLog, decoded
from audio_triplet.audio.reading import load_audio, probe, read_piece, stream_audio
from audio_triplet.audio.resampling import RESAMPLERS
from audio_triplet.errors import AudioError

__all__ = [
    "RESAMPLERS",
    "AudioError",
    "AudioInfo",
    "AudioPath",
    "ReadLog",
    "audio_extensions",
    "container_of",
    "decoded",
    "is_audio",
    "load_audio",
    "probe",
    "read_piece",
    "status",
    "stream_audio",
]
