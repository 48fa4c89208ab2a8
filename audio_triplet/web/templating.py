"""Templates and static files of the pages, as the package holds them.

Every value that a template shows is cleaned (`formatting.clean`) and escaped, unless it is `Markup`
already: a label from a corpus can neither end a tag nor break the file's encoding.
"""

from __future__ import annotations

import functools
import importlib.resources

import jinja2
from markupsafe import Markup

from audio_triplet.web import formatting


def _cleaned(value: object) -> object:
    return value if hasattr(value, "__html__") else formatting.clean(str(value))


@functools.cache
def environment() -> jinja2.Environment:
    """The templates' environment: strict about missing values, escaping everywhere."""
    found = jinja2.Environment(
        loader=jinja2.PackageLoader("audio_triplet.web"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_cleaned,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    found.filters |= {
        "name": formatting.name,
        "number": formatting.number,
        "percent": formatting.percent,
        "spaced": formatting.spaced,
    }
    found.globals |= {
        "is_number": formatting.is_number,
        "json_block": formatting.json_block,
        "static": static,
    }
    return found


@functools.cache
def static(name: str) -> Markup:
    """The text of a style sheet or script, to be put into a page.

    Args:
      name: A file of `audio_triplet/web/static`.
    """
    folder = importlib.resources.files("audio_triplet.web") / "static"
    return Markup((folder / name).read_text(encoding="utf-8"))


def macro(file: str, name: str, *arguments: object) -> Markup:
    """The output of a single macro, for code that needs only a part of a page.

    Args:
      file: The template that defines it.
      name: The macro's name.
      *arguments: Its arguments.

    Returns:
      HTML.
    """
    return getattr(environment().get_template(file).module, name)(*arguments)
