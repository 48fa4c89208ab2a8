"""The licence of each file, from its package's copyright file."""

import fnmatch
import os
import re
from collections.abc import Sequence


def parse_copyright(text: str) -> list[tuple[tuple[str, ...], str]]:
    """The stanzas of a machine-readable copyright file.

    Debian's copyright-format 1.0: stanzas separated by empty lines; `Files:` lists patterns
    separated by blanks, `License:` begins with the short name. The last stanza that matches a
    file holds.

    Args:
      text: The file's content.

    Returns:
      (path patterns, licence short name) of each stanza; [] for other texts.
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

    Args:
      path: The file's path in the package, without `usr/share/`.
      stanzas: As `parse_copyright` returns them.

    Returns:
      The short name of its licence.
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
        # A part that is only a wildcard does not tell the file's folder.
        if begin and not parts[begin].strip("*?"):
            continue
        tail = "/".join(parts[begin:])
        if fnmatch.fnmatchcase(path, tail) or fnmatch.fnmatchcase(path, "*/" + tail):
            return True
    return False


def read_copyright(unpacked: str, name: str) -> str:
    """The text of a package's copyright file; "" if there is none."""
    path = os.path.join(unpacked, "usr", "share", "doc", name, "copyright")
    # It may be a link to another package's file, which is missing.
    if os.path.islink(path) or not os.path.isfile(path):
        return ""
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()
