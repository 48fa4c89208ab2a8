"""Text and numbers of pages; what templates do to text from outside."""

import math

import jinja2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio_triplet.web import formatting, templating
from tests.web.page_checks import HOSTILE, Page


def test_text_is_safe_in_an_element_and_in_an_attribute():
    page = Page(f'<p title="{formatting.text(HOSTILE)}">{formatting.text(HOSTILE)}</p>')
    assert page.all("p") == [{"title": HOSTILE}] and page.text == [HOSTILE]
    assert formatting.text("a\x00b\x1bc\ud800d\ne") == "a\ufffdb\ufffdc\ufffdd\ne"
    formatting.text("\udcff" * 3).encode("utf-8")  # a file name that is not UTF-8


@given(st.text(), st.text())
def test_any_string_survives_a_json_block(key, value):
    block = formatting.json_block("b", {"x" + key: [value, 1.5, None]})
    page = Page(block)
    assert len(page.elements) == 1 and page.json("b") == {"x" + key: [value, 1.5, None]}


def test_json_refuses_what_json_has_not():
    with pytest.raises(ValueError):
        formatting.json_block("b", [math.nan])


@pytest.mark.parametrize("value", [None, math.nan, math.inf, "0.5"])
def test_missing_figures_are_dashes(value):
    assert formatting.number(value) == formatting.percent(value) == "–"


def test_figures():
    assert formatting.number(0.12345) == "0.123" and formatting.number(np.float32(2), 1) == "2.0"
    assert formatting.percent(0.408) == "41\u202f%"


def test_templates_escape_and_clean_whatever_they_show():
    source = '<p title="{{ value }}">{{ value }}{{ value|name }}</p>'
    shown = templating.environment().from_string(source).render(value=HOSTILE + "\udcff\x00")
    page = Page(shown)
    assert page.all("p") == [{"title": HOSTILE + "\ufffd\ufffd"}] and not page.all("b")
    assert "".join(page.text) == 2 * (HOSTILE + "\ufffd\ufffd")
    with pytest.raises(jinja2.UndefinedError):
        templating.environment().from_string("{{ missing }}").render()
