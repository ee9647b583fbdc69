"""What is installed into Slicer is what the repository holds."""

import re

import pytest

from headless_slicer.host import REPOSITORY
from headless_slicer.package_lists import lists


@pytest.mark.parametrize("path", lists(), ids=lambda path: path.parent.name)
def test_every_file_of_a_package_is_in_its_list(path):
    advice = "run: cd Testing && python -m headless_slicer.package_lists"
    assert path.read_text(encoding="utf-8") == lists()[path], advice


def test_the_extensions_description_can_be_read_by_the_index():
    text = (REPOSITORY / "CMakeLists.txt").read_text(encoding="utf-8")
    for name in ("HOMEPAGE", "CONTRIBUTORS", "DESCRIPTION", "ICONURL", "SCREENSHOTURLS", "DEPENDS"):
        assert re.search(rf'^set\(EXTENSION_{name} "[^"\n]+"\)$', text, re.MULTILINE), name


def test_a_module_folder_holds_one_module_file():
    for name in ("VoxMMSDSegment", "VoxMMSDTrain"):
        assert [file.name for file in (REPOSITORY / name).glob("*.py")] == [f"{name}.py"]
        assert re.search(
            rf"^class {name}\(ScriptedLoadableModule\):$",
            (REPOSITORY / name / f"{name}.py").read_text(encoding="utf-8"),
            re.MULTILINE,
        )
