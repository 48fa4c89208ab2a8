"""A site of 300 real clips, copied elsewhere and served by `python -m http.server`."""

import pathlib
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

import audio_triplet
from audio_triplet.publish import site
from audio_triplet.search.sound_index import SoundIndex
from tests import chromium
from tests.publish import visiting

REPOSITORY = pathlib.Path(__file__).parents[2]
ESC50 = REPOSITORY.parent / "shared" / "corpora" / "esc50" / "audio"
CLIPS, QUERIES = 300, 8


@pytest.fixture(scope="module")
def browser():
    with chromium.launched() as running:
        yield running


@pytest.fixture
def plain_server():
    """Starts `python -m http.server` in a folder, and gives its address."""
    started = []

    def start(folder):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        started.append(subprocess.Popen(command, cwd=folder, **quiet))
        address = f"http://127.0.0.1:{port}/"
        for _ in range(200):
            try:
                urllib.request.urlopen(address).close()
                return address
            except OSError:
                time.sleep(0.1)
        raise AssertionError("the server does not answer")

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_it_answers_as_search_does(tmp_path, browser, plain_server):
    clips = sorted(ESC50.glob("*.ogg"))
    if len(clips) < CLIPS + QUERIES:
        pytest.skip(f"no ESC-50 at {ESC50}")
    visiting.need_runtime()
    chosen = clips[:: len(clips) // (CLIPS + QUERIES)]
    archive, queries = tmp_path / "archive", chosen[CLIPS : CLIPS + QUERIES]
    archive.mkdir()
    for clip in chosen[:CLIPS]:
        (archive / clip.name).symlink_to(clip)
    index = str(tmp_path / "index")
    audio_triplet.build_index(index, archive)
    site.write(site.SiteConfig(index, str(tmp_path / "site"), "ESC-50"))
    shutil.copytree(tmp_path / "site", tmp_path / "elsewhere" / "copy")
    shutil.rmtree(tmp_path / "site")

    searched = SoundIndex(index)
    host = plain_server(tmp_path / "elsewhere")
    visit = visiting.Visit(browser, host, "copy/")
    shared = 0
    for query in queries:
        visit.page.set_input_files("#file", str(query))
        visit.has("#status", f"like {query.name}")
        found = {(path, round(start, 2)) for path, start, _ in visiting.hits(visit.page)}
        hits = searched.find(str(query), 10, diffuse=False)
        shared += sum((pathlib.Path(h.path).name, round(h.start_seconds, 2)) in found for h in hits)
    assert shared >= 0.98 * 10 * QUERIES
    visit.close()
