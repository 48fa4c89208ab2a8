"""The tables of an index: earlier versions, changes under a reader, filters, names, full disks."""

import dataclasses
import errno
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile

import numpy as np
import pytest

from audio_triplet import locks, storage
from audio_triplet.data.sound_filter import SoundFilter
from audio_triplet.errors import LockedError, SearchError
from audio_triplet.search import database, earlier_format, index, index_writer
from audio_triplet.search.tables import exists, read_info
from tests.search import earlier_index
from tests.search.test_index import MODEL, Killed, brute_force, build, embeddings, same

QUERY = np.random.default_rng(5).normal(size=8)


def snapshot(folder):
    """Every file's content."""
    found = {}
    for current, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(current, name)
            with open(path, "rb") as file:
                found[os.path.relpath(path, folder)] = file.read()
    return found


def is_whole(folder):
    """Every counting vector belongs to a segment that says it has it, and the other way round."""
    with sqlite3.connect(os.path.join(folder, "index.sqlite")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        rows = connection.execute(
            "SELECT id, part, first, count FROM segments WHERE count > 0"
        ).fetchall()
        parts = {name: number for number, name in connection.execute("SELECT id, name FROM parts")}
    opened = index.Index(folder)
    assert len(opened) == sum(row[3] for row in rows)
    of_part = {number: [] for number in parts.values()}
    for part, name in {number: name for name, number in parts.items()}.items():
        owners = np.load(os.path.join(folder, name, "owners.npy"))
        claimed = np.zeros(len(owners), int)
        for segment, its_part, first, count in rows:
            if its_part == part:
                claimed[first : first + count] += 1
                assert (owners[first : first + count] == segment).all()
        of_part[part] = claimed
    claimed = [of_part[part.id] for part in opened.info.parts]
    np.testing.assert_array_equal(np.concatenate([*claimed, []]), opened.mask())
    return opened


# --- earlier versions ----------------------------------------------------------------------------


def earlier(folder):
    """An index as 0.1.0 left it, two of whose segments are dropped; and what it holds."""
    first, changed = embeddings(0, 3, 4), embeddings(1, 3, 2, stamp=7).select(np.arange(3) < 2)
    times = {"/sounds/f1.wav": "2024-06-12T05:30:00"}
    earlier_index.write(folder, first, changed, dropped=(0, 1), clock_times=times)
    return [changed, first.select(np.arange(3) == 2)]


def test_an_earlier_index_is_converted_when_it_is_opened(tmp_path):
    held = earlier(tmp_path)
    before = snapshot(tmp_path)
    found = index.Index(str(tmp_path))
    assert (len(found), found.segments, found.files) == (8, 3, 3)
    same(found.search(QUERY, 99), brute_force(held, QUERY))
    assert {hit.path: hit.clock_time for hit in found.search(QUERY, 99)}["/sounds/f1.wav"][:13] == (
        "2024-06-12T05"
    )
    is_whole(str(tmp_path))
    after = snapshot(tmp_path)
    assert not [name for name in after if name.endswith(("names.jsonl", "segments.npy"))]
    for name in after:
        if name.endswith(("vectors.npy", "spans.npy")):
            assert after[name] == before[name]
    # It goes on: nothing is added twice, and what changed is replaced.
    again = embeddings(3, 1, 3, stamp=9)
    found = build(tmp_path, *held, again)
    same(found.search(QUERY, 99), brute_force([again, held[0].select(np.arange(2) == 1), held[1]],
                                              QUERY))  # fmt: skip


def test_an_earlier_index_that_cannot_be_written_is_read(tmp_path, monkeypatch):
    held = earlier(tmp_path)
    before = snapshot(tmp_path)

    def refuses(folder):
        raise PermissionError(errno.EROFS, "read-only", folder)

    monkeypatch.setattr(earlier_format, "convert", refuses)
    found = index.Index(str(tmp_path))
    same(found.search(QUERY, 99), brute_force(held, QUERY))
    assert found.recordings_of("/sounds/f1.wav") and found.vectors_of_recording(1)[0].shape[1] == 8
    assert snapshot(tmp_path) == before


def test_an_earlier_index_that_is_being_written_is_read(tmp_path):
    earlier(tmp_path)
    code = (
        "import sys; from audio_triplet.search.index import Index\nprint(len(Index(sys.argv[1])))\n"
    )
    with locks.exclusive(str(tmp_path)):
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
        )
    assert done.stdout == "8\n" and not (tmp_path / "index.sqlite").exists()


