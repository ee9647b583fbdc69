"""All transforms by name, and how a configuration states them.

A statement is a name and, after a colon, what differs from the transform's defaults:
``low-resolution:p=0.3,factor=2..4``. A range is written ``low..high``.
"""

from __future__ import annotations

import math
import typing
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from voxmmsd.errors import ConfigError
from voxmmsd.labels import LabelSchema
from voxmmsd.transforms.axis_scaling import AxisScaling
from voxmmsd.transforms.bias_field import BiasField
from voxmmsd.transforms.brightness import Brightness
from voxmmsd.transforms.brightness_shift import BrightnessShift
from voxmmsd.transforms.contrast import Contrast
from voxmmsd.transforms.elastic import Elastic
from voxmmsd.transforms.gamma import Gamma
from voxmmsd.transforms.low_resolution import LowResolution
from voxmmsd.transforms.modality_contrast import ModalityContrast
from voxmmsd.transforms.non_enhancing import NonEnhancing
from voxmmsd.transforms.paste import Paste, Tumors
from voxmmsd.transforms.transform import IntensityTransform, PlaceTransform, Transform

TRANSFORMS: dict[str, type] = {
    "axis-scaling": AxisScaling,
    "paste": Paste,
    "elastic": Elastic,
    "non-enhancing": NonEnhancing,
    "low-resolution": LowResolution,
    "bias-field": BiasField,
    "brightness": Brightness,
    "brightness-shift": BrightnessShift,
    "contrast": Contrast,
    "modality-contrast": ModalityContrast,
    "gamma": Gamma,
}

Range = tuple[float, float]


def make_transforms(
    statements: Sequence[str], schema: LabelSchema, bank: Tumors | None = None
) -> tuple[Transform | PlaceTransform, ...]:
    """The transforms that a configuration states, in its order, bound to ``schema``.

    ``bank``: the tumors that ``paste`` pastes; if given, that transform comes first unless it is stated.

    Raises:
        ConfigError: an unknown transform or parameter, a value that is no number, a probability or range out of order,
            or a tissue that the schema lacks.
    """
    made = [_made(statement) for statement in statements]
    if bank is not None:
        if not any(isinstance(transform, Paste) for transform in made):
            made.insert(0, Paste())
        made = [replace(each, bank=bank) if isinstance(each, Paste) else each for each in made]
    return tuple(transform.bind(schema) for transform in made)


def make_intensity_transforms(statements: Sequence[str]) -> tuple[IntensityTransform, ...]:
    """The same for images without labels whose voxels must stay where they are.

    Raises:
        ConfigError: as ``make_transforms``, or a transform that moves voxels or needs labels.
    """
    made = [(statement.partition(":")[0], _made(statement)) for statement in statements]
    if other := next((name for name, transform in made if not isinstance(transform, IntensityTransform)), None):
        fitting = ", ".join(name for name, kind in TRANSFORMS.items() if issubclass(kind, IntensityTransform))
        raise ConfigError(
            f"transforms: {other} moves voxels or needs labels, and pre-training has pairs of voxels and no labels",
            f"choose from {fitting}",
        )
    return tuple(transform for _, transform in made)


def _made(statement: str) -> Any:
    name, _, stated = statement.partition(":")
    if name not in TRANSFORMS:
        raise ConfigError(f"transforms: unknown transform {name!r}", f"choose from {', '.join(TRANSFORMS)}")
    kind = TRANSFORMS[name]
    defaults = {key: getattr(kind, key) for key, hint in typing.get_type_hints(kind).items() if hint in (float, Range)}
    changes: dict[str, Any] = {}
    for part in filter(None, stated.split(",")):
        key, _, value = part.partition("=")
        if key not in defaults:
            raise ConfigError(f"transforms: {name} has no parameter {key!r}", f"it has {', '.join(defaults)}")
        is_range = isinstance(defaults[key], tuple)
        changes[key] = _range(name, key, value, defaults[key]) if is_range else _number(name, key, value)
    made = replace(kind(), **changes)
    if not 0 <= made.p <= 1:
        raise ConfigError(f"transforms: {name}: p={made.p:g} is not a probability", "give 0 to 1")
    return made


def _range(name: str, key: str, text: str, default: Range) -> Range:
    """Only a range that is negative by default may be."""
    low, dots, high = text.partition("..")
    found = _number(name, key, low), _number(name, key, high if dots else low)
    if found[0] > found[1] or (found[0] <= 0 < default[0]):
        needed = "give low..high, both above 0" if default[0] > 0 else "give low..high"
        raise ConfigError(f"transforms: {name}: {key}={text} is an empty range", needed)
    return found


def _number(name: str, key: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ConfigError(f"transforms: {name}: {key}={text!r} is not a number", f"write {key}=0.3 or {key}=1..2")
    return number
