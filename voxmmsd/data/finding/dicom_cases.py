"""Group DICOM series into cases, by patient, study and series description.

Some archives give each series a study of its own. Then the series of one patient and one date are a case. Who the
patient is, the folder tells where the files name nobody.

A case is named after its folder. Patient and date in the files are only used to determine which series belong together.
They are not used as names, so they do not reach any log, library, model or report.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from voxmmsd.data.finding.draft import CaseDraft
from voxmmsd.data.finding.grouping import folder_identity
from voxmmsd.data.finding.naming import is_series_number, read_name
from voxmmsd.data.finding.walk import Unplaced
from voxmmsd.data.formats.dicom import Series, has_contrast, patient_number, series_in
from voxmmsd.data.formats.sources import Source
from voxmmsd.errors import MissingDependencyError
from voxmmsd.ids import natural_key
from voxmmsd.labels import MODALITIES
from voxmmsd.wording import counted

_Slots = dict[str, list[Series]]  # by modality
_OF_ONE_DATE = "date "  # instead of a study's uid
_IN_FOLDER = "folder "  # instead of a patient's number


def group_series(files: Mapping[Path, Sequence[Path]], unplaced: Unplaced) -> list[CaseDraft]:
    """Cases among DICOM files by folder; unassigned files are added to ``unplaced`` with the reason."""
    studies: dict[tuple[str, str], _Slots] = defaultdict(lambda: defaultdict(list))
    found = _all_series(files, unplaced)
    in_folder = Counter(series.folder for series in found)
    for series in found:
        modality, why = modality_of(series)
        if modality is None:
            unplaced.append((series.folder, f"DICOM series {_title(series)}: {why}"))
        else:
            patient = _patient(series, shares_folder=in_folder[series.folder] > 1)
            studies[patient, series.tags["study_uid"]][modality].append(series)
    return list(_drafts(_joined(studies)))


def _joined(studies: Mapping[tuple[str, str], _Slots]) -> dict[tuple[str, str], _Slots]:
    """Studies of one patient and date as one, if each holds a single series and no two are of one modality.

    Where the files name no patient, only those of one case's folder.
    """
    by_date: dict[tuple[str, str, Path | None], list[tuple[str, str]]] = defaultdict(list)
    for key, slots in studies.items():
        place = _place(slots) if key[0].startswith(_IN_FOLDER) else None
        by_date[key[0], _series_of(slots)[0].tags["study_date"], place].append(key)
    joined = dict(studies)
    for (patient, date, _), keys in by_date.items():
        series = [one for key in keys for one in _series_of(studies[key])]
        names = [name for key in keys for name in studies[key]]
        if date and len(series) == len(keys) > 1 and len(set(names)) == len(names):
            parts = [joined.pop(key) for key in keys]
            joined[patient, f"{_OF_ONE_DATE}{date} {keys[0][1]}"] = {
                name: found for part in parts for name, found in part.items()
            }
    return joined


def _all_series(files: Mapping[Path, Sequence[Path]], unplaced: Unplaced) -> list[Series]:
    found = []
    for folder, paths in files.items():
        try:
            series, unread = series_in(folder, paths)
        except MissingDependencyError as error:
            why = error.problem.split(": ")[-1]
            unplaced.append((folder, f"{counted(len(paths), 'DICOM file')}: {why}; {error.remedy}"))
            continue
        found += series
        unplaced += unread
    return found


def modality_of(series: Series) -> tuple[str | None, str]:
    """The modality of a series, from its description, else from its times; or None and the reason why it is unknown."""
    if series.tags["modality"] not in ("MR", ""):
        return None, f"is {series.tags['modality']}, not MR"
    if series.slice_count < 2:
        return None, "is a single slice, not a volume"
    return modality_of_tags(series.tags, series.folder.name)


def modality_of_tags(tags: Mapping[str, str], *names: str) -> tuple[str | None, str]:
    """Like ``modality_of``, from the tags of ``data.dicom.TAGS`` and other names of the images."""
    plain_t1 = "t1c" if has_contrast(tags) else "t1n"
    for text in (tags["description"], tags["protocol"], *names):
        reading = read_name(text)
        if reading.kind == "modality":
            return (plain_t1 if reading.is_plain_t1 else reading.modality), ""
        if "not used here" in reading.why:
            break
    weighting = _weighting(tags)
    if weighting is None:
        return None, "its description does not identify a sequence that is used (T1, T1 post-contrast, T2, FLAIR)"
    return (plain_t1 if weighting == "T1" else weighting), ""


def _weighting(tags: Mapping[str, str]) -> str | None:
    """``T1``, ``t2w`` or ``t2f`` from repetition, echo and inversion time, if these are unambiguous.

    T2 needs a long echo and a long repetition, FLAIR besides an inversion time that nulls water, T1 a short echo and a
    short repetition (Westbrook, MRI in Practice). Gradient echoes with an inversion (MPRAGE) are T1 too.
    """
    try:
        repetition, echo = float(tags["repetition_ms"]), float(tags["echo_ms"])
        inversion = float(tags["inversion_ms"] or 0)
    except ValueError:
        return None
    if echo >= 70 and repetition >= 2000:
        return "t2f" if inversion >= 1500 else "t2w"
    is_short = repetition <= 900 or 500 <= inversion <= 1300
    return "T1" if echo <= 25 and is_short else None


def _patient(series: Series, *, shares_folder: bool) -> str:
    """``shares_folder``: with other series, so that the folder is the case's own."""
    folder = series.folder.resolve()
    return patient_number(series.tags["patient_id"]) or f"{_IN_FOLDER}{folder if shares_folder else folder.parent}"


