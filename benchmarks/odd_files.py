"""A folder of odd sound files, and whether a program finds the sound in each of them.

    python -m benchmarks.odd_files --output_dir=odd

writes odd/sounds: what phones, recorders, radio loggers, editors and mishaps leave, made from
generated sound by PyAV, soundfile and byte by byte. Each file has the same trill at a known time.
The folder is indexed, the trill is searched for, the hits are written as Raven tables, and
odd/odd_files.md says of each file whether it is in the index and whether its best hit opens at the
trill. Other programs are compared by --index_command and --search_command, with {sounds}, {index}
and {query} in them; the search has to print JSON.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
import shlex
import struct
import subprocess
import sys
from collections.abc import Mapping

import numpy as np
import soundfile
from absl import app, flags

from benchmarks.ffmpeg_track import encode_track

RATE = 44_100
SECONDS = 9.6
TRILL_SECONDS = 2.88  # where it begins, at the border of two patches
PATCH_SECONDS = 0.96
PASSED_OVER = {"notes.txt": b"a text", "tune.mid": b"MThd", "sheet.txt": b"another"}

_INDEX = "{python} -m audio_triplet index {sounds} --index={index}"
_SEARCH = "{python} -m audio_triplet search {query} --index={index} --top=5000 --json"


@dataclasses.dataclass(frozen=True)
class OddFile:
    """A file with sound in it.

    Attributes:
      data: Its bytes.
      what: What is odd about it.
      trill_seconds: Where its trill begins.
    """

    data: bytes
    what: str
    trill_seconds: float = TRILL_SECONDS


def trill(rate: int = RATE) -> np.ndarray:
    """float64[samples]: 0.96 s of a tone that jumps between two pitches."""
    time = np.arange(round(PATCH_SECONDS * rate)) / rate
    pitch = np.where(time % 0.12 < 0.06, 1200.0, 1800.0)
    return 0.5 * np.sin(2 * np.pi * np.cumsum(pitch) / rate)


def sound(rate: int = RATE, channels: int = 1) -> np.ndarray:
    """float64[samples, channels]: soft noise with the trill in it, the same in all channels."""
    samples = 0.02 * np.random.default_rng(0).standard_normal(round(SECONDS * rate))
    first = round(TRILL_SECONDS * rate)
    samples[first : first + len(trill(rate))] += trill(rate)
    return np.repeat(samples[:, np.newaxis], channels, axis=1)


def by_soundfile(samples: np.ndarray, rate: int, file_format: str, subtype: str) -> bytes:
    """A file of float[samples, channels] as libsndfile writes it."""
    stream = io.BytesIO()
    with soundfile.SoundFile(
        stream, "w", rate, samples.shape[1], format=file_format, subtype=subtype
    ) as file:
        for start in range(0, len(samples), 8192):  # libvorbis fails on one long array
            file.write(samples[start : start + 8192])
    return stream.getvalue()


def by_ffmpeg(samples: np.ndarray, rate: int, container: str, codec: str, film: bool = False):
    """A file of float[samples, channels] as FFmpeg writes it; bytes.

    Args:
      samples: The sound.
      rate: Hz.
      container: FFmpeg's name of the container.
      codec: FFmpeg's name of the encoder.
      film: Whether to put a picture track before it.
    """
    import av

    layout = {1: "mono", 2: "stereo", 6: "5.1"}[samples.shape[1]]
    stream = io.BytesIO()
    with av.open(stream, "w", format=container) as file:
        if film:
            video = file.add_stream("mpeg4", rate=10)
            video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        track = file.add_stream(codec, rate=rate, layout=layout)
        if codec != "libopencore_amrnb":
            track.codec_context.bit_rate = 128_000
        if film:
            for _ in range(round(10 * SECONDS)):
                picture = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), "rgb24")
                file.mux(video.encode(picture))
            file.mux(video.encode(None))
        encode_track(file, track, samples, rate, layout)
    return stream.getvalue()


def copied(
    data: bytes, container: str, start: float = 0.0, end: float = 1e9
) -> tuple[bytes, float]:
    """A part of a file's packets, as `ffmpeg -ss START -to END -c copy` writes it.

    Args:
      data: The file.
      container: FFmpeg's name of the container to write.
      start: Seconds.
      end: Seconds.

    Returns:
      The new file, and where in the old one it begins, in seconds.
    """
    import av

    stream, began = io.BytesIO(), None
    with av.open(io.BytesIO(data)) as reader, av.open(stream, "w", format=container) as writer:
        track = writer.add_stream_from_template(reader.streams.audio[0])
        for packet in reader.demux(audio=0):
            if packet.dts is None or not start <= packet.pts * packet.time_base < end:
                continue
            began = float(packet.pts * packet.time_base) if began is None else began
            packet.stream = track
            writer.mux(packet)
    return stream.getvalue(), began or 0.0


def make() -> dict[str, OddFile]:
    """All files with sound, by name."""
    mono, stereo = sound(), sound(channels=2)
    files: dict[str, OddFile] = {}
    for name, rate, channels, container, codec, what in (
        ("memo.m4a", RATE, 2, "ipod", "aac", "a phone's memo, AAC"),
        ("lossless.m4a", RATE, 2, "ipod", "alac", "ALAC"),
        ("memo.aac", RATE, 1, "adts", "aac", "bare AAC"),
        ("memo.wma", RATE, 2, "asf", "wmav2", "Windows Media"),
        ("film.ac3", 48_000, 6, "ac3", "ac3", "AC-3, six channels"),
        ("call.amr", 8000, 1, "amr", "libopencore_amrnb", "a call, AMR"),
        ("memo.3gp", RATE, 1, "3gp", "aac", "an older phone's memo"),
        ("talk.webm", 48_000, 2, "webm", "libopus", "a browser's recorder"),
        ("talk.mka", 48_000, 1, "matroska", "libopus", "Matroska, Opus"),
        ("old.mp2", RATE, 2, "mp2", "mp2", "MPEG layer II"),
        ("alac.caf", RATE, 2, "caf", "alac", "ALAC in CAF"),
    ):
        data = by_ffmpeg(sound(rate, channels), rate, container, codec)
        files[name] = OddFile(data, what)
    for name in ("film.mp4", "film.mov"):
        codec = "aac" if name == "film.mp4" else "pcm_s16le"
        film = by_ffmpeg(stereo, RATE, name[-3:], codec, film=True)
        files[name] = OddFile(film, "a film with sound")
    for name, file_format, subtype in (
        ("plain.au", "AU", "PCM_16"),
        ("next.snd", "AU", "ULAW"),
        ("plain.caf", "CAF", "PCM_24"),
        ("plain.w64", "W64", "PCM_16"),
        ("plain.rf64", "RF64", "PCM_16"),
        ("float.aifc", "AIFF", "FLOAT"),
        ("alaw.wav", "WAV", "ALAW"),
        ("adpcm.wav", "WAV", "IMA_ADPCM"),
        ("wrong.wav", "FLAC", "PCM_16"),
    ):
        data = by_soundfile(mono, RATE, file_format, subtype)
        files[name] = OddFile(data, f"{file_format}, {subtype}")
    files |= _flawed_wavs(by_soundfile(stereo, RATE, "WAV", "PCM_16"))
    files |= _truncated(mono, stereo)
    files |= _cut_without_decoding(mono)
    dead = sound(channels=2) * [0, 1]
    files["dead_channel.wav"] = OddFile(
        by_soundfile(dead, RATE, "WAV", "PCM_16"), "stereo of which one channel is dead"
    )
    tracks = sound(channels=8) * [0, 0, 1, 0, 0, 1, 0, 0]
    files["tracks.wav"] = OddFile(
        by_soundfile(tracks, RATE, "WAV", "PCM_24"), "eight tracks of which six are silent"
    )
    return files


def _flawed_wavs(whole: bytes) -> dict[str, OddFile]:
    note = struct.pack("<4sI", b"note", 601) + bytes([110]) * 601
    sizes = struct.pack("<I", 0xFFFFFFFF)
    return {
        "died.wav": OddFile(
            whole[:4] + bytes(4) + whole[8:40] + bytes(4) + whole[44:],
            "its recorder died: sizes of 0",
        ),
        "pipe.wav": OddFile(
            whole[:4] + sizes + whole[8:40] + sizes + whole[44:], "from a pipe: largest sizes"
        ),
        "note.wav": OddFile(whole[:36] + note + whole[36:], "an odd chunk without its padding"),
        "id3.wav": OddFile(b"ID3\3\0\0\0\0\0\x0a" + bytes(10) + whole, "an ID3 tag before a WAV"),
    }


def _truncated(mono: np.ndarray, stereo: np.ndarray) -> dict[str, OddFile]:
    files = {}
    for name, data in (
        ("cut.wav", by_soundfile(stereo, RATE, "WAV", "PCM_16")),
        ("cut.flac", by_soundfile(stereo, RATE, "FLAC", "PCM_16")),
        ("cut.ogg", by_soundfile(mono, RATE, "OGG", "VORBIS")),
        ("cut.mp3", by_soundfile(mono, RATE, "MP3", "MPEG_LAYER_III")),
        ("cut.webm", by_ffmpeg(sound(48_000), 48_000, "webm", "libopus")),
        ("cut.wma", by_ffmpeg(mono, RATE, "asf", "wmav2")),
        ("cut.m4a", _index_first(by_ffmpeg(mono, RATE, "ipod", "aac"))),
    ):
        files[name] = OddFile(data[: len(data) * 4 // 5], "truncated: four fifths are there")
    return files


def _index_first(data: bytes) -> bytes:
    """An MP4 with its index `moov` before its sound `mdat`, as for the web."""
    boxes, offset = [], 0
    while offset < len(data):
        size, name = struct.unpack_from(">I4s", data, offset)
        boxes.append((name, data[offset : offset + size]))
        offset += size
    moov = bytearray(dict(boxes)[b"moov"])
    at = moov.find(b"stco")  # offsets of the chunks of sound
    count = struct.unpack_from(">I", moov, at + 8)[0]
    for number in range(count):
        place = at + 12 + 4 * number
        struct.pack_into(">I", moov, place, struct.unpack_from(">I", moov, place)[0] + len(moov))
    rest = [(name, box) for name, box in boxes if name != b"moov"]
    return b"".join([rest[0][1], bytes(moov), *(box for _, box in rest[1:])])


def _cut_without_decoding(mono: np.ndarray) -> dict[str, OddFile]:
    flac = by_soundfile(mono, RATE, "FLAC", "PCM_16")
    vorbis = by_soundfile(mono, RATE, "OGG", "VORBIS")
    opus = by_soundfile(sound(48_000), 48_000, "OGG", "OPUS")
    files = {}
    for name, data, container, start, end in (
        ("front.flac", flac, "flac", 0.0, 6.0),
        ("back.flac", flac, "flac", 1.92, 99.0),
        ("back.ogg", vorbis, "ogg", 1.92, 99.0),
        ("back.opus", opus, "ogg", 1.92, 99.0),
    ):
        part, began = copied(data, container, start, end)
        if container == "flac":  # the command leaves the length of the whole
            part = part[:21] + flac[21:26] + part[26:]
        files[name] = OddFile(part, "cut by `-c copy`", TRILL_SECONDS - began)
    noise = 0.02 * np.random.default_rng(1).standard_normal((round(1.92 * RATE), 1))
    before = by_soundfile(noise, RATE, "OGG", "VORBIS")
    files["radio.ogg"] = OddFile(before + vorbis, "two Ogg streams in a row", 1.92 + TRILL_SECONDS)
    return files


def write(folder: str) -> dict[str, OddFile]:
    """Writes all files, and some without sound, into a folder; gives those with sound."""
    os.makedirs(folder, exist_ok=True)
    files = make()
    for name, file in files.items():
        with open(os.path.join(folder, name), "wb") as out:
            out.write(file.data)
    for name, data in PASSED_OVER.items():
        with open(os.path.join(folder, name), "wb") as out:
            out.write(data)
    return files


def judge(files: Mapping[str, OddFile], hits: list[dict]) -> list[tuple[str, str, str]]:
    """Whether each file is found, and at the right moment.

    Args:
      files: The files, by name.
      hits: What a search for the trill found, best first, with `path` and `start_seconds`.

    Returns:
      For each name, what is odd about it, and a word: `right`, `missing`, or where its best hit is.
    """
    best: dict[str, float] = {}
    for hit in hits:
        best.setdefault(os.path.basename(hit["path"]), float(hit["start_seconds"]))
    rows = []
    for name, file in files.items():
        if name not in best:
            verdict = "missing"
        elif abs(best[name] - file.trill_seconds) <= 0.6:  # a patch begins every 0.96 s
            verdict = "right"
        else:
            verdict = f"at {best[name]:.2f} s, not {file.trill_seconds:.2f} s"
        rows.append((name, file.what, verdict))
    return rows


def main(argv):
    """Runs the command."""
    del argv
    values = flags.FLAGS
    sounds = os.path.join(values.output_dir, "sounds")
    files = write(sounds)
    query = os.path.join(values.output_dir, "trill.wav")
    soundfile.write(query, trill(), RATE)
    names = {
        "python": sys.executable,
        "sounds": sounds,
        "query": query,
        "index": os.path.join(values.output_dir, "index"),
    }
    indexing = _run(values.index_command.format(**names))
    hits = json.loads(_run(values.search_command.format(**names)).stdout)["hits"]
    rows = judge(files, hits)
    right = sum(verdict == "right" for _, _, verdict in rows)
    lines = [f"{right} of {len(rows)} files are found at the right moment.", ""]
    lines += ["| file | what | found |", "|---|---|---|"]
    lines += [f"| {name} | {what} | {verdict} |" for name, what, verdict in rows]
    said = [line for line in indexing.stderr.splitlines() if "passed over" in line]
    lines += ["", *(said or ["Nothing was said of what was passed over."])]
    with open(os.path.join(values.output_dir, "odd_files.md"), "w") as file:
        file.write("\n".join(lines) + "\n")
    print("\n".join(lines))


def _run(command: str) -> subprocess.CompletedProcess:
    done = subprocess.run(shlex.split(command), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{command}: {done.stderr[-2000:]}")
    return done


if __name__ == "__main__":
    flags.DEFINE_string("output_dir", None, "Where everything is written.", required=True)
    flags.DEFINE_string("index_command", _INDEX, "How the folder is indexed.")
    flags.DEFINE_string("search_command", _SEARCH, "How the trill is searched for, as JSON.")
    app.run(main)
