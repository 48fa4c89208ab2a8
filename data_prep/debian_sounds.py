"""debian-sounds: recorded, freely licensed sounds from Debian packages, as a labelled corpus.

    python -m data_prep.debian_sounds --output_dir=debian_sounds
    python -m data_prep.debian_sounds --output_dir=debian_sounds --packages=all

Packages are fetched with `apt-get download` and unpacked with `dpkg-deb -x`: nothing is installed
and no root is needed. The sets "small" (the default), "all" and "wide" are listed in
`data_prep/debian_sounds_classes.py`, with the table that gives each path its class.

What --output_dir holds afterwards:

    manifest.csv            the corpus: --corpus=manifest:…/manifest.csv or debian-sounds:DIR
    audio/PACKAGE/…         the sound files, as the packages have them
    copyright/PACKAGE       the package's own copyright file
    packages/PACKAGE.csv    version, checksums, length, licence of each file

A package already there is skipped, so an interrupted run is continued by the same command.

Decisions [D]. Files that are silent, or that cannot be decoded, are left out; of files with the
same bytes or the same samples one is kept. A recording is one *source*: numbered takes and
velocity layers of one sound (`arrow1.wav arrow2.wav`, `Snare-Soft.wav Snare-Hard.wav`) share a
recording_id, and so do sources that have a duplicate in common; the split is drawn by recording.
Classes with fewer than eight recordings in what was downloaded lose their label.
"""

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
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import soundfile
from absl import app, flags, logging

from audio_triplet import locks
from audio_triplet.manifest import TEST, Manifest, split_by_recording
from data_prep import CorpusError
from data_prep.debian_sounds_classes import PACKAGE_SETS, SAME_SOURCE, classify
from data_prep.folders import is_audio

MANIFEST_FILE = "manifest.csv"
MIN_RECORDINGS = 8  # a class needs as many, or a split leaves it without test examples
TEST_FRACTION = 0.25
# The first of 0, 1, 2, … with which every class of "small" and of "all" (Debian 12) has at least
# two recordings on the test side and three on the other. Chosen by these counts alone [D].
SPLIT_SEED = 7
# Longer files are hashed but not decoded: music, in which duplicates are not worth the minutes.
DECODED_SECONDS = 60.0

_OTHER_CORPORA = "use another corpus: esc50:DIR, folders:DIR or manifest:FILE.csv"
_COLUMNS = ("path", "sha256", "samples_sha256", "seconds", "licence", "version", "deb_sha256")
# What tells takes and velocity layers of one sound apart, at the end of a name.
_VARIANT = re.compile(
    r"[ _.-]*(?:\(?\d+[a-z]?\)?|hardest|hard|medium|med|softest|soft|miss)$", re.IGNORECASE
)


@dataclasses.dataclass(frozen=True)
class Package:
    """What apt knows of a package.

    Attributes:
      name: package name.
      version: candidate version.
      sha256: of the .deb file.
      download_bytes: size of the .deb file.
      installed_bytes: size when unpacked.
    """

    name: str
    version: str
    sha256: str
    download_bytes: int
    installed_bytes: int


# --- the library --------------------------------------------------------------------------------


def load(place: str) -> Manifest:
    """The corpus prepared in a folder, downloaded as far as it is not there.

    Args:
      place: `DIR`, where the small set is downloaded if it is empty or absent and all that is
        there is taken else; or `DIR?packages=wide`, with sets or packages, separated by commas,
        that are to be there.

    Raises:
      CorpusError: the folder holds something else, or the download failed.
    """
    folder, _, wanted = place.partition("?packages=")
    names = tuple(name.strip() for name in wanted.split(",") if name.strip())
    manifest_path = os.path.join(folder, MANIFEST_FILE)
    if os.path.isfile(manifest_path) and not _missing(folder, names):
        return Manifest.read(manifest_path, name="debian-sounds")
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise CorpusError(f"{folder}: is a file; name a folder for debian-sounds")
    held = [n for n in os.listdir(folder) if n[0] != "."] if os.path.isdir(folder) else []
    if held and "packages" not in held:
        if MANIFEST_FILE in held:
            raise CorpusError(
                f"{folder}: has a {MANIFEST_FILE} but no packages/, which tells what is there; "
                f"write manifest:{manifest_path} to take it as it is, or name an empty folder to "
                "download into"
            )
        raise CorpusError(
            f"{folder}: holds no {MANIFEST_FILE} of debian-sounds, but other files ({held[0]}, …); "
            "name an empty folder to download into"
        )
    return download(folder, names or ("small",))


