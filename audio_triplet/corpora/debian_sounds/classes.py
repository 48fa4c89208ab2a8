"""The packages of debian-sounds, and the class and source of each of their files.

Four tables are in this folder. All but `copies.csv` were made by reading the packages' file lists
(Debian 12). Patterns are regular expressions, searched for in paths as they are in the package,
without `usr/share/`.

`classes.csv` (package, pattern, class, kind, comment): for each package the rows are tried from the
top; the first whose pattern occurs in the path, case ignored, gives the file its class and its
kind. An empty class leaves a file unlabelled, where its name does not say what it is; it still
serves for training. Kinds: effect, ambience (long, scenes), music, speech. Cries and animal calls
are effects. For packages without rows the kind is guessed (`guess_kind`).

`same_source.csv` (package, pattern, source): files of one source whose names do not say so, and of
several sources whose names look like takes of one. The source may refer to groups of the pattern.
Found by comparing log mel statistics of all files between sources: louder or re-encoded copies.

`copies.csv` (file, copy): re-encoded copies of one recording, mostly of several games, as
`experiments.shared_recordings` found them among effects and ambiences, from a correlation of 0.45
on. In each pair at least one file is of "widest" or "packed": "wide" stays the corpus that it was.

`words.csv` (words, pattern): what files can be asked for by, besides their class. A file of an
effect or an ambience whose path fits a pattern has its words, joined by ";".
"""

import csv
import dataclasses
import fnmatch
import functools
import importlib.resources
import re
from collections.abc import Mapping

# The sets of `--packages`: 0.6, 2.9, 4.6 and 9.0 GB to download. A "*" stands for a version that is
# part of the package's name.
_SMALL = (
    "sonic-pi-samples",
    "lincity-ng-data",
    "hydrogen-drumkits",
    "wesnoth-1.*-data",
    "megaglest-data",
)
_ALL = (
    *_SMALL,
    "tuxpaint-stamps-default",
    "hydrogen-drumkits-effects",
    "widelands-data",
    "ktuberling-data",
    "wesnoth-1.*-music",
    "0ad-data",
)
# More kinds of sound to learn from without labels: typing, engines, rooms, footsteps, alerts.
_WIDE = (
    *_ALL,
    "boswars-data",
    "bucklespring-data",
    "foobillardplus-data",
    "freedroidrpg-data",
    "lmms-common",
    "lugaru-data",
    "minetest-data",
    "oxygen-sounds",
    "supertuxkart-data",
    "torcs-data",
    "unknown-horizons",
)
# More of them, from games whose packages also hold much music and some speech. Left out: packages
# of music alone (warzone2100-music), and impulse responses of loudspeakers (guitarix-common).
_WIDEST = (
    *_WIDE,
    "alienblaster-data",
    "ardentryst",
    "bomberclone-data",
    "brainparty-data",
    "briquolo-data",
    "btanks-data",
    "bzflag-data",
    "caveexpress-data",
    "ceferino-data",
    "chromium-bsu-data",
    "colobot-common-sounds",
    "csmash-data",
    "cube2-data",
    "deepin-sound-theme",
    "eiskaltdcpp-sounds",
    "endless-sky-data",
    "enigma-data",
    "etw-data",
    "extremetuxracer-data",
    "fillets-ng-data",
    "flare-game",
    "flightgear-data-base",
    "freedink-data",
    "freeorion-data",
    "freetennis-common",
    "frozen-bubble-data",
    "gamine-data",
    "gigalomania-data",
    "gnujump-data",
    "hedgewars-data",
    "heroes-sound-effects",
    "hydrogen-data",
    "hyperrogue-music",
    "klettres-data",
    "krank",
    "lbreakout2-data",
    "lomiri-sounds",
    "marsshooter-data",
    "meritous-data",
    "micropolis-data",
    "moon-lander-data",
    "naev-data",
    "netpanzer-data",
    "neverball-common",
    "njam-data",
    "opencity-data",
    "overgod-data",
    "pachi-data",
    "pekka-kana-2-data",
    "phlipple-data",
    "planetblupi-common",
    "plee-the-bear-data",
    "psi-plus-sounds",
    "redeclipse-data",
    "ri-li-data",
    "scorched3d-data",
    "scratch",
    "sdl-ball-data",
    "searchandrescue-data",
    "sound-icons",
    "sound-theme-freedesktop",
    "starfighter-data",
    "supertux-data",
    "tecnoballz-data",
    "triplea",
    "tuxmath-data",
    "tuxtype-data",
    "warmux-data",
    "wordwarvi-sound",
    "zaz-data",
)
# Games whose sounds lie in archives: 0.8 GB to download, effects and speech.
_PACKED = (
    "gcompris-qt-data",
    "mrrescue",
    "nexuiz-data",
    "openarena-081-players",
    "openarena-088-data",
    "openarena-data",
    "openclonk-data",
    "openttd-opensfx",
    "ufoai-sound",
    "warzone2100-data",
)
PACKAGE_SETS = {
    "small": _SMALL,
    "all": _ALL,
    "wide": _WIDE,
    "widest": _WIDEST,
    "packed": _PACKED,
}

