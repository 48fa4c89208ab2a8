"""Text and numbers of a page, escaped."""

from __future__ import annotations

import html
import json
import math
import unicodedata

import numpy as np


def text(value) -> str:
    """Any value as HTML text that is safe in an element and in a quoted attribute.

    Control characters and halves of surrogate pairs (a file name that is not UTF-8) become U+FFFD.
    """
    return html.escape(clean(str(value)), quote=True)


def clean(value: str) -> str:
    """Replaces what no page may hold: control characters and halves of surrogate pairs."""
    return "".join(
        char if char in "\n\t" or unicodedata.category(char) not in ("Cc", "Cs") else "\ufffd"
        for char in value
    )


def name(value) -> str:
    """A label or file name as HTML, apart from the text around it in writing direction too.

    Underscores become spaces, so that a line can break there.
    """
    return f"<bdi>{text(value).replace('_', ' ')}</bdi>"


def number(value, digits: int = 3) -> str:
    """A figure, or a dash where there is none (None, NaN, infinite)."""
    return f"{value:.{digits}f}" if is_number(value) else "–"


def percent(value) -> str:
    """A share as a percentage, or a dash; the space does not break."""
    return f"{100 * value:.0f}\u202f%" if is_number(value) else "–"


def is_number(value) -> bool:
    """Whether this is a finite figure (and neither None nor a word)."""
    return isinstance(value, (int, float, np.number)) and math.isfinite(value)


def json_block(identifier: str, value) -> str:
    """Data for the page's scripts. No `<` is left in it, so that no label can end the block."""
    content = json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return f'<script type="application/json" id="{identifier}">{content}</script>'
