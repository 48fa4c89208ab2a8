"""The answers' file: what counts, what is taken back, several connections, other files."""

import os
import random
import sqlite3
import threading

import pytest

from audio_triplet.browse.archive import Moment
from audio_triplet.browse.labels import Answer, Labels
from audio_triplet.errors import BrowseError


def answer(number: int, label: str = "dog", value: bool | None = True, **more) -> Answer:
    return Answer(
        Moment(f"/sounds/{number}.wav", 0.96 * number, 0.96 * number + 0.975), label, value, **more
    )


def values(labels: Labels) -> dict:
    return {(one.moment, one.label): one.value for one in labels.all()}


@pytest.fixture
def labels(tmp_path):
    labels = Labels(str(tmp_path / "labels.sqlite"))
    yield labels
    labels.close()


def test_random_answers_undone_and_redone_equal_a_list(labels):
    rng = random.Random(3)
    done: list[list[Answer]] = []  # the turns that count
    undone: list[list[Answer]] = []
    for _ in range(300):
        action = rng.random()
        if action < 0.6:
            turn = [
                answer(rng.randrange(5), rng.choice("ab"), rng.choice([True, False, None]))
                for _ in range(rng.randint(1, 3))
            ]
            labels.add(turn, "anna")
            done.append(turn)
            undone = []
        elif action < 0.85:
            expected = done.pop() if done else []
            undone += [expected] if expected else []
            assert [one.label for one in labels.undo("anna")] == [one.label for one in expected]
        else:
            expected = undone.pop() if undone else []
            done += [expected] if expected else []
            assert [one.value for one in labels.redo("anna")] == [one.value for one in expected]
        expected = {}
        for turn in done:
            for one in turn:
                expected[one.moment, one.label] = one.value
        assert values(labels) == expected
    assert len(labels.history()) == sum(map(len, done))


def test_since_gives_what_has_changed(labels):
    labels.add([answer(1), answer(2)], "anna")
    version = labels.version
    assert labels.since(version) == ([], [])
    labels.add([answer(2, value=False)], "anna")
    labels.add([answer(3)], "anna")
    changed, removed = labels.since(version)
    assert [(one.moment, one.value) for one in changed] == [
        (answer(2).moment, False),
        (answer(3).moment, True),
    ]
    assert not removed
    version = labels.version
    labels.undo("anna")  # 3 has no answer any more
    labels.undo("anna")  # 2 has its first one again
    changed, removed = labels.since(version)
    assert [(one.moment, one.value) for one in changed] == [(answer(2).moment, True)]
    assert [one.moment for one in removed] == [answer(3).moment]


def test_people_take_back_their_own_answers(labels):
    labels.add([answer(1)], "anna")
    labels.add([answer(2)], "ben")
    assert [one.who for one in labels.undo("anna")] == ["anna"]
    assert labels.undo("anna") == []
    assert [one.moment for one in labels.all()] == [answer(2).moment]


def test_a_request_that_is_sent_again_is_stored_once(labels):
    first = labels.add([answer(1)], "anna", ["request 1"])
    again = labels.add([answer(1, value=False)], "anna", ["request 1"])
    assert again == first and len(labels.history()) == 1
    labels.add([answer(2), answer(1, value=False)], "anna", ["request 2", "request 1"])
    assert len(labels.history()) == 2


def test_names_and_labels_of_any_kind_survive(labels):
    odd = [
        Answer(Moment(os.fsdecode(b"/\xff\xfe.wav"), 0.1 + 0.2, 1e9), "犬 'or' \"x\" -- ü", None),
        Answer(Moment("/a\nb\t<c>.wav", 0.0, 1 / 3), "'; DROP TABLE answers", False, "é", "then"),
    ]
    labels.add(odd, "")
    found = labels.all()
    assert [one.moment for one in found] == [one.moment for one in odd]
    assert [(one.label, one.value) for one in found] == [(one.label, one.value) for one in odd]
    assert found[1] == odd[1] and found[0].when


def test_two_connections_and_many_threads_lose_nothing(labels):
    other = Labels(labels.path)
    failures = []

    def write(one: Labels, first: int) -> None:
        try:
            for number in range(first, first + 25):
                one.add([answer(number)], f"thread {first}")
        except Exception as error:
            failures.append(error)

    threads = [
        threading.Thread(target=write, args=(one, 100 * place))
        for place, one in enumerate((labels, other, labels, other))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(labels.all()) == len(other.all()) == 100
    assert labels.version == other.version == 100
    other.close()


def test_it_is_on_the_disk_and_opens_again(labels):
    (mode,) = labels._connection.execute("PRAGMA synchronous").fetchone()
    assert mode == 2  # FULL
    assert labels._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    labels.add([answer(1), answer(2, value=None)], "anna")
    labels.undo("anna")
    labels.redo("anna")
    again = Labels(labels.path)
    assert again.all() == labels.all() and len(again.all()) == 2
    again.close()


def test_other_files_are_refused_and_left_as_they_are(tmp_path):
    foreign = tmp_path / "foreign.sqlite"
    with sqlite3.connect(foreign) as connection:
        connection.execute("CREATE TABLE photos (name)")
    before = foreign.stat().st_size
    with pytest.raises(BrowseError, match="another program; name another file by --labels"):
        Labels(str(foreign))
    assert foreign.stat().st_size == before
    later = tmp_path / "later.sqlite"
    Labels(str(later)).close()
    with sqlite3.connect(later) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(BrowseError, match="is of format 99, .* install a newer"):
        Labels(str(later))
    text = tmp_path / "text.sqlite"
    text.write_text("no database, but text that is long enough to be one " * 50)
    with pytest.raises(BrowseError, match="cannot be used for labels"):
        Labels(str(text))
    with pytest.raises(BrowseError, match="cannot be used for labels"):
        Labels(str(tmp_path / "missing" / "labels.sqlite"))
