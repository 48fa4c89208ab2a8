"""Sound inside tar files and Parquet tables: the same samples as from a file beside them."""

import concurrent.futures
import io
import json
import os
import tarfile

import numpy as np
import pytest
import soundfile

from audio_triplet import audio
from audio_triplet.audio import containers
from audio_triplet.errors import AudioError

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


def _sound(seed, seconds=1.0, rate=16_000, form="WAV"):
    """(bytes of a file, its samples)."""
    samples = np.random.default_rng(seed).uniform(-0.5, 0.5, round(seconds * rate))
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=form, subtype="PCM_16")
    return file.getvalue(), (np.round(samples * 32768) / 32768).astype("f4")


def _tar(path, members, form=tarfile.USTAR_FORMAT):
    with tarfile.open(path, "w", format=form) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return str(path)


def _parquet(path, sounds, names=None, **options):
    names = names or [f"{n}.wav" for n in range(len(sounds))]
    column = [{"bytes": s, "path": n} for s, n in zip(sounds, names, strict=True)]
    kind = pyarrow.struct({"bytes": pyarrow.binary(), "path": pyarrow.string()})
    table = pyarrow.table({"x": range(len(sounds)), "audio": pyarrow.array(column, kind)})
    parquet.write_table(table, path, **options)
    return str(path)


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("kind", ["WAV", "FLAC"])
def test_a_member_of_a_tar_file(tmp_path, form, kind):
    content, samples = _sound(0, 3.0, form=kind)
    long = "a" * 60 + "/" + "b" * 60 + f"/é 1.{kind.lower()}"
    members = [("./dog/1.json", b"{}"), ("./dog/1.wav", content), (long, content)]
    path = _tar(tmp_path / "x.tar", members, form)
    for name in ("dog/1.wav", long):
        sound = f"{path}/{name}"
        np.testing.assert_allclose(audio.load_audio(sound), samples, atol=1e-4)
        piece = audio.read_piece(sound, 1.25, 0.5)
        np.testing.assert_allclose(piece, samples[20_000:28_000], atol=1e-4)
        assert audio.probe(sound).duration_seconds == 3.0
        assert audio.status(sound).st_size == os.path.getsize(path)


def test_the_last_of_equal_names_counts_and_links_do_not(tmp_path):
    (old, _), (new, samples) = _sound(0), _sound(1)
    path = _tar(tmp_path / "x.tar", [("a.wav", old), ("a.wav", new), ("../b.wav", new)])
    with tarfile.open(path, "a") as tar:
        link = tarfile.TarInfo("l.wav")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    np.testing.assert_allclose(audio.load_audio(f"{path}/a.wav"), samples, atol=1e-4)
    assert list(containers.tar_members(path)) == ["a.wav"]


def test_a_tar_file_that_is_written_anew_is_read_anew(tmp_path):
    path = _tar(tmp_path / "x.tar", [("a.wav", _sound(0)[0])])
    assert len(audio.load_audio(f"{path}/a.wav")) == 16_000
    _tar(tmp_path / "x.tar", [("b.json", b"{}"), ("a.wav", _sound(0, 2.0)[0])])
    assert len(audio.load_audio(f"{path}/a.wav")) == 32_000


@pytest.mark.parametrize("group", [1, 3, 7, 100])
@pytest.mark.parametrize("batch_bytes", [1, 70_000, 1 << 30])
@pytest.mark.parametrize("compression", ["snappy", "none"])
def test_rows_of_a_parquet_file_in_any_order(
    tmp_path, monkeypatch, group, batch_bytes, compression
):
    """Batches of one row up to the whole group; forwards, backwards and at random."""
    monkeypatch.setattr(containers, "_BATCH_BYTES", batch_bytes)
    containers._parquet_column.cache_clear()
    sounds = [_sound(seed, 1 + seed / 10) for seed in range(11)]
    contents = [content for content, _ in sounds]
    path = _parquet(tmp_path / "t.parquet", contents, row_group_size=group, compression=compression)
    order = [*range(11), *reversed(range(11)), *np.random.default_rng(0).integers(0, 11, 20)]
    for row in order:
        samples = audio.load_audio(containers.parquet_path(path, "audio", row, "x.wav"))
        np.testing.assert_allclose(samples, sounds[row][1], atol=1e-4)


def test_rows_by_many_threads(tmp_path, monkeypatch):
    monkeypatch.setattr(containers, "_BATCH_BYTES", 100_000)
    containers._parquet_column.cache_clear()
    contents = [_sound(seed)[0] for seed in range(40)]
    path = _parquet(tmp_path / "t.parquet", contents, row_group_size=13)
    rows = np.random.default_rng(0).integers(0, 40, 400)

    def read(row):
        with containers.open_member(f"{path}/audio/{row}/x.wav") as file:
            return file.read() == contents[row]

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, rows))


def test_reading_in_order_reads_each_group_once(tmp_path, monkeypatch):
    containers._parquet_column.cache_clear()
    path = _parquet(tmp_path / "t.parquet", [_sound(s)[0] for s in range(9)], row_group_size=3)
    begun = []
    original = parquet.ParquetFile.iter_batches

    def counting(self, *arguments, **options):
        begun.extend(options["row_groups"])
        return original(self, *arguments, **options)

    monkeypatch.setattr(parquet.ParquetFile, "iter_batches", counting)
    for row in range(9):
        audio.load_audio(f"{path}/audio/{row}/x.wav")
    assert begun == [0, 1, 2]


def test_clear_errors(tmp_path):
    tar = _tar(tmp_path / "x.tar", [("a.wav", _sound(0)[0]), ("cut.wav", _sound(0)[0])])
    table = _parquet(tmp_path / "t.parquet", [_sound(0)[0], None, b"junk"])
    (tmp_path / "b.tar").write_bytes(b"no tar file" * 100)
    (tmp_path / "b.parquet").write_bytes(b"no table" * 100)
    (tmp_path / "a.wav").write_bytes(b"x")
    for path, message in [
        (f"{tar}/b.wav", "b.wav: no such file"),
        (f"{tar}.gone/b.wav", "no such file"),
        (f"{tmp_path}/b.tar/a.wav", "b.tar: cannot be read as a tar file"),
        (f"{tmp_path}/b.parquet/audio/0/a.wav", "b.parquet: cannot be read as Parquet"),
        (f"{table}/audio/3/a.wav", "a.wav: no such file"),
        (f"{table}/sound/0/a.wav", "a.wav: no such file"),
        (f"{table}/a.wav", "a.wav: no such file"),
        (f"{table}/audio/1/a.wav", "a.wav: holds no sound"),
        (f"{table}/audio/2/a.wav", "a.wav: cannot be decoded"),
        (f"{tmp_path}/a.wav/b.wav", "no such file"),
    ]:
        with pytest.raises(AudioError, match=message):
            audio.load_audio(path)
    size = os.path.getsize(tar)
    with open(tar, "r+b") as file:
        file.truncate(containers.tar_members(tar)["cut.wav"][0] + 10_000)
    assert os.path.getsize(tar) < size
    with pytest.raises(AudioError, match=r"cut.wav: |x.tar: cannot be read as a tar"):
        audio.load_audio(f"{tar}/cut.wav")


def test_paths():
    path = containers.parquet_path("/d/t.parquet", "audio", 17, "some/folder/dog.wav")
    assert path == "/d/t.parquet/audio/17/dog.wav"
    assert containers.parquet_path("/d/t.parquet", "audio", 17, "") == "/d/t.parquet/audio/17/sound"
    assert containers.container_of(path) is None  # there is no such file
    assert json.loads(json.dumps(path)) == path
