"""The hosts of `benchmarks.cluster`: addresses, a link that is cut, nothing left behind."""

import os
import shutil
import subprocess
import sys
import time

import pytest

from audio_triplet.errors import UsageError
from benchmarks.cluster import hosts

pytestmark = pytest.mark.skipif(
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
