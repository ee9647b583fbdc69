"""What the module does, for scripts, notebooks and the panel alike.

from VoxMMSDSegment import VoxMMSDSegmentLogic
result = VoxMMSDSegmentLogic().segment({"t1c": volume, "t2f": flair}, model="my-model")
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

from voxmmsd.errors import InputError, VoxMMSDError
from voxmmsd.labels import MODALITY_NAMES
from VoxMMSDLib import dependencies
from VoxMMSDSegmentLib.case import SlicerCase
from VoxMMSDSegmentLib.case_folders import CaseFolders
from VoxMMSDSegmentLib.job import Options, ResultFiles, SegmentJob
from VoxMMSDSegmentLib.parameters import Parameters
from VoxMMSDSegmentLib.progress import Progress


class VoxMMSDSegmentLogic(ScriptedLoadableModuleLogic):
    """Segments nodes, keeps regions and volumes up to date, saves and teaches what was corrected."""

    def __init__(self) -> None:
        ScriptedLoadableModuleLogic.__init__(self)
        self.moduleName = "VoxMMSDSegment"
        self.case_folders = CaseFolders()

    def getParameterNode(self) -> Parameters:
        return Parameters(super().getParameterNode())  # type: ignore[call-arg]  # the decorator's constructor

    def segment(
        self,
        nodes: Mapping[str, Any],
        model: str = "",
        *,
        brain_mask: Any = None,
        reference: str = "",
        operated: bool = False,
        align: bool = False,
        from_scanner: bool = False,
        options: Options | None = None,
        wait: bool = True,
        on_progress: Callable[[Progress], None] = lambda progress: None,
        on_done: Callable[[Any], None] = lambda node: None,
        on_failed: Callable[[Exception], None] = lambda error: None,
    ) -> Any:
        """Segment a case; the new segmentation node, or the ``SegmentJob`` at work where ``wait`` is False.

        ``nodes``: ``t1n``, ``t1c``, ``t2w``, ``t2f`` -> volume node, whichever there are. ``model``: a model's id or
        name, a package folder or zip; by default the newest accepted one. ``brain_mask``: a volume or segmentation.
        ``reference``: modality whose grid the result has. ``from_scanner``: align the images and extract the brain
        first. ``options``: how to compute; ``model`` is taken from here.

        Raises:
            InputError: no image, or one that cannot be used.
            MissingDependencyError: packages are missing, and installing them was declined.
            VoxMMSDError: the core could not segment the case; says why, and how to fix it (only with ``wait``).
            Canceled: it was canceled while it waited.
        """
        case = SlicerCase(dict(nodes), brain_mask, reference, operated, align, from_scanner)
        dependencies.ensure()
        chosen = Options(**{**vars(options or Options()), "model": model or (options.model if options else "")})
        outcome: list[Any] = []

        def show(files: ResultFiles) -> Generator[None, None, Any]:
            from VoxMMSDSegmentLib.result import result_steps

            _refuse_deleted(case)
            return (yield from result_steps(case, files))

        job = SegmentJob(case, chosen, show=show, on_progress=on_progress, **_noted(outcome, on_done, on_failed))
        job.start()
        return _awaited(outcome) if wait else job

    def save_result(self, result: Any, file: Path) -> None:
        """Write a result's labels, in its schema's values, on the grid of its reference volume, as NIfTI or NRRD.

        Raises:
            InputError: the reference volume is gone, or the file cannot be written.
            MissingDependencyError: packages are missing, and installing them was declined.
        """
        from VoxMMSDSegmentLib.saving import save_labels

        dependencies.ensure()
        save_labels(result, Path(file))

    def accept(
        self,
        result: Any,
        library: Path,
        case_id: str,
        *,
        wait: bool = True,
        on_done: Callable[[Any], None] = lambda version: None,
        on_failed: Callable[[Exception], None] = lambda error: None,
    ) -> Any:
        """Put a corrected result and its images into a training library, which is made where there is none.

        The label's version there, or the ``AcceptJob`` at work where ``wait`` is False. ``case_id``: a code, no name.

        Raises:
            LibraryError: an id that is not a code.
            MissingDependencyError: packages are missing, and installing them was declined.
            InputError: the result's images are gone (only with ``wait``).
            VoxMMSDError: a head without brain mask, or what else the library refuses (only with ``wait``).
        """
        from VoxMMSDSegmentLib.accepting import AcceptJob

        dependencies.ensure()
        outcome: list[Any] = []
        job = AcceptJob(result, Path(library), case_id, **_noted(outcome, on_done, on_failed))
        job.start()
        return _awaited(outcome) if wait else job

    def report(
        self,
        result: Any,
        folder: Path,
        case_id: str = "case",
        *,
        wait: bool = True,
        on_done: Callable[[Path, list[Any]], None] = lambda page, lesions: None,
        on_failed: Callable[[Exception], None] = lambda error: None,
    ) -> Any:
        """Write a page and a PDF about a result, by the core's ``report``.

        The page, or the ``ReportJob`` at work where ``wait`` is False. ``case_id``: names the files and is shown in
        them; a code, no name. ``on_done`` is also given the diameters that were measured.

        Raises:
            MissingDependencyError: packages are missing, and installing them was declined.
            InputError: images are gone, or a report is there already (only with ``wait``).
        """
        from VoxMMSDSegmentLib.report_job import PACKAGES, ReportJob

        dependencies.ensure({**dependencies.SEGMENTING, **PACKAGES})

        outcome: list[Any] = []
        job = ReportJob(result, Path(folder), case_id, **_noted(outcome, on_done, on_failed))
        job.start()
        return _awaited(outcome) if wait else job

    def follow(
        self,
        visits: Sequence[Any],
        folder: Path,
        *,
        days: Sequence[int] = (),
        patient: str = "",
        shown: bool = False,
        wait: bool = True,
        on_progress: Callable[[Progress], None] = lambda progress: None,
        on_done: Callable[[Any], None] = lambda found: None,
        on_failed: Callable[[Exception], None] = lambda error: None,
    ) -> Any:
        """Compare the visits of a patient, by the core's ``follow``, which writes a page, a table and a record.

        ``Followed`` (``page``, ``record``, ``visits``), or the ``FollowJob`` at work where ``wait`` is False.
        ``visits``: results in the scene or paths of results and of cases of a library, the earliest first. ``days``: of
        each, since the first. ``patient``: a code, where nothing tells that all are of one. ``shown``: also put the
        visits, registered to the first one, into the scene.

        Raises:
            MissingDependencyError: packages are missing, and installing them was declined.
            VoxMMSDError: the visits cannot be compared; says why (only with ``wait``).
            Canceled: it was canceled while it waited.
        """
        from VoxMMSDSegmentLib.follow_job import PACKAGES, FollowJob

        dependencies.ensure({**dependencies.SEGMENTING, **PACKAGES})
        outcome: list[Any] = []
        job = FollowJob(
            visits, Path(folder), days=days, patient=patient, shown=shown,
            on_progress=on_progress, **_noted(outcome, on_done, on_failed),
        )  # fmt: skip
        job.start()
        return _awaited(outcome) if wait else job

    def carry(
        self,
        result: Any,
        *,
        locked: Sequence[str] = (),
        wait: bool = True,
        save_state: Callable[[], None] = lambda: None,
        on_progress: Callable[[Progress], None] = lambda progress: None,
        on_done: Callable[[int], None] = lambda number: None,
        on_failed: Callable[[Exception], None] = lambda error: None,
    ) -> Any:
        """Carry what was edited in a result through its volume, by the core's ``refine``.

        The carry's number, or the ``CarryJob`` at work where ``wait`` is False. ``locked``: keys of labels that nothing
        is carried to or from. ``save_state`` is called right before the segments change.

        Raises:
            MissingDependencyError: packages are missing, and installing them was declined.
            InputError: nothing was edited, or images are gone or have changed (only with ``wait``).
            VoxMMSDError: what else the core says (only with ``wait``).
            Canceled: it was canceled while it waited.
        """
        dependencies.ensure()
        from VoxMMSDSegmentLib.carrying import CarryJob

        outcome: list[Any] = []
        job = CarryJob(
            result, self.case_folders.of(result), tuple(locked),
            save_state=save_state, on_progress=on_progress, **_noted(outcome, on_done, on_failed),
        )  # fmt: skip
        job.start()
        return _awaited(outcome) if wait else job


def _refuse_deleted(case: SlicerCase) -> None:
    for key, node in case.volumes.items():
        if not slicer.mrmlScene.IsNodePresent(node):
            text = _("the image given as {name} was deleted while it was being segmented")
            raise InputError(text.format(name=MODALITY_NAMES[key]), _("choose it again"))


def _noted(
    outcome: list[Any], on_done: Callable[..., None], on_failed: Callable[[Exception], None]
) -> dict[str, Callable[..., None]]:
    """Both calls for a job: what came of it is also noted in ``outcome``."""

    def done(value: Any, *more: Any) -> None:
        outcome.append(value)
        on_done(value, *more)

    def failed(error: Exception) -> None:
        outcome.append(error)
        on_failed(error)

    return {"on_done": done, "on_failed": failed}


def _awaited(outcome: list[Any]) -> Any:
    """Let Slicer's event loop run until there is an outcome."""
    loop, timer = qt.QEventLoop(), qt.QTimer()
    timer.setInterval(50)
    timer.connect("timeout()", lambda: outcome and loop.quit())
    timer.start()
    if not outcome:
        loop.exec_()  # so PythonQt calls it
    timer.stop()
    if isinstance(outcome[0], Exception):
        raise outcome[0]
    return outcome[0]


__all__ = ["Options", "VoxMMSDError", "VoxMMSDSegmentLogic"]
