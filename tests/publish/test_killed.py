"""A publish that is killed: the old site stays whole, and the next one is."""

import signal
import subprocess
import sys

import pytest

from audio_triplet.publish import site

# Publishes with the stand-ins for the runtime; the process kills itself where it is told to.
_CODE = """
import base64, dataclasses, hashlib, os, pathlib, sys
from audio_triplet.publish import data, runtime, site, sounds

index, target, packages, where = sys.argv[1:]

def digest(package):
    content = (pathlib.Path(packages) / package.file).read_bytes()
    return base64.b64encode(hashlib.sha512(content).digest()).decode()

runtime.PACKAGES = tuple(dataclasses.replace(p, sha512=digest(p)) for p in runtime.PACKAGES)
module = {"sounds": sounds, "data": data}[where.split(".")[0]]
name = where.split(".")[1]
found = getattr(module, name)

def killed(*given, **more):
    found(*given, **more)
    os.kill(os.getpid(), 9)

setattr(module, name, killed)
site.write(site.SiteConfig(index, target, "another", runtime=packages, map=False))
"""


def _content(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("where", ["data.write_vectors", "sounds.write", "data.write_head"])
def test_a_killed_publish_leaves_the_old_site_whole(publish, indexed, packages, where):
    folder = publish(audio="none")
    before = _content(folder)
    command = [sys.executable, "-c", _CODE, indexed, str(folder), packages, where]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert (folder.parent / "site.tmp" / "runtime").exists()  # it had begun
    assert _content(folder) == before
    # The next one is whole, and clears away what was left.
    site.write(site.SiteConfig(indexed, str(folder), "new", "none", runtime=packages, map=False))
    assert "<h1>new</h1>" in (folder / "index.html").read_text()
    assert set(_content(folder)) == set(before)
    assert not list(folder.parent.glob("*.tmp"))
