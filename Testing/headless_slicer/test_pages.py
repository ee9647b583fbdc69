"""Each widget that a panel's code names is in the ``.ui`` file of its page, and each control there is used."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
# Module -> .ui file or files that are one page -> the classes whose ``ui`` it is.
PAGES = {
    "VoxMMSDSegment": {
        ("VoxMMSDSegment", "Review", "FollowUp"): [
            "CarryBox", "CavityButton", "ComputerOptions", "DicomBox", "FollowTab", "HdBetButton", "MaskBox",
            "ModelsBox", "ReportBox", "ReviewTab", "SegmentTab", "VisitsBox", "VoxMMSDSegmentWidget",
        ],
    },
    "VoxMMSDTrain": {
        ("VoxMMSDTrain",): ["VoxMMSDTrainWidget"],
        ("Library",): ["LibraryTab"],
        ("Task",): ["TaskTab"],
        ("Run",): ["Previews", "RunTab"],
        ("Result",): ["Compared", "ResultTab", "UnnamedPairs"],
    },
}  # fmt: skip
CASES = [(module, files, owners) for module, pages in PAGES.items() for files, owners in pages.items()]
CONTROLS = ("Button", "Box", "Edit", "Check", "Combo", "Choice", "Slider", "Path", "Selector", "Table")
GROUPS = ("QGroupBox", "ctkCollapsibleGroupBox")


def widgets(module: str, files: tuple[str, ...]) -> dict[str, ElementTree.Element]:
    trees = [ElementTree.parse(REPOSITORY / module / "Resources" / "UI" / f"{file}.ui") for file in files]
    return {one.attrib["name"]: one for tree in trees for one in tree.iter("widget")}


def classes(module: str) -> dict[str, ast.ClassDef]:
    trees = [ast.parse(file.read_text()) for file in sorted((REPOSITORY / module / f"{module}Lib").glob("*.py"))]
    return {node.name: node for tree in trees for node in tree.body if isinstance(node, ast.ClassDef)}


def is_ui(node: ast.AST) -> bool:
    name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
    return name.removeprefix("_") == "ui"


def used(owner: ast.ClassDef) -> Iterator[str]:
    """Patterns of the names that a class asks its ``ui`` for: ``ui.NAME`` and ``getattr(ui, f"{...}NAME")``."""
    for node in ast.walk(owner):
        if isinstance(node, ast.Attribute) and is_ui(node.value):
            yield re.escape(node.attr)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "getattr" and is_ui(node.args[0]):
            name = node.args[1]
            parts = name.values if isinstance(name, ast.JoinedStr) else [name]
            yield "".join(re.escape(part.value) if isinstance(part, ast.Constant) else r"\w+" for part in parts)


@pytest.mark.parametrize(("module", "files", "owners"), CASES, ids=str)
def test_each_widget_that_a_class_names_is_in_the_file_of_its_page(module, files, owners):
    names, found = widgets(module, files), classes(module)

    missing = {
        f"{owner}: {pattern}"
        for owner in owners
        for pattern in used(found[owner])
        if not any(re.fullmatch(pattern, name) for name in names) and pattern != "add"
    }

    assert not missing


@pytest.mark.parametrize("module", PAGES)
def test_each_class_with_a_page_is_known_here(module):
    with_page = {name for name, node in classes(module).items() if next(used(node), None) and not name.endswith("Test")}

    assert with_page == {owner for owners in PAGES[module].values() for owner in owners}


@pytest.mark.parametrize(("module", "files", "owners"), CASES, ids=str)
def test_each_control_of_a_page_does_something(module, files, owners):
    found = classes(module)
    patterns = [pattern for owner in owners for pattern in used(found[owner])]

    idle = {
        name
        for name, widget in widgets(module, files).items()
        if name.endswith(CONTROLS)
        and widget.attrib["class"] not in GROUPS
        and not any(re.fullmatch(pattern, name) for pattern in patterns)
        and not any("ParameterName" in one.attrib["name"] for one in widget.iter("property"))
    }

    assert not idle
