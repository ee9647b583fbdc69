"""What is installed into Slicer is what the repository holds."""

import re
import tomllib

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


def test_the_modules_install_what_the_project_requires():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    required = {*project["dependencies"], *project["optional-dependencies"]["train"]}
    files = ("VoxMMSDLib/dependencies.py", "VoxMMSDTrain/VoxMMSDTrainLib/training_packages.py")
    texts = "".join((REPOSITORY / file).read_text(encoding="utf-8") for file in files)
    asked = set(re.findall(r'"([a-z]+[><=!][^"]+)"', texts))

    assert len(asked) > 6
    assert asked <= required
