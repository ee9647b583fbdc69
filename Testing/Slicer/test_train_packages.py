"""What Start does where the packages to train are missing: one question, torch by its extension, MONAI beside it.

The stand-ins have the signatures of Slicer's ``slicer.packaging`` and of the PyTorch extension, so that an argument
that they lack raises; ``slicer.util.pip_install`` is Slicer's own.
"""

import subprocess
import sys
import types
from unittest import mock

import slicer
import slicer.packaging
import train_case
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

from VoxMMSDTrainLib import training_packages

TORCH = ("installTorch", ">=2.4,!=2.9.*")


class Machine:
    """Which packages are there, what was asked, and what was installed, in this order."""

    def __init__(self, missing, answer=True, pip_fails=False):
        self.missing, self.answer, self.pip_fails = set(missing), answer, pip_fails
        self.questions, self.installed = [], []

    def find_spec(self, name):
        return None if name in self.missing else types.SimpleNamespace(name=name)

    def confirm(self, text, windowTitle=None, parent=None, **kwargs):
        self.questions.append(text)
        return self.answer

    def pip_install(
        self,
        requirements,
        constraints=None,
        no_deps_requirements=None,
        skip_packages=None,
        blocking=True,
        show_progress=True,
        requester=None,
        logCallback=None,
        completedCallback=None,
    ):
        if self.pip_fails:
            raise subprocess.CalledProcessError(1, "pip")
        self.installed.append(requirements if isinstance(requirements, str) else [str(one) for one in requirements])
        words = requirements.split() if isinstance(requirements, str) else map(str, requirements)
        self.missing -= {word.split(">")[0] for word in words}

    def pip_check(self, req, _seen=None):
        return req.name not in self.missing

    def extension(self):
        """The PyTorch extension's module, PyTorchUtils.py."""
        machine = self

        class PyTorchUtilsLogic(ScriptedLoadableModuleLogic):
            def installTorch(
                self,
                askConfirmation=False,
                forceComputationBackend=None,
                torchVersionRequirement=None,
                torchvisionVersionRequirement=None,
            ):
                assert not askConfirmation, "the user was asked already"
                machine.installed.append(("installTorch", torchVersionRequirement))
                if machine.pip_fails:
                    raise RuntimeError("no network")
                machine.missing -= {"torch"}
                return types.ModuleType("torch")

        return types.SimpleNamespace(PyTorchUtilsLogic=PyTorchUtilsLogic)


class TrainPackagesTest(train_case.TrainTest):
    def press_start(self, machine, extension=True):
        """Press it on a machine; what the panel says, and the runs that were started."""
        panel = self.open_panel("VoxMMSDTrain")
        started = []
        module = machine.extension() if extension else None  # None: importing it fails
        with (
            mock.patch.object(training_packages, "find_spec", machine.find_spec),
            mock.patch.object(training_packages.dependencies, "find_spec", machine.find_spec),
            mock.patch.object(slicer.util, "confirmYesNoDisplay", machine.confirm),
            mock.patch.object(slicer.packaging, "pip_install", machine.pip_install),
            mock.patch.object(slicer.packaging, "pip_check", machine.pip_check),
            mock.patch.dict(sys.modules, {"PyTorchUtils": module}),
            mock.patch.object(panel.logic, "start", lambda verb, *rest: started.append(verb)),
        ):
            panel.task.ui.dataPath.currentPath = str(self.folder)
            panel.task.ui.startButton.click()
            self.assertEqual(self._faults, [])
            self.assertTrue(panel.task.ui.startButton.enabled)
        return panel.task.ui.noticeLabel.text, started

    def test_all_that_is_missing_is_asked_for_once_and_installed_in_order(self):
        machine = Machine({"torch", "monai", "matplotlib", "onnx"})
        said, started = self.press_start(machine)
        self.assertEqual(len(machine.questions), 1)
        for name in ("torch", "MONAI", "matplotlib>=3.8", "onnx>=1.16"):
            self.assertIn(name, machine.questions[0])
        # torch by its extension alone; MONAI without what it asks for, or pip would replace torch
        expected = [TORCH, "--no-deps monai>=1.4", ["matplotlib>=3.8", "onnx>=1.16"]]
        self.assertEqual(machine.installed, expected)
        self.assertEqual(started, ["finetune"])
        self.assertIn("Starting", said)

    def test_what_is_there_is_neither_asked_for_nor_installed_again(self):
        machine = Machine(set())
        self.press_start(machine)
        self.assertEqual((machine.questions, machine.installed), ([], []))
        monai = Machine({"monai"})
        self.press_start(monai)
        self.assertEqual(monai.installed, ["--no-deps monai>=1.4"])

    def test_who_says_no_gets_no_package_and_no_run(self):
        machine = Machine({"torch"}, answer=False)
        said, started = self.press_start(machine)
        self.assertEqual((machine.installed, started), ([], []))
        self.assertIn("press the button again to install", said)

    def test_without_the_pytorch_extension_it_is_named(self):
        machine = Machine({"torch", "monai"})
        said, started = self.press_start(machine, extension=False)
        self.assertEqual((machine.questions, machine.installed, started), ([], [], []))  # a yes would be of no use
        self.assertIn("install that in the Extensions Manager", said)

    def test_a_failing_installation_is_said_in_the_panel(self):
        said, started = self.press_start(Machine({"torch"}, pip_fails=True))
        self.assertIn("no network", said)
        said, more = self.press_start(Machine({"monai"}, pip_fails=True))
        self.assertIn("could not be installed: monai>=1.4", said)
        self.assertEqual((started, more), ([], []))
