"""debian-sounds: sound files inside archives, each written here by its format's description."""

import gzip
import struct
import zipfile
import zlib

import pytest

from audio_triplet.corpora.debian_sounds.archives import is_archive, sounds_in


def _found(path):
    return list(sounds_in(str(path), lambda name: name.endswith(".wav")))


def _qt(files, compressed=(), magic=b"qres", version=3):
    """A binary resource with one folder `a` that holds the files, as Qt's `rcc -binary` lays it."""
    names, contents, nodes = b"", b"", []

    def name_of(text):
        nonlocal names
        offset = len(names)
        encoded = text.encode("utf-16-be")
        names += struct.pack(">HI", len(encoded) // 2, 0xABCD) + encoded
        return offset

    pad = b"" if version == 1 else bytes(8)  # the time of the file's last change
    nodes.append(struct.pack(">IHII", 0, 2, 1, 1) + pad)
    nodes.append(struct.pack(">IHII", name_of("a"), 2, len(files), 2) + pad)
    for name, content in files.items():
        packed = name in compressed
        held = struct.pack(">I", len(content)) + zlib.compress(content) if packed else content
        locale = 0x00010000
        offset = len(contents)
        contents += struct.pack(">I", len(held)) + held
        nodes.append(struct.pack(">IHII", name_of(name), int(packed), locale, offset) + pad)
    head = 20 + 4 * (version >= 3)
    tree = b"".join(nodes)
    at = (head, head + len(tree), head + len(tree) + len(contents))
    flags = struct.pack(">I", 0) if version >= 3 else b""
    return magic + struct.pack(">4I", version, *at) + flags + tree + contents + names


def _group(entries):
    """An OpenClonk group: entries (name, content) or (name, list of entries), uncompressed."""
    header = bytearray(204)
    header[:24] = b"RedWolf Design GrpFolder"
    header[28:40] = struct.pack("<3i", 1, 2, len(entries))
    header = bytearray(byte ^ 0xED for byte in header)
    for at in range(0, 202, 3):
        header[at], header[at + 2] = header[at + 2], header[at]
    table, contents = b"", b""
    for name, held in entries:
        is_group = isinstance(held, list)
        content = _group(held) if is_group else held
        place = struct.pack("<5i", 0, is_group, len(content), 0, len(contents))
        table += name.encode().ljust(260, b"\0") + place.ljust(56, b"\0")
        contents += content
    return bytes(header) + table + contents


def _openttd(sounds):
    """A sound set: texts and WAV files."""
    table, body, at = b"", b"", 8 * len(sounds)
    for text, wav in sounds:
        entry = bytes([len(text) + 1]) + text.encode() + b"\0" + wav
        table += struct.pack("<II", (at + len(body)) | 0x80000000, len(wav))
        body += entry
    return table + body


def _riff(payload):
    return b"RIFF" + struct.pack("<I", 4 + len(payload)) + b"WAVE" + payload


@pytest.mark.parametrize("name", ["public.zip", "PAK0.PK3", "base.wz", "game.love"])
def test_zip_by_its_names(tmp_path, name):
    with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("sound/a.wav", b"one")
        archive.writestr("readme.txt", b"x")
        archive.writestr("../b.wav", b"x")
        archive.writestr("c\\d.wav", b"x")
    assert is_archive(name)
    assert _found(tmp_path / name) == [("sound/a.wav", b"one")]


@pytest.mark.parametrize("version", [1, 2, 3])
def test_qt_resources(tmp_path, version):
    files = {"b.wav": b"b" * 300, "é.wav": b"plain", "c.txt": b"text", "..": b"x"}
    (tmp_path / "a.rcc").write_bytes(_qt(files, compressed={"b.wav"}, version=version))
    assert _found(tmp_path / "a.rcc") == [("a/b.wav", b"b" * 300), ("a/é.wav", b"plain")]


def test_openclonk_groups_in_groups(tmp_path):
    tree = [
        ("Fire.ocg", [("Blast.wav", b"boom"), ("Deep.ocg", [("Hiss.wav", b"sss")])]),
        ("Click.wav", b"click"),
        ("..", [("Out.wav", b"x")]),
    ]
    packed = gzip.compress(_group(tree))
    (tmp_path / "Sound.ocg").write_bytes(b"\x1e\x8c" + packed[2:])
    assert _found(tmp_path / "Sound.ocg") == [
        ("Fire.ocg/Blast.wav", b"boom"), ("Fire.ocg/Deep.ocg/Hiss.wav", b"sss"),
        ("Click.wav", b"click"),
    ]  # fmt: skip


def test_openttd_sound_sets(tmp_path):
    horn, bus, again = _riff(b"horn"), _riff(b"bus horn"), _riff(b"again")
    sounds = [
        ('"Ship horn". By Somebody.', horn), ('"Bus/truck: start"', bus),
        ("Corrupt sound", b"PCM "), ('"Ship horn"', again),
    ]  # fmt: skip
    (tmp_path / "a.cat").write_bytes(_openttd(sounds))
    assert _found(tmp_path / "a.cat") == [
        ("Ship horn.wav", horn), ("Bus truck start.wav", bus), ("Ship horn 03.wav", again),
    ]  # fmt: skip


def test_what_only_ends_like_an_archive_holds_nothing(tmp_path):
    whole = {
        "a.rcc": _qt({"b.wav": b"b"}),
        "a.ocg": b"\x1e\x8c" + gzip.compress(_group([("a.wav", b"a" * 99)]))[2:],
        "a.cat": _openttd([("x", _riff(b"x"))]),
        "a.zip": b"PK\x03\x04",
    }
    for name, content in whole.items():
        for damaged in (b"", b"PK", b"some other file\n" * 9, content[: len(content) // 2]):
            (tmp_path / name).write_bytes(damaged)
            assert _found(tmp_path / name) == []
    assert not is_archive("a.tar.gz")
