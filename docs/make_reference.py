"""Write docs/reference.md from the configurations: ``python docs/make_reference.py``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from voxmmsd.config import flag_of
from voxmmsd.labels import SCHEMAS, LabelSchema
from voxmmsd.verbs import VERBS, Verb, VerbGroup

FILE = Path(__file__).with_name("reference.md")
HEAD = """# Reference

Generated from the options in [`voxmmsd/verbs`](../voxmmsd/verbs/__init__.py) by `python docs/make_reference.py`.

Every option is also a key of a configuration file in TOML or JSON: `--config job.toml`.
The command line takes precedence over the file, the file over the preset, and the preset over the defaults shown here.
Every verb also takes `--debug`, which shows the traceback of an error.
Exit codes: 0 success, 2 bad input, 3 an implausible result was withheld, 1 internal error
(of `doctor`: it found a fault; of `runs`: the run failed or did not respond), 130 canceled.

## Label schemas

| schema | values in files |
|---|---|
{schemas}"""


def text() -> str:
    return "\n".join([HEAD.format(schemas="".join(map(_schema, SCHEMAS.values()))), *map(_verb, VERBS)])


def _schema(schema: LabelSchema) -> str:
    return (
        f"| `{schema.name}` | {', '.join(f'{label.value} {label.key} ({label.name})' for label in schema.labels)} |\n"
    )


def _verb(verb: Verb | VerbGroup, prefix: str = "## `voxmmsd") -> str:
    if isinstance(verb, VerbGroup):
        known = f"{_sentence(verb.help)}\nWithout an action: `{verb.actions[0].name}`."
        actions = [_verb(action, f"### `voxmmsd {verb.name}") for action in verb.actions]
        return "\n".join([f"{prefix} {verb.name}`\n\n{known}\n", *actions])
    fields = dataclasses.fields(verb.config)
    named = [item.name.upper() for item in fields if item.metadata["positional"]]
    detach = "\nCan be started in the background with `--detach`.\n" if verb.run_folder else ""
    rows = "".join(f"| {_name(item)} | {_help(item)} | {_default(item.default)} |\n" for item in fields)
    heading = " ".join([f"{prefix} {verb.name}", *named])
    table = f"\n| option | description | default |\n|---|---|---|\n{rows}" if rows else ""
    return f"{heading}`\n\n{_sentence(verb.help)}\n{detach}{table}"


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _name(item: Any) -> str:
    return f"`{item.name.upper()}`" if item.metadata["positional"] else f"`--{flag_of(item)}`"


def _help(item: Any) -> str:
    choices = ", ".join(f"`{choice}`" for choice in item.metadata["choices"] if choice)
    return (item.metadata["help"] + (f" ({choices})" if choices else "")).replace("|", "\\|")


def _default(value: Any) -> str:
    if value in ("", (), None):
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
