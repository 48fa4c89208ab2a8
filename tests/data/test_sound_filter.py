import datetime

import pytest

from audio_triplet.data.sound_filter import SoundFilter
from audio_triplet.errors import UsageError


def at(text):
    return datetime.datetime.fromisoformat(text)


def test_times():
    june = SoundFilter.of("2024-06-12", "2024-06-13T05:30")
    assert june and june.needs_clock
    for text, taken in (
        ("2024-06-11T23:59:59", False),
        ("2024-06-12T00:00:00", True),
        ("2024-06-13T05:29:59+10:00", True),  # as the recorder's clock showed it
        ("2024-06-13T05:30:00", False),
    ):
        assert june.takes_time(at(text)) == taken
    assert not june.takes_time(None)
    assert not SoundFilter() and SoundFilter().takes_time(None)


@pytest.mark.parametrize(
    ("hours", "inside"),
    [(["4-7"], {4, 5, 6}), (["22-4"], {22, 23, 0, 1, 2, 3}), (["4-5", "23-24"], {4, 23})],
)
def test_hours(hours, inside):
    wanted = SoundFilter.of(hours=hours)
    for hour in range(24):
        for minute in (0, 59):
            moment = datetime.datetime(2024, 1, 1, hour, minute)
            assert wanted.takes_time(moment) == (hour in inside)
    half = SoundFilter.of(hours=["4:30-7"])
    assert not half.takes_time(at("2024-01-01T04:29")) and half.takes_time(at("2024-01-01T04:30"))


def test_paths():
    wanted = SoundFilter.of(paths=["SITE1/*", "/b/*.wav"])
    assert wanted and not wanted.needs_clock
    for path, taken in (
        ("/archive/SITE1/2024/a.wav", True),
        ("/archive/SITE10/a.wav", False),
        ("/archive/xSITE1/a.wav", False),
        ("/archive/site1/a.wav", False),
        ("/b/c/d.wav", True),
        ("/a/b/d.wav", False),
    ):
        assert wanted.takes_path(path) == taken


def test_a_sound_of_which_some_is_wanted():
    begin = at("2024-06-12T03:20:30")
    filters = [
        SoundFilter.of(hours=["4-7"]),
        SoundFilter.of(hours=["22-3", "12:10-12:15"]),
        SoundFilter.of(after="2024-06-12T12:12", hours=["4-7", "12-13"]),
        SoundFilter.of(before="2024-06-12T04:00:01", hours=["4-7"]),
        SoundFilter.of(before="2024-06-12T04:00", hours=["4-7"]),
        SoundFilter.of(after="2024-06-13"),
    ]
    for only in filters:
        taken = False  # by brute force, second by second
        for seconds in range(1, 30 * 3600):
            taken |= only.takes_time(begin + datetime.timedelta(seconds=seconds - 1))
            if seconds % 60 in (1, 29, 30, 31, 32):
                assert only.takes_some_of(begin, seconds) == taken, (only, seconds)
    assert not filters[0].takes_some_of(None, 1e6) and SoundFilter().takes_some_of(None, 1)


def test_what_cannot_be_read_is_said():
    for arguments in (
        {"after": "June"}, {"before": "2024-13-01"}, {"after": "2024-06-12T05:30Z"},
        {"after": "2024-06-12", "before": "2024-06-12"}, {"hours": ["4"]}, {"hours": ["25-26"]},
        {"hours": ["4-4"]}, {"hours": ["4:70-5"]},
    ):  # fmt: skip
        with pytest.raises(UsageError, match=r"^--(after|before|hours)="):
            SoundFilter.of(**arguments)
