"""All transforms by name, and how a configuration states them.

A statement is a name and, after a colon, what differs from the transform's defaults:
``low-resolution:p=0.3,factor=2..4``. A range is written ``low..high``.
"""

from __future__ import annotations

import typing
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from voxmmsd.errors import ConfigError
from voxmmsd.labels import LabelSchema
from voxmmsd.transforms.low_resolution import LowResolution
from voxmmsd.transforms.non_enhancing import NonEnhancing
from voxmmsd.transforms.transform import Transform

TRANSFORMS: dict[str, type] = {
    "low-resolution": LowResolution,
    "non-enhancing": NonEnhancing,
}


def make_transforms(statements: Sequence[str], schema: LabelSchema) -> tuple[Transform, ...]:
    """The transforms that a configuration states, in its order, bound to ``schema``.

    Raises:
        ConfigError: an unknown transform or parameter, a value that is no number, a probability or range out of order,
            or a tissue that the schema lacks.
    """
    return tuple(_made(statement).bind(schema) for statement in statements)


def _made(statement: str) -> Any:
    name, _, stated = statement.partition(":")
    if name not in TRANSFORMS:
        raise ConfigError(f"transforms: unknown transform {name!r}", f"choose from {', '.join(TRANSFORMS)}")
    kind = TRANSFORMS[name]
    hints = typing.get_type_hints(kind)
    known = [item.name for item in fields(kind) if item.init]
    changes = {}
    for part in filter(None, stated.split(",")):
        key, _, value = part.partition("=")
        if key not in known:
            raise ConfigError(f"transforms: {name} has no parameter {key!r}", f"it has {', '.join(known)}")
        changes[key] = _range(name, key, value) if hints[key] is not float else _number(name, key, value)
    made = replace(kind(), **changes)
    if not 0 <= made.p <= 1:
        raise ConfigError(f"transforms: {name}: p={made.p:g} is not a probability", "give 0 to 1")
    return made


def _range(name: str, key: str, text: str) -> tuple[float, float]:
    low, dots, high = text.partition("..")
    found = _number(name, key, low), _number(name, key, high if dots else low)
    if not 0 < found[0] <= found[1]:
        raise ConfigError(f"transforms: {name}: {key}={text} is an empty range", "give low..high, both above 0")
    return found


def _number(name: str, key: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ConfigError(
            f"transforms: {name}: {key}={text!r} is not a number", f"write {key}=0.3 or {key}=1..2"
        ) from None
