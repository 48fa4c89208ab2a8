"""What an index holds, by meaning: without the numbers that its tables give to things."""

import dataclasses
import datetime

import numpy as np

from audio_triplet.search import database
from audio_triplet.search.index import Index
from audio_triplet.search.index_format import Part


@dataclasses.dataclass(frozen=True, eq=False)
class Held:
    """All that an index has of a segment.

    Attributes:
      names: Its recording and its labels.
      stamp: Of its file.
      clock: When its file began, as the file has it; and as the segment has it, with its first and
        its last vector.
      vectors: Its vectors; none if it is silent.
      spans: Their times.
      outline: Whether it was compared, and the outline; None: it has none.
    """

    names: tuple[str, str]
    stamp: tuple[int, int]
    clock: tuple
    vectors: np.ndarray
    spans: np.ndarray
    outline: tuple | None


def content(folder):
    """(path, start, end) → what an index has of that segment; owners and gaps are checked."""
    found = Index(str(folder))
    parts = {part.id: Part(str(folder), part, found.info.dim) for part in found.info.parts}
    free = {number: part.info.counting() for number, part in parts.items()}
    connection, held = database.connect(str(folder)), {}
    longest = connection.execute("SELECT max(clock_last - clock_first) FROM segments").fetchone()[0]
    for number, key, path, start, end, part, first, count, *rest in connection.execute(
        "SELECT s.id, s.key, o.path || f.name, s.start_seconds, s.end_seconds, part, first, count, "
        "f.size, f.mtime_ns, r.key, r.name, l.text, f.recorded_at, clock, clock_first, clock_last, "
        "compared, descriptor, start, length, levels "
        "FROM segments s JOIN files f ON f.id = s.file JOIN folders o ON o.id = f.folder "
        "JOIN recordings r ON r.id = s.recording JOIN labels l ON l.id = s.labels "
        "LEFT JOIN outlines u ON u.segment = s.id WHERE count IS NOT NULL"
    ):
        assert key == database.segment_key(path, start, np.nan if end is None else end)
        size, changed, recording_key, recording, labels, *clocks = rest[:9]
        assert recording_key == database.key_of(recording)
        vectors, spans = np.zeros((0, found.info.dim)), np.zeros(0)
        if count:
            place = slice(first, first + count)
            assert set(parts[part].owners[place].tolist()) == {number}
            assert free[part][place].all()  # of no other segment, and not gone
            free[part][place] = False
            vectors = np.array(parts[part].vectors[place])
            spans = np.array(parts[part].spans[place])
        else:
            assert part is None and first is None
        if clocks[0] and count:
            assert datetime.datetime.fromisoformat(clocks[0])
        outline = None if rest[9] is None else tuple(rest[9:])
        held[path, start, end] = Held(
            (recording, labels), (size, changed), tuple(clocks), vectors, spans, outline
        )
    assert not any(left.any() for left in free.values())  # what is nobody's is gone
    orphans = "SELECT count(*) FROM outlines WHERE segment NOT IN (SELECT id FROM segments)"
    assert connection.execute(orphans).fetchone() == (0,)
    stored = connection.execute("SELECT value FROM about WHERE name = 'longest'").fetchone()
    assert (longest or 0) <= (stored or (0,))[0]
    connection.close()
    return held


def assert_same(one, other):
    """Checks that two contents are the same."""
    assert one.keys() == other.keys()
    for key, held in one.items():
        assert_same_segment(held, other[key])


def assert_same_segment(one, other):
    """Checks that all that is held of two segments is the same."""
    np.testing.assert_array_equal(one.vectors, other.vectors)
    np.testing.assert_array_equal(one.spans, other.spans)
    for name in ("names", "stamp", "clock", "outline"):
        assert getattr(one, name) == getattr(other, name)
