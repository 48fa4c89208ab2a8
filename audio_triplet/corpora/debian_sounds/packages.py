"""Debian packages: looking them up, downloading them, and copying out their sound files."""

import dataclasses
import errno
import fnmatch
import hashlib
import os
import re
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import soundfile
from absl import logging

from audio_triplet import storage
from audio_triplet.audio import is_audio
from audio_triplet.corpora.debian_sounds.archives import is_archive, sounds_in
from audio_triplet.corpora.debian_sounds.classes import PACKAGE_SETS
from audio_triplet.corpora.debian_sounds.licences import licence_of, parse_copyright, read_copyright
from audio_triplet.errors import CorpusError

# Longer files are hashed but not decoded: looking for duplicates in music would take minutes.
_DECODED_SECONDS = 60.0

# The corpus is what these gave; a longer list would make another one of it.
_TAKEN = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff")

_OTHER_CORPORA = "use another corpus: esc50:DIR, folders:DIR or manifest:FILE.csv"

# Columns of packages/PACKAGE.csv.
COLUMNS = ("path", "sha256", "samples_sha256", "seconds", "licence", "version", "deb_sha256")


@dataclasses.dataclass(frozen=True)
class Package:
    """Metadata of a package from apt.

    Attributes:
      name: Package name.
      version: Candidate version.
      sha256: Of the .deb file.
      download_bytes: Size of the .deb file.
      installed_bytes: Size when unpacked.
    """

    name: str
    version: str
    sha256: str
    download_bytes: int
    installed_bytes: int


# --- apt ----------------------------------------------------------------------------------------


def need_tools() -> None:
    """Checks that Debian's tools are installed.

    Raises:
      CorpusError: One of them is missing.
    """
    absent = [t for t in ("apt-get", "apt-cache", "dpkg-deb") if shutil.which(t) is None]
    if absent:
        raise CorpusError(
            f"debian-sounds needs {', '.join(absent)}, which this system does not have (Debian and "
            f"Ubuntu do); {_OTHER_CORPORA}"
        )


def resolve(wanted: Sequence[str]) -> list[Package]:
    """The named packages and those of the named sets, as far as apt knows them.

    A member of a set may be a pattern, because some packages carry their version in their name;
    the highest version is taken.

    Args:
      wanted: Package names, or names of PACKAGE_SETS.

    Returns:
      Those that apt knows; unknown members of a set are logged and left out.

    Raises:
      CorpusError: An unknown package that the user named, or none is known.
    """
    members = [
        (pattern, name not in PACKAGE_SETS)
        for name in wanted
        for pattern in PACKAGE_SETS.get(name, (name,))
    ]
    known, unknown = _look_up(members)
    if unknown and os.geteuid() == 0:
        logging.info("apt does not know %s; running apt-get update", ", ".join(sorted(unknown)))
        _run(["apt-get", "update"], "package lists not updated; is there a network?")
        known, unknown = _look_up(members)
    fix = "run `apt-get update` as root (or `sudo apt-get update`) once, and try again"
    named = [pattern for pattern, explicit in members if explicit and pattern in unknown]
    if named:
        raise CorpusError(f"apt has no package {', '.join(named)}; {fix}, or name another")
    if not known:
        raise CorpusError(f"apt knows none of {', '.join(unknown)}; {fix}; or {_OTHER_CORPORA}")
    if unknown:
        logging.warning("apt does not know %s, left out; %s", ", ".join(sorted(unknown)), fix)
    return list(known.values())


def _look_up(members: Sequence[tuple[str, bool]]) -> tuple[dict[str, Package], set[str]]:
    """(name → package, unknown patterns)."""
    known, unknown = {}, set()
    for pattern, _ in members:
        name = _newest_name(pattern) if "*" in pattern else pattern
        package = _candidate(name) if name else None
        if package is None:
            unknown.add(pattern)
        else:
            known[package.name] = package
    return known, unknown


def _newest_name(pattern: str) -> str | None:
    """The package name that matches a pattern and has the highest number in it."""
    # A prefix query, not a search: apt-cache reads its own index only.
    output = subprocess.run(
        ["apt-cache", "pkgnames", pattern.split("*")[0]], capture_output=True, text=True
    ).stdout
    names = [name for name in output.split() if fnmatch.fnmatchcase(name, pattern)]
    numbers = {name: [int(digits) for digits in re.findall(r"\d+", name)] for name in names}
    # Names known only as a dependency have no candidate.
    names = [name for name in names if _candidate(name)]
    return max(names, key=numbers.__getitem__) if names else None


