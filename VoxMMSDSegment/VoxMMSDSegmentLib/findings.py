"""The pre-flight in the panel: a quick look at a subsample in Slicer's own thread, with one-click ways out."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import qt
import slicer
from slicer.i18n import tr as _

from voxmmsd.labels import MODALITIES, MODALITY_NAMES
from VoxMMSDLib.colors import signal_color
from VoxMMSDLib.dependencies import missing
from VoxMMSDLib.volumes import core_volume, ijk_to_world, is_bent
from VoxMMSDSegmentLib.case import told

if TYPE_CHECKING:
    from voxmmsd.preflight.findings import Finding

STEP = 4  # of the subsample: every 4th voxel along each axis
# No emoji: plain Linux has no font for these, and Windows paints them in colors of its own.
_SIGNS = {"blocking": "✖", "warning": "⚠", "note": "ℹ"}
_NEEDED = {"nibabel": "nibabel>=5.2"}


@dataclass(frozen=True)
class WayOut:
    """A button beside a finding."""

    text: str
    hint: str
    act: Callable[[], None]


def look(
    volumes: Mapping[str, Any], mask: Any = None, to_strip: bool = False, reference: str = ""
) -> tuple[Finding, ...]:
    """What the core finds in the volumes as they are; empty where the packages it needs are not installed yet.

    ``mask``: the node of the brain mask; ``to_strip``: the skull is going to be stripped; ``reference``: the modality
    whose grid the result will have.
    """
    volumes = {key: node for key, node in volumes.items() if node.GetImageData() is not None}
    if missing(_NEEDED) or not volumes:
        return ()
    from voxmmsd.preflight.check import brains_of, check_slots, check_volumes, with_skull
    from voxmmsd.preflight.findings import in_order

    is_volume = mask is not None and mask.IsA("vtkMRMLScalarVolumeNode") and mask.GetImageData() is not None
    coarse, coarse_mask = {key: _subsample(node) for key, node in volumes.items()}, None
    if is_volume:
        coarse_mask = _subsample(mask)
    to_strip = to_strip or (mask is not None and not is_volume)
    grids = {key: core_volume(node).grid for key, node in volumes.items()}
    found = check_volumes(coarse, grids=grids, mask=coarse_mask, to_strip=to_strip)
    blocked = {finding.modality for finding in found if finding.severity == "blocking"}
    brains = brains_of({key: volume for key, volume in coarse.items() if key not in blocked}, coarse_mask)
    named = {key: told(node)[1] for key, node in volumes.items()}
    slots = check_slots(named, {} if with_skull(brains) else brains)
    return in_order((*found, *slots, *_bent(volumes, reference)))


def _with_names(text: str) -> str:
    """The core's words with the names that the panel has for the modalities."""
    return re.sub("|".join(MODALITIES), lambda match: MODALITY_NAMES[match[0]], text)


class Lookout:
    """Looks again only where the images are others, or have changed, since the last time."""

    def __init__(self) -> None:
        self._seen: tuple = ()
        self._found: tuple[Finding, ...] = ()

    def __call__(self, volumes: Mapping[str, Any], mask: Any, to_strip: bool, reference: str) -> tuple[Finding, ...]:
        nodes = {**volumes, "brain mask": mask}
        seen = (*((key, _state_of(node)) for key, node in nodes.items() if node is not None), to_strip, reference)
        if seen != self._seen:
            self._found, self._seen = look(volumes, mask, to_strip, reference), seen
        return self._found


def _state_of(node) -> tuple:
    """Changes with its name, its voxels, its place and its transform."""
    parts = [node, node.GetParentTransformNode(), getattr(node, "GetImageData", lambda: None)()]
    return (node.GetID(), *(part.GetMTime() for part in parts if part is not None))


def _subsample(node):
    import numpy as np

    from voxmmsd.data.volume import Grid, Volume

    array = slicer.util.arrayFromVolume(node)[::STEP, ::STEP, ::STEP]
    return Volume(array, Grid(array.shape, ijk_to_world(node) @ np.diag([STEP, STEP, STEP, 1.0])))


def _bent(volumes: Mapping[str, Any], reference: str) -> tuple[Finding, ...]:
    from voxmmsd.preflight.findings import BLOCKING, WARNING, Finding

    found = []
    for key, node in volumes.items():
        if not is_bent(node):
            continue
        if key == reference:
            text = _("{name}: lies under a transform that is not linear: no result can have its voxels")
            way_out = _("harden a copy, or choose another image for the result")
            found.append(Finding(BLOCKING, "bent", text.format(name=key), way_out, key))
        else:
            text = _("{name}: lies under a transform that is not linear and will be resampled")
            found.append(Finding(WARNING, "bent", text.format(name=key), _("harden a copy to see how"), key))
    return tuple(found)


class FindingsList:
    """Short rows in a frame: a sign, the text, and a button for each thing that one click mends."""

    def __init__(self, frame) -> None:
        self._frame = frame
        self._rows: list[Any] = []
        self.findings: tuple[Finding, ...] = ()

    def show(
        self, findings: tuple[Finding, ...], ways_out: Mapping[int, Sequence[WayOut]], mended: frozenset[int]
    ) -> None:
        """``ways_out``: by number of the finding; ``mended``: numbers of those that what is chosen takes care of."""
        self.findings = findings
        for row in self._rows:
            row.setParent(None)
            row.deleteLater()
        self._rows = [
            self._row(finding, ways_out.get(number, ()), number in mended) for number, finding in enumerate(findings)
        ]
        self._frame.setVisible(bool(findings))

    def button(self, number: int, text: str = ""):
        """A button of a finding, by its text or the first; None where there is none."""
        buttons = [child for child in self._rows[number].children() if child.className() == "QPushButton"]
        return next((button for button in buttons if not text or button.text.replace("&", "") == text), None)

    def _row(self, finding: Finding, ways_out: Sequence[WayOut], is_mended: bool):
        row = qt.QWidget()
        layout = qt.QHBoxLayout(row)
        layout.setContentsMargins(0, 0, 0, 0)
        color = signal_color("mended" if is_mended else finding.severity, self._frame.palette)
        sign = "✓" if is_mended else _SIGNS[finding.severity]
        label = qt.QLabel(f'<span style="color:{color}">{sign}</span> {escape(_with_names(finding.text))}')
        label.setWordWrap(True)
        way_out = _("will be seen to when it is segmented") if is_mended else finding.way_out
        label.setToolTip(_("Way out: {text}").format(text=_with_names(way_out)))
        layout.addWidget(label, 1)
        for way in ways_out:
            button = qt.QPushButton(way.text)
            button.setToolTip(way.hint)
            button.connect("clicked()", way.act)
            layout.addWidget(button)
        self._frame.layout().addWidget(row)
        return row
