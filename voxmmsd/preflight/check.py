"""Look at a case before it is segmented: all that could make the result wrong, worst first.

The thresholds were set on 25 skull-stripped BraTS cases, of which they accuse none, and one native case, whose skull
they see; they presuppose images of a brain of about adult size.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations

import numpy as np

from voxmmsd.data.case import Case
from voxmmsd.data.naming import patient_of, read_name
from voxmmsd.data.sources import Source, frame_of, read_image, stem_of
from voxmmsd.data.volume import Grid, Volume, resample
from voxmmsd.errors import InputError, VoxMMSDError
from voxmmsd.labels import LabelSchema
from voxmmsd.preflight.findings import BLOCKING, NOTE, WARNING, Finding, in_order
from voxmmsd.preflight.modality import swapped_slots

FEW_VALUES = 12  # a label map has no more
THICK_MM, TOO_THICK_MM = 3.0, 7.0
LARGEST_BRAIN_ML = 2200.0  # with meninges and a tumor; a head without its neck has 3,000 and more
LARGEST_OFFSET_MM = 3.0  # between the centers of two modalities' brains
LEAST_OVERLAP = 0.93  # Dice of two modalities' brains


def check_case(case: Case, *, operated: bool = False, schema: LabelSchema | None = None) -> tuple[Finding, ...]:
    """Everything that can be found in a case; never raises for what is wrong with its images.

    ``operated``: the patient is said to have been operated on; ``schema``: the labels of the model that is to be used.
    """
    findings = [*check_identity(case), *check_operation(operated, schema)]
    volumes: dict[str, Volume] = {}
    for name, source in case.modalities.items():
        try:
            image = read_image(source)
            findings += [Finding(WARNING, "doubtful-file", f"{name}: {note}", "check it", name) for note in image.notes]
            volumes[name] = frame_of(image, source)
        except VoxMMSDError as error:
            text, _, way_out = str(error).rpartition("; ")
            findings.append(
                Finding(BLOCKING, "unusable-image", text or way_out, way_out if text else "give another file", name)
            )
    findings += check_volumes(volumes, bool(case.brain_mask))
    return in_order(findings)


def check_volumes(volumes: Mapping[str, Volume], has_mask: bool = False) -> tuple[Finding, ...]:
    """What the voxels and grids of a case's modalities tell."""
    findings = [finding for name, volume in volumes.items() for finding in _check_one(name, volume)]
    usable = {name: volume for name, volume in volumes.items() if not _is_unusable(findings, name)}
    findings += _check_same(usable)
    findings += _check_grids({name: volume.grid for name, volume in usable.items()})
    tissue_ml = {name: _tissue_ml(volume) for name, volume in usable.items()}
    skulls = [name for name, amount in tissue_ml.items() if amount > LARGEST_BRAIN_ML]
    if skulls and not has_mask:
        findings.append(
            Finding(
                WARNING,
                "skull",
                f"{', '.join(skulls)}: more tissue ({max(tissue_ml.values()):,.0f} ml) than a brain has; the skull "
                "seems not to be stripped, and models expect it to be",
                "give a brain mask (--brain-mask FILE), or strip the skull first, as HD-BET or SynthStrip do",
            )
        )
    if not skulls and usable:
        findings += _check_alignment(usable)
        findings += _check_slots(usable)
    return in_order(findings)


def check_identity(case: Case) -> Iterator[Finding]:
    """Whether all images are of one patient and one day: by DICOM tags, or by ids in the files' names.

    Who the patient is does not appear in a finding. A name blocks only where it holds what is clearly a patient's code
    (letters and three digits): ``scan1_t1`` and ``Smith_flair`` may well be of one.
    """
    told: dict[str, dict[str, set[str]]] = {"patients": {}, "dates": {}}
    surely = True
    for name, source in case.modalities.items():
        patient, date, is_sure = _identity(source)
        surely = surely and is_sure
        for kind, value in (("patients", patient), ("dates", date)):
            if value:
                told[kind].setdefault(value.casefold(), set()).add(name)
    for kind, values in told.items():
        if len(values) > 1:
            groups = " / ".join(", ".join(sorted(names)) for names in values.values())
            yield Finding(
                BLOCKING if surely else WARNING, f"different-{kind}", f"the images are of different {kind}: {groups}",
                "give images of one patient and one examination",
            )  # fmt: skip


def check_operation(operated: bool, schema: LabelSchema | None) -> Iterator[Finding]:
    """Whether the model knows what an operation leaves."""
    if operated and schema is not None and all(label.key != "RC" for label in schema.labels):
        yield Finding(
            WARNING, "operated", f"the patient was operated on, and the model ({schema.name}) knows no resection "
            "cavity: it may call the cavity necrosis or edema",
            "use a model for operated patients (brats-gli-2024), or correct the cavity by hand",
        )  # fmt: skip


