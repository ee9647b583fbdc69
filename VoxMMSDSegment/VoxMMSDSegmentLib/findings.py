"""The pre-flight in the panel: a quick look at a subsample in Slicer's own thread, with one-click ways out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import qt
import slicer
from slicer.i18n import tr as _

from VoxMMSDLib.dependencies import missing
from VoxMMSDLib.volumes import ijk_to_world

if TYPE_CHECKING:
    from voxmmsd.preflight.findings import Finding

STEP = 4  # of the subsample: every 4th voxel along each axis
_COLORS = {"blocking": "#c0392b", "warning": "#b9770e", "note": "#5d6d7e"}
_SIGNS = {"blocking": "⛔", "warning": "⚠", "note": "ℹ"}
_NEEDED = {"nibabel": "nibabel>=5.2"}


@dataclass(frozen=True)
class WayOut:
    """A button beside a finding."""

    text: str
    act: Callable[[], None]


def look(volumes: Mapping[str, Any], has_mask: bool) -> tuple[Finding, ...]:
    """What the core finds in the volumes as they are; empty where the packages it needs are not installed yet."""
    if missing(_NEEDED) or not volumes:
        return ()
    from voxmmsd.preflight.check import check_volumes

    looked_at = {key: _subsample(node) for key, node in volumes.items() if node.GetImageData() is not None}
    # The voxels of a subsample are thicker than those of the image: what it says of slices means nothing.
    return tuple(f for f in check_volumes(looked_at, has_mask) if f.kind != "thick-slices") + _doubtful_nodes(volumes)


def _subsample(node):
    import numpy as np

    from voxmmsd.data.volume import Grid, Volume

    array = slicer.util.arrayFromVolume(node)[::STEP, ::STEP, ::STEP]
    return Volume(array, Grid(array.shape, ijk_to_world(node) @ np.diag([STEP, STEP, STEP, 1.0])))


def _doubtful_nodes(volumes: Mapping[str, Any]) -> tuple[Finding, ...]:
    from voxmmsd.preflight.check import THICK_MM
    from voxmmsd.preflight.findings import NOTE, WARNING, Finding

    found = []
    for key, node in volumes.items():
        thickest = max(node.GetSpacing())
        if thickest > THICK_MM:
            text = f"{key}: voxels of {thickest:.3g} mm along one axis; small lesions may be missed"
            found.append(Finding(NOTE, "thick-slices", text, "prefer a 3-D acquisition if there is one", key))
        transform = node.GetParentTransformNode()
        if transform is not None and not transform.IsTransformToWorldLinear():
            text = f"{key}: lies under a non-linear transform and will be resampled"
            found.append(Finding(WARNING, "bent", text, "harden the transform to see what is segmented", key))
    return tuple(found)


class FindingsList:
    """Short rows in a frame: a sign, the text, and a button where one click helps."""

    def __init__(self, frame) -> None:
        self._frame = frame
        self._rows: list[Any] = []
        self.findings: tuple[Finding, ...] = ()

    def show(self, findings: tuple[Finding, ...], ways_out: Mapping[int, WayOut]) -> None:
        """``ways_out``: by number of the finding."""
        self.findings = findings
        for row in self._rows:
            row.setParent(None)
            row.deleteLater()
        self._rows = [self._row(finding, ways_out.get(number)) for number, finding in enumerate(findings)]
        self._frame.setVisible(bool(findings))

    def button(self, number: int):
        """The button of a finding; None where there is none."""
        return next((child for child in self._rows[number].children() if child.className() == "QPushButton"), None)

    def _row(self, finding: Finding, way_out: WayOut | None):
        row = qt.QWidget()
        layout = qt.QHBoxLayout(row)
        layout.setContentsMargins(0, 0, 0, 0)
        text = f'<span style="color:{_COLORS[finding.severity]}">{_SIGNS[finding.severity]}</span> {finding.text}'
        label = qt.QLabel(text)
        label.setWordWrap(True)
        label.setToolTip(_("Way out: {text}").format(text=finding.way_out))
        layout.addWidget(label, 1)
        if way_out is not None:
            button = qt.QPushButton(way_out.text)
            button.connect("clicked()", way_out.act)
            layout.addWidget(button)
        self._frame.layout().addWidget(row)
        return row
