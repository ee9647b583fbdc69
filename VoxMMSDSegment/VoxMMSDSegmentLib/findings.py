"""The pre-flight in the panel: a look at a subsample, beside Slicer, and what one click does about each finding."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import qt
import slicer
from slicer.i18n import tr as _

from VoxMMSDLib.background import Background
from VoxMMSDLib.volumes import ijk_to_world, is_bent
from VoxMMSDSegmentLib.case import Seen
from VoxMMSDSegmentLib.colors import signal_color
from VoxMMSDSegmentLib.words import error_in_words, in_panel_words

if TYPE_CHECKING:
    from voxmmsd.records.findings import Finding

STEP = 4  # of the subsample: every 4th voxel along each axis
# No emoji: plain Linux has no font for these, and Windows paints them in colors of its own.
_SIGNS = {"blocking": "✖", "warning": "⚠", "note": "ℹ"}


@dataclass(frozen=True)
class Suggestion:
    """A button beside a finding."""

    text: str
    hint: str
    act: Callable[[], None]


def look(
    volumes: Mapping[str, Any], mask: Any = None, to_strip: bool = False, reference: str = ""
) -> tuple[Finding, ...]:
    """What the core finds in the volumes as they are.

    ``mask``: the node of the brain mask; ``to_strip``: the skull is going to be stripped; ``reference``: the modality
    whose grid the result will have.
    """
    return take(volumes, mask, to_strip, reference)()


def take(
    volumes: Mapping[str, Any], mask: Any = None, to_strip: bool = False, reference: str = ""
) -> Callable[[], tuple[Finding, ...]]:
    """As ``look``, in two halves: the volumes are taken here, every 4th voxel; the rest may be done in a thread."""
    filled = {key: node for key, node in volumes.items() if node.GetImageData() is not None}
    is_volume = mask is not None and mask.IsA("vtkMRMLScalarVolumeNode") and mask.GetImageData() is not None
    taken = CaseSnapshot(
        {key: Coarse.of(node) for key, node in filled.items()},
        Coarse.of(mask) if is_volume else None,
        to_strip or (mask is not None and not is_volume),
        _bent(filled, reference),
    )
    return taken.findings


@dataclass(frozen=True)
class Coarse:
    """Every 4th voxel of a volume node, and what its name and tags say: all that a thread needs of it."""

    array: Any
    affine_xyz: Any
    whole_zyx: tuple[int, int, int]
    seen: Seen

    @classmethod
    def of(cls, node: Any) -> Coarse:
        array = slicer.util.arrayFromVolume(node)
        return cls(array[::STEP, ::STEP, ::STEP].copy(), ijk_to_world(node), array.shape, Seen.of_name(node))

    def volume(self) -> Any:
        import numpy as np

        from voxmmsd.data.volume import Grid, Volume

        return Volume(self.array, Grid(self.array.shape, self.affine_xyz @ np.diag([STEP, STEP, STEP, 1.0])))

    def grid(self) -> Any:
        from voxmmsd.data.volume import Grid

        return Grid(self.whole_zyx, self.affine_xyz)


@dataclass(frozen=True)
class CaseSnapshot:
    """A case as it was taken out of the scene."""

    volumes: Mapping[str, Coarse]
    mask: Coarse | None
    to_strip: bool
    bent: tuple[Finding, ...]

    def findings(self) -> tuple[Finding, ...]:
        if not self.volumes:
            return ()
        from voxmmsd.data.brain_mask import skull_volumes_ml
        from voxmmsd.preflight.check import brains_of, check_slots, check_volumes
        from voxmmsd.records.findings import in_order

        coarse = {key: one.volume() for key, one in self.volumes.items()}
        mask = self.mask.volume() if self.mask is not None else None
        grids = {key: one.grid() for key, one in self.volumes.items()}
        found = check_volumes(coarse, grids=grids, mask=mask, to_strip=self.to_strip)
        blocked = {finding.modality for finding in found if finding.severity == "blocking"}
        brains = brains_of({key: volume for key, volume in coarse.items() if key not in blocked}, mask)
        named = {key: one.seen.kind()[1] for key, one in self.volumes.items()}
        slots = check_slots(named, {} if skull_volumes_ml(brains) else brains)
        return in_order((*found, *slots, *self.bent))


class InputChecks:
    """Looks in a thread, and only where the images are others, or have changed, since the last time.

    ``on_found`` gets the findings.
    """

    def __init__(self, on_found: Callable[[tuple[Finding, ...]], None]) -> None:
        self._on_found = on_found
        self._seen: tuple = ()
        self._found: tuple[Finding, ...] = ()
        self._work: Background | None = None

    def look(self, volumes: Mapping[str, Any], mask: Any, to_strip: bool, reference: str) -> None:
        """Begin to look; what was begun before is forgotten."""
        nodes = {**volumes, "brain mask": mask}
        seen = (*((key, _state_of(node)) for key, node in nodes.items() if node is not None), to_strip, reference)
        if seen == self._seen and not self.is_at_work:
            self._on_found(self._found)
            return
        self.forget()
        self._seen = seen
        self._work = Background(take(volumes, mask, to_strip, reference), self._done, self._failed).start()

    @property
    def is_at_work(self) -> bool:
        return self._work is not None and self._work.is_at_work

    def wait(self) -> None:
        """Until what was begun is found."""
        if self._work is not None:
            self._work.wait()

    def forget(self) -> None:
        self._seen = ()
        if self._work is not None:
            self._work.forget()

    def _done(self, found: tuple[Finding, ...]) -> None:
        self._found = found
        self._on_found(found)

    def _failed(self, error: Exception) -> None:
        """A look is no more than a help: what it could not look at, the run itself will refuse."""
        from voxmmsd.records.findings import NOTE, Finding

        self._seen = ()
        text = _("the images could not be checked: {error}").format(error=error_in_words(error)[0])
        self._on_found((Finding(NOTE, "not-checked", text, _("segment them; they are checked again then")),))


def _state_of(node) -> tuple:
    """Changes with its name, its voxels, its place and its transform."""
    parts = [node, node.GetParentTransformNode(), getattr(node, "GetImageData", lambda: None)()]
    return (node.GetID(), *(part.GetMTime() for part in parts if part is not None))


def _bent(volumes: Mapping[str, Any], reference: str) -> tuple[Finding, ...]:
    from voxmmsd.records.findings import BLOCKING, WARNING, Finding

    found = []
    for key, node in volumes.items():
        if not is_bent(node):
            continue
        if key == reference:
            text = _("{name}: has a nonlinear transform: a result cannot share its voxel grid")
            remedy = _("harden a copy, or choose another image for the result")
            found.append(Finding(BLOCKING, "bent", text.format(name=key), remedy, key))
        else:
            text = _("{name}: has a nonlinear transform and will be resampled")
            found.append(Finding(WARNING, "bent", text.format(name=key), _("harden a copy to see how"), key))
    return tuple(found)


class FindingsList:
    """Short rows in a frame: a sign, the text, and a button for each problem that one click fixes."""

    def __init__(self, frame) -> None:
        self._frame = frame
        self._fit = FitsItsText()
        self._rows: list[Any] = []
        self.findings: tuple[Finding, ...] = ()

    def show(
        self, findings: tuple[Finding, ...], suggestions: Mapping[int, Sequence[Suggestion]], fixed: frozenset[int]
    ) -> None:
        """``suggestions``: by number of the finding; ``fixed``: numbers of those that what is chosen takes care of."""
        self.findings = findings
        for row in self._rows:
            row.setParent(None)
            row.deleteLater()
        self._rows = [
            self._row(finding, suggestions.get(number, ()), number in fixed) for number, finding in enumerate(findings)
        ]
        self._frame.setVisible(bool(findings))
        self._frame.setEnabled(True)

    def doubt(self) -> None:
        """The choice is another one: these findings may no longer hold, and their buttons must not be pressed."""
        self._frame.setEnabled(False)

    def button(self, number: int, text: str = ""):
        """A button of a finding, by its text or the first; None where there is none."""
        buttons = [child for child in self._rows[number].children() if child.className() == "QPushButton"]
        return next((button for button in buttons if not text or button.text.replace("&", "") == text), None)

    def _row(self, finding: Finding, suggestions: Sequence[Suggestion], is_fixed: bool):
        row = qt.QWidget()
        layout = qt.QHBoxLayout(row)
        layout.setContentsMargins(0, 0, 0, 0)
        color = signal_color("fixed" if is_fixed else finding.severity, self._frame.palette)
        sign = "✓" if is_fixed else _SIGNS[finding.severity]
        label = qt.QLabel(f'<span style="color:{color}">{sign}</span> {escape(in_panel_words(finding.text))}')
        label.setWordWrap(True)
        label.installEventFilter(self._fit)
        label.setToolTip(_("Done before it is segmented.") if is_fixed else how_to_fix(finding))
        layout.addWidget(label, 1)
        for way in suggestions:
            button = qt.QPushButton(way.text)
            button.setToolTip(way.hint)
            button.connect("clicked()", way.act)
            layout.addWidget(button)
        self._frame.layout().addWidget(row)
        return row


class FitsItsText(qt.QObject):
    """Makes labels as high as their wrapped text is: Slicer gives a page no more than its smallest height, which is
    one line of a label deep inside."""

    def eventFilter(self, label, event):
        if event.type() == qt.QEvent.Resize:
            fit(label)
        return False


def fit(label) -> None:
    """Make a label as high as its text needs, no more: that is never less than the least height that it has."""
    label.setMinimumHeight(0)
    label.setMinimumHeight(max(0, label.heightForWidth(label.width)))  # -1: it has no text


def how_to_fix(finding: Finding) -> str:
    """What can be done about a finding, in the panel's words: the core speaks of its command line."""
    ways = {
        "skull": _("Check From the scanner: the brain is extracted first. Or choose a brain mask above."),
        "not-aligned": _("Check Align: the images are registered to each other first."),
        "different-grids": _("Nothing to do if they were registered to each other; else check From the scanner."),
        "packages": _("They are downloaded once, after you confirm."),
    }
    return ways.get(finding.kind) or _("How to fix it: {text}.").format(text=in_panel_words(finding.remedy))
