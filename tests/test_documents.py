"""Documents: links lead somewhere, and commands name modules and verbs that exist."""

import importlib.util
import re
from pathlib import Path

import pytest

from docs.run_tutorial import commands

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("models/*/README.md")])
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
MODULE = re.compile(r"python -m ((?:experiments|data_prep|benchmarks|audio_triplet)[\w.]*)")
VERB = re.compile(r"audio-triplet ([a-z]+)\b")
# The changelog names what there was before.
CURRENT = [page for page in PAGES if page.name.lower() != "changelog.md"]
VERBS = {"embed", "index", "search", "classify", "deploy", "browse", "publish"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", CURRENT, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_exist(page):
    text = page.read_text(encoding="utf-8")
    for module in set(MODULE.findall(text)):
        assert importlib.util.find_spec(module.rstrip(".")), module
    assert set(VERB.findall(text)) <= VERBS


@pytest.mark.parametrize("name, lines", [("README.md", 150), ("BUILD_NOTES.md", 250)])
def test_is_short(name, lines):
    assert len((ROOT / name).read_text(encoding="utf-8").splitlines()) <= lines


def test_tutorial_has_commands_that_run():
    found = commands((ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8"))
    assert len(found) == 7 and all(line.startswith(".venv/bin/audio-triplet ") for line in found)