def _missing(folder: str, names: Sequence[str]) -> list[str]:
    """Patterns of packages of the named sets, and packages, that a folder does not hold."""
    tables_dir = os.path.join(folder, "packages")
    held = os.listdir(tables_dir) if names and os.path.isdir(tables_dir) else []
    patterns = [pattern for name in names for pattern in PACKAGE_SETS.get(name, (name,))]
    return [pattern for pattern in patterns if not fnmatch.filter(held, f"{pattern}.csv")]


def download(
    output_dir: str, packages: Sequence[str] = ("small",), deb_dir: str | None = None
) -> Manifest:
    """Downloads packages, keeps their sound files and writes the manifest of all that is there.

    Args:
      output_dir: made if absent; packages that it holds already are not fetched again.
      packages: package names, or the sets "small", "all" and "wide".
      deb_dir: where .deb files are kept, and looked for first; if None they are thrown away.

    Returns:
      The manifest, as written to `output_dir/manifest.csv`.

    Raises:
      CorpusError: no apt, unknown packages, no space, no network, a wrong checksum.
      LockedError: another run is filling the folder.
    """
    _need_tools()
    try:
        os.makedirs(output_dir, exist_ok=True)
        with locks.exclusive(output_dir):
            locks.clear_leftovers(output_dir)
            for package in _resolve(packages):
                _prepare(package, output_dir, deb_dir)
            manifest = build_manifest(output_dir)
            manifest.write(os.path.join(output_dir, MANIFEST_FILE))
    except OSError as error:
        raise _disk_error(output_dir, error) from error
    return manifest


def build_manifest(output_dir: str) -> Manifest:
    """The manifest of the packages in a folder, from their tables.

    Args:
      output_dir: as `download` fills it.

    Returns:
      One row a file, sorted by path; labels and kinds from the class table, splits "train" and
      "test".

    Raises:
      CorpusError: no package is there.
    """
    tables_dir = os.path.join(output_dir, "packages")
    names = (
        sorted(n for n in os.listdir(tables_dir) if n.endswith(".csv"))
        if os.path.isdir(tables_dir)
        else []
    )
    if not names:
        raise CorpusError(f"{output_dir}: no package of debian-sounds in it")
    tables = []
    for name in names:
        table = pd.read_csv(
            os.path.join(tables_dir, name), dtype=str, keep_default_na=False, na_filter=False
        )
        tables.append(table.assign(package=name.removesuffix(".csv")))
    table = pd.concat(tables, ignore_index=True)
    pairs = list(zip(table["package"], table["path"], strict=True))
    classes = [classify(package, path) for package, path in pairs]
    table["labels"] = [label for label, _ in classes]
    table["kind"] = [kind for _, kind in classes]
    table["recording_id"] = _join_duplicates(
        [source_of(package, path) for package, path in pairs],
        [table["sha256"], table["samples_sha256"]],
    )
    kept = _without_duplicates(table)
    logging.info("%d files, %d of them duplicates", len(table), len(table) - len(kept))
    kept = _without_small_classes(kept)
    audio_dir = os.path.join(os.path.abspath(output_dir), "audio", "")
    kept["path"] = audio_dir + kept["package"] + "/" + kept["path"]
    return split_by_recording(
        Manifest(kept.sort_values("path"), name="debian-sounds"), TEST_FRACTION, SPLIT_SEED
    )


def source_of(package: str, path: str) -> str:
    """The recording_id of a file: its path without the marks of takes and velocity layers.

    Where names do not tell that files are of one source, SAME_SOURCE of the class table does.
    megaglest-data uses the same names for re-encoded copies in several folders, so there the name
    alone counts.
    """
    for name, pattern, source in SAME_SOURCE:
        match = re.search(pattern, path) if name == package else None
        if match:
            return f"{package}/{match.expand(source)}"
    folder, name = os.path.split(path)
    stem = os.path.splitext(name)[0]
    short = _VARIANT.sub("", stem) or stem
    parts = (package, short) if package == "megaglest-data" else (package, folder, short)
    return "/".join(part for part in parts if part)