def _candidate(name: str) -> Package | None:
    """The package that apt would download under a name; None if there is none."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9+.-]+", name):
        raise CorpusError(f"{name!r} is not a package name; write small, all, or names like ls 0ad")
    shown = subprocess.run(
        ["apt-cache", "show", "--no-all-versions", name], capture_output=True, text=True
    )
    fields = dict(
        re.findall(r"^([A-Za-z0-9-]+): (.*)$", shown.stdout.split("\n\n")[0], re.MULTILINE)
    )
    if "SHA256" not in fields or "Version" not in fields:
        return None
    return Package(
        name=name,
        version=fields["Version"],
        sha256=fields["SHA256"],
        download_bytes=int(fields.get("Size", 0)),
        installed_bytes=1024 * int(fields.get("Installed-Size", 0)),
    )


def _fetch(package: Package, folder: str) -> str:
    """Path of the package's .deb file in a folder, downloaded if it is not there; verified."""
    found = _matching_deb(package, folder)
    if found:
        return found
    os.makedirs(folder, exist_ok=True)
    logging.info("%s %s: %.0f MB …", package.name, package.version, package.download_bytes / 1e6)
    _run(
        ["apt-get", "download", f"{package.name}={package.version}"],
        f"{package.name} not downloaded; check the network and run it again",
        cwd=folder,
    )
    found = _matching_deb(package, folder)
    if not found:
        raise CorpusError(
            f"{package.name}: the downloaded file does not have the checksum that apt lists "
            f"({package.sha256[:12]}…); remove it from {folder} and run it again"
        )
    return found


def _matching_deb(package: Package, folder: str) -> str | None:
    """The .deb file of the package in a folder, if one has the right checksum."""
    if not os.path.isdir(folder):
        return None
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        is_named_so = name.startswith(package.name + "_") and name.endswith(".deb")
        if not is_named_so or os.path.getsize(path) != package.download_bytes:
            continue
        if _sha256(path) == package.sha256:
            return path
    return None


def _run(command: list[str], fix: str, cwd: str | None = None) -> None:
    """Runs a tool; CorpusError with its last error message if it fails."""
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, errors="replace"
    )
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        errors = [line for line in said if line.startswith("E:")] or said or ["no message"]
        full = "No space left on device" in done.stderr
        fix = "free some space and run it again" if full else fix
        raise CorpusError(f"{fix} ({' '.join(command[:2])}: {errors[-1].strip()})")


# --- unpacking ----------------------------------------------------------------------------------


def unpack(package: Package, output_dir: str, deb_dir: str | None) -> None:
    """Puts one package's sound files, copyright and table into a corpus; whole or not at all.

    Args:
      package: What to download.
      output_dir: The corpus's folder. A package that it holds already is left as it is.
      deb_dir: Folder that keeps .deb files, and is searched first; None: they are not kept.

    Raises:
      CorpusError: No space, no network, a wrong checksum, or no sound in it.
      OSError: The folder cannot be written.
    """
    table_path = os.path.join(output_dir, "packages", f"{package.name}.csv")
    audio_dir = os.path.join(output_dir, "audio", package.name)
    if os.path.isfile(table_path) and os.path.isdir(audio_dir):
        logging.info("%s: already there", package.name)
        return
    began = time.monotonic()
    have_deb = deb_dir and _matching_deb(package, deb_dir)
    needed = package.installed_bytes + (0 if have_deb else package.download_bytes)
    free = shutil.disk_usage(output_dir).free
    if free < needed:
        raise CorpusError(
            f"{output_dir}: {package.name} needs {needed / 1e6:.0f} MB and {free / 1e6:.0f} MB are "
            "free; free some space, or name fewer packages with --packages"
        )
    with tempfile.TemporaryDirectory(prefix=".unpack-", dir=output_dir) as work:
        deb = _fetch(package, os.path.abspath(deb_dir or work))
        unpacked, staged = os.path.join(work, "unpacked"), os.path.join(work, "staged")
        _run(["dpkg-deb", "-x", deb, unpacked], f"{package.name}: {deb} cannot be unpacked")
        paths = collect_audio(unpacked, staged)
        if not paths:
            raise CorpusError(f"{package.name} {package.version}: no sound files in this package")
        copyright_text = read_copyright(unpacked, package.name)
        table = _describe(staged, paths, package, copyright_text)

        for folder in ("audio", "copyright", "packages"):
            os.makedirs(os.path.join(output_dir, folder), exist_ok=True)
        storage.write_text(os.path.join(output_dir, "copyright", package.name), copyright_text)
        if os.path.isdir(audio_dir):  # left by a run that ended before it wrote the table
            shutil.rmtree(audio_dir)
        os.replace(staged, audio_dir)
        # The table is written last: where there is a table, the package is complete.
        with storage.replacing(table_path) as temporary:
            table.to_csv(temporary, index=False, columns=list(COLUMNS))
    logging.info(
        "%s %s: %d sound files, %.0f s",
        package.name, package.version, len(table), time.monotonic() - began,
    )  # fmt: skip


