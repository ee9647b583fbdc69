"""What real Slicer offers, as data: the stand-ins may have nothing that is not here.

``api/widgets.json`` and ``api/python.json`` are cut by ``python -m headless_slicer.cut_api`` out of listings that were
read off a running Slicer 5.13 and the headers of Slicer and CTK.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "api"
# Not in the listing of dir(), but used by Slicer's own slicer.util on live objects.
USED_BY_SLICER_UTIL = frozenset({"name", "exec_"})


@cache
def widgets() -> dict[str, Any]:
    return json.loads((FOLDER / "widgets.json").read_text(encoding="utf-8"))


@cache
def python_api() -> dict[str, Any]:
    return json.loads((FOLDER / "python.json").read_text(encoding="utf-8"))


@cache
def members(class_name: str) -> frozenset[str] | None:
    """Attributes that objects of a class have in PythonQt; None for a class that was not listed."""
    live = widgets()["live"].get(class_name)
    if live is not None:
        common = widgets()["live"]["QWidget"]["more"] if live["QWidget"] else []
        return frozenset(live["more"]) | frozenset(common) | USED_BY_SLICER_UTIL
    header = widgets()["headers"].get(class_name)
    if header is None:
        return None
    own = set(header["properties"]) | {
        name_of(text) for kind in ("slots", "signals", "invokables") for text in header[kind]
    }
    inherited = [members(base) or members("QWidget") or frozenset() for base in header["bases"]]
    return frozenset(own).union(*inherited) | USED_BY_SLICER_UTIL


@cache
def properties(class_name: str) -> dict[str, dict[str, Any]]:
    """Properties that a Slicer or CTK class declares, those of its listed bases included."""
    header = widgets()["headers"].get(class_name)
    if header is None:
        return {}
    inherited = [properties(base) for base in header["bases"]]
    return {name: kind for group in (*inherited, header["properties"]) for name, kind in group.items()}


@cache
def signals(class_name: str) -> dict[str, int]:
    """Normalized signatures of the signals of a Slicer or CTK class -> number of arguments."""
    header = widgets()["headers"].get(class_name)
    if header is None:
        return {}
    found: dict[str, int] = {}
    for base in header["bases"]:
        found |= signals(base)
    for text in header["signals"]:
        found[normalized(text)] = _argument_count(text)
    return found


def offered(namespace: str) -> frozenset[str]:
    """Names that ``qt``, ``ctk`` or ``slicer`` have."""
    return frozenset(widgets()["names"][namespace])


def name_of(declaration: str) -> str:
    return declaration.partition("(")[0].split()[-1].lstrip("*&")


def normalized(declaration: str) -> str:
    """``void currentNodeChanged(vtkMRMLNode* node)`` and what modules write -> ``currentNodeChanged(vtkMRMLNode*)``."""
    name, _, rest = declaration.partition("(")
    inside = rest.rpartition(")")[0]
    kinds = [_kind(argument) for argument in inside.split(",") if argument.strip()]
    return f"{name.split()[-1].lstrip('*&')}({','.join(kinds)})"


def _kind(argument: str) -> str:
    text = re.sub(r"\bconst\b|&|=.*", "", argument).strip()
    match = re.match(r"^([\w:]+(?:<.*>)?)\s*(\**)", text)
    return f"{match[1]}{match[2]}" if match else text


def _argument_count(declaration: str) -> int:
    inside = declaration.partition("(")[2].rpartition(")")[0]
    return len([argument for argument in inside.split(",") if argument.strip()])
