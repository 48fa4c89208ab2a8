"""Words and numbers of a page: the filters that templates call.

Templates escape by themselves (see `templating`); functions that return `Markup` return HTML.
"""

from __future__ import annotations

import json
import math
import unicodedata
from typing import TypeGuard

import numpy as np
from markupsafe import Markup, escape


def clean(value: str) -> str:
    """Replaces characters that no page may hold: control characters, halves of surrogate pairs.

    Halves of surrogate pairs come from file names that are not UTF-8. Each becomes U+FFFD.
    """
    return "".join(
        char if char in "\n\t" or unicodedata.category(char) not in ("Cc", "Cs") else "\ufffd"
        for char in value
    )


def text(value: object) -> Markup:
    """Any value as HTML text that is safe in an element and in a quoted attribute."""
    return escape(clean(str(value)))


def spaced(label: object) -> str:
    """A label with spaces for underscores, so that a line can break there."""
    return str(label).replace("_", " ")


def name(label: object) -> Markup:
    """A label or file name as HTML, isolated from the writing direction of the text around it."""
    return Markup("<bdi>{}</bdi>").format(text(spaced(label)))


def number(value: object, digits: int = 3) -> str:
    """A figure, or a dash where there is none (None, NaN, infinite)."""
    return f"{value:.{digits}f}" if is_number(value) else "–"


def percent(value: object) -> str:
    """A share as a percentage, or a dash; the space does not break."""
    return f"{100 * value:.0f}\u202f%" if is_number(value) else "–"


def is_number(value: object) -> TypeGuard[float]:
    """Whether this is a finite figure (and neither None nor a word)."""
    return isinstance(value, (int, float, np.number)) and math.isfinite(value)


def json_block(identifier: str, value: object) -> Markup:
    """Data for the page's scripts, as a `<script type="application/json">`.

    No `<` is left in it, so that no label can end the block.

    Args:
      identifier: Id of the element.
      value: What JSON can hold; NaN is an error.

    Returns:
      HTML.

    Raises:
      ValueError: A number is not finite.
    """
    content = json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return Markup('<script type="application/json" id="{}">{}</script>').format(
        identifier, Markup(content)
    )