def _join_duplicates(sources: list[str], keys: Sequence[pd.Series]) -> list[str]:
    """Sources that have a duplicate in common become one: the first of them by name.

    Args:
      sources: of each file.
      keys: columns of checksums; equal ones (but not "") mark duplicates.
    """
    parent = {source: source for source in sources}

    def root(source: str) -> str:
        while parent[source] != source:
            source = parent[source]
        return source

    for column in keys:
        first: dict[str, str] = {}
        for source, key in zip(sources, column, strict=True):
            if key:
                one, other = sorted((root(first.setdefault(key, source)), root(source)))
                parent[other] = one
    return [root(source) for source in sources]


def _without_duplicates(table: pd.DataFrame) -> pd.DataFrame:
    """One of each group of equal files: a labelled one if there is one, else the first by path."""
    ordered = table.assign(unlabelled=table["labels"] == "")
    ordered = ordered.sort_values(["unlabelled", "package", "path"], kind="stable")
    ordered = ordered[~ordered["sha256"].duplicated()]
    samples = ordered["samples_sha256"]
    return ordered[~samples.duplicated() | (samples == "")].drop(columns="unlabelled")


def _without_small_classes(table: pd.DataFrame) -> pd.DataFrame:
    """Classes with fewer than MIN_RECORDINGS recordings lose their label; the files stay."""
    recordings = table.groupby("labels")["recording_id"].nunique()
    small = sorted(recordings.index[(recordings < MIN_RECORDINGS) & (recordings.index != "")])
    if small:
        logging.info(
            "unlabelled, because of fewer than %d recordings: %s", MIN_RECORDINGS, ", ".join(small)
        )
    return table.assign(labels=table["labels"].where(~table["labels"].isin(small), ""))


# --- apt ----------------------------------------------------------------------------------------


def _need_tools() -> None:
    """CorpusError if a Debian tool is not there."""
    absent = [t for t in ("apt-get", "apt-cache", "dpkg-deb") if shutil.which(t) is None]
    if absent:
        raise CorpusError(
            f"debian-sounds needs {', '.join(absent)}, which this system does not have (Debian and "
            f"Ubuntu do); {_OTHER_CORPORA}"
        )


def _resolve(wanted: Sequence[str]) -> list[Package]:
    """The packages of the names and sets, as far as apt knows them.

    A member of a set may be a pattern, because some packages carry their version in their name;
    the highest version is taken. An unknown package named by the user is an error, an unknown
    member of a set a warning.
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
    mend = "run `apt-get update` as root (or `sudo apt-get update`) once, and try again"
    named = [pattern for pattern, explicit in members if explicit and pattern in unknown]
    if named:
        raise CorpusError(f"apt has no package {', '.join(named)}; {mend}, or name another")
    if not known:
        raise CorpusError(f"apt knows none of {', '.join(unknown)}; {mend}; or {_OTHER_CORPORA}")
    if unknown:
        logging.warning("apt does not know %s, left out; %s", ", ".join(sorted(unknown)), mend)
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
    return max(names, key=numbers.get) if names else None


def _candidate(name: str) -> Package | None:
    """What apt would download under a name; None if nothing."""
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
            f"{package.name}: the downloaded file has not the checksum that apt lists "
            f"({package.sha256[:12]}…); remove it from {folder} and run it again"
        )
    return found


def _matching_deb(package: Package, folder: str) -> str | None:
    """The .deb file of the package in a folder, if one has the right checksum."""
    if not os.path.isdir(folder):
        return None
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        if name.startswith(package.name + "_") and name.endswith(".deb"):
            if os.path.getsize(path) == package.download_bytes and _sha256(path) == package.sha256:
                return path
    return None


def _run(command: list[str], what: str, cwd: str | None = None) -> None:
    """Runs a tool; CorpusError with its last word if it fails."""
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, errors="replace"
    )
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        errors = [line for line in said if line.startswith("E:")] or said or ["no message"]
        full = "No space left on device" in done.stderr
        mend = "free some space and run it again" if full else what
        raise CorpusError(f"{mend} ({' '.join(command[:2])}: {errors[-1].strip()})")


# --- unpacking ----------------------------------------------------------------------------------


def _prepare(package: Package, output_dir: str, deb_dir: str | None) -> None:
    """Puts one package's sound files, copyright and table into the corpus; whole or not at all."""
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
        copyright_text = _copyright(unpacked, package.name)
        table = _describe(staged, paths, package, copyright_text)

        for folder in ("audio", "copyright", "packages"):
            os.makedirs(os.path.join(output_dir, folder), exist_ok=True)
        with open(os.path.join(output_dir, "copyright", package.name), "w", encoding="utf-8") as f:
            f.write(copyright_text)
        if os.path.isdir(audio_dir):  # of a run that ended between these two lines
            shutil.rmtree(audio_dir)
        os.replace(staged, audio_dir)
        # The table comes last: where it is, the package is whole.
        table_draft = os.path.join(work, "table.csv")
        table.to_csv(table_draft, index=False, columns=list(_COLUMNS))
        os.replace(table_draft, table_path)
    logging.info(
        "%s %s: %d sound files, %.0f s",
        package.name, package.version, len(table), time.monotonic() - began,
    )  # fmt: skip


