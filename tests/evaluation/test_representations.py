"""The rows' names and colours."""

import re

from audio_triplet.config import COMBINED, CONSTRAINTS, EXPLICIT
from audio_triplet.evaluation import representations


def test_every_row_is_known_and_told_apart():
    rows = [representations.of(key) for key in (*representations.ROWS, *representations.EXTRA_ROWS)]
    assert [row.key for row in rows[:7]] == ["log_mel", *CONSTRAINTS, "joint", EXPLICIT]
    assert rows[-1].key == COMBINED
    for attribute in ("name", "short_name", "colour", "dark_colour", "css_class"):
        assert len({getattr(row, attribute) for row in rows}) == len(rows)
    for row in rows:
        assert row.explanation
        assert re.fullmatch("#[0-9a-f]{6}", row.colour) and re.fullmatch(
            "#[0-9a-f]{6}", row.dark_colour
        )


def test_labels_name_the_role():
    assert representations.of("log_mel").label == "Log mel (baseline)"
    assert representations.of("explicit").label == "Explicit label (topline)"
    assert representations.of("joint").label == "Joint"


def test_what_no_run_is_needed_for():
    untrained = [
        key
        for key in (*representations.ROWS, *representations.EXTRA_ROWS)
        if not representations.of(key).trained
    ]
    assert untrained == ["log_mel", "log_mel_stats", "random"]
    assert not representations.of("log_mel").seeded and representations.of("random").seeded


def test_a_new_constraint_is_named_by_its_key():
    row = representations.of("time_reversal")
    assert (row.name, row.short_name) == ("Time reversal", "time reversal")
    assert row.trained and row.css_class == "k-time_reversal"
