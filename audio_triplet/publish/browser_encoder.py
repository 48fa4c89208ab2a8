"""The encoder as a browser's runtime takes it: one patch at a time, all shapes in the file.

LiteRT for browsers takes no tensor whose number of patches is open; its WebGPU takes none whose
shape is computed, and no normalisation. The file has what is needed: the shape to begin with (1
patch) and a signature with -1 there, reshapes to what operators make of their input's shape, and
a last operator that normalises. The signature is overwritten in place; a reshape's shape is what
its output has, and becomes a constant; what comes before the normalisation becomes the output,
and the page divides it by its norm.

By hand, not by the `flatbuffers` package: its reader of this format is inside TensorFlow, which
would have to be imported for some dozen numbers.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from audio_triplet.errors import DeploymentError

# Numbers of fields in the schema.
_CODES, _SUBGRAPHS, _BUFFERS = 1, 2, 4
_TENSORS, _OUTPUTS, _OPERATORS = 0, 2, 3
_SHAPE, _BUFFER, _SHAPE_SIGNATURE = 0, 2, 7
_CODE, _GIVEN, _MADE = 0, 1, 2
_EARLIER_CODE, _PRESENT_CODE = 0, 3

_NORMALIZATION, _RESHAPE = 11, 22
_ALIGNED = 16  # bytes, of what a buffer holds
_IDENTIFIER = b"TFL3"


def for_browsers(content: bytes) -> bytes:
    """The model with every open dimension closed, every shape a constant, and no norm.

    Args:
      content: The TensorFlow Lite model.

    Returns:
      The same, so that what it makes is a multiple of the embedding.

    Raises:
      DeploymentError: It is no TensorFlow Lite model.
    """
    found = bytearray(content)
    if found[4:8] != _IDENTIFIER:
        raise DeploymentError("the encoder is no TensorFlow Lite model; make the index again")
    try:
        for subgraph in _tables(found, _offset(found, 0), _SUBGRAPHS):
            _close(found, subgraph)
            _fix_reshapes(found, subgraph)
            _leave_norm_out(found, subgraph)
    except (struct.error, IndexError) as error:
        raise DeploymentError("the encoder file is damaged; make the index again") from error
    return bytes(found)


def _close(model: bytearray, subgraph: int) -> None:
    for tensor in _tables(model, subgraph, _TENSORS):
        shape = _vector(model, tensor, _SHAPE)
        signature = _vector(model, tensor, _SHAPE_SIGNATURE)
        for size_at, open_at in zip(shape, signature, strict=False):
            if _number(model, open_at) < 0:
                model[open_at : open_at + 4] = model[size_at : size_at + 4]


def _fix_reshapes(model: bytearray, subgraph: int) -> None:
    tensors = _tables(model, subgraph, _TENSORS)
    operators = _tables(model, subgraph, _OPERATORS)
    computed = {n for operator in operators for n in _numbers(model, operator, _MADE)}
    for operator in operators:
        given = _numbers(model, operator, _GIVEN)
        if _kind(model, operator) != _RESHAPE or len(given) < 2:
            continue
        (made,) = _numbers(model, operator, _MADE)
        shape = _numbers(model, tensors[made], _SHAPE)
        buffer = _value(model, tensors[given[1]], _BUFFER)
        others = [_value(model, tensor, _BUFFER) for tensor in tensors]
        # A buffer of its own: activations may share an empty one.
        if given[1] in computed and others.count(buffer) == 1:
            _fill(model, buffer, shape)
            computed.discard(given[1])
            _leave_out(model, subgraph, constant=given[1])


def _leave_norm_out(model: bytearray, subgraph: int) -> None:
    """Lets what is normalised last be the output."""
    operators = _tables(model, subgraph, _OPERATORS)
    outputs = _numbers(model, subgraph, _OUTPUTS)
    for operator in operators:
        made, given = (_numbers(model, operator, field) for field in (_MADE, _GIVEN))
        if _kind(model, operator) == _NORMALIZATION and made == outputs:
            before = [one for one in operators if _numbers(model, one, _MADE) == given]
            users = [one for one in operators if given[0] in _numbers(model, one, _GIVEN)]
            if len(before) == len(users) == 1:
                _write(model, subgraph, [one for one in operators if one != operator])
                struct.pack_into("<i", model, _vector(model, before[0], _MADE).start, outputs[0])


def _leave_out(model: bytearray, subgraph: int, constant: int) -> None:
    """Removes the operator that makes a tensor, and what only it needs."""
    operators = _tables(model, subgraph, _OPERATORS)
    operators = [one for one in operators if constant not in _numbers(model, one, _MADE)]
    while True:
        needed = {n for one in operators for n in _numbers(model, one, _GIVEN)}
        needed.update(_numbers(model, subgraph, _OUTPUTS))
        kept = [one for one in operators if needed.intersection(_numbers(model, one, _MADE))]
        if len(kept) == len(operators):
            break
        operators = kept
    _write(model, subgraph, operators)


def _write(model: bytearray, subgraph: int, operators: Sequence[int]) -> None:
    """Writes which operators there are: some of those that there were."""
    vector = _vector(model, subgraph, _OPERATORS)
    struct.pack_into("<I", model, vector.start - 4, len(operators))
    for at, operator in zip(vector, operators, strict=False):
        struct.pack_into("<I", model, at, operator - at)


def _fill(model: bytearray, number: int, values: Sequence[int]) -> None:
    """Writes numbers into a buffer, at the end of the file."""
    entry = _vector(model, _offset(model, 0), _BUFFERS)[number]
    content = struct.pack(f"<{len(values)}i", *values)
    # A description (its size, the table's, where its field is), the table, a vector.
    head = struct.pack("<3HH iI I", 6, 8, 4, 0, 8, 4, len(content))
    model.extend(bytes(-(len(model) + len(head)) % _ALIGNED))
    struct.pack_into("<I", model, entry, len(model) + 8 - entry)
    model.extend(head + content)
    model.extend(bytes(-len(model) % _ALIGNED))


def _kind(model: bytearray, operator: int) -> int:
    """What an operator does: files of earlier writers have a byte for it."""
    code = _tables(model, _offset(model, 0), _CODES)[_value(model, operator, _CODE)]
    field = _field(model, code, _EARLIER_CODE)
    return max(model[field] if field else 0, _value(model, code, _PRESENT_CODE))


def _number(model: bytearray, at: int) -> int:
    return struct.unpack_from("<i", model, at)[0]


def _value(model: bytearray, table: int, number: int) -> int:
    """A field of 32 bits; 0 where it is not written."""
    field = _field(model, table, number)
    return _number(model, field) if field else 0


def _numbers(model: bytearray, table: int, number: int) -> list[int]:
    return [_number(model, at) for at in _vector(model, table, number)]


def _offset(model: bytearray, at: int) -> int:
    """Where what an offset at `at` points to begins."""
    return at + struct.unpack_from("<I", model, at)[0]


def _field(model: bytearray, table: int, number: int) -> int:
    """Where a field of a table is; 0: it has none."""
    virtual = table - struct.unpack_from("<i", model, table)[0]
    size = struct.unpack_from("<H", model, virtual)[0]
    entry = 4 + 2 * number
    if entry >= size:
        return 0
    offset = struct.unpack_from("<H", model, virtual + entry)[0]
    return table + offset if offset else 0


def _vector(model: bytearray, table: int, number: int) -> range:
    """Where the numbers, or offsets, of a vector are."""
    field = _field(model, table, number)
    if not field:
        return range(0)
    begin = _offset(model, field)
    count = struct.unpack_from("<I", model, begin)[0]
    return range(begin + 4, begin + 4 + 4 * count, 4)


def _tables(model: bytearray, table: int, number: int) -> list[int]:
    return [_offset(model, at) for at in _vector(model, table, number)]
