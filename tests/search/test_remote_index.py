"""Indices in object stores: S3's protocol (moto), a disk and memory by fsspec."""

import os
import secrets
import signal
import subprocess
import sys

import numpy as np
import pytest

from audio_triplet import locks
from audio_triplet.errors import LockedError, SearchError, StoreError
from audio_triplet.search import index_writer, merging, object_store, remote_index, store_format
from audio_triplet.search.index import Index
from audio_triplet.search.mirror import Mirror
from audio_triplet.search.object_store import ObjectStore
from tests.search.index_content import assert_same, content
from tests.search.test_index import MODEL, embeddings

pytest.importorskip("fsspec", reason="fsspec is not installed: pip install 'audio_triplet[store]'")

QUERY = np.random.default_rng(5).normal(size=8)


def add(place, *sets):
    with remote_index.writing(str(place)) as target:
        with index_writer.Writer(target.folder, **MODEL, on_commit=target.on_commit) as writer:
            for earlier in target.set_aside:
                merging.merge(writer, earlier)
            for one in sets:
                writer.add(one)
    return target


def found(place, top=20):
    with remote_index.reading(str(place)) as folder:
        return Index(folder).search(QUERY, top)


def written(monkeypatch):
    """Names of the objects that are written from now on."""
    names, put = [], ObjectStore.put
    monkeypatch.setattr(
        ObjectStore, "put", lambda store, path, key: (names.append(key), put(store, path, key))
    )
    return names


def test_a_second_reader_has_the_same_bits(place, machine, tmp_path, monkeypatch):
    sets = [embeddings(seed, name=f"{seed}-") for seed in range(2)]
    add(tmp_path / "local", *sets)
    add(place, *sets)
    expected = found(tmp_path / "local")
    assert len(expected) == 20 and found(place) == expected
    machine("another")
    assert found(place) == expected
    with remote_index.reading(place) as folder:
        assert folder.startswith(str(tmp_path / "another"))
        assert os.path.basename(folder) == "birds.index"
        assert_same(content(folder), content(tmp_path / "local"))
    fetched = []
    monkeypatch.setattr(ObjectStore, "fetch", lambda *names: fetched.append(names))
    assert found(place) == expected and not fetched  # what is there is not fetched again


def test_only_what_is_new_is_written_and_fetched(place, machine, monkeypatch):
    monkeypatch.setattr(index_writer, "SMALL_PART_VECTORS", 0)  # parts stay as they are
    add(place, embeddings(0))
    machine("another")
    before = found(place)
    machine("one")
    names = written(monkeypatch)
    add(place, embeddings(1, name="more"))
    parts = {name.split("/")[0] for name in names if name.startswith("part-")}
    assert len(parts) == 1 and sum(name.endswith(".sqlite") for name in names) == 1
    del names[:]
    add(place)
    assert not names  # nothing has changed
    machine("another")
    fetched, fetch = [], ObjectStore.fetch
    monkeypatch.setattr(
        ObjectStore,
        "fetch",
        lambda store, key, path: (fetched.append(key), fetch(store, key, path))[1],
    )
    with remote_index.reading(place) as folder:
        opened = Index(folder)  # as it was opened it stays
    after = found(place)
    assert len(after) == 20 and {hit.path for hit in before} < {hit.path for hit in after}
    assert {name.split("/")[0] for name in fetched if name.startswith("part-")} == parts
    assert len(opened.search(QUERY, 20)) == 20


def test_an_open_index_sees_that_its_copy_has_changed(place, machine):
    add(place, embeddings(0))
    machine("another")
    with remote_index.reading(place) as folder:
        opened = Index(folder)
    version, hits = opened.tables.version(), opened.search(QUERY, 20)
    machine("one")
    add(place, embeddings(1, name="more"))
    machine("another")
    assert len(found(place)) == 20
    assert opened.tables.version() != version
    assert opened.search(QUERY, 20) == hits  # its vectors are still those that it opened


def test_superseded_objects_stay_for_one_version(place, machine):
    store, versions = ObjectStore(place), []
    for number in range(4):  # each merges the small parts of before into one
        add(place, embeddings(number, name=f"{number}-"))
        versions.append(store_format.read_current(store))
    assert [one.before for one in versions[1:]] == [one.id for one in versions[:-1]]
    assert store.listing() == versions[3].keys | versions[2].keys | {store_format.CURRENT}
    # The part, its scales and the tables; encoder and lists stay.
    assert len(versions[3].keys - versions[2].keys) == 5