def collect_audio(unpacked: str, staged: str) -> list[str]:
    """Moves the sound files of an unpacked package to `staged`, also those inside archives.

    Symbolic links are not followed, and a name in an archive that would lead outside is skipped.

    Args:
      unpacked: Folder of the unpacked package.
      staged: Folder that the files are moved to.

    Returns:
      Their paths below `staged`, sorted: as in the package, without usr/share/.
    """
    taken = []
    for current, folders, files in os.walk(unpacked):
        folders.sort()
        for name in sorted(files):
            source = os.path.join(current, name)
            if not stat.S_ISREG(os.lstat(source).st_mode):
                continue
            inside = os.path.relpath(source, unpacked).removeprefix("usr/share/")
            if _is_taken(name) and _is_utf8(inside):
                target = os.path.join(staged, inside)
                os.makedirs(os.path.dirname(target), exist_ok=True)
                os.replace(source, target)
                os.chmod(target, 0o644)
                taken.append(inside)
            elif is_archive(name):
                taken += _collect_packed(source, inside, staged)
    return sorted(set(taken))


def _is_taken(name: str) -> bool:
    return is_audio(name) and name.lower().endswith(_TAKEN)


def _collect_packed(archive_path: str, inside: str, staged: str) -> list[str]:
    """Writes the sound files of an archive to `staged`, below the archive's own path."""
    taken = []
    for name, content in sounds_in(archive_path, _is_taken):
        path = f"{inside}/{name}"
        if not _is_utf8(path):
            continue
        target = os.path.join(staged, path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "wb") as file:
            file.write(content)
        taken.append(path)
    return taken


def _describe(
    staged: str, paths: Sequence[str], package: Package, copyright_text: str
) -> pd.DataFrame:
    """The table of a package: checksums, length and licence of each file that has sound in it."""
    licences = parse_copyright(copyright_text)
    rows = []
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:  # libsndfile frees the GIL
        for path, measured in zip(
            paths, pool.map(measure, [os.path.join(staged, path) for path in paths]), strict=True
        ):
            if isinstance(measured, str):
                logging.warning("%s: %s is left out: %s", package.name, path, measured)
                os.unlink(os.path.join(staged, path))
                continue
            licence = licence_of(path, licences)
            rows.append((path, *measured, licence, package.version, package.sha256))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def measure(path: str) -> tuple[str, str, float] | str:
    """Checksums and length of a sound file, or the reason why it cannot be used.

    Args:
      path: The file.

    Returns:
      (sha256 of the file, sha256 of its samples, seconds), the second one "" for files longer than
      a minute, whose samples are not decoded; or the reason why it is left out.
    """
    samples_sha256 = ""
    try:
        with soundfile.SoundFile(path) as file:
            seconds = file.frames / file.samplerate
            if file.frames <= 0:
                return "no samples"
            if seconds <= _DECODED_SECONDS:
                samples = file.read(dtype="int16", always_2d=True)
                if not samples.any():
                    return "silent"
                # Mono and stereo copies of the same samples are not equal; nor are other rates.
                digest = hashlib.sha256(f"{file.samplerate} {samples.shape}".encode())
                digest.update(samples.tobytes())
                samples_sha256 = digest.hexdigest()
    except (soundfile.SoundFileError, RuntimeError) as error:
        return f"cannot be decoded ({error})".replace("\n", " ")
    return _sha256(path), samples_sha256, round(seconds, 3)


def disk_error(output_dir: str, error: OSError) -> CorpusError:
    """The error for a folder that cannot be written."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    fix = "free some space" if full else "name a folder you may write to"
    return CorpusError(f"{output_dir}: {error.strerror or error}; {fix} and run it again")


def _sha256(path: str) -> str:
    """Checksum of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_utf8(name: str) -> bool:
    """Whether a file name is valid UTF-8, as a manifest must be."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        logging.warning("%r is left out: its name is not UTF-8", name)
        return False
    return True
