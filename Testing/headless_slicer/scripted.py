"""``slicer.ScriptedLoadableModule`` (Base/Python/slicer/ScriptedLoadableModule.py) with its names and signatures."""

from __future__ import annotations

import logging
import sys
import unittest
from pathlib import Path
from typing import Any

import slicer


class ScriptedLoadableModule:
    def __init__(self, parent: Any) -> None:
        self.parent = parent
        self.moduleName = type(self).__name__
        parent.title = ""
        parent.categories = []
        parent.dependencies = []
        parent.contributors = []
        parent.helpText = ""
        parent.acknowledgementText = ""
        parent.hidden = False
        if not hasattr(slicer, "selfTests"):
            slicer.selfTests = {}
        slicer.selfTests[self.moduleName] = self.runTest

    def resourcePath(self, filename: str) -> str:
        return str(Path(self.parent.path).parent / "Resources" / filename)

    def getDefaultModuleDocumentationLink(self, docPage: str | None = None) -> str:
        return f"<p>For more information see the {docPage or self.parent.title} documentation.</p>"

    def runTest(self, msec: int = 100, **kwargs: Any) -> None:
        """As *Reload and Test* and Slicer's self tests: the module's file must hold the class ``<Module>Test``."""
        module = sys.modules[self.__module__]
        if not hasattr(module, f"{self.moduleName}Test"):
            raise AssertionError(f"Test case class not found: {self.__module__}.{self.moduleName}Test ")
        case = getattr(module, f"{self.moduleName}Test")()
        case.messageDelay = msec
        case.runTest(**kwargs)


class ScriptedLoadableModuleWidget:
    def __init__(self, parent: Any = None) -> None:
        import qt

        self.moduleName = type(self).__name__.removesuffix("Widget")
        self.developerMode = False
        self.parent = parent if parent is not None else qt.QWidget()
        if self.parent.layout() is None:
            self.parent.setLayout(qt.QVBoxLayout())
        self.layout = self.parent.layout()
        slicer.app.moduleManager().connect("moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded)

    def resourcePath(self, filename: str) -> str:
        return str(Path(slicer.util.modulePath(self.moduleName)).parent / "Resources" / filename)

    def setup(self) -> None:
        """To be overridden; the developer section is Slicer's."""

    def setupDeveloperSection(self) -> None:
        """Slicer's own."""

    def cleanup(self) -> None:
        """To be overridden."""

    def _onModuleAboutToBeUnloaded(self, moduleName: str) -> None:
        if moduleName == self.moduleName:
            self.cleanup()
            slicer.app.moduleManager().disconnect("moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded)

    def onReload(self) -> None:
        slicer.util.reloadScriptedModule(self.moduleName)

    def onReloadAndTest(self, **kwargs: Any) -> None:
        self.onReload()

    def onTest(self, **kwargs: Any) -> None:
        raise RuntimeError("the host runs tests by `python -m headless_slicer FILE`")

    def onEditSource(self) -> None:
        raise RuntimeError("the host opens no editor")


class ScriptedLoadableModuleLogic:
    def __init__(self, parent: Any = None) -> None:
        self.mrmlScene = None
        self.moduleName = type(self).__name__.removesuffix("Logic")
        self.isSingletonParameterNode = True

    def getParameterNode(self) -> Any:
        if self.isSingletonParameterNode:
            node = slicer.mrmlScene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
            return node or self.createParameterNode()
        nodes = self.getAllParameterNodes()
        return nodes[0] if nodes else self.createParameterNode()

    def getAllParameterNodes(self) -> list[Any]:
        nodes = slicer.util.getNodesByClass("vtkMRMLScriptedModuleNode")
        return [node for node in nodes if node.GetAttribute("ModuleName") == self.moduleName]

    def createParameterNode(self) -> Any:
        node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
        node.UnRegister(None)
        if self.isSingletonParameterNode:
            node.SetSingletonTag(self.moduleName)
        node.SetAttribute("ModuleName", self.moduleName)
        node.SetName(slicer.mrmlScene.GenerateUniqueName(self.moduleName))
        return slicer.mrmlScene.AddNode(node)


class ScriptedLoadableModuleTest(unittest.TestCase):
    """As in Slicer, a test writes ``runTest``; here each ``test...`` method is run by itself as well."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.messageDelay = 0

    def delayDisplay(self, message: str, requestedDelay: Any = None, msec: Any = None) -> None:
        slicer.app.processEvents()

    def takeScreenshot(self, name: str, description: str, type: int = -1) -> None:
        """The host's pictures are made by ``make screenshots``."""

    def setUp(self) -> None:
        slicer.mrmlScene.Clear()

    def tearDown(self) -> None:
        """To be overridden."""

    def runTest(self) -> None:
        logging.warning("no test is defined in %s", type(self).__name__)


OFFERED = (
    "ScriptedLoadableModule",
    "ScriptedLoadableModuleWidget",
    "ScriptedLoadableModuleLogic",
    "ScriptedLoadableModuleTest",
)
