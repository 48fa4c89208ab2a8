"""A TensorFlow Lite model for one patch at a time.

LiteRT for browsers takes no tensor whose number of patches is open. The file has both: the shape to
begin with (1 patch), and a signature with -1 there. The signature is overwritten, in place.

By hand, not by the `flatbuffers` package: its reader of this format is inside TensorFlow, which
would have to be imported for two dozen numbers.
"""

from __future__ import annotations

import struct

from audio_triplet.errors import DeploymentError

_SUBGRAPHS, _TENSORS, _SHAPE, _SHAPE_SIGNATURE = 2, 0, 0, 7  # numbers of fields in the schema
_IDENTIFIER = b"TFL3"


def fixed_batch(content: bytes) -> bytes:
    """The model with every open dimension closed.

    Args:
      content: The TensorFlow Lite model.

    Returns:
      The same with the signatures' open dimensions as the shapes have them.

    Raises:
      DeploymentError: It is no TensorFlow Lite model.
    """
    found = bytearray(content)
    if found[4:8] != _IDENTIFIER:
        raise DeploymentError("the encoder is no TensorFlow Lite model; make the index again")
    try:
        for subgraph in _tables(found, _offset(found, 0), _SUBGRAPHS):
            for tensor in _tables(found, subgraph, _TENSORS):
                shape = _vector(found, tensor, _SHAPE)
                signature = _vector(found, tensor, _SHAPE_SIGNATURE)
                for size_at, open_at in zip(shape, signature, strict=False):
                    if struct.unpack_from("<i", found, open_at)[0] < 0:
                        found[open_at : open_at + 4] = found[size_at : size_at + 4]
    except struct.error as error:
        raise DeploymentError("the encoder file is damaged; make the index again") from error
    return bytes(found)


def _offset(buffer: bytearray, at: int) -> int:
    """Where what an offset at `at` points to begins."""
    return at + struct.unpack_from("<I", buffer, at)[0]


def _field(buffer: bytearray, table: int, number: int) -> int:
    """Where a field of a table is; 0: it has none."""
    virtual = table - struct.unpack_from("<i", buffer, table)[0]
    size = struct.unpack_from("<H", buffer, virtual)[0]
    entry = 4 + 2 * number
    if entry >= size:
        return 0
    offset = struct.unpack_from("<H", buffer, virtual + entry)[0]
    return table + offset if offset else 0


def _vector(buffer: bytearray, table: int, number: int) -> range:
    """Where the numbers, or offsets, of a vector are."""
    field = _field(buffer, table, number)
    if not field:
        return range(0)
    begin = _offset(buffer, field)
    count = struct.unpack_from("<I", buffer, begin)[0]
    return range(begin + 4, begin + 4 + 4 * count, 4)


def _tables(buffer: bytearray, table: int, number: int) -> list[int]:
    return [_offset(buffer, at) for at in _vector(buffer, table, number)]