def collect_audio(unpacked: str, staged: str) -> list[str]:
    """Moves the sound files of an unpacked package, those inside .zip files too, to `staged`.

    Symbolic links are not followed, and a name in a .zip file that would lead outside is refused.

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
            if is_audio(name) and _is_utf8(inside):
                target = os.path.join(staged, inside)
                os.makedirs(os.path.dirname(target), exist_ok=True)
                os.replace(source, target)
                os.chmod(target, 0o644)
                taken.append(inside)
            elif name.lower().endswith(".zip"):
                taken += _collect_zipped(source, inside, staged)
    return sorted(taken)


def _collect_zipped(archive_path: str, inside: str, staged: str) -> list[str]:
    """Writes the sound files of a .zip file to `staged`, below the archive's own path."""
    taken = []
    try:
        with zipfile.ZipFile(archive_path) as archive:
            for member in archive.infolist():
                parts = member.filename.split("/")
                if not is_audio(parts[-1]) or not _is_utf8(member.filename):
                    continue
                if any(part in ("", ".", "..") for part in parts) or "\\" in member.filename:
                    logging.warning("%s: passed over %r", inside, member.filename)
                    continue
                path = f"{inside}/{member.filename}"
                target = os.path.join(staged, path)
                os.makedirs(os.path.dirname(target), exist_ok=True)
                with archive.open(member) as source, open(target, "wb") as file:
                    shutil.copyfileobj(source, file)
                taken.append(path)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        logging.warning("%s: not a readable .zip file (%s), passed over", inside, error)
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
    return pd.DataFrame(rows, columns=list(_COLUMNS))


def measure(path: str) -> tuple[str, str, float] | str:
    """(sha256 of the file, sha256 of its samples or "", seconds), or why it is of no use.

    Samples of files longer than DECODED_SECONDS are not looked at.
    """
    samples_sha256 = ""
    try:
        with soundfile.SoundFile(path) as file:
            seconds = file.frames / file.samplerate
            if file.frames <= 0:
                return "no samples"
            if seconds <= DECODED_SECONDS:
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


# --- licences -----------------------------------------------------------------------------------


def parse_copyright(text: str) -> list[tuple[tuple[str, ...], str]]:
    """(path patterns, licence short name) of each stanza of a machine-readable copyright file.

    Debian's copyright-format 1.0: stanzas separated by empty lines; `Files:` lists patterns
    separated by blanks, `License:` begins with the short name. The last stanza that matches a
    file holds. Other texts give [].
    """
    if not re.match(r"\s*Format(?:-Specification)?:", text):
        return []
    stanzas = []
    for stanza in re.split(r"\n[ \t]*\n", text):
        fields = dict(re.findall(r"^([A-Za-z-]+):(.*(?:\n[ \t]+.*)*)", stanza, re.MULTILINE))
        patterns = tuple(fields.get("Files", "").split())
        licence = fields.get("License", "").lstrip(" \t").split("\n")[0].strip()
        if patterns and licence:
            stanzas.append((patterns, licence))
    return stanzas


