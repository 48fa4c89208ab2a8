"""A file of bytes that lie elsewhere behaves as a real one."""

import os

import numpy as np
import pytest

from audio_triplet.audio.virtual_file import VirtualFile

CONTENT = bytes(range(256)) * 3


class Reluctant(VirtualFile):
    """Gives at most 100 bytes at a time, as a disk may."""

    def _fill(self, buffer, position):
        data = CONTENT[position : position + min(len(buffer), 100)]
        buffer[: len(data)] = data
        return len(data)


def test_it_seeks_tells_and_reads_as_a_file_does(tmp_path):
    (tmp_path / "real").write_bytes(CONTENT)
    random = np.random.default_rng(0)
    with open(tmp_path / "real", "rb", buffering=0) as real, Reluctant(len(CONTENT)) as virtual:
        assert virtual.readable() and virtual.seekable() and not virtual.writable()
        for _ in range(300):
            whence = int(random.integers(3))
            offset = int(random.integers(-900, 900))
            moved = []
            for file in (real, virtual):
                try:
                    moved.append(file.seek(offset, whence))
                except OSError:
                    moved.append("before the start")
            assert moved[0] == moved[1]
            data = virtual.read(int(random.integers(200)))
            assert data == real.read(len(data)) and virtual.tell() == real.tell()
        virtual.seek(0)
        assert virtual.readall() == CONTENT and virtual.read(5) == b""
        with pytest.raises(OSError, match="before the start"):
            virtual.seek(-1, os.SEEK_SET)
