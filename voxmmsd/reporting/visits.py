"""The visits of a patient: read from results or a library, in order, and brought onto each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import pairwise
from pathlib import Path

import numpy as np

from voxmmsd.data.alignment import align
from voxmmsd.data.case import Case
from voxmmsd.data.finding.naming import patient_of
from voxmmsd.data.formats.sources import read_volume
from voxmmsd.data.volume import Grid, Volume, canonical, resample
from voxmmsd.errors import InputError
from voxmmsd.labels import converted_indices, covers_tissues_of, schema_named
from voxmmsd.library.folder import open_library
from voxmmsd.library.reading import CASE_RECORD, is_library
from voxmmsd.records.result import ResultRecord
from voxmmsd.reporting.shown import ShownCase, find_result, make_shown, modalities_to_show, shown_case


@dataclass(frozen=True)
class Visit:
    """``patient``: a code, empty if nothing tells. ``days``: since the first visit, None if not known.

    ``correction``: 4x4, RAS mm of this visit to RAS mm of the first one, and what is said of how it was found.
    """

    shown: ShownCase
    patient: str = ""
    days: int | None = None
    correction: np.ndarray = field(default_factory=lambda: np.eye(4))
    registration: str = ""

    @property
    def grid(self) -> Grid:
        """The visit's grid in the first visit's world."""
        return Grid(self.shown.grid.shape_zyx, self.correction @ self.shown.grid.affine_xyz)


@dataclass(frozen=True)
class _Read:
    """``patient``: tells patients apart, and is shown nowhere: it may be DICOM's. ``code``: may be shown."""

    shown: ShownCase
    patient: str
    code: str
    is_sure: bool  # that the patient is the one named
    day: date | None


def read_visits(
    sources: Sequence[Path], *, images: Sequence[str] = (), days: Sequence[int] = (), patient: str = ""
) -> list[Visit]:
    """Read visits in the order given, which must be that of time.

    ``sources``: results, or folders of cases in a library. ``images``: of each, where they are now. ``days``: of each,
    since the first; without them DICOM tells them, or nothing does. ``patient``: the code of all, where names do not
    tell that they are one.

    Raises:
        InputError: fewer than two, one twice, visits of two patients, in the wrong order or of schemas of which none
            has the tissues of all, or none with a tumor.
    """
    _check_call(sources, images, days)
    read = [_read(source, images[number] if images else "") for number, source in enumerate(sources)]
    _check_one_patient(read, patient)
    read = _of_one_schema(read)
    if not any(one.shown.label_zyx.any() for one in read):
        raise InputError("none of the visits has a tumor", "give visits of which at least one has a tumor")
    of_each = list(days) if days else _days_of(read)
    codes = {one.code for one in read}
    code = patient or (codes.pop() if len(codes) == 1 else "")
    return [Visit(one.shown, code, of_each[number] if of_each else None) for number, one in enumerate(read)]


def _check_call(sources: Sequence[Path], images: Sequence[str], days: Sequence[int]) -> None:
    if len(sources) < 2:
        raise InputError("a follow-up needs two visits", "name the earlier and the later result")
    twice = next((one for one in sources if list(sources).count(one) > 1), None)
    if twice is not None:
        raise InputError(f"{twice}: is given twice", "give each visit once")
    for values, what in ((images, "--case"), (days, "--days")):
        if values and len(values) != len(sources):
            raise InputError(
                f"{what} names {len(values)}, there are {len(sources)} visits", "give one for each visit, in order"
            )
    if days and (days[0] != 0 or any(later <= earlier for earlier, later in pairwise(days))):
        raise InputError(
            f"--days {' '.join(map(str, days))}: are not days since the first visit in the order of time",
            "begin with 0 and give the visits in order, the earliest first",
        )


def _read(source: Path, images: str) -> _Read:
    if (source / CASE_RECORD).is_file() and is_library(source.parent.parent):
        return _of_library(source)
    if source.is_dir():
        raise InputError(
            f"{source}: is neither a result nor a case of a library",
            "give CASEID-voxmmsd.nii.gz, or the case's folder in LIBRARY/cases",
        )
    found = find_result(source, images)
    patient, day = _identity(found.case)
    by_name = patient_of(found.result.case_id)
    is_sure = bool(patient) or by_name != found.result.case_id
    return _Read(shown_case(found), patient or by_name, by_name, is_sure, day)