def test_what_killed_writers_left_goes_after_a_week(place, machine, monkeypatch):
    add(place, embeddings(0))
    store, left = ObjectStore(place), {"part-012345/vectors.npy", "index-0123-4567.sqlite"}
    for key in (*left, "notes.txt"):
        store.write(key, b"of somebody")
    add(place, embeddings(1, name="more"))
    assert left < store.listing()  # perhaps of a writer that is at work
    monkeypatch.setattr(store_format, "_KEPT_DAYS", 0)
    add(place, embeddings(2, name="still"))
    assert not left & store.listing() and "notes.txt" in store.listing()


KILLED = """
import os, signal, sys
from audio_triplet.search import remote_index, store_format
from audio_triplet.search.object_store import ObjectStore
from tests.search.test_remote_index import add, embeddings

write_after = ObjectStore.write_after

def killed(*arguments):
    if sys.argv[2] == "after":
        write_after(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)

ObjectStore.write_after = killed
add(sys.argv[1], embeddings(1, name="more"))
"""


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("place", ["disk", "s3"], indirect=True)
def test_a_killed_writer_leaves_a_version_and_the_same_command_ends(
    place, machine, tmp_path, moment, monkeypatch
):
    add(place, embeddings(0))
    first = found(place)
    done = subprocess.run(
        [sys.executable, "-c", KILLED, place, moment], capture_output=True, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    machine("another")
    assert (found(place) == first) == (moment == "before")
    machine("one")
    assert add(place, embeddings(1, name="more")).set_aside == ()
    assert not Mirror(ObjectStore(place)).set_aside()
    machine("another")
    assert len(found(place)) == 20
    add(tmp_path / "local", embeddings(0))
    add(tmp_path / "local", embeddings(1, name="more"))
    with remote_index.reading(place) as folder:
        assert_same(content(folder), content(tmp_path / "local"))


def test_of_two_writers_the_second_stops_and_loses_nothing(place, machine, tmp_path):
    sets = [embeddings(seed, name=f"{seed}-") for seed in range(3)]
    add(place, sets[0])
    with pytest.raises(SearchError, match="another machine has changed it at 20.*nothing is lost"):
        with remote_index.writing(place) as target:
            with index_writer.Writer(target.folder, **MODEL) as writer:
                writer.add(sets[1])
            machine("another")
            add(place, sets[2])
            machine("one")
    machine("another")
    assert {hit.path[8] for hit in found(place)} == {"0", "2"}
    machine("one")
    assert {hit.path[8] for hit in found(place)} == {"0", "2"}  # a reader sets it aside
    (aside,) = Mirror(ObjectStore(place)).set_aside()
    assert {path[8] for path, _, _ in content(aside)} == {"0", "1"}
    assert add(place, sets[1]).set_aside == (aside,)  # as the same command does
    assert not os.path.exists(aside)
    add(tmp_path / "local", *sets)
    for name in ("one", "another"):
        machine(name)
        with remote_index.reading(place) as folder:
            assert_same(content(folder), content(tmp_path / "local"))


@pytest.mark.parametrize("place", ["s3"], indirect=True)
def test_s3_refuses_the_later_of_two_at_the_same_moment(place, machine, monkeypatch):
    add(place, embeddings(0))
    check, checked = remote_index.Upload._check_base, []

    def check_and_then_the_other_comes(upload, base):
        check(upload, base)
        checked.append(1)
        if len(checked) == 2:
            machine("another")
            add(place, embeddings(1, name="other"))
            machine("one")

    monkeypatch.setattr(remote_index.Upload, "_check_base", check_and_then_the_other_comes)
    with pytest.raises(SearchError, match="another machine has changed it"):
        add(place, embeddings(2, name="mine"))
    assert len(checked) > 2
    monkeypatch.undo()


def test_a_reader_begins_again_whose_version_is_replaced(place, machine, monkeypatch):
    add(place, embeddings(0))
    machine("another")
    fetch, lost = ObjectStore.fetch, []

    def is_gone(store, key, path):
        if key.startswith("part-") and not lost:
            lost.append(key)
            machine("one")
            for number in (1, 2):
                add(place, embeddings(number, name=f"more{number}"))
            machine("another")
        return fetch(store, key, path)

    monkeypatch.setattr(ObjectStore, "fetch", is_gone)
    assert len(found(place, 40)) == 36 and lost


def test_damaged_and_missing_objects_are_named(place, machine):
    add(place, embeddings(0))
    store = ObjectStore(place)
    files = store_format.read_current(store).by_name
    (key,) = [name for name in files if name.endswith("vectors.npy")]
    held = store.read(key)
    for wrong in (held[:-1] + bytes([held[-1] ^ 1]), held[:-9]):
        store.write(key, wrong)
        machine(secrets.token_hex(4))
        with pytest.raises(SearchError, match=f"{place}/{key}: is damaged .its checksum"):
            found(place)
    store.remove(key)
    with pytest.raises(SearchError, match=f"{place}/{key}: is missing; put it back"):
        found(place)
    store.write(key, held)
    assert len(found(place)) == 12

    current = store.read(store_format.CURRENT)
    machine("new")
    for wrong, message in (
        (current[:-20], "is damaged"),
        (current.replace(b"part-", b"../part-"), "is no file of an index"),
        (current.replace(b'"format": 1', b'"format": 2'), "newer format.*; pip install -U"),
        (b"[]", "is damaged"),
    ):
        store.write(store_format.CURRENT, wrong)
        with pytest.raises(SearchError, match=f"{place}/current.json: .*{message}"):
            found(place)
        with pytest.raises(SearchError, match=f"{place}/current.json: .*{message}"):
            add(place)
    store.remove(store_format.CURRENT)
    with pytest.raises(SearchError, match=f"{place}: holds no index; check"):
        found(place)
    machine("one")
    with pytest.raises(SearchError, match="holds no index any more; this machine has a copy"):
        add(place, embeddings(1))


def test_a_damaged_copy_is_told_and_fetched_anew(place, machine):
    add(place, embeddings(0))
    hits = found(place)
    copy = Mirror(ObjectStore(place))
    (part,) = [name for name in os.listdir(copy.folder) if name.startswith("part-")]
    vectors = os.path.join(copy.folder, part, "vectors.npy")
    with open(vectors, "r+b") as file:
        file.write(b"what")
    with pytest.raises(SearchError, match=f"{part}.* is damaged .*; remove {copy.root}, and it is"):
        found(place)
    os.unlink(vectors)
    assert found(place) == hits
    os.unlink(os.path.join(copy.folder, "index.sqlite"))
    assert found(place) == hits
    with open(os.path.join(copy.root, "state.json"), "w") as file:
        file.write("{")
    assert found(place) == hits


def test_a_writer_on_this_machine_does_not_stop_readers(place, machine):
    add(place, embeddings(0))
    hits = found(place)
    script = (
        "import sys; from audio_triplet import locks\n"
        "with locks.exclusive(sys.argv[1]): print(flush=True); sys.stdin.read()"
    )
    folder = Mirror(ObjectStore(place)).folder
    with subprocess.Popen(
        [sys.executable, "-c", script, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        other.stdout.readline()
        assert found(place) == hits
        with pytest.raises(LockedError, match=f"{place}: another process is writing it"):
            add(place, embeddings(1))
        other.stdin.close()
    assert locks.LOCK_FILE not in os.listdir(folder)


def test_long_work_is_written_now_and_then(place, machine, monkeypatch, caplog):
    monkeypatch.setattr(remote_index, "_EVERY_SECONDS", 0.0)
    seen = []
    put = ObjectStore.put
    with remote_index.writing(place) as target:
        with index_writer.Writer(target.folder, **MODEL, on_commit=target.on_commit) as writer:
            for number in range(3):
                writer.add(embeddings(number, name=f"{number}-"))
                if number == 1:  # the network is away for a while
                    monkeypatch.setattr(ObjectStore, "put", _fails)
                writer.commit()
                monkeypatch.setattr(ObjectStore, "put", put)
                machine("another")
                seen.append(len(found(place, 40)))
                machine("one")
    assert seen == [12, 12, 36] and "it is tried again later" in caplog.text
    machine("another")
    assert len(found(place, 40)) == 36


def _fails(*arguments):
    raise StoreError("the network is away")


def test_addresses_that_lead_nowhere(machine, monkeypatch, request):
    with pytest.raises(StoreError, match="zzz://a/b: no such kind of address is known; s3://"):
        found("zzz://a/b")
    with pytest.raises(SearchError, match="memory://nothing: holds no index; check the address"):
        found("memory://nothing/")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "fsspec", None)
        with pytest.raises(StoreError, match=r"pip install 'audio_triplet\[store\]'"):
            found("s3://bucket/name")
    request.getfixturevalue("s3")
    with pytest.raises(StoreError, match="s3://none/a: cannot be read .*bucket.*; make the bucket"):
        found("s3://none/a")
    with pytest.raises(StoreError, match="s3://none/a: cannot be written .*; make the bucket"):
        add("s3://none/a", embeddings(0))


def test_many_things_at_once_end_with_the_first_error():
    assert object_store.at_once(lambda number: number**2, range(20)) == [n**2 for n in range(20)]
    with pytest.raises(ZeroDivisionError):
        object_store.at_once(lambda number: 1 // number, range(-3, 20))
