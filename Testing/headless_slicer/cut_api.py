"""``python -m headless_slicer.cut_api LISTINGS``: cut the part that the modules need out of the full listings."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from headless_slicer.api import FOLDER

CLASSES = (
    "ctkCollapsibleButton",
    "ctkCollapsibleGroupBox",
    "ctkPathLineEdit",
    "ctkDirectoryButton",
    "ctkSliderWidget",
    "ctkRangeWidget",
    "ctkComboBox",
    "ctkCheckableComboBox",
    "ctkSearchBox",
    "ctkFittedTextBrowser",
    "ctkDoubleSpinBox",
    "ctkMenuButton",
    "ctkPushButton",
    "ctkExpandButton",
    "ctkMessageBox",
    "qMRMLWidget",
    "qSlicerWidget",
    "qSlicerAbstractModuleWidget",
    "qSlicerScriptedLoadableModuleWidget",
    "qMRMLNodeComboBox",
    "qMRMLSortFilterProxyModel",
    "qMRMLCheckableNodeComboBox",
    "qMRMLSegmentEditorWidget",
    "qMRMLSegmentsTableView",
    "qMRMLSegmentationShow3DButton",
    "qMRMLSegmentSelectorWidget",
    "qMRMLSubjectHierarchyTreeView",
    "qMRMLTableView",
    "qMRMLPlotView",
    "qMRMLPlotWidget",
    "qSlicerSimpleMarkupsWidget",
    "qMRMLSliderWidget",
    "qMRMLCollapsibleButton",
)
MODULES = (
    "slicer.ScriptedLoadableModule",
    "slicer.i18n",
    "slicer.packaging",
    "slicer.testing",
    "slicer.util",
    "SampleData",
    "slicer.parameterNodeWrapper.wrapper",
    "slicer.parameterNodeWrapper.default",
    "slicer.parameterNodeWrapper.validators",
    "slicer.parameterNodeWrapper.parameterInfo",
)


def main(listings: Path) -> None:
    def read(name: str) -> dict:
        return json.loads((listings / name).read_text(encoding="utf-8"))

    headers, live, python = read("qt_classes.json"), read("runtime.json"), read("python.json")
    widgets = {
        "about": live["about"],
        "headers": {name: headers[name] for name in CLASSES if name in headers},
        "live": {name.rpartition(".")[2]: record for name, record in live["instances"].items()},
        "objects": live["application"],
        "names": live["names"],
    }
    for name, record in (("widgets", widgets), ("python", {name: python[name] for name in MODULES})):
        (FOLDER / f"{name}.json").write_text(json.dumps(record, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