@pytest.mark.parametrize("call", range(21))
def test_a_kill_at_any_step_of_a_conversion_loses_nothing(tmp_path, monkeypatch, call):
    held = earlier(tmp_path)
    count = 0

    def dying(real):
        def step(path, *arguments):
            nonlocal count
            if os.path.basename(str(path)) != locks.LOCK_FILE:  # which goes with its holder
                count += 1
                if count == call + 1:
                    raise Killed
            return real(path, *arguments)

        return step

    for name in ("replace", "unlink", "fsync"):
        monkeypatch.setattr(os, name, dying(getattr(os, name)))
    killed = False
    try:
        earlier_format.convert(str(tmp_path))
    except Killed:
        killed = True
    monkeypatch.undo()
    assert killed == (count > call)
    same(index.Index(str(tmp_path)).search(QUERY, 99), brute_force(held, QUERY))
    found = build(tmp_path, *held)
    same(found.search(QUERY, 99), brute_force(held, QUERY))
    is_whole(str(tmp_path))
    assert {name for name in os.listdir(tmp_path) if not name.startswith("likeness-")} == {
        *("index.json", "index.sqlite"),
        *(part.name for part in found.info.parts),
    }


@pytest.mark.parametrize("content", ["", "{", "[]", '{"version": 1}', '{"version": 9}'])
def test_a_damaged_earlier_index_is_named(tmp_path, content):
    earlier(tmp_path)
    (tmp_path / "index.json").write_text(content)
    before = snapshot(tmp_path)
    for opening in (index.Index, lambda folder: index_writer.Writer(folder, **MODEL)):
        with pytest.raises(SearchError, match=r"index\.json: is damaged|format 9"):
            opening(str(tmp_path))
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("name", ["segments.npy", "names.jsonl", "spans.npy"])
def test_damage_in_a_part_of_an_earlier_index_is_named(tmp_path, name):
    earlier(tmp_path)
    path = tmp_path / "part-000000000001" / name
    path.write_bytes(path.read_bytes()[:90])
    with pytest.raises(SearchError, match="part-000000000001: is damaged"):
        index.Index(str(tmp_path))
    assert not (tmp_path / "index.sqlite").exists()


def test_earlier_versions_are_told_that_the_index_is_not_theirs(tmp_path):
    build(tmp_path, embeddings(0))
    # What 0.1.0 reads first; it refuses a version that is not 1.
    assert storage.read_json(str(tmp_path / "index.json"))["version"] == 2
    (tmp_path / "index.json").unlink()  # a kill just after the tables got their name
    build(tmp_path)
    assert storage.read_json(str(tmp_path / "index.json"))["version"] == 2


# --- readers and a writer ------------------------------------------------------------------------


def test_a_reader_keeps_what_it_opened(tmp_path):
    first, second = embeddings(0, 3, 4, "a"), embeddings(1, 3, 4, "b")
    old = build(tmp_path, first, second)
    own = old.recordings_of("/sounds/a1.wav")
    (number,) = own
    vectors = old.vectors_of_recording(number)[0].copy()
    # All that it opened is replaced and merged.
    build(tmp_path, embeddings(2, 3, 2, "a", stamp=1), embeddings(3, 1, 1, "c"))
    same(old.search(QUERY, 99), brute_force([first, second], QUERY))
    same(old.search(QUERY, 99, without=own), brute_force([first, second], QUERY, "/sounds/a1.wav"))
    np.testing.assert_array_equal(old.vectors_of_recording(number)[0], vectors)
    hits = old.search(QUERY, 99, only=SoundFilter.of(paths=["a*"]))
    same(hits, brute_force([first], QUERY))


