"""Hosts on one machine: network namespaces, each with an address, joined by a virtual switch."""

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence

from audio_triplet.errors import UsageError

COUNT = 3

_SWITCH = "at-switch"
_LOCK = os.path.join(tempfile.gettempdir(), "audio-triplet-hosts.lock")


def address(host: int) -> str:
    """The address of a host, 1 to `COUNT`."""
    return f"10.77.0.{host}"


def inside(host: int, arguments: Sequence[str]) -> list[str]:
    """The command that runs another one on a host; it replaces itself, so the process is that."""
    return ["ip", "netns", "exec", _name(host), *arguments]


def cut(host: int) -> None:
    """Takes a host off the switch: nothing arrives, and nobody is told."""
    _ip("-n", _SWITCH, "link", "set", f"port{host}", "down")


def restore(host: int) -> None:
    """Puts a host onto the switch again."""
    _ip("-n", _SWITCH, "link", "set", f"port{host}", "up")


@contextlib.contextmanager
def hosts() -> Iterator[None]:
    """Sets the hosts up, and takes them down with all that runs on them.

    Raises:
      UsageError: This machine or this user cannot; or another process has them.
    """
    if os.geteuid() or not shutil.which("ip"):
        raise UsageError("hosts: need root and `ip`; run as root, with iproute2 installed")
    with open(_LOCK, "w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError("hosts: another process has set them up; wait for it") from None
        take_down()
        try:
            _set_up()
            yield
        finally:
            take_down()


def _set_up() -> None:
    _ip("netns", "add", _SWITCH)
    _ip("-n", _SWITCH, "link", "add", "bridge", "type", "bridge")
    _ip("-n", _SWITCH, "link", "set", "bridge", "up")
    for host in range(1, COUNT + 1):
        name, port = _name(host), f"port{host}"
        _ip("netns", "add", name)
        pair = ("type", "veth", "peer", "name", "eth0", "netns", name)
        _ip("-n", _SWITCH, "link", "add", port, *pair)
        _ip("-n", _SWITCH, "link", "set", port, "master", "bridge", "up")
        _ip("-n", name, "addr", "add", f"{address(host)}/24", "dev", "eth0")
        _ip("-n", name, "link", "set", "eth0", "up")
        _ip("-n", name, "link", "set", "lo", "up")


def take_down() -> None:
    """Ends all that runs on the hosts, and removes them; does nothing where there are none."""
    listed = _ip("netns", "list").split()
    for name in [*map(_name, range(1, COUNT + 1)), _SWITCH]:
        if name not in listed:
            continue
        for _ in range(50):
            processes = _ip("netns", "pids", name).split()
            if not processes:
                break
            for process in processes:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(process), signal.SIGKILL)
            time.sleep(0.1)
        _ip("netns", "del", name)


def _name(host: int) -> str:
    return f"at-host{host}"


def _ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        reason = " ".join(done.stderr.split())
        raise UsageError(f"ip {' '.join(arguments)}: {reason}; this kernel lacks what it needs")
    return done.stdout
