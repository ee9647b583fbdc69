"""The decoder's feature pyramid as further outputs of a package's ONNX file, without the ``onnx`` package.

An ONNX file is one protobuf message. Of a message that comes in several pieces a reader joins the repeated fields
("Merge" in the protobuf encoding guide), so a second piece of the graph that holds outputs alone, put behind the file,
adds these outputs and leaves every byte of the file as it is. What must be read of the file are its nodes' names.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from voxmmsd.errors import ModelError

_GRAPH, _NODE, _OUTPUT, _NAME = 7, 1, 12, 1  # ModelProto.graph, GraphProto.node and .output, ValueInfoProto.name
_INPUTS, _OUTPUTS, _KIND = 1, 2, 4  # NodeProto.input, .output, .op_type
_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5  # wire types
_STEPPED_OVER = ("QuantizeLinear", "DequantizeLinear")  # of models in 8 bits


@dataclass(frozen=True)
class _Node:
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def with_pyramid(file: Path, levels: int) -> tuple[bytes, tuple[str, ...]]:
    """A model of our export as bytes with its pyramid as further outputs, and their names, finest first.

    ``levels``: how many levels at most.

    Raises:
        ModelError: the file cannot be read, or its graph is not that of our network.
    """
    try:
        content = file.read_bytes()
        names = _pyramid(list(_nodes(memoryview(content))))[:levels]
    except (OSError, IndexError, KeyError, ValueError) as error:
        raise ModelError(
            f"{file}: its feature pyramid cannot be found ({error})", "refine with a model that voxmmsd trained"
        ) from error
    values = b"".join(_piece(_OUTPUT, _piece(_NAME, name.encode())) for name in names)
    return content + _piece(_GRAPH, values), names


def _pyramid(nodes: list[_Node]) -> tuple[str, ...]:
    """Names of the decoder's features, finest first: what the head reads, then what each enlarging stage starts from.

    The last of these is the encoder's deepest level, which is not part of the pyramid (``docs/method.md``, section 4).
    """
    maker = {output: node for node in nodes for output in node.outputs}

    def read_by_convolution(name: str) -> str:
        node = maker[name]
        while node.kind in _STEPPED_OVER:
            node = maker[node.inputs[0]]
        if node.kind != "Conv":
            raise ValueError(f"a {node.kind} stands where a convolution is expected")
        return node.inputs[0]

    finest = read_by_convolution("logits")
    coarser = [read_by_convolution(node.inputs[0]) for node in nodes if node.kind == "Resize"]
    return (finest, *coarser[:0:-1])


def _nodes(model: memoryview) -> Iterator[_Node]:
    for number, graph in _fields(model):
        if number == _GRAPH:
            for inner, node in _fields(graph):
                if inner == _NODE:
                    yield _node(node)


def _node(message: memoryview) -> _Node:
    texts: dict[int, list[str]] = {_INPUTS: [], _OUTPUTS: [], _KIND: []}
    for number, value in _fields(message):
        if number in texts:
            texts[number].append(bytes(value).decode())
    return _Node("".join(texts[_KIND]), tuple(texts[_INPUTS]), tuple(texts[_OUTPUTS]))


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Number and content of each field that has a length; the others are stepped over."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        if key & 7 == _LENGTH:
            length, at = _varint(message, at)
            if at + length > len(message):
                raise ValueError("it is truncated")
            yield key >> 3, message[at : at + length]
            at += length
        elif key & 7 == _VARINT:
            _, at = _varint(message, at)
        elif key & 7 in (_EIGHT_BYTES, _FOUR_BYTES):
            at += 8 if key & 7 == _EIGHT_BYTES else 4
        else:
            raise ValueError("it is not an ONNX file")


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """A number in groups of seven bits, lowest first, and where the next field begins."""
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("it is not an ONNX file")


def _piece(number: int, content: bytes) -> bytes:
    return _as_varint(number << 3 | _LENGTH) + _as_varint(len(content)) + content


def _as_varint(value: int) -> bytes:
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)
