"""The pre-flight in the panel: a quick look at a subsample in Slicer's own thread, with one-click ways out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import qt
import slicer
from slicer.i18n import tr as _

from VoxMMSDLib.dependencies import missing
from VoxMMSDLib.volumes import core_volume, ijk_to_world

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


def look(volumes: Mapping[str, Any], mask: Any = None, to_strip: bool = False) -> tuple[Finding, ...]:
    """What the core finds in the volumes as they are; empty where the packages it needs are not installed yet.

    ``mask``: the node of the brain mask; ``to_strip``: the skull is going to be stripped.
    """
    volumes = {key: node for key, node in volumes.items() if node.GetImageData() is not None}
    if missing(_NEEDED) or not volumes:
        return ()
    from voxmmsd.preflight.check import check_volumes

    is_volume = mask is not None and mask.IsA("vtkMRMLScalarVolumeNode") and mask.GetImageData() is not None
    found = check_volumes(
        {key: _subsample(node) for key, node in volumes.items()},
        grids={key: core_volume(node).grid for key, node in volumes.items()},
        mask=_subsample(mask) if is_volume else None,
        to_strip=to_strip or (mask is not None and not is_volume),
    )
    return (*found, *_bent(volumes))


def _subsample(node):
    import numpy as np

    from voxmmsd.data.volume import Grid, Volume

    array = slicer.util.arrayFromVolume(node)[::STEP, ::STEP, ::STEP]
    return Volume(array, Grid(array.shape, ijk_to_world(node) @ np.diag([STEP, STEP, STEP, 1.0])))


def _bent(volumes: Mapping[str, Any]) -> tuple[Finding, ...]:
    from voxmmsd.preflight.findings import WARNING, Finding

    found = []
    for key, node in volumes.items():
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
