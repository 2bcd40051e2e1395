"""Where the parts of a TFLite file lie, so that damage can be aimed at them.

A flatbuffer's table refers to a list of places (the vtable) that says where each field is; vectors begin with their length. What kind each
field is of follows from TFLite's schema, of which this holds the tables that say something about the graph.
"""

from collections.abc import Iterator, Mapping
import struct
from typing import Final, NamedTuple


class Place(NamedTuple):
    """A number in the file."""

    kind: str
    """``offset``, ``entry`` (of a vtable), ``length`` (of a vector), or what it means: ``shape``, ``scale``, ``index``…"""
    position: int
    form: str
    """Of the module struct."""


# Table → number of a field → what is there: "table NAME", "tables NAME", or a kind of number with its form, several for "[".
_SCHEMA: Final[Mapping[str, Mapping[int, str]]] = {
    "Model": {
        0: "version <I",
        1: "tables Code",
        2: "tables Graph",
        3: "text",
        4: "tables Buffer",
        7: "tables Signature",
    },
    "Code": {0: "opcode <b", 1: "text", 2: "version <i", 3: "opcode <i"},
    "Graph": {0: "tables Tensor", 1: "[index <i", 2: "[index <i", 3: "tables Operator", 4: "text"},
    "Tensor": {
        0: "[shape <i",
        1: "type <b",
        2: "buffer <I",
        3: "text",
        4: "table Quantisation",
        5: "flag <b",
        6: "offset <I",
        7: "[shape <i",
    },
    "Quantisation": {0: "[scale <f", 1: "[scale <f", 2: "[scale <f", 3: "[zero <q", 4: "type <b", 6: "axis <i"},
    "Operator": {
        0: "opcode <I",
        1: "[index <i",
        2: "[index <i",
        3: "type <b",
        4: "table Options",
        5: "text",
        6: "type <b",
        7: "[index <i",
    },
    "Options": dict.fromkeys(range(8), "option <i"),
    "Buffer": {0: "[data <B", 1: "length <Q", 2: "length <Q"},
    "Signature": {0: "tables End", 1: "tables End", 2: "text", 4: "index <I"},
    "End": {0: "text", 1: "index <I"},
}
_MOST_OF_A_VECTOR: Final = 64
"""Elements of a vector that become places: weights are many, and alike."""


def places(data: bytes) -> list[Place]:
    """List the places of a sound file."""
    found: list[Place] = [Place("offset", 0, "<I")]
    found += _table(data, _number(data, 0, "<I"), "Model")
    return found


def _number(data: bytes, position: int, form: str) -> int:
    value: int = struct.unpack_from(form, data, position)[0]
    return value


def _table(data: bytes, position: int, name: str) -> Iterator[Place]:
    """Yield a table's own places and those of what it leads to."""
    yield Place("offset", position, "<i")
    vtable = position - _number(data, position, "<i")
    size = _number(data, vtable, "<H")
    yield Place("entry", vtable, "<H")
    yield Place("entry", vtable + 2, "<H")
    for number, what in _SCHEMA[name].items():
        entry = vtable + 4 + 2 * number
        if entry >= vtable + size:
            continue
        yield Place("entry", entry, "<H")
        offset = _number(data, entry, "<H")
        if offset:
            yield from _field(data, position + offset, what)


def _field(data: bytes, position: int, what: str) -> Iterator[Place]:
    kind, _, rest = what.partition(" ")
    if not (kind in ("text", "table", "tables") or kind.startswith("[")):
        if position + struct.calcsize(rest) <= len(data):
            yield Place(kind, position, rest)
        return
    yield Place("offset", position, "<I")
    start = position + _number(data, position, "<I")
    if kind == "table":
        yield from _table(data, start, rest)
        return
    yield Place("length", start, "<I")
    length = _number(data, start, "<I")
    if kind == "tables":
        for element in range(start + 4, start + 4 + 4 * length, 4):
            yield Place("offset", element, "<I")
            yield from _table(data, element + _number(data, element, "<I"), rest)
    elif kind.startswith("["):
        size = struct.calcsize(rest)
        step = max(1, length // _MOST_OF_A_VECTOR)
        for number in range(0, length, step):
            yield Place(kind[1:], start + 4 + size * number, rest)
