"""Whether a published archive answers as `audio-triplet search` does, whatever the format.

    python -m benchmarks.published --index=esc50.index --queries=esc50:DIR --without='1-*'

The index is published without the files that --without fits, served by Python's plain server, and
opened in a headless Chromium. Clips of --queries that --without fits are written as WAV, FLAC, Ogg
Vorbis, MP3 and M4A, in turns at 44.1 and 48 kHz, in stereo; the page is asked by each, and so is
the index, without the recordings that are not published. Told are, for each format, the least
cosine between the embeddings of one patch (as the archive's likeness maps them), the share of
queries whose ten hits are the same, and the seconds of a search in the page; also the size of the
site and the time until it is ready.
"""

from __future__ import annotations

import contextlib
import fnmatch
import functools
import http.server
import json
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import soundfile
from absl import app, flags

FORMATS = ("wav", "flac", "ogg", "mp3", "m4a")
_RATES = (44_100, 48_000)
_CHROMIUM = ["--no-sandbox"]

# In the page: the file's sound, embedded and asked by, as the page itself does.
ASK = """async (address) => {
  const {decoded} = await import(new URL("static/publish/decoding.js", document.baseURI).href);
  globalThis.worker ??= new Worker(new URL("static/publish/worker.js", document.baseURI));
  const asked = (action, given) => new Promise((resolve, reject) => {
    worker.onmessage = ({data}) => data.error ? reject(new Error(data.error)) : resolve(data);
    worker.postMessage({id: 0, action, given});
  });
  const answer = await fetch(address);
  const given = {...await decoded(await answer.arrayBuffer()), top: 10};
  const {answer: example} = await asked("embed", given);
  const {answer: hits, seconds} = await asked("sound", given);
  return {
    vectors: example.vectors.map((vector) => Array.from(vector)), rate: given.rate,
    hits: hits.map((hit) => [hit.path, hit.start_seconds, hit.score]), seconds,
  };
}"""


ISOLATED = {  # by these a browser lends threads
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}


class Server:
    """A plain file server.

    Attributes:
      address: Of its folder.
      sent: How many bytes of files it has sent.
    """

    def __init__(self, address: str):
        self.address = address
        self.sent = 0


@contextlib.contextmanager
def served(folder: str, headers: Mapping[str, str]) -> Iterator[Server]:
    """Serves a folder with headers of its own."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format, *arguments):
            pass

        def end_headers(self):
            for name, value in headers.items():
                self.send_header(name, value)
            super().end_headers()

        def copyfile(self, source, target):
            running.sent += os.fstat(source.fileno()).st_size
            super().copyfile(source, target)

    handler = functools.partial(Handler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        running = Server(f"http://127.0.0.1:{server.server_port}/")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield running
        server.shutdown()


@contextlib.contextmanager
def browser() -> Iterator[Any]:
    """A headless Chromium, Playwright's own or the system's."""
    from playwright import sync_api

    with sync_api.sync_playwright() as playwright:
        own = playwright.chromium.executable_path
        chromium = own if os.path.exists(own) else shutil.which("chromium")
        running = playwright.chromium.launch(executable_path=chromium, args=_CHROMIUM)
        yield running
        running.close()


def measure(index: str, queries: str, without: str, clips: int, runtime: str = "") -> dict:
    """The figures.

    Args:
      index: The index.
      queries: Sound, as `--corpus` has it.
      without: Pattern of names: asked by, not published.
      clips: How many queries of each format, evenly spaced.
      runtime: As for `publish`.
    """
    from audio_triplet.corpora import registry
    from audio_triplet.publish import site
    from audio_triplet.search.sound_index import SoundIndex

    searched = SoundIndex(index)
    paths = [
        path
        for path in registry.load_corpus(queries).frame["path"]
        if fnmatch.fnmatchcase(os.path.basename(path), without)
    ]
    left_out = set().union(*(searched.index.recordings_of(path) for path in paths))
    paths = [paths[n] for n in np.unique(np.linspace(0, len(paths) - 1, clips).astype(int))]
    with tempfile.TemporaryDirectory() as root, browser() as running:
        config = site.SiteConfig(
            index,
            os.path.join(root, "site"),
            audio="none",
            exclude=(without,),
            map=False,
            runtime=runtime,
        )
        written = site.write(config)
        with served(root, {}) as server:
            page = running.new_page()
            begin = time.perf_counter()
            page.goto(f"{server.address}site/")
            page.wait_for_selector("html[data-ready]", state="attached", timeout=600_000)
            ready = time.perf_counter() - begin
            rows = []
            for ending in FORMATS:
                each = []
                for number, path in enumerate(paths):
                    name = os.path.join(root, f"query.{ending}")
                    write_as(path, name, _RATES[number % len(_RATES)])
                    answer = page.evaluate(ASK, f"../query.{ending}?{number}")
                    each.append(compared(searched, name, left_out, answer))
                rows.append({"format": ending, "queries": len(each)} | _summed(each))
    return {
        "moments": written.vectors,
        "megabytes": written.bytes / 1e6,
        "recall_of_8_bits": written.recall,
        "ready_seconds": ready,
        "formats": rows,
    }


def write_as(source: str, path: str, rate: int) -> None:
    """Writes a sound as stereo of another rate and format, by the path's ending."""
    from audio_triplet import audio

    mono = audio.load_audio(source, rate)
    sound = np.stack([mono, 0.5 * mono], axis=1)
    if not path.endswith(".m4a"):
        soundfile.write(path, sound, rate)
        return
    import av

    with av.open(path, "w") as container:
        stream = container.add_stream("aac", rate=rate, layout="stereo")
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(sound.T, np.float32), format="fltp", layout="stereo"
        )
        frame.sample_rate = rate
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)


