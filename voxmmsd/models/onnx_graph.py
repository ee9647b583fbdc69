"""What an ONNX file computes, read without running it: protocol buffers are walked through, tensors skipped.

A network of ours is a chain of standard operators. Loops, branches, operators of other domains, functions and tensors
in other files are refused before a runtime sees the file.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

from voxmmsd.errors import ModelError

_CONTROL = ("Loop", "If", "Scan", "SequenceMap")
_DOMAINS = ("", "ai.onnx")
_WAY = "export the model again where it was trained"
_MODEL_GRAPH, _MODEL_FUNCTIONS, _GRAPH_NODE, _GRAPH_TENSOR = 7, 25, 1, 5
_NODE_ATTRIBUTE, _NODE_OPERATOR, _NODE_DOMAIN = 5, 4, 7
_ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS, _TENSOR_EXTERNAL, _TENSOR_LOCATION = 6, 11, 13, 14

_Field = tuple[int, int, int, int]  # number, start, end, and the value of a number


def refuse_strange_graph(file: Path) -> None:
    """Raise ModelError where the file computes what no network of ours does, or is no ONNX file."""
    if not file.stat().st_size:
        raise ModelError(f"{file}: is empty", _WAY)
    with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        try:
            for number, start, end, _ in _fields(content, 0, len(content)):
                if number == _MODEL_FUNCTIONS:
                    raise ModelError(f"{file}: its ONNX graph defines functions of its own", _WAY)
                if number == _MODEL_GRAPH:
                    _check_graph(content, start, end, file)
        except (IndexError, ValueError) as error:
            raise ModelError(f"{file}: is not an ONNX file ({error})", _WAY) from None


def _check_graph(content: mmap.mmap, start: int, end: int, file: Path) -> None:
    for number, begin, stop, _ in _fields(content, start, end):
        if number == _GRAPH_NODE:
            _check_node(content, begin, stop, file)
        elif number == _GRAPH_TENSOR:
            for field, _, _, value in _fields(content, begin, stop):
                if field == _TENSOR_EXTERNAL or (field == _TENSOR_LOCATION and value):
                    raise ModelError(f"{file}: refers to data outside itself", _WAY)


def _check_node(content: mmap.mmap, start: int, end: int, file: Path) -> None:
    operator, domain = "", ""
    for number, begin, stop, _ in _fields(content, start, end):
        if number == _NODE_OPERATOR:
            operator = content[begin:stop].decode("utf-8", "replace")
        elif number == _NODE_DOMAIN:
            domain = content[begin:stop].decode("utf-8", "replace")
        elif number == _NODE_ATTRIBUTE and any(
            field in (_ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS) for field, *_ in _fields(content, begin, stop)
        ):
            raise ModelError(f"{file}: its ONNX graph holds graphs within operators", _WAY)
    if operator in _CONTROL:
        raise ModelError(f"{file}: its ONNX graph holds the operator {operator}, which no network here needs", _WAY)
    if domain not in _DOMAINS:
        raise ModelError(f"{file}: its ONNX graph holds {operator} of the domain {domain!r}, not of ONNX", _WAY)


def _fields(content: mmap.mmap, start: int, end: int) -> Iterator[_Field]:
    """The fields of a message: number, where its content begins and ends, and its value if it is a number."""
    place = start
    while place < end:
        key, place = _varint(content, place)
        number, kind = key >> 3, key & 7
        value, begin = 0, place
        if kind == 0:
            value, place = _varint(content, place)
        elif kind == 2:
            length, begin = _varint(content, place)
            place = begin + length
        elif kind in (1, 5):
            place += 8 if kind == 1 else 4
        else:
            raise ValueError(f"a field of kind {kind}")
        if place > end:
            raise ValueError("a field ends behind its message")
        yield number, begin, place, value


def _varint(content: mmap.mmap, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = content[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise ValueError("a number without end")