# What `guess_kind` goes by. Longer files without a telling path are music more often than not.
LONG_SECONDS = 30.0
_LANGUAGES = (
    "ar|bg|ca|cs|da|de|el|en|eo|es|et|eu|fi|fr|ga|gl|he|hu|it|ja|ko|lt|lv|nb|nl|nn|pl|pt|ro|ru|sk|"
    "sl|sr|sv|tr|uk|vi|zh"
)
_KIND_WORDS = tuple(
    (re.compile(pattern, re.IGNORECASE), kind)
    for pattern, kind in (
        (
            r"music|soundtrack|jingle|anthem|loops/|"
            r"(^|[/_ .-])(bgm|ost|songs?|tunes?|themes?|tracks?|credits|ringtones?)[/_ .\d-]",
            "music",
        ),
        (
            rf"voice|speech|speak|vocal|announce|narrat|/({_LANGUAGES})(_[a-z]{{2}})?/|"
            r"(^|[/_ .-])(vox|voi|say|tutorial|taunts?|alphabet|syllab\w*|dialog\w*)[/_ .\d]",
            "speech",
        ),
        (
            r"ambien|atmo|weather|environment/.*_loop|(^|[/_ .-])"
            r"(amb|rain|winds?|storm|waves|river|forest|crowd|crickets|waterfall|waterdrip)"
            r"([_ -]?loop)?[/_ .\d-]",
            "ambience",
        ),
    )
)


@dataclasses.dataclass(frozen=True)
class ClassRule:
    """A row of classes.csv.

    Attributes:
      pattern: Regular expression for the paths that it applies to.
      label: Their class; "" for none.
      kind: effect, ambience, music or speech.
    """

    pattern: re.Pattern[str]
    label: str
    kind: str


@dataclasses.dataclass(frozen=True)
class SourceRule:
    """A row of same_source.csv.

    Attributes:
      package: The package it applies to.
      pattern: Regular expression for the paths that it applies to.
      source: The name of their source, which may refer to the pattern's groups.
    """

    package: str
    pattern: re.Pattern[str]
    source: str


def classify(package: str, path: str, seconds: float = 0.0) -> tuple[str, str]:
    """The class and kind of a file.

    Args:
      package: Name of its package.
      path: Its path in the package, without `usr/share/`.
      seconds: Its length; it matters for packages without rules only.

    Returns:
      (class or "", kind). Where none of a package's rules applies ("", "effect"); of a package
      without rules ("", what `guess_kind` says).
    """
    rules = _rules_of(package)
    if rules is None:
        return "", guess_kind(path, seconds)
    for rule in rules:
        if rule.pattern.search(path):
            return rule.label, rule.kind
    return "", "effect"


def has_rules(package: str) -> bool:
    """Whether `classes.csv` has rows for a package; if not, the kinds of its files are guesses."""
    return _rules_of(package) is not None


def guess_kind(path: str, seconds: float) -> str:
    """The kind of a file of a package that nobody has looked through.

    It is there for the caps on music and speech [D]: of the packages with rules it finds 99 % of
    the hours of music, and takes 2 % of the effects for speech. What it misses is speech in files
    that are called after what they say.

    Args:
      path: Its path in the package.
      seconds: Its length.

    Returns:
      music, speech or ambience by words in the path; music, if longer than LONG_SECONDS; else
      effect.
    """
    for pattern, kind in _KIND_WORDS:
        if pattern.search(path):
            return kind
    return "music" if seconds > LONG_SECONDS else "effect"


def known_source(package: str, path: str) -> str | None:
    """The source of a file by `same_source.csv`; None where its name tells its source."""
    for rule in source_rules():
        match = rule.pattern.search(path) if rule.package == package else None
        if match:
            return match.expand(rule.source)
    return None


def words_of(path: str, labels: str, kind: str) -> list[str]:
    """The words that a file can be asked for by.

    Args:
      path: Package and path in it, joined by a slash.
      labels: Its classes, joined by ";".
      kind: Its kind.

    Returns:
      Its classes, with spaces, and of effects and ambiences what `words.csv` says.
    """
    words = [label.replace("_", " ") for label in labels.split(";") if label]
    if kind in ("effect", "ambience"):
        for pattern, more in _word_rules():
            if pattern.search(path):
                words += more
    return list(dict.fromkeys(words))


def _rules_of(package: str) -> tuple[ClassRule, ...] | None:
    """The rules of the first row whose package, or pattern of packages, is this one."""
    for name, rules in class_rules().items():
        if fnmatch.fnmatchcase(package, name):
            return rules
    return None


@functools.cache
def class_rules() -> Mapping[str, tuple[ClassRule, ...]]:
    """Package (or a pattern of packages, as in PACKAGE_SETS) → its rules, in the table's order."""
    rules: dict[str, tuple[ClassRule, ...]] = {}
    for row in _read_table("classes.csv"):
        rule = ClassRule(re.compile(row["pattern"], re.IGNORECASE), row["class"], row["kind"])
        rules[row["package"]] = (*rules.get(row["package"], ()), rule)
    return rules


@functools.cache
def source_rules() -> tuple[SourceRule, ...]:
    """The rules of same_source.csv, in the table's order."""
    return tuple(
        SourceRule(row["package"], re.compile(row["pattern"]), row["source"])
        for row in _read_table("same_source.csv")
    )


@functools.cache
def known_copies() -> tuple[tuple[str, str], ...]:
    """The pairs of copies.csv; each file as package and path in it, joined by a slash."""
    return tuple((row["file"], row["copy"]) for row in _read_table("copies.csv"))


@functools.cache
def _word_rules() -> tuple[tuple[re.Pattern[str], tuple[str, ...]], ...]:
    return tuple(
        (re.compile(row["pattern"], re.IGNORECASE), tuple(row["words"].split(";")))
        for row in _read_table("words.csv")
    )


def _read_table(name: str) -> list[dict[str, str]]:
    table = importlib.resources.files(__package__) / name
    return list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