def _identity(source: Source) -> tuple[str, str, bool]:
    """Patient and date, each empty where it cannot be told, and whether what was told is beyond doubt."""
    if source.path.is_dir():
        from voxmmsd.data.dicom import may_be_dicom, series_in

        series, _ = series_in(source.path, sorted(f for f in source.path.iterdir() if f.is_file() and may_be_dicom(f)))
        chosen = next((one for one in series if source.series_uid in (None, one.uid)), None)
        return (chosen.tags["patient_id"], chosen.tags["study_date"], True) if chosen else ("", "", True)
    case_id = read_name(stem_of(source.path.name)).head.strip(" _-.")
    if not any(letter.isalpha() for letter in case_id):  # a series' number
        return "", "", True
    patient = patient_of(case_id)
    is_code = sum(letter.isdigit() for letter in patient) >= 3
    return patient, case_id.removeprefix(patient).strip("-_"), is_code


def _check_one(name: str, volume: Volume) -> Iterator[Finding]:
    sample = volume.array[tuple(slice(None, None, max(1, n // 96)) for n in volume.array.shape)]
    values = np.unique(sample)
    if len(values) == 1:
        yield Finding(
            BLOCKING, "constant", f"{name}: every voxel is {values[0]:g}", "leave it out or give the right file", name
        )
    elif len(values) <= FEW_VALUES and (values == np.rint(values)).all():
        yield Finding(
            BLOCKING, "label-map", f"{name}: holds {len(values)} different whole numbers: a label map, not an image",
            "give the image", name,
        )  # fmt: skip
    thickest = max(volume.grid.spacing_mm_zyx)
    if thickest > THICK_MM:
        hopeless = thickest > TOO_THICK_MM
        yield Finding(
            WARNING if hopeless else NOTE, "thick-slices", f"{name}: voxels of {thickest:.3g} mm along one axis; "
            + ("volumes and small lesions mean little" if hopeless else "small lesions may be missed"),
            "prefer a 3-D acquisition if there is one", name,
        )  # fmt: skip


def _is_unusable(findings: list[Finding], name: str) -> bool:
    return any(finding.modality == name and finding.severity == BLOCKING for finding in findings)


def _check_same(volumes: Mapping[str, Volume]) -> Iterator[Finding]:
    for one, other in combinations(volumes, 2):
        if np.array_equal(volumes[one].array, volumes[other].array):
            yield Finding(
                BLOCKING, "same-volume", f"{one} and {other} are the same volume", "give each its own image", other
            )


def _check_grids(grids: Mapping[str, Grid]) -> Iterator[Finding]:
    first = next(iter(grids), None)
    differing = [name for name, grid in grids.items() if first and not grid.same_as(grids[first])]
    if first and differing:
        yield Finding(
            NOTE, "different-grids", f"{', '.join(differing)} on another grid than {first}: resampled in world space",
            "nothing to do if they were registered; else register them",
        )  # fmt: skip


def _check_alignment(volumes: Mapping[str, Volume]) -> Iterator[Finding]:
    """Brains that do not lie on each other, whatever their grids say."""
    reference = "t1c" if "t1c" in volumes else next(iter(volumes))
    grid = _coarse(volumes[reference].grid)
    brains = {name: resample(Volume(volume.array > 0, volume.grid), grid, order=0).array > 0
              for name, volume in volumes.items()}  # fmt: skip
    center = {name: _center_mm(brain, grid) for name, brain in brains.items()}
    for name, brain in brains.items():
        if name == reference:
            continue
        offset = float(np.linalg.norm(center[name] - center[reference]))
        overlap = 2 * (brain & brains[reference]).sum() / max(1, brain.sum() + brains[reference].sum())
        if not offset <= LARGEST_OFFSET_MM or overlap < LEAST_OVERLAP:
            yield Finding(
                WARNING, "not-aligned", f"{name} does not lie on {reference}: their brains' centers are "
                f"{offset:.1f} mm apart and overlap by {100 * overlap:.0f} %",
                "register it to the others first", name,
            )  # fmt: skip


def _check_slots(volumes: Mapping[str, Volume]) -> Iterator[Finding]:
    for slot, seems in swapped_slots({name: volume.array for name, volume in volumes.items()}).items():
        yield Finding(
            WARNING, "wrong-slot", f"what is given as {slot} looks like {seems}", "check which image is which", slot
        )


def _tissue_ml(volume: Volume) -> float:
    """Volume of what is clearly brighter than air."""
    sample = volume.array[tuple(slice(None, None, max(1, n // 96)) for n in volume.array.shape)]
    bright = np.percentile(sample[sample > 0], 90) if (sample > 0).any() else 1.0
    return float((sample > 0.15 * bright).mean() * volume.array.size * volume.grid.voxel_volume_ml)


def _coarse(grid: Grid) -> Grid:
    return grid.with_spacing(2.0)


def _center_mm(brain_zyx: np.ndarray, grid: Grid) -> np.ndarray:
    if not brain_zyx.any():
        return np.full(3, np.inf)
    index = np.array([np.average(np.arange(n), weights=brain_zyx.sum(axis=tuple(a for a in range(3) if a != axis)))
                      for axis, n in enumerate(brain_zyx.shape)])  # fmt: skip
    return grid.affine_zyx[:3, :3] @ index + grid.affine_zyx[:3, 3]


def refuse(findings: tuple[Finding, ...], case_id: str) -> None:
    """Raise InputError where a finding is blocking, with all that are."""
    wrong = [finding.line().removeprefix("blocking: ") for finding in findings if finding.severity == BLOCKING]
    if wrong:
        raise InputError(f"case {case_id}: {'; '.join(wrong)}")
