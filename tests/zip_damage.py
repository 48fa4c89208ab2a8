"""ZIP files that Python refuses by errors of other kinds than for bytes that are wrong."""

import pytest


def flag_damages(content: bytes) -> list[bytes]:
    """A ZIP whose first entry says that it is encrypted, and that it needs a ZIP of the future."""
    entry = content.index(b"PK\x01\x02")

    def flipped(place: int, bits: int) -> bytes:
        return content[:place] + bytes([content[place] ^ bits]) + content[place + 1 :]

    return [flipped(entry + 8, 1), flipped(entry + 6, 64)]


def refused_when_flagged(path, read, error: type[Exception]) -> None:
    """Asserts that a file, damaged like this, is refused by an error that says so."""
    whole = path.read_bytes()
    for content in flag_damages(whole):
        path.write_bytes(content)
        with pytest.raises(error, match="damaged"):
            read()
    path.write_bytes(whole)
    read()
