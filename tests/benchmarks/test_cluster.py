"""`benchmarks.cluster`: hosts, a link that is cut, nothing left behind; the jobs that are done."""

import os
import shutil
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from audio_triplet.data.bad_files import BadFiles
from audio_triplet.data.manifest import Manifest
from audio_triplet.errors import UsageError
from audio_triplet.pipelines import jobs
from benchmarks.cluster import hosts, work
from data_prep import layout

needs_hosts = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("ip"), reason="needs root and iproute2"
)

_SERVER = """
import socket, sys
with socket.create_server((sys.argv[1], 7000)) as server:
    print("ready", flush=True)
    while True:
        server.accept()[0].close()
"""
_CLIENT = "import socket, sys; socket.create_connection((sys.argv[1], 7000), timeout=1).close()"


@pytest.fixture
def three():
    try:
        with hosts.hosts():
            yield
    except UsageError as error:
        pytest.skip(str(error))
    assert "at-" not in subprocess.run(["ip", "netns"], capture_output=True, text=True).stdout


def reaches(host, other):
    command = hosts.inside(host, [sys.executable, "-c", _CLIENT, hosts.address(other)])
    return subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0


@needs_hosts
def test_hosts_reach_each_other_but_over_a_cut_link(three):
    command = hosts.inside(2, [sys.executable, "-c", _SERVER, hosts.address(2)])
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout.readline() == "ready\n"
        assert reaches(1, 2) and reaches(3, 2)
        hosts.cut(2)
        assert not reaches(1, 2)
        hosts.restore(2)
        until = time.monotonic() + 20
        while not reaches(3, 2):
            assert time.monotonic() < until
        with pytest.raises(UsageError, match="another process has set them up"):
            with hosts.hosts():
                pass
        assert reaches(1, 2)  # and it has taken nothing down
        hosts.take_down()  # also what still runs
        assert server.wait(5) == -9


def test_jobs_that_are_done_are_counted_in_each_kind_of_folder(tmp_path):
    assert work.stages(str(tmp_path / "absent")) == []
    assert work.jobs_done(str(tmp_path / "absent")) == (0, 0)
    folder = str(tmp_path / jobs.WORK_DIR)
    manifest = Manifest(pd.DataFrame({"path": ["a.wav", "b.wav", "c.wav"]}), "three")
    names = list(jobs.lay_out(folder, manifest, np.full(3, 600.0), lambda rows: {}))
    jobs.finish(folder, names[0], BadFiles())
    assert work.jobs_done(folder) == (1, 3)
    os.mkdir(os.path.join(folder, f"{names[1]}.index"))  # of a worker that indexes
    os.mkdir(os.path.join(folder, f"{names[2]}.index.1234.tmp"))  # and one that is at it
    assert work.jobs_done(folder) == (2, 3)
    (tmp_path / layout.WORK_DIR).mkdir()
    for name, kind in (("train-0", "work"), ("train-0", "done"), ("train-1", "work")):
        path = layout.work_path(str(tmp_path), f"{name}.tfrecord", kind)
        with open(path, "w", encoding="utf-8") as file:
            file.write("{}")
    assert work.jobs_done(str(tmp_path / layout.WORK_DIR)) == (1, 2)
    assert sorted(work.stages(str(tmp_path))) == [jobs.WORK_DIR, layout.WORK_DIR]
