"""What is missing is installed after one question, by the means of Slicer 5.12 and by those of 5.10."""

import importlib
import subprocess
import sys
import types
from unittest.mock import create_autospec

import pytest
import slicer

from headless_slicer.host import MODULES, load_module, start

start()
for name in MODULES:
    load_module(name)

import SampleData  # noqa: E402
from packaging.requirements import Requirement  # noqa: E402

from voxmmsd.errors import MissingDependencyError  # noqa: E402
from VoxMMSDLib import dependencies  # noqa: E402
from VoxMMSDSegmentLib import sample  # noqa: E402
from VoxMMSDTrainLib import training_packages  # noqa: E402


class Pip:
    """Packages that are not there until pip was asked for them; ``asked`` has what it was asked."""

    def __init__(self, missing, works=True):
        self.missing, self.works, self.asked = set(missing), works, []

    def find_spec(self, name):
        return None if name in self.missing else object()

    def install(self, requirements):
        """Slicer 5.10's ``slicer.util.pip_install``: one argument, text or a list."""
        assert type(requirements) in (str, list)
        words = requirements.split() if isinstance(requirements, str) else requirements
        self.asked.append(requirements)
        if not self.works:
            raise subprocess.CalledProcessError(1, "pip install")
        self.missing -= {Requirement(word).name for word in words if not word.startswith("-")}

    def install_with_options(self, requirements, **options):
        self.install(requirements)


@pytest.fixture(params=["5.10", "5.12"])
def pip(request, monkeypatch):
    """A pip that is reached in the way of each version, where ONNX Runtime and MONAI are missing."""
    pip = Pip({"onnxruntime", "monai"})
    if request.param == "5.10":
        monkeypatch.setitem(sys.modules, "slicer.packaging", None)
        monkeypatch.setattr(slicer.util, "pip_install", pip.install)
    else:
        packaging = importlib.import_module("slicer.packaging")
        monkeypatch.setattr(packaging, "pip_check", lambda req, _seen=None: pip.find_spec(req.name) is not None)
        spied = create_autospec(packaging.pip_install, side_effect=pip.install_with_options)
        monkeypatch.setattr(packaging, "pip_install", spied)
    for place in (dependencies, training_packages):
        monkeypatch.setattr(place, "find_spec", pip.find_spec)
    return pip


@pytest.fixture
def questions(monkeypatch):
    """What the user was asked; the answer is yes."""
    asked = []
    monkeypatch.setattr(slicer.util, "confirmYesNoDisplay", lambda text, *_, **__: asked.append(text) or True)
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda text, *_, **__: asked.append(text) or True)
    return asked


def test_what_is_missing_is_installed_after_one_question(pip, questions):
    dependencies.ensure()
    assert len(questions) == 1 and "onnxruntime>=1.17" in questions[0]
    assert pip.asked == [["onnxruntime>=1.17"]]


def test_where_nothing_is_missing_nobody_is_asked(pip, questions):
    pip.missing.clear()
    dependencies.ensure()
    assert questions == [] and pip.asked == []


def test_a_no_installs_nothing(pip, monkeypatch):
    monkeypatch.setattr(slicer.util, "confirmYesNoDisplay", lambda *_, **__: False)
    with pytest.raises(MissingDependencyError, match="press the button again"):
        dependencies.ensure()
    assert pip.asked == []


def test_where_pip_fails_the_error_names_the_package_and_the_way_without_network(pip, questions):
    pip.works = False
    with pytest.raises(MissingDependencyError, match=r"onnxruntime>=1\.17; .*voxmmsd bundle"):
        dependencies.ensure()


def test_training_installs_torch_by_its_extension_and_monai_without_touching_it(pip, questions, monkeypatch):
    pip.missing.add("torch")

    class PyTorchUtilsLogic:
        def installTorch(self, askConfirmation=True, forceComputationBackend=None, torchVersionRequirement=None):
            assert not askConfirmation
            pip.asked.append(f"torch{torchVersionRequirement}")
            pip.missing.discard("torch")
            return types.ModuleType("torch")

    monkeypatch.setitem(sys.modules, "PyTorchUtils", types.SimpleNamespace(PyTorchUtilsLogic=PyTorchUtilsLogic))
    training_packages.ensure_training()
    assert len(questions) == 1
    assert pip.asked == ["torch>=2.4,!=2.9.*", "--no-deps monai>=1.4", ["onnxruntime>=1.17"]]


def test_without_the_pytorch_extension_training_says_how_to_get_torch(pip, questions, monkeypatch):
    pip.missing.add("torch")
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    with pytest.raises(MissingDependencyError, match="Extensions Manager"):
        training_packages.ensure_training()
    assert pip.asked == []


@pytest.mark.parametrize("release", ["5.10", "5.12"])
def test_the_sample_patient_is_offered_whether_or_not_slicer_knows_titles_of_categories(release, monkeypatch, tmp_path):
    if release == "5.10":
        monkeypatch.delattr(SampleData.SampleDataLogic, "registerCustomSampleDataCategory")
    monkeypatch.setattr(slicer.modules, "sampleDataSources", {}, raising=False)
    sample.register(tmp_path / "icon.png")
    assert [one.sampleName for one in slicer.modules.sampleDataSources["VoxMMSD"]] == [sample.NAME]
