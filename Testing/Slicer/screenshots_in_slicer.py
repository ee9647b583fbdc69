"""Pictures of VoxMMSDSegment in Slicer's whole window, for the README and the tutorials; made by Slicer itself:

    Slicer --no-splash --additional-module-paths VoxMMSDSegment \
        --python-script Testing/Slicer/screenshots_in_slicer.py CASE OUT \\
        [--model MODEL] [--carry | --from-scanner | --follow-up LATER] [--keep-open]

CASE is the folder of a public case, OUT the folder of the pictures (``segment.png``, ``review.png``,
``uncertainty.png``), MODEL a model in the registry (by default the one in use). The segmentation shown is the model's
own. ``--carry`` makes others (``carry-before.png``, ``carry-after.png``): the axial slice with the largest error is
corrected by the case's own label, and that is carried through the volume. ``--from-scanner``, for a case with its
skull, makes ``brain-mask.png``: the case by one click, with the mask that was made. ``--follow-up``, with the folder of
another visit of the patient, makes ``follow-up.png``: both visits side by side and what changed.
``pngquant 160 --ext .png --force OUT/*.png`` afterwards makes the files a quarter as large. The screen must
hold 1600 x 1000 pixels.
"""

import argparse
import sys
from pathlib import Path

import ctk
import numpy as np
import slicer

sys.path.insert(0, str(Path(__file__).resolve().parent))
from public_case import correct_worst_slice, expert_label, load_images
from script_in_slicer import run_when_started, settle
from slicer_case import press_find, wait_until

WIDTH, HEIGHT = 1600, 1000
TRANSPARENT = 0.25  # the outer tissues in 3-D, so that the inner ones are seen
FILLED, OUTLINED = 0.5, 0.0
DISTANCE_MM = 330.0  # from the camera to the tumor
SECONDS = 600


def main():
    options = _options()
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    window = slicer.util.mainWindow()
    window.showNormal()
    window.resize(WIDTH, HEIGHT)
    window.statusBar().hide()
    slicer.util.setDataProbeVisible(False)
    load_images(options.case)
    slicer.util.selectModule("VoxMMSDSegment")
    panel = slicer.modules.VoxMMSDSegmentWidget
    press_find(panel)
    if options.model:
        panel.parameters.model = options.model
    panel.segment_tab.look_now()
    settle()
    if options.from_scanner:
        _from_scanner(panel, out)
        return options.keep_open
    panel.ui.applyButton.click()
    wait_until(lambda: "Segmenting" in panel.ui.stageLabel.text or panel.segment_tab.job is None, SECONDS)
    _picture(out / "segment.png")
    wait_until(lambda: panel.segment_tab.job is None, SECONDS)
    result = panel.parameters.result
    if result is None:
        raise RuntimeError(f"{panel.ui.errorLabel.text}\n{panel.ui.logText.plainText}")
    panel.ui.libraryPath.currentPath = "/data/training-library"
    panel.ui.caseEdit.setText("site1-006")
    if options.carry:
        _carry(panel, result, options.case, out)
        return options.keep_open
    if options.follow_up:
        _follow_up(panel, options.follow_up, out)
        return options.keep_open
    _show_3d(panel, result)
    _picture(out / "review.png")
    result.GetDisplayNode().SetAllSegmentsOpacity2DFill(OUTLINED)
    panel.ui.overlayCheck.click()
    panel.ui.nextPlaceButton.click()
    _picture(out / "uncertainty.png")
    panel.ui.overlayCheck.click()
    result.GetDisplayNode().SetAllSegmentsOpacity2DFill(FILLED)
    return options.keep_open


def _options():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case")
    parser.add_argument("out")
    parser.add_argument("--model", default="")
    parser.add_argument("--carry", action="store_true")
    parser.add_argument("--from-scanner", action="store_true")
    parser.add_argument("--follow-up", default="", metavar="LATER")
    parser.add_argument("--keep-open", action="store_true")
    return parser.parse_args(sys.argv[1:])