def test_a_segment_without_vectors_may_get_some_and_lose_them(tmp_path):
    silent = embeddings(0, 1, 3, energy=0.0)
    for stamp, expected in ((0, 0), (1, 3), (2, 0), (3, 2)):
        sets = embeddings(stamp, 1, expected or 3, energy=float(expected > 0), stamp=stamp)
        found = build(tmp_path, sets if stamp else silent)
        assert (len(found), found.segments, found.files) == (expected, 1, 1)
        is_whole(str(tmp_path))


def test_a_file_that_changes_while_it_waits_is_there_once(tmp_path):
    with index_writer.Writer(str(tmp_path), **MODEL) as writer:
        writer.add(embeddings(0, 2, 4))
        writer.add(embeddings(1, 2, 3, stamp=1))
    found = is_whole(str(tmp_path))
    same(found.search(QUERY, 99), brute_force([embeddings(1, 2, 3, stamp=1)], QUERY))


def test_two_ways_to_write_a_path_are_one_segment(tmp_path):
    one = embeddings(0, 2, 3)
    paths = ["/sounds/x.wav", "/sounds/../sounds/x.wav"]
    frame = one.manifest.frame.assign(path=paths)
    twice = dataclasses.replace(one, manifest=dataclasses.replace(one.manifest, frame=frame))
    assert len(build(tmp_path, twice)) == 3


@pytest.mark.slow
def test_two_readers_and_a_writer_that_is_killed(tmp_path):
    """The writer dies at random moments; readers read all the while; nothing is lost or doubled."""
    writing = (
        "import sys\n"
        "from tests.search.test_index import MODEL, embeddings, index_writer\n"
        "with index_writer.Writer(sys.argv[1], **MODEL) as writer:\n"
        "    for number in range(40):\n"
        "        writer.add(embeddings(number, 3, 4, f's{number}', stamp=int(sys.argv[2])))\n"
        "        writer.commit()\n"
        "        if number % 7 == 0:\n"
        "            writer.merge()\n"
        "        print(number, flush=True)\n"
    )
    reading = (
        "import sys, time, numpy as np\n"
        "from audio_triplet.search.index import Index\n"
        "while True:\n"
        "    found = Index(sys.argv[1])\n"
        "    hits = found.search(np.ones(8), 500)\n"
        "    assert len(hits) == len(found) and len({(h.path, h.start_seconds) for h in hits}) "
        "== len(hits)\n"
        "    time.sleep(0.02)\n"
    )
    folder = str(tmp_path / "index")
    build(folder, embeddings(99, 1, 1, "first"))
    readers = [
        subprocess.Popen([sys.executable, "-c", reading, folder], stdout=subprocess.DEVNULL)
        for _ in range(2)
    ]
    rng = np.random.default_rng(0)
    try:
        for _ in range(3):
            writer = subprocess.Popen(
                [sys.executable, "-c", writing, folder, "0"], stdout=subprocess.PIPE, text=True
            )
            last = -1
            for _ in range(int(rng.integers(2, 20))):
                line = writer.stdout.readline()
                last = int(line) if line else last
            writer.send_signal(signal.SIGKILL)
            writer.wait()
            paths = {hit.path for hit in index.Index(folder).search(QUERY, 999)}
            for number in range(last + 1):
                assert f"/sounds/s{number}0.wav" in paths
        assert all(reader.poll() is None for reader in readers)
    finally:
        for reader in readers:
            reader.kill()
            reader.wait()
    sets = [embeddings(number, 3, 4, f"s{number}") for number in range(40)]
    build(folder, *sets)
    found = is_whole(folder)
    same(found.search(QUERY, 999), brute_force([*sets, embeddings(99, 1, 1, "first")], QUERY))


@pytest.mark.slow
def test_a_full_disk_is_named_and_nothing_is_lost(tmp_path):
    """The largest file that the process may write stands for the disk."""
    held = embeddings(0, 3, 4, "a")
    build(tmp_path, held)
    code = (
        "import resource, sys\n"
        "from tests.search.test_index import MODEL, embeddings, index_writer\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)\n"
        "writer = index_writer.Writer(sys.argv[1], **MODEL)\n"
        "for number in range(40):\n"
        "    writer.add(embeddings(number, 30, 4, f'long-{number}')); writer.commit()\n"
    )
    for limit in (1 << 12, 1 << 16):
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path), str(limit)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1 and "OSError: [Errno" in done.stderr, done.stderr
        whole = is_whole(str(tmp_path))
        assert {hit.path for hit in whole.search(QUERY, 9999)} >= set(held.manifest.frame["path"])
    sets = [embeddings(number, 30, 4, f"long-{number}") for number in range(3)]
    assert len(build(tmp_path, *sets)) >= 12 + 3 * 120


