"""Visits of a patient on their way through the core's ``follow``, and what it found on its way back."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from voxmmsd.errors import InputError
from voxmmsd.files import read_json
from VoxMMSDLib.background import Steps
from VoxMMSDLib.segments import label_array, schema_of
from VoxMMSDLib.volumes import Write, array_write, ijk_to_world
from VoxMMSDLib.workplace import new_workplace
from VoxMMSDSegmentLib import timings
from VoxMMSDSegmentLib.core_job import CoreJob
from VoxMMSDSegmentLib.dicom_visits import patient_of
from VoxMMSDSegmentLib.progress import Plan, Progress
from VoxMMSDSegmentLib.report_job import PACKAGES as REPORT_PACKAGES
from VoxMMSDSegmentLib.report_job import record_of, write_record
from VoxMMSDSegmentLib.result import input_of
from VoxMMSDSegmentLib.saving import image_writes, reference_in_scene
from VoxMMSDSegmentLib.shown_visits import ShownVisit, visits_steps

# What the core needs for it, beyond what it needs to segment. Import name -> requirement.
PACKAGES = {**REPORT_PACKAGES, "SimpleITK": "SimpleITK>=2.3"}
PAGE, RECORD = "follow-up.html", "follow-up.json"
ONE_PATIENT = "one patient"  # said of visits that are of one by DICOM, whose number for the patient is written nowhere


@dataclass(frozen=True)
class Followed:
    """``folder``: the page and what is beside it; ``record``: the core's. ``visits``: in the scene, if asked for."""

    folder: Path
    record: dict[str, Any]
    visits: tuple[ShownVisit, ...] = ()

    @property
    def page(self) -> Path:
        return self.folder / PAGE


class FollowJob(CoreJob):
    """``visits``: results in the scene, or paths of results and of cases of a library, the earliest first.

    ``on_progress``, then one of ``on_done``, ``on_failed`` is called. ``shown``: whether the visits, registered, are
    put into the scene; they are not shown there yet.
    """

    AT_WORK = "comparing"

    def __init__(
        self,
        visits: Sequence[Any],
        out: Path,
        *,
        days: Sequence[int],
        patient: str,
        shown: bool,
        on_progress: Callable[[Progress], None],
        on_done: Callable[[Followed], None],
        on_failed: Callable[[Exception], None],
    ) -> None:
        folder = new_workplace()
        plan = Plan(timings.expected_follow(len(visits)), time.monotonic())
        super().__init__(folder, folder / ".run", on_failed, plan, on_progress)
        self._visits, self._out, self._days, self._patient = list(visits), out, list(days), patient
        self._shown, self._on_done = shown, on_done

    def _sending(self) -> Steps:
        patient = self._patient or _one_patient(self._visits)
        sources, cases = [], []
        for number, visit in enumerate(self._visits, start=1):
            if isinstance(visit, Path):
                sources.append(str(visit))
                cases.append("")
            else:
                labels, case = yield from self._out_of_the_scene(visit, f"visit-{number}")
                sources.append(str(labels))
                cases.append(str(case))
        arguments = ["follow", *sources, "--case", *cases, "--out", str(self._out)]
        arguments += ["--days", *map(str, self._days)] * bool(self._days)
        arguments += ["--patient", patient] * bool(patient)
        return [*arguments, *["--registered"] * self._shown]

    def _out_of_the_scene(self, result: Any, case_id: str) -> Steps:
        """A result as it is now, as the core reads one: the files of its labels and the folder of its images."""
        if not slicer.mrmlScene.IsNodePresent(result):
            raise InputError(_("a visit is no longer in the scene"), _("take it out of the list"))
        reference = reference_in_scene(result)
        now, affine = label_array(result, reference), ijk_to_world(reference)
        yield
        folder = self._folder / case_id
        images, _mask, writes = yield from image_writes(result, reference, folder)
        labels = folder / f"{case_id}-voxmmsd.nii.gz"
        writes.append(array_write(now, affine, labels, result.GetName()))
        record = record_of(result, case_id, schema_of(result), _modality_of(result, images, reference))
        yield lambda: self._write(writes, images, labels, record)
        return labels, next(iter(images.values())).parent

    def _write(self, writes: list[Write], images: dict[str, Path], labels: Path, record: Any) -> None:
        """In a thread of its own."""
        if self._write_each(writes):
            write_record(record, images, labels)

    def _receive(self) -> None:
        self._show(self._showing(), self._followed)

    def _showing(self) -> Steps:
        record = yield lambda: read_json(self._out / RECORD)
        visits: tuple[ShownVisit, ...] = ()
        if self._shown:
            visits = yield from visits_steps(self._out, record)
        return Followed(self._out, record, visits)

    def _followed(self, found: Followed) -> None:
        timings.remember_follow(self._plan.took if self._plan is not None else {}, len(self._visits))
        self._on_done(found)


def _modality_of(result: Any, images: dict[str, Path], reference: Any) -> str:
    return next((key for key in images if input_of(result, key) is reference), "")


def _one_patient(visits: Sequence[Any]) -> str:
    """A word for the patient where DICOM tells that all visits are of one; empty where nothing tells.

    Raises:
        InputError: DICOM tells of two.
    """
    known = [patient_of(visit) if not isinstance(visit, Path) else "" for visit in visits]
    if len({one for one in known if one}) > 1:
        raise InputError(
            _("the visits are from different patients ({names})").format(
                names=", ".join(v.name if isinstance(v, Path) else v.GetName() for v in visits)
            ),
            _("give visits of one patient"),
        )
    return ONE_PATIENT if all(known) else ""