def compared(searched, path: str, left_out: set[int], answer: dict) -> dict:
    """What the page found beside what the index finds.

    Args:
      searched: The index, to be searched by sound.
      path: The query.
      left_out: Recordings of the index that are not published.
      answer: Of `ASK`.
    """
    from audio_triplet.search.asking import ask
    from audio_triplet.search.query import embed_sound

    patches = embed_sound(searched.query_model, searched.index.info, path).patches
    mapped = searched.index.likeness[0].mapped(patches.thinned().vectors)
    found = np.asarray(answer["vectors"], np.float32)
    count = min(len(mapped), len(found))
    hits = ask(searched.index, [patches], top=10, without=left_out, diffuse=False)
    theirs = [(hit.path, round(hit.start_seconds, 3)) for hit in hits]
    ours = {(name, round(start, 3)) for name, start, _ in answer["hits"]}
    # The page does not know where the archive is.
    shared = sum(
        any(path.endswith(f"/{name}") and at == start for name, at in ours)
        for path, start in theirs
    )
    return {
        "cosine": float((mapped[:count] * found[:count]).sum(axis=1).min()),
        "patches_more": len(found) - len(mapped),
        "same": shared == len(theirs) == len(ours),
        "shared": shared / max(len(theirs), 1),
        "seconds": answer["seconds"],
    }


def _summed(each: list[dict]) -> dict:
    cosines = [one["cosine"] for one in each]
    return {
        "least_cosine": min(cosines),
        "median_cosine": float(np.median(cosines)),
        "cosine_from_0.9999": float(np.mean([cosine >= 0.9999 for cosine in cosines])),
        "other_number_of_patches": sum(bool(one["patches_more"]) for one in each),
        "same_ten": float(np.mean([one["same"] for one in each])),
        "shared_of_ten": float(np.mean([one["shared"] for one in each])),
        "median_seconds": float(np.median([one["seconds"] for one in each])),
    }


def define_flags() -> None:
    """Defines what every measurement of a published site is told."""
    flags.DEFINE_string("index", None, "An index.", required=True)
    flags.DEFINE_string("queries", None, "Sound to ask by, e.g. esc50:DIR.", required=True)
    flags.DEFINE_string("without", None, "Names of what is asked by, a pattern.", required=True)
    flags.DEFINE_string("runtime", "", "As for audio-triplet publish.")
    flags.DEFINE_string("output", None, "Also write the figures there, as JSON.")


def tell(found: dict, output: str | None) -> None:
    """Prints figures as JSON, and writes them to a file if one is named."""
    text = json.dumps(found, indent=1)
    print(text)
    if output:
        with open(output, "w") as file:
            file.write(text)


def main(argv):
    """Runs the command."""
    del argv
    values = flags.FLAGS
    found = measure(values.index, values.queries, values.without, values.clips, values.runtime)
    tell(found, values.output)


if __name__ == "__main__":
    define_flags()
    flags.DEFINE_integer("clips", 100, "How many of each format.", lower_bound=1)
    app.run(main)
