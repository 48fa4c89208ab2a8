"""LiteRT for browsers: two npm packages of fixed versions, fetched at the first use and checked.

[D] Not shipped in the wheel: 12 MB that only `publish` needs, more than all else in it. A machine
without network gets the two files by hand: --runtime=FOLDER.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import os
import tarfile
import urllib.error
import urllib.request

from absl import logging

from audio_triplet import storage
from audio_triplet.errors import DeploymentError
from audio_triplet.publish import packing

_REGISTRY = "https://registry.npmjs.org"
_TIMEOUT_SECONDS = 60


@dataclasses.dataclass(frozen=True)
class Package:
    """An npm package of one version.

    Attributes:
      name: Its name in the registry.
      file: The archive's name.
      sha512: Its checksum, base64, as npm's `integrity` has it.
      members: Name in the archive → name in the site.
    """

    name: str
    file: str
    sha512: str
    members: dict[str, str]

    @property
    def url(self) -> str:
        """Where it is."""
        return f"{_REGISTRY}/{self.name}/-/{self.file}"


# With threads, with one, and for browsers without relaxed SIMD.
_WASM = ("litert_wasm_threaded_internal", "litert_wasm_internal", "litert_wasm_compat_internal")

PACKAGES = (
    Package(
        "@litertjs/core",
        "core-2.5.3.tgz",
        "PlGmbMOq9WitX7FO0jhbdJw9GthatsyuCQXjTt/wJZo0FLaw48q4tz8IwqgqCIkviYGr9OFDL1kCnN4nzWoyJQ==",
        {"package/dist/index.js": "litert.js"}
        | {
            f"package/wasm/{name}.{end}": f"{name}.{written}"
            for name in _WASM
            for end, written in (("js", "js"), ("wasm", "wasm.gz"))
        },
    ),
    Package(
        "@litertjs/wasm-utils",
        "wasm-utils-2.5.3.tgz",
        "4fJiw6tBQnIs+0jH/OQ16nYOiSl8/+zZnn5h2ul8aTKHi05sVqZW580Tmk78pC2kT39A9OYBVdFawteZ/sI1kQ==",
        {"package/dist/index.js": "wasm_utils.js"},
    ),
)

# A browser finds no package by its name.
_IMPORT = (b'from "@litertjs/wasm-utils"', b'from "./wasm_utils.js"')


def default_folder() -> str:
    """Where fetched packages are kept."""
    return storage.cache_folder("runtime")


def write(folder: str, packages: str | None = None) -> None:
    """Writes the runtime's files.

    Args:
      folder: Where to.
      packages: Folder that holds the packages' archives, or will; None: `default_folder`.

    Raises:
      DeploymentError: They cannot be fetched, or are not what they should be.
    """
    source = packages or default_folder()
    os.makedirs(folder, exist_ok=True)
    for package in PACKAGES:
        path = os.path.join(source, package.file)
        if not os.path.exists(path):
            _fetch(package, path)
        _check(package, path)
        with tarfile.open(path) as archive:
            for member, name in package.members.items():
                file = archive.extractfile(member)
                assert file is not None  # the checksum says so
                content = file.read()
                if name == "litert.js":
                    content = content.replace(*_IMPORT)
                elif name.endswith(".gz"):  # 9.4 MB each, of which 2.9 are left
                    content = packing.packed(content)
                with open(os.path.join(folder, name), "wb") as target:
                    target.write(content)


def _fetch(package: Package, path: str) -> None:
    logging.info("fetching %s, once: it is kept in %s", package.url, os.path.dirname(path))
    try:
        with urllib.request.urlopen(package.url, timeout=_TIMEOUT_SECONDS) as answer:
            content = answer.read()
    except (urllib.error.URLError, OSError) as error:
        raise DeploymentError(
            f"{package.url}: cannot be fetched ({getattr(error, 'reason', error)}); fetch it "
            f"elsewhere, put it into a folder and name that by --runtime"
        ) from error
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with storage.open_replacing(path, "wb", unique=True) as file:
        file.write(content)


def _check(package: Package, path: str) -> None:
    with open(path, "rb") as file:
        digest = base64.b64encode(hashlib.file_digest(file, "sha512").digest()).decode()
    if digest != package.sha512:
        raise DeploymentError(
            f"{path}: is not {package.name} as it was published (checksum); remove it"
        )
