"""The rows' names and colours."""

import dataclasses
import re

from audio_triplet import constraints
from audio_triplet.config import COMBINED, CONSTRAINTS, EXPLICIT
from audio_triplet.constraints import base
from audio_triplet.evaluation import table_rows

KEYS = (*table_rows.ROWS, *table_rows.extra_rows())


def test_every_row_is_known_and_told_apart():
    rows = [table_rows.of(key) for key in KEYS]
    assert [row.key for row in rows[:7]] == ["log_mel", *CONSTRAINTS, "joint", EXPLICIT]
    assert COMBINED in [row.key for row in rows[7:]]
    for attribute in ("name", "short_name", "colour", "dark_colour", "css_class"):
        assert len({getattr(row, attribute) for row in rows}) == len(rows)
    for row in rows:
        assert row.explanation
        assert re.fullmatch("#[0-9a-f]{6}", row.colour) and re.fullmatch(
            "#[0-9a-f]{6}", row.dark_colour
        )


def test_labels_name_the_role():
    assert table_rows.of("log_mel").label == "Log mel (baseline)"
    assert table_rows.of("explicit").label == "Explicit label (topline)"
    assert table_rows.of("joint").label == "Joint"


def test_a_constraint_of_another_version_is_named_by_its_key():
    row = table_rows.of("of_the_future")
    assert (row.name, row.label, row.explanation) == ("Of the future", "Of the future", "")


def test_what_no_run_is_needed_for():
    untrained = [key for key in KEYS if not table_rows.of(key).trained]
    assert untrained == ["log_mel", "log_mel_stats", "random", "released"]
    assert not table_rows.of("log_mel").seeded and table_rows.of("random").seeded


def test_a_new_constraint_has_a_row(monkeypatch):
    @dataclasses.dataclass(frozen=True)
    class TimeReversal(constraints.Constraint):
        """A sound and the same backwards.

        It has no parameters.
        """

        name = "time_reversal"
        title = "Time reversal"

    monkeypatch.setattr(base, "_REGISTERED", dict(base._REGISTERED))
    constraints.register(TimeReversal)
    assert table_rows.extra_rows()[-1] == "time_reversal"
    row = table_rows.of("time_reversal")
    assert (row.name, row.short_name) == ("Time reversal", "time reversal")
    assert row.explanation == "A sound and the same backwards"
    assert row.trained and row.seeded and row.css_class == "k-time_reversal"
    assert row.colour not in {table_rows.of(key).colour for key in KEYS}