def _carry(panel, result, folder, out):
    from VoxMMSDLib.volumes import ijk_to_world

    ui, box, reference = panel.ui, panel.review_tab.carry, panel.parameters.t1c
    expert = expert_label(folder, result)
    number = correct_worst_slice(panel, result, expert)
    wait_until(lambda: ui.carryButton.enabled, SECONDS)
    y, x = np.argwhere(expert[number] > 0).mean(axis=0)
    world = ijk_to_world(reference) @ [x, y, number + 5, 1.0]  # the axial view shows a slice that was not corrected
    slicer.vtkMRMLSliceNode.JumpAllSlices(slicer.mrmlScene, *world[:3])
    ui.carryButton.click()
    wait_until(lambda: box.job is None and not box.is_looking, SECONDS)
    for section in (ui.resultSection, ui.placesSection):
        section.collapsed = True
    settle()
    for button, name in ((ui.beforeButton, "carry-before.png"), (ui.afterButton, "carry-after.png")):
        button.click()
        _picture(out / name)


def _from_scanner(panel, out):
    panel.segment_tab.look_now()  # while another look is on its way, no row can be clicked
    kinds = [finding.kind for finding in panel.segment_tab.findings.findings]
    panel.segment_tab.findings.button(kinds.index("skull"), "From the scanner").click()
    if not panel.ui.fromScannerCheck.checked:
        raise RuntimeError("the switch was not set")
    panel.segment_tab.look_now()
    panel.ui.applyButton.click()
    wait_until(lambda: panel.segment_tab.job is None, SECONDS)
    if panel.parameters.result is None:
        raise RuntimeError(f"{panel.ui.errorLabel.text}\n{panel.ui.logText.plainText}")
    _picture(out / "brain-mask.png")


def _follow_up(panel, folder, out):
    first, ui = panel.parameters.result, panel.ui
    for key, node in load_images(folder).items():
        setattr(panel.parameters, key, node)
    panel.segment_tab.look_now()
    settle()
    ui.applyButton.click()
    wait_until(lambda: panel.segment_tab.job is None and panel.parameters.result is not first, SECONDS)
    later, tab = panel.parameters.result, panel.follow_tab
    ui.tabs.setCurrentWidget(ui.followTab)
    for result in (first, later):
        tab.visits.add(result)
    ui.patientEdit.setText("site1-006")
    ui.visitsTable.item(0, 1).setText("0")
    ui.visitsTable.item(1, 1).setText("93")
    ui.followButton.click()
    wait_until(lambda: tab.job is None, SECONDS)
    if tab.found is None:
        raise RuntimeError(ui.followLabel.text)
    ui.outlineCombo.setCurrentIndex(1)
    wait_until(lambda: not tab.is_showing, SECONDS)
    _picture(out / "follow-up.png")


def _show_3d(panel, result):
    for segment_id in result.GetSegmentation().GetSegmentIDs():
        inner = segment_id in ("NCR", "NET", "ET")
        result.GetDisplayNode().SetSegmentOpacity3D(segment_id, 1.0 if inner else TRANSPARENT)
    panel.ui.show3DButton.setChecked(True)
    view = slicer.app.layoutManager().threeDWidget(0).mrmlViewNode()
    view.SetBoxVisible(False)
    view.SetAxisLabelsVisible(False)
    for camera in slicer.util.getNodesByClass("vtkMRMLCameraNode"):
        focus, position = camera.GetFocalPoint(), camera.GetPosition()
        length = sum((p - f) ** 2 for p, f in zip(position, focus, strict=True)) ** 0.5
        nearer = [f + (p - f) * DISTANCE_MM / length for p, f in zip(position, focus, strict=True)]
        camera.SetPosition(nearer)
        camera.ResetClippingRange()


def _picture(file):
    settle()
    page = slicer.modules.VoxMMSDSegmentWidget.ui.tabs.currentWidget()
    wait_until(lambda: page.height >= page.minimumSizeHint.height())  # on a busy computer Qt is late to lay it out
    slicer.util.forceRenderAllViews()
    slicer.app.processEvents()
    ctk.ctkWidgetsUtils.grabWidget(slicer.util.mainWindow()).save(str(file))
    print(file, flush=True)


run_when_started(main)
