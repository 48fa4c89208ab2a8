"""The browser that pages are tested in."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest


@contextlib.contextmanager
def launched(*arguments: str) -> Iterator[Any]:
    """A running Chromium, Playwright's own or the system's; a test without one is skipped.

    Args:
      *arguments: More of its command line.
    """
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        own = playwright.chromium.executable_path
        chromium = own if os.path.exists(own) else shutil.which("chromium")
        if chromium is None:
            pytest.skip("there is no Chromium: playwright install chromium, or the system's")
        running = playwright.chromium.launch(
            executable_path=chromium,
            # As root, as in a container, Chromium has no sandbox.
            args=["--no-sandbox", "--autoplay-policy=no-user-gesture-required", *arguments],
        )
        yield running
        running.close()