def as_another_user(code, folder):
    """Runs code that cannot write a folder; what it needs is imported before."""
    if os.getuid() != 0:
        pytest.skip("only root can become a user who may read and not write")
    before = (
        "import mmap, os, sys, numpy as np\n"
        "from audio_triplet.search import index, database\n"
        "from audio_triplet.search.index import Index\n"
        "os.setuid(65534)\n"
    )
    return subprocess.run(
        [sys.executable, "-c", before + code, folder], capture_output=True, text=True, check=False
    )


@pytest.fixture
def readable_folder():
    """A folder that every user may read."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield folder


def test_a_reader_who_may_not_write_reads(readable_folder):
    build(readable_folder, embeddings(0))
    earlier(os.path.join(readable_folder, "earlier"))
    code = (
        "for folder in (sys.argv[1], sys.argv[1] + '/earlier'):\n"
        "    found = Index(folder, 1); print(len(found), len(found.search(np.ones(8), 5)))\n"
    )
    done = as_another_user(code, readable_folder)
    assert done.stdout == "12 5\n8 5\n", done.stderr
    # A writer is killed in the middle of a change that its cache could not hold.
    code = (
        "import os, signal, sqlite3, sys\n"
        "connection = sqlite3.connect(sys.argv[1] + '/index.sqlite', isolation_level=None)\n"
        "connection.execute('PRAGMA cache_size = 1')\n"
        "connection.execute('BEGIN IMMEDIATE')\n"
        "connection.execute('UPDATE segments SET first = 99')\n"
        "connection.execute('UPDATE parts SET vectors = 99')\n"
        "for number in range(9):\n"
        "    values = (str(number), bytes(50_000))\n"
        "    connection.execute('INSERT INTO constants VALUES (?, 1, ?)', values)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code, readable_folder], check=False)
    assert os.path.exists(os.path.join(readable_folder, "index.sqlite-journal"))
    done = as_another_user("Index(sys.argv[1])", readable_folder)
    assert "SearchError" in done.stderr and "put in order" in done.stderr
    assert len(is_whole(readable_folder)) == 12  # who may write rolls it back by opening it
    assert as_another_user("print(len(Index(sys.argv[1])))", readable_folder).stdout == "12\n"


def test_tables_that_another_process_holds_are_named(tmp_path, monkeypatch):
    build(tmp_path, embeddings(0))
    monkeypatch.setattr(database, "_WAIT_SECONDS", 0.01)
    other = sqlite3.connect(tmp_path / "index.sqlite", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(LockedError, match="another process"):
        index.Index(str(tmp_path))
    other.execute("COMMIT")
    assert len(index.Index(str(tmp_path))) == 12


# --- what is asked of them -----------------------------------------------------------------------


def test_names_that_are_no_text_come_back(tmp_path):
    earlier_index.write(tmp_path, embeddings(0, 2, 2))
    (names,) = tmp_path.glob("part-*/names.jsonl")
    text = names.read_bytes()
    names.write_bytes(text.replace(b"/sounds/f0.wav", rb"/\udce9/f0.wav"))  # as long as before
    found, odd = index.Index(str(tmp_path)), "/\udce9/f0.wav"
    hits = {hit.path: hit for hit in found.search(QUERY, 9)}
    assert set(hits) == {odd, "/sounds/f1.wav"} and hits[odd].recording_id == odd
    assert len(found.recordings_of(odd)) == 1
    for pattern in ("\udce9/*", "f0*", "?/*.wav", "f[0]*"):
        only = SoundFilter.of(paths=[pattern])
        assert {hit.path for hit in found.search(QUERY, 9, only=only)} == {odd}


@pytest.mark.parametrize(
    "pattern",
    ["a/*", "*", "/x/*", "*/b/*", "1.wav", "*.wav", "?/1.wav", "[ab]/*", "[!a]/*", "A/*", "x/a*"],
)
def test_paths_are_taken_as_python_takes_them(tmp_path, pattern):
    one = embeddings(0, 8, 1)
    paths = ["/x/a/1.wav", "/x/a/b/1.wav", "/x/b/2.flac", "/x/ab/1.wav", "/A/1.wav", "/1.wav"]
    paths += ["/x/a", "/y/a/c/1.wav"]
    frame = one.manifest.frame.assign(path=paths)
    one = dataclasses.replace(one, manifest=dataclasses.replace(one.manifest, frame=frame))
    only = SoundFilter.of(paths=[pattern])
    found = build(tmp_path, one).search(QUERY, 9, only=only)
    assert {hit.path for hit in found} == {path for path in paths if only.takes_path(path)}


def test_vectors_of_a_recording_come_in_the_order_of_time(tmp_path):
    one = embeddings(0, 4, 5, recordings=["r", "r", "x", "y"])
    found = build(tmp_path, one, embeddings(1, 2, 3, "g"))
    (number,) = found.recordings_of("/sounds/f1.wav")
    vectors, start, end = found.vectors_of_recording(number)
    np.testing.assert_array_equal(vectors, one.vectors[:10])
    np.testing.assert_allclose(start, one.start_seconds[:10])
    np.testing.assert_allclose(end, one.end_seconds[:10])
    (other,) = found.recordings_of("/sounds/g1.wav")
    vectors = found.vectors_of_recording(other)[0]
    assert vectors.shape == (3, 8) and not vectors.flags.owndata  # the file's own
    assert found.vectors_of_recording(999)[0].shape == (0, 8)


def test_a_mask_is_of_the_vectors_that_blocks_yield(tmp_path):
    sets = [embeddings(0, 3, 4, "a"), embeddings(1, 2, 3, "b")]
    with index_writer.Writer(str(tmp_path), **MODEL) as writer:
        for one in [*sets, embeddings(2, 1, 2, "a", stamp=1)]:
            writer.add(one)
            writer.commit()
        found = index.Index(str(tmp_path))
    vectors, owners = np.concatenate(list(found.blocks())), found.owners()
    assert len(vectors) == len(owners) == 20 and found.mask().sum() == len(found) == 16
    only = SoundFilter.of(paths=["a*"])
    mask = found.mask(only, without=found.recordings_of("/sounds/a1.wav"))
    paths = {found.tables.segments([owner])[owner].path for owner in owners[mask].tolist()}
    assert mask.sum() == 6 and paths == {"/sounds/a0.wav", "/sounds/a2.wav"}


def test_labels_are_counted_and_found(tmp_path):
    one = embeddings(0, 4, 2)
    frame = one.manifest.frame.assign(labels=["dog", "dog;cat", "", "hotdog"])
    one = dataclasses.replace(one, manifest=dataclasses.replace(one.manifest, frame=frame))
    tables = build(tmp_path, one).tables
    assert tables.labels() == {"dog": 2, "cat": 1, "hotdog": 1}
    found = tables.segments(tables.segments_with_label("dog")).values()
    assert {segment.path for segment in found} == {"/sounds/f0.wav", "/sounds/f1.wav"}


def test_constants_are_kept_by_name(tmp_path):
    with index_writer.Writer(str(tmp_path), **MODEL) as writer:
        writer.set_constant("mean", 1, b"\0old")
        writer.set_constant("mean", 2, b"\0new")
    tables = index.Index(str(tmp_path)).tables
    assert tables.constant("mean") == (2, b"\0new") and tables.constant("other") is None


def test_what_an_index_is_of_is_read_without_its_parts(tmp_path):
    assert not exists(str(tmp_path))
    build(tmp_path, embeddings(0))
    assert exists(str(tmp_path))
    info = read_info(str(tmp_path))
    assert (info.dim, info.granularity, info.hop_seconds, info.dtype) == (
        8,
        "patch",
        0.96,
        "float32",
    )
