"""Times in names and in chunks, written byte by byte from the formats' own descriptions."""

import datetime
import os
import struct

import numpy as np
import pytest
import soundfile

from audio_triplet.audio import clock


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("20240612_053000.WAV", "2024-06-12T05:30:00"),  # AudioMoth, HydroMoth
        ("SITE1_2024-06-12T05-30-00Z.flac", "2024-06-12T05:30:00+00:00"),
        ("SITE1_2024-06-12_0530-0630.wav", "2024-06-12T05:30:00"),  # from – to, no zone
        ("pond 20240612_0530-0630.wav", "2024-06-12T05:30:00"),
        ("S4A01234_20240612_053000.wav", "2024-06-12T05:30:00"),  # Song Meter 4
        ("SMA00213_20240612_053000_1.wav", "2024-06-12T05:30:00"),  # Song Meter Mini
        ("SM2_0+1_20120612_053000.wac", "2012-06-12T05:30:00"),
        ("SITE_20160805$203000.wav", "2016-08-05T20:30:00"),  # Song Meter, dollar for a trigger
        ("20240612T053000+1000_REC_-35.30+149.10.flac", "2024-06-12T05:30:00+10:00"),  # BAR-LT
        ("20240612T053000-0930.flac", "2024-06-12T05:30:00-09:30"),
        ("20240612053000.mp3", "2024-06-12T05:30:00"),
        ("Recording 2024-06-12 05.30.15.m4a", "2024-06-12T05:30:15"),
        ("2024-06-12T05:30:00.250Z.wav", "2024-06-12T05:30:00.250000+00:00"),
        ("5207.240612053000.wav", "2024-06-12T05:30:00"),  # SoundTrap
        ("240612-053000.WAV", "2024-06-12T05:30:00"),  # Zoom
        ("5B8F4A3C.WAV", "2018-09-05T03:15:08+00:00"),  # the first AudioMoths: Unix time
        ("20230101_000000T20240612_053000.wav", "2023-01-01T00:00:00"),
    ],
)
def test_a_name_that_is_a_time(name, expected):
    assert clock.time_in_name(f"/20200101_010101/{name}").isoformat() == expected


@pytest.mark.parametrize(
    "name",
    [
        "dog.wav", "1-100032-A-0.wav", "20240612.wav", "2024-06-12.wav", "20241332_053000.wav",
        "20240230_053000.wav", "20240612_253000.wav", "20240612_056100.wav", "DEADBEEF.WAV",
        "00000001.WAV", "123456.wav", "991399_999999.wav", "20240612_05300.wav", "-.wav", "",
        "120240612_053000.wav", "0" * 5000 + ".wav",
    ],
)  # fmt: skip
def test_a_name_that_is_none(name):
    assert clock.time_in_name(name) is None


def chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def wav(*chunks: bytes, after: bool = True, container=b"RIFF", size=None) -> bytes:
    form = chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, 16000, 32000, 2, 16))
    data = chunk(b"data", b"\0\1" * 100)
    if size is not None:
        data = b"data" + struct.pack("<I", size) + data[8:]
    body = form + (data + b"".join(chunks) if after else b"".join(chunks) + data)
    return container + struct.pack("<I", len(body) + 4) + b"WAVE" + body


def bext(date: str, time: str) -> bytes:
    content = b"\0" * 320 + date.encode().ljust(10, b"\0") + time.encode().ljust(8, b"\0")
    return chunk(b"bext", content + b"\0" * (602 - len(content)))


def info(**fields: str) -> bytes:
    parts = [chunk(name.encode(), text.encode() + b"\0") for name, text in fields.items()]
    return chunk(b"LIST", b"INFO" + b"".join(parts))


def ixml(date: str, time: str) -> bytes:
    return chunk(
        b"iXML",
        f"<?xml version='1.0'?><BWFXML><BEXT><BWF_ORIGINATION_DATE>{date}</BWF_ORIGINATION_DATE>"
        f"<BWF_ORIGINATION_TIME>{time}</BWF_ORIGINATION_TIME></BEXT></BWFXML>".encode(),
    )