def licence_of(path: str, stanzas: Sequence[tuple[Sequence[str], str]]) -> str:
    """The licence of a file by its package's copyright file, else "see copyright".

    The patterns name files of the *source* package, which are installed under other folders
    (`etc/samples/a.flac` becomes `sonic-pi/samples/a.flac`). So a pattern matches too if its last
    two or more parts match the end of the path, and an archive (`drumkits/Kit.h2drumkit`) stands
    for the folder it was unpacked to.
    """
    found = "see copyright"
    for patterns, licence in stanzas:
        if any(_pattern_matches(pattern, path) for pattern in patterns):
            found = licence
    return found


def _pattern_matches(pattern: str, path: str) -> bool:
    """Whether a pattern of a copyright file names an installed file; see `licence_of`."""
    if pattern == "*":
        return True
    pattern = re.sub(r"\.(?:h2drumkit|zip|tar(?:\.\w+)?)$", "/*", pattern)
    parts = pattern.removeprefix("./").split("/")
    if pattern.endswith("/*") and len(parts) == 2 and parts[0] == "debian":
        return False  # the packaging itself
    for begin in range(max(1, len(parts) - 1)):
        # A part that is all wildcard says nothing of where the file lies.
        if begin and not parts[begin].strip("*?"):
            continue
        tail = "/".join(parts[begin:])
        if fnmatch.fnmatchcase(path, tail) or fnmatch.fnmatchcase(path, "*/" + tail):
            return True
    return False


def _copyright(unpacked: str, name: str) -> str:
    """The text of a package's copyright file; "" if there is none."""
    path = os.path.join(unpacked, "usr", "share", "doc", name, "copyright")
    # It may be a link to another package's, which is not here.
    if os.path.islink(path) or not os.path.isfile(path):
        return ""
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


# --- small things -------------------------------------------------------------------------------


def _disk_error(output_dir: str, error: OSError) -> CorpusError:
    """The message for a folder that cannot be written."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    mend = "free some space" if full else "name a folder you may write to"
    return CorpusError(f"{output_dir}: {error.strerror or error}; {mend} and run it again")


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


def summary(output_dir: str, manifest: Manifest) -> str:
    """Counts per class and kind, for people: several lines."""
    tables = os.path.join(output_dir, "packages")
    tables = [
        pd.read_csv(os.path.join(tables, n)).assign(package=n[:-4]) for n in os.listdir(tables)
    ]
    table = pd.concat(tables)
    audio_dir = os.path.join(os.path.abspath(output_dir), "audio", "")
    seconds = dict(
        zip(audio_dir + table["package"] + "/" + table["path"], table["seconds"], strict=True)
    )
    frame = manifest.frame.assign(
        seconds=manifest.frame["path"].map(seconds), test=manifest.frame["split"] == TEST
    )

    def counted(group: pd.DataFrame) -> str:
        test = group[group["test"]]
        return (
            f"{len(group):6d} files {group['recording_id'].nunique():5d} recordings "
            f"({len(test):4d} / {test['recording_id'].nunique():4d} test) "
            f"{group['seconds'].sum() / 3600:7.3f} h"
        )

    lines = [f"{len(table)} files with sound, {len(table) - len(frame)} duplicates left out"]
    for column in ("kind", "labels"):
        lines += [f"{name or '(no label)':20s} {counted(g)}" for name, g in frame.groupby(column)]
    return "\n".join([*lines, f"{'all':20s} {counted(frame)}"])


def _define_flags() -> None:
    """The command's flags; not at import, since other commands import this module."""
    flags.DEFINE_string("output_dir", None, "Where the corpus goes; made if absent.", required=True)
    flags.DEFINE_list(
        "packages", ["small"],
        "Debian packages, or the sets: "
        + "; ".join(f"{name} ({', '.join(PACKAGE_SETS[name])})" for name in PACKAGE_SETS),
    )  # fmt: skip
    flags.DEFINE_string(
        "deb_dir", None, "Keep downloaded .deb files here, and look for them here first."
    )


def main(argv: Sequence[str]) -> None:
    """The command: `python -m data_prep.debian_sounds --help`."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument {argv[1]!r}; packages go into --packages=A,B")
    values = flags.FLAGS
    try:
        manifest = download(values.output_dir, values.packages, values.deb_dir)
    except (CorpusError, locks.LockedError) as error:
        raise SystemExit(f"error: {error}") from None
    print(summary(values.output_dir, manifest))
    print(f"wrote {os.path.join(values.output_dir, MANIFEST_FILE)}")


if __name__ == "__main__":
    _define_flags()
    app.run(main)
