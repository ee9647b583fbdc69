"""Options of the verbs as fields of dataclasses: made from a call, a file and a preset, and checked.

Standard library only, and nothing but the named file is read. A field is an option of the same name (``steps`` is
``--steps``) and a key of a configuration file; its ``help`` is shown by both. Order of precedence: option, file,
preset, default. The dataclasses are beside the code that reads them: in ``voxmmsd.verbs``; where lower rooms read them,
in ``voxmmsd.training_config``, ``voxmmsd.inference.config`` and ``voxmmsd.refine.config``.
"""

from __future__ import annotations

import dataclasses
import json
import math
import tomllib
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import field
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from voxmmsd.errors import ConfigError
from voxmmsd.files import parse_json

ConfigT = TypeVar("ConfigT")
Presets = Mapping[str, Mapping[str, Any]]

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "float32", "half")
ANSWERS = ("first", "second", "equal")  # which of two results is better
BRAIN_MASK = (
    "image that is non-zero inside the brain, a skull-stripped modality, or a tool: voxmmsd (bundled), hd-bet or "
    "synthstrip"
)
SPACING_MM = (0.1, 20.0)  # voxels of any image are between these
CORRECTIONS_RECORD = "corrections.json"  # of a run: which labels of which library it learned


class Affects(StrEnum):
    """What an option changes."""

    RESULT = "result"
    INPUT = "input"  # which files are read; a path
    PLACE = "place"  # where files are written; a path
    DEVICE = "device"  # on what it is computed, and with it the last digits
    SPEED = "speed"
    CARD = "card"  # a text that is only repeated on the model card
    REPORT = "report"  # what is printed


# Former names of options: accepted for one release, in calls, in files of options, and in the records of older runs.
FORMER_NAMES = {
    "balanced": "class_balancing",
    "cell": "mask_size",
    "foreground": "oversample_foreground",
    "free_statistics": "freeze_batchnorm_after",
    "frozen": "linear_probe",
    "hide_last": "mask_after_augmentation",
    "intermediates": "save_intermediates",
    "joint_mask": "same_mask_for_modalities",
    "keep": "keep_checkpoints",
    "keep_every": "keep_checkpoint_every",
    "masked": "mask_ratio",
    "operated": "postoperative",
    "same_mask": "same_mask_for_views",
    "same_modality": "pairs_within_modality",
    "smallest": "min_component",
    "sources": "data_sources",
    "weight_average": "ema_decay",
}

SAME_RESULT = (Affects.PLACE, Affects.SPEED, Affects.CARD, Affects.REPORT)  # a run may be continued with other ones
OF_THIS_MACHINE = (Affects.PLACE, Affects.SPEED, Affects.DEVICE, Affects.REPORT)  # another machine has its own


def option(
    default: Any,
    help: str = "",
    *,
    range: tuple[float, float] | None = None,
    choices: tuple[str, ...] = (),
    affects: Affects = Affects.RESULT,
    panel: bool = False,
    flag: str = "",
    positional: bool = False,
) -> Any:
    """A dataclass field with all that is known of an option.

    ``range``: least and greatest number, or of each of several. ``panel``: whether the panel for training shows it
    among its options. ``flag``: the option's name where it is not the field's.
    """
    return field(
        default=default,
        metadata={
            "help": help,
            "range": range,
            "choices": choices,
            "affects": affects,
            "panel": panel,
            "flag": flag,
            "positional": positional,
        },
    )


def options_that(kind: type | Any, affect: Iterable[Affects]) -> frozenset[str]:
    """Names of the options of a configuration that affect one of these."""
    wanted = set(affect)
    return frozenset(item.name for item in dataclasses.fields(kind) if item.metadata.get("affects") in wanted)


def flag_of(item: dataclasses.Field) -> str:
    """Name of the option without dashes: ``start`` is ``--from``, ``brain_mask`` is ``--brain-mask``."""
    return (item.metadata.get("flag") or item.name).replace("_", "-")


def make_config(
    kind: type[ConfigT], given: dict[str, Any], file: Path | None = None, *, presets: Presets | None = None
) -> ConfigT:
    """The configuration of a verb from given options, a file and the preset; nothing else is read.

    ``presets``: by name the defaults that a ``--preset`` replaces, instead of ``kind.PRESETS``.

    Raises:
        ConfigError: an unknown field, a value of the wrong type, or a file that cannot be read.
    """
    stated = {**(with_field_names(kind, read_record(file)) if file else {}), **with_field_names(kind, given)}
    presets = getattr(kind, "PRESETS", {}) if presets is None else presets
    preset = presets.get(_checked("preset", stated.get("preset", "small"), str), {})
    return config_from_record(kind, {**preset, **stated})


