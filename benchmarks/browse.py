"""How quickly `browse` answers, and what memory it takes, beside an index of any size.

    python -m benchmarks.browse --vectors=100000,1000000 --output_dir=OUT

For each size an index is generated, and the server started on it as a user would. Measured over
HTTP, on one connection: seconds from the command to its line; a search by a moment (median and 95th
percentile of 100), and by a mark of one to three seconds that lies between the moments, which is
embedded and whose copies are looked for in the files; an answer, stored on the disk; the classifier
fitted anew, with what comes next, after each of 30 answers; the first second of a sound, also in
the middle of a recording of three hours, as WAV, M4A and FLAC at 384 kHz (20 minutes); a picture;
and the anonymous memory, which is that beside the mapped index. Goals: search 100 ms at 100,000
vectors and 300 ms at a million (95th percentile), start 5 s, memory 1 GB, sound 0.1 s, fit 1 s.
Writes browse.json and prints a table.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import tempfile
import time
import urllib.parse

import numpy as np
import soundfile
from absl import app, flags

from audio_triplet import storage
from audio_triplet.embeddings.model_files import released_model_path
from audio_triplet.provenance import provenance
from benchmarks import browse_archive
from benchmarks.browse_killed import Server

GOALS = {
    "start": 5.0,
    "search_95": None,  # by size, below
    "mark_95": None,  # likewise
    "fit_95": 1.0,
    "memory_gb": 1.0,
    "sound_95": 0.1,
}
_SOUNDS = 200


class Connection:
    """One connection to the server."""

    def __init__(self, server: Server):
        self._http = http.client.HTTPConnection(server.address.removeprefix("http://"), timeout=120)
        self._token = server.token

    def ask(self, method: str, path: str, content=None, **headers) -> tuple[bytes, float]:
        """A request: the body and the seconds until it was all there."""
        body = None if content is None else json.dumps(content)
        begin = time.perf_counter()
        self._http.request(method, path, body, {"X-Token": self._token, **headers})
        answer = self._http.getresponse()
        found = answer.read()
        seconds = time.perf_counter() - begin
        if answer.status not in (200, 206):
            raise RuntimeError(f"{path}: {answer.status} {found[:300]!r}")
        return found, seconds


def measure(folder: str, vectors: int) -> dict:
    """Measures a server on an index of so many vectors."""
    index = os.path.join(folder, "index")
    model = released_model_path()
    paths = browse_archive.write(index, vectors, sounds=_SOUNDS, model=model, linked=True)
    labels = os.path.join(folder, "labels.sqlite")
    begin = time.perf_counter()
    server = Server(index, labels)
    found: dict = {"vectors": vectors, "start": time.perf_counter() - begin}
    rng, connection = random.Random(0), Connection(server)

    def moment() -> dict:
        start = 0.96 * rng.randrange(20)
        return {"path": rng.choice(paths), "start_seconds": start, "end_seconds": start + 0.975}

    def repeated(name: str, times: int, ask) -> None:
        ask()
        seconds = [ask() for _ in range(times)]
        found[f"{name}_median"] = float(np.median(seconds))
        found[f"{name}_95"] = float(np.quantile(seconds, 0.95))

    try:
        connection.ask("GET", "/api/index")
        repeated("search", 100, lambda: connection.ask("POST", "/api/search", moment())[1])

        def mark() -> float:
            start = rng.uniform(0, 16)
            end = start + rng.uniform(1, 3)
            content = {"path": rng.choice(paths), "start_seconds": start, "end_seconds": end}
            return connection.ask("POST", "/api/search", content)[1]

        repeated("mark", 100, mark)
        asked: dict = {"label": "dog"}

        def answer() -> float:
            content = moment() | asked | {"value": rng.random() < 0.5}
            return connection.ask("POST", "/api/labels", content)[1]

        connection.ask("POST", "/api/labels", moment() | asked | {"value": True})
        repeated("answer", 30, answer)

        def fit() -> float:
            answer()
            return connection.ask("GET", "/api/next?label=dog&count=20")[1]

        repeated("fit", 30, fit)

        def part(route: str, **headers) -> float:
            query = urllib.parse.urlencode(moment())
            return connection.ask("GET", f"/api/{route}?{query}", **headers)[1]

        repeated("sound", 30, lambda: part("sound"))
        repeated("picture", 30, lambda: part("picture"))
        found["memory_gb"] = _anonymous_bytes(server.process.pid) / 1e9
    finally:
        server.kill()
    return found


def measure_long_files(folder: str, hours: float) -> dict:
    """Seconds to the first second of sound, at the start and in the middle of long recordings."""
    from audio_triplet.browse import sounds

    headers, found = sounds.Headers(), {}
    for name, path in _long_files(folder, hours).items():
        begin = time.perf_counter()
        info = headers.of(path)
        for place, start in (("start", 0.0), ("middle", info.duration_seconds / 2)):
            played = sounds.part(path, info, 0.0, None)
            first = sounds.HEADER_BYTES + 2 * round(start * played.rate)
            next(played.read(first, played.size))
            found[f"{name}_{place}"] = time.perf_counter() - begin
            begin = time.perf_counter()
    return found


def _long_files(folder: str, hours: float) -> dict[str, str]:
    """Recordings of so many hours (384 kHz: a ninth of it), the same minute of noise repeated."""
    import av

    rng = np.random.default_rng(0)
    paths = {}
    for name, rate in (
        ("wav", 48_000),
        ("mp3", 48_000),
        ("m4a", 48_000),
        ("ogg", 48_000),
        ("flac384", 384_000),
    ):
        minutes = max(1, round(60 * hours * 48_000 / rate))
        path = os.path.join(folder, f"long.{name.removesuffix('384')}")
        minute = (0.1 * rng.normal(size=60 * rate)).astype(np.float32)
        if name == "m4a":
            with av.open(path, "w") as container:
                stream = container.add_stream("aac", rate=rate)
                stream.layout = "mono"
                for number in range(minutes):
                    frame = av.AudioFrame.from_ndarray(minute[None], "fltp", "mono")
                    frame.sample_rate, frame.pts = rate, number * len(minute)
                    container.mux(stream.encode(frame))
                container.mux(stream.encode(None))
        else:
            with soundfile.SoundFile(path, "w", rate, 1) as file:
                for second in np.split(minute, 60) * minutes:
                    file.write(second)  # libsndfile's Vorbis crashes on a minute at once
        paths[name] = path
    return paths


def _anonymous_bytes(process: int) -> int:
    """Memory of a process that is not a mapped file."""
    with open(f"/proc/{process}/smaps_rollup") as file:
        for line in file:
            if line.startswith("Anonymous:"):
                return int(line.split()[1]) * 1024
    return 0


def main(argv: list[str]) -> None:
    """Runs the measurements."""
    del argv
    values = flags.FLAGS
    rows = []
    for vectors in map(int, values.vectors):
        with tempfile.TemporaryDirectory(dir=values.scratch_dir) as folder:
            rows.append(measure(folder, vectors))
        search = 0.1 if vectors <= 100_000 else 0.3
        goals = GOALS | {"search_95": search, "mark_95": search}
        print(f"{vectors:,} vectors")
        for name, value in rows[-1].items():
            goal = goals.get(name)
            missed = "" if not goal or value <= goal else "  MISSED"
            print(f"  {name:16} {value:10.4f}" + (f"  goal {goal:g}{missed}" if goal else ""))
    long_files = {}
    if values.hours:
        with tempfile.TemporaryDirectory(dir=values.scratch_dir) as folder:
            long_files = measure_long_files(folder, values.hours)
        for name, value in long_files.items():
            print(f"  {name:16} {value:10.4f}  goal 0.1{'' if value <= 0.1 else '  MISSED'}")
    if values.output_dir:
        content = {"rows": rows, "long_files": long_files} | provenance()
        storage.make_folder(values.output_dir)
        storage.write_json(os.path.join(values.output_dir, "browse.json"), content)


if __name__ == "__main__":
    flags.DEFINE_list("vectors", ["100000", "1000000"], "Sizes of the index.")
    flags.DEFINE_float("hours", 3.0, "Length of the long recordings; 0: none are measured.")
    flags.DEFINE_string("output_dir", None, "Where browse.json goes.")
    flags.DEFINE_string("scratch_dir", None, "Where indices and sounds are made for it.")
    app.run(main)