def _title(series: Series) -> str:
    return repr(series.tags["description"] or "without a description")


def _drafts(studies: Mapping[tuple[str, str], _Slots]) -> Iterator[CaseDraft]:
    """Studies of one folder are numbered in the order of their files; all of a patient share one code."""
    ordered = sorted(studies.items(), key=lambda item: min(map(_order, _series_of(item[1]))))
    shared = Counter(_place(slots) for _, slots in ordered)
    number: Counter[Path] = Counter()
    codes: dict[str, str] = {}
    for (patient, study), slots in ordered:
        place = _place(slots)
        number[place] += 1
        id_, code = folder_identity(place)
        if shared[place] > 1:
            id_ = f"{id_}-{number[place]}"
        whose = code if patient.startswith(_IN_FOLDER) else patient
        if whose not in codes:
            codes[whose] = id_ if code in codes.values() else code
        draft = _draft(id_, codes[whose], place, slots)
        if study.startswith(_OF_ONE_DATE):
            draft.notes.append("each series has a study of its own: matched by patient and date")
        yield draft


def _best_first(series: Series) -> tuple[object, ...]:
    return series.why_no_volume != "", -series.slice_count, natural_key(series.tags["description"]), series.uid


def _series_of(slots: _Slots) -> list[Series]:
    return [one for several in slots.values() for one in several]


def _order(series: Series) -> tuple[object, ...]:
    return natural_key(str(min(series.files)))


def _place(slots: _Slots) -> Path:
    """The folder of a study: the one with its series, or its parent if it is named after a series."""
    place = Path(os.path.commonpath([one.folder for one in _series_of(slots)]))
    named_for_series = read_name(place.name).kind == "modality" or is_series_number(place.name)
    return place.parent if named_for_series else place


def _draft(id_: str, patient: str, place: Path, slots: _Slots) -> CaseDraft:
    draft = CaseDraft(id_, patient, place, place.parent)
    for name in (n for n in MODALITIES if n in slots):
        chosen, *others = sorted(slots[name], key=_best_first)
        draft.modalities[name] = Source(chosen.folder, series_uid=chosen.uid)
        if others:
            draft.notes.append(
                f"{len(others) + 1} series look like {name}: took {_title(chosen)} with the most slices "
                f"({chosen.slice_count}), not {', '.join(map(_title, others))}; a list file says otherwise"
            )
    return draft