def read_record(file: Path) -> dict[str, Any]:
    """The content of a JSON or TOML file of options. Raises ConfigError if it cannot be read."""
    try:
        text = file.read_text(encoding="utf-8")
        record = tomllib.loads(text) if file.suffix == ".toml" else parse_json(text)
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(
            f"{file}: cannot be read as a {file.suffix or 'JSON'} configuration ({error})",
            "give a JSON or TOML file of options",
        ) from error
    if not isinstance(record, dict):
        raise ConfigError(
            f"{file}: a configuration is a table of options, this is a {type(record).__name__}", "give names and values"
        )
    return record


def former_names(kind: type | Any) -> dict[str, str]:
    """Former name -> present name of those fields of a configuration that were renamed."""
    names = {item.name for item in dataclasses.fields(kind)}
    return {old: new for old, new in FORMER_NAMES.items() if new in names and old not in names}


def with_field_names(kind: type, record: Mapping[str, Any]) -> dict[str, Any]:
    """Keys as names of fields; they may be written as options (``from``, ``brain-mask``) or be former names.

    Raises:
        ConfigError: two keys name the same field.
    """
    renamed = former_names(kind)
    names = {flag_of(item): item.name for item in dataclasses.fields(kind)}
    names.update({spelled: new for old, new in renamed.items() for spelled in (old, old.replace("_", "-"))})
    found: dict[str, Any] = {}
    keys: dict[str, str] = {}
    for key, value in record.items():
        name = names.get(key, key)
        if name in found:
            raise ConfigError(f"{keys[name]} and {key} are two names of one option", "give one of them")
        found[name], keys[name] = value, key
    return found


def config_from_record(kind: type[ConfigT], record: dict[str, Any]) -> ConfigT:
    """Check names and types and build the dataclass (lists become tuples, whole numbers become floats)."""
    record = with_field_names(kind, record)
    hints = typing.get_type_hints(kind)
    fields = {item.name: item for item in dataclasses.fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(record) - set(fields))
    if unknown:
        raise ConfigError(f"unknown option {', '.join(unknown)}", f"known are {', '.join(fields)}")
    values = {name: _checked(name, value, hints[name]) for name, value in record.items()}
    for name, value in values.items():
        choices = fields[name].metadata.get("choices")
        if choices and value not in choices:
            raise ConfigError(
                f"{flag_of(fields[name])}: {value!r} is not one of {', '.join(choices)}", "choose one of them"
            )
        _check_range(fields[name], value)
    return kind(**values)


def _check_range(item: dataclasses.Field, value: Any) -> None:
    """Raise ConfigError for a number, or one of several, that is out of range."""
    stated = item.metadata.get("range")
    least, most = stated or (-math.inf, math.inf)
    wanted = "a finite number" if stated is None else f"{least:g} or more" if most == math.inf else ""
    for number in value if isinstance(value, tuple) else (value,):
        if isinstance(number, int | float) and not (abs(number) < math.inf and least <= number <= most):
            raise ConfigError(
                f"{flag_of(item)}: {number!r:.40} is out of range", f"give {wanted or f'{least:g} to {most:g}'}"
            )
    if stated and value == ():
        raise ConfigError(f"{flag_of(item)}: is empty", "give at least one")


# What to give where an option's value is of another type.
_A_VALUE = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", dict: "a table"}


def config_to_record(config: Any) -> dict[str, Any]:
    """The configuration as plain values for JSON."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def _checked(name: str, value: Any, hint: Any) -> Any:
    if typing.get_origin(hint) is tuple:
        inner = typing.get_args(hint)[0]
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{name}: expected a list, got {value!r}", "put it into brackets, as in [1, 2]")
        return tuple(_checked(name, item, inner) for item in value)
    if isinstance(hint, types.UnionType):
        if value is None:
            return None
        hint = next(kind for kind in typing.get_args(hint) if kind is not type(None))
    hint = typing.get_origin(hint) or hint
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise ConfigError(
                f"{name}: a number of {len(str(value))} digits is out of range", "give a smaller one"
            ) from None
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise ConfigError(f"{name}: expected {hint.__name__}, got {value!r}", f"give {_A_VALUE[hint]}")
    return value