GUANO = chunk(b"guan", b"GUANO|Version: 1.0\nTimestamp: 2024-06-12T05:30:00-04:00\nTE: 1\n")
COMMENT = "Recorded at 05:30:00 12/06/2024 (UTC{}) by AudioMoth 249BC30461CD1DC8 at medium gain"


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (GUANO, "2024-06-12T05:30:00-04:00"),
        (bext("2024-06-12", "05:30:00"), "2024-06-12T05:30:00"),
        (bext("2024_06_12", "05-30-00"), "2024-06-12T05:30:00"),
        (ixml("2024-06-12", "05:30:00"), "2024-06-12T05:30:00"),
        (info(ICMT=COMMENT.format("")), "2024-06-12T05:30:00+00:00"),
        (info(IART="x", ICMT=COMMENT.format("+5:30")), "2024-06-12T05:30:00+05:30"),
        (info(ICMT=COMMENT.format("-3")), "2024-06-12T05:30:00-03:00"),
        (info(ICRD="2024-06-12 05:30:00"), "2024-06-12T05:30:00"),
        (info(ICRD="2024-06-12"), None),
        (bext("0000-00-00", "00:00:00"), None),
        (bext("2024-13-40", "29:99:99"), None),
        (bext("1970-01-01", "00:00:12"), None),  # never set
        (bext("", ""), None),
        (chunk(b"bext", b"short"), None),
        (chunk(b"guan", b"GUANO|Version: 1.0\nTimestamp: yesterday\n"), None),
        (info(ICMT="Recorded at 25:30:00 12/06/2024 (UTC) by AudioMoth 1"), None),
    ],
)
def test_chunks(tmp_path, content, expected, after):
    path = tmp_path / "a.wav"
    path.write_bytes(wav(content, after=after))
    found = clock.recorded_at(str(path))
    assert (found and found.isoformat()) == expected


def test_a_recorder_is_believed_before_the_name_and_the_name_before_an_editor(tmp_path):
    path = tmp_path / "20230101_000000.wav"
    path.write_bytes(wav(bext("2025-01-01", "00:00:00"), GUANO))
    assert clock.recorded_at(str(path)).year == 2024
    path.write_bytes(wav(bext("2025-01-01", "00:00:00")))
    assert clock.recorded_at(str(path)).year == 2023
    assert clock.recorded_at(str(tmp_path / "gone_20220101_000000.wav")).year == 2022
    os.mkfifo(tmp_path / "20210101_000000.wav")
    assert clock.recorded_at(str(tmp_path / "20210101_000000.wav")).year == 2021


def test_containers_of_other_sizes(tmp_path):
    path = str(tmp_path / "a.wav")
    soundfile.write(path, np.zeros(100, "f4"), 16000, format="RF64", subtype="FLOAT")
    with open(path, "ab") as file:
        file.write(GUANO)
    assert clock.recorded_at(path).year == 2024
    for size in (0, 0xFFFFFFFF):  # a battery that died, a pipe: the end is not stated
        (tmp_path / "a.wav").write_bytes(wav(GUANO, size=size))
        assert clock.recorded_at(path) is None
        (tmp_path / "a.wav").write_bytes(wav(GUANO, size=size, after=False))
        assert clock.recorded_at(path).year == 2024


def test_damage_is_no_error(tmp_path):
    path, rng = tmp_path / "a.wav", np.random.default_rng(0)
    whole = wav(GUANO, bext("2024-06-12", "05:30:00"), info(ICMT=COMMENT.format("")), after=False)
    for cut in range(0, len(whole), 7):
        path.write_bytes(whole[:cut])
        clock.recorded_at(str(path))
    for _ in range(500):
        damaged = bytearray(whole)
        for place in rng.integers(0, len(damaged), 8):
            damaged[place] = rng.integers(0, 256)
        path.write_bytes(damaged)
        clock.recorded_at(str(path))


def test_beyond_the_calendar():
    last = datetime.datetime(9999, 12, 31, 23)
    assert clock.later(last, 1e9) == datetime.datetime.max
    assert clock.later(last, 1.5) == datetime.datetime(9999, 12, 31, 23, 0, 1, 500000)