def _of_library(folder: Path) -> _Read:
    """The newest label that was accepted, else the newest prediction."""
    library = open_library(folder.parent.parent)
    case = library.case(folder.name)
    label = case.accepted or case.prediction
    if label is None:
        raise InputError(f"case {case.id}: has no label", "`voxmmsd library accept` gives it one")
    schema = schema_named(label.schema)
    read = library.read_label(case, label)
    images = {
        name: canonical(resample(read_volume(source), read.grid)).array.astype(np.float32)
        for name, source in library.as_case(case).modalities.items()
    }
    record = ResultRecord(schema.name, case.id, inputs=case.entry.images)
    return _Read(make_shown(case.id, schema, read, images, record), case.patient, case.patient, True, None)


def _identity(case: Case) -> tuple[str, date | None]:
    """Patient and day by the DICOM tags of the images; empty and None where no image has them."""
    patients, days = [], []
    for source in case.modalities.values():
        if source.path.is_dir():
            from voxmmsd.data.formats.dicom import patient_number, series_of

            series = series_of(source.path, source.series_uid)
            patients.append(patient_number(series.tags["patient_id"]) if series else "")
            days.append(series.tags["study_date"] if series else "")
    patient = next((one for one in patients if one), "")
    stated = next((one for one in days if len(one) == 8 and one.isdigit()), "")
    try:
        return patient, date(int(stated[:4]), int(stated[4:6]), int(stated[6:])) if stated else None
    except ValueError:  # a day that no month has, as some anonymizers write
        return patient, None


def _check_one_patient(read: Sequence[_Read], patient: str) -> None:
    """Raise InputError for visits of two patients; which patients they are is not said of DICOM's."""
    if patient or len({one.patient.casefold() for one in read}) == 1:
        return
    ids = ", ".join(one.shown.case_id for one in read)
    if all(one.is_sure for one in read):
        raise InputError(f"the visits are from different patients ({ids})", "give visits of one patient")
    raise InputError(
        f"it cannot be told from their names whether {ids} are of one patient",
        "say so with --patient CODE, if they are",
    )


def _of_one_schema(read: Sequence[_Read]) -> list[_Read]:
    """All in the first schema that has the tissues of every one: a later visit may have a resection cavity."""
    schemas = list({one.shown.schema.name: one.shown.schema for one in read}.values())
    widest = next((each for each in schemas if all(covers_tissues_of(each, other) for other in schemas)), None)
    if widest is None:
        names = ", ".join(each.name for each in schemas)
        raise InputError(
            f"the visits have labels of different schemas ({names}), and none has the tissues of all",
            "segment all visits with one model",
        )
    found = []
    for one in read:
        shown = one.shown
        label = converted_indices(shown.label_zyx, shown.schema, widest, f"case {shown.case_id}")
        found.append(replace(one, shown=replace(shown, schema=widest, label_zyx=label)))
    return found


def _days_of(read: Sequence[_Read]) -> list[int]:
    """Days since the first visit by DICOM, empty where a visit has no date."""
    days = [one.day for one in read]
    if any(day is None for day in days):
        return []
    since = [(day - days[0]).days for day in days if day is not None and days[0] is not None]
    if any(later <= earlier for earlier, later in pairwise(since)):
        order = " ".join(read[number].shown.case_id for number in sorted(range(len(read)), key=lambda n: since[n]))
        raise InputError(
            "the visits are not in the order of time, or two are of one day by their DICOM dates",
            f"give them in order: {order}",
        )
    return since


def registered(visits: Sequence[Visit]) -> Iterator[Visit]:
    """The visits with each later one registered to the first: a rotation and a shift.

    Raises:
        InputError: two visits have no modality in common, or the registration fails.
        MissingDependencyError: SimpleITK is not installed.
    """
    first = visits[0]
    yield first
    for visit in visits[1:]:
        common = [name for name in visit.shown.images if name in first.shown.images]
        if not common:
            raise InputError(
                f"case {visit.shown.case_id}: has no modality in common with case {first.shown.case_id}",
                "segment both with the same modalities",
            )
        name = modalities_to_show(dict.fromkeys(common), 1)[0]
        found = align(
            f"{name} of {visit.shown.case_id}",
            Volume(visit.shown.images[name], visit.shown.grid),
            Volume(first.shown.images[name], first.shown.grid),
        )
        yield replace(visit, correction=found.correction, registration=found.text())
