"""What the report of a case says, as sentences and as rows of tables; the page and the PDF are made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import voxmmsd
from voxmmsd.labels import MODALITY_NAMES
from voxmmsd.measuring.diameters import MIN_MM
from voxmmsd.measuring.lesions import MIN_ML
from voxmmsd.models.package import ModelInfo
from voxmmsd.models.subsets import KEY, error_text, expected_dice, volume_errors
from voxmmsd.records.findings import NOTE
from voxmmsd.reporting.case_pictures import measured_lesions
from voxmmsd.reporting.shown import ShownCase
from voxmmsd.wording import counted

DIAMETERS = (
    "Diameters as RANO measures them: in one axial slice the longest line between two points of the lesion, and the "
    "longest line perpendicular to it whose ends lie in the lesion; both may cross a necrosis or cavity. "
    f"Measurable: {MIN_MM:g} mm at least in both, on two slices. A reader must verify them before use."
)
EXPECTED = (
    "Expected Dice: the mean over the model's {split} cases with these modalities, from its card. At that Dice the "
    "true volume lies in the range beside it; a single patient may be farther off."
)
NOT_MEASURED = "not measured"
ERRORS = (
    " Median error: of the volumes over the same cases, in ml, and in percent of the expert's volume; half of the "
    "cases were farther off."
)


@dataclass(frozen=True)
class Report:
    """What both forms say: rows of tables with a heading first, and sentences."""

    title: str
    patient_name: str
    volumes: Sequence[Sequence[str]]
    expectation: str
    lesions: Sequence[Sequence[str]]
    lesion_notes: Sequence[str]
    places: Sequence[Sequence[str]]
    findings: Sequence[str]
    origin: Sequence[str]


def made_report(shown: ShownCase, info: ModelInfo | None, patient_name: str = "") -> Report:
    """All that is said of a case. ``info``: of the model, None if it is not known."""
    return Report(
        title=f"{shown.case_id}: tumor segmentation",
        patient_name=patient_name.strip(),
        volumes=_volume_rows(shown, info),
        expectation=_expectation(shown, info),
        lesions=_lesion_rows(shown),
        lesion_notes=_lesion_notes(shown),
        places=_place_rows(shown),
        findings=[
            *(finding.line() for finding in shown.record.warnings),
            *(finding.line() for finding in shown.record.findings if finding.severity == NOTE),
            *shown.record.notes,
        ],
        origin=_origin(shown, info),
    )


def _volume_rows(shown: ShownCase, info: ModelInfo | None) -> list[list[str]]:
    rows = [["structure", "ml", "expected Dice", "at that Dice, ml", "median error"]]
    names = {label.key: label.name for label in shown.schema.labels}
    regions = {region.key: region.name for region in shown.schema.regions}
    dice, errors = _expected(shown, info), _errors(shown, info)
    volumes = shown.volumes_ml
    for key, name in {**regions, **{key: name for key, name in names.items() if key not in regions}}.items():
        limits = volume_limits(volumes[key], dice.get(key))
        expected = f"{dice[key]:.2f}" if key in dice else ""
        error = error_text(errors[key]) if key in errors else "" if is_corrected(shown) else NOT_MEASURED
        rows.append([f"{name} ({key})", f"{volumes[key]:.1f}", expected, "–".join(limits) if limits[0] else "", error])
    return rows


def is_corrected(shown: ShownCase) -> bool:
    """By a person: what the model's card expects does not hold."""
    return shown.edited_voxels is not None or bool(shown.rounds)


def _errors(shown: ShownCase, info: ModelInfo | None) -> Mapping[str, Mapping[str, float | None]]:
    """What the model's card tells of its volumes; nothing of labels that a person corrected."""
    if info is None or is_corrected(shown):
        return {}
    return volume_errors(info, shown.record.missing)


def _expected(shown: ShownCase, info: ModelInfo | None) -> dict[str, float]:
    """Region -> the mean Dice that the model's card expects with the modalities that were given; {} if it says none."""
    if info is None or is_corrected(shown):
        return {}
    keys = [region.key for region in shown.schema.regions]
    if KEY in info.scores:
        found: Mapping[str, float | None] = {key: expected_dice(info, shown.record.missing, key) for key in keys}
    else:
        found = {} if shown.record.missing else info.headline_scores[1].get("regions", {})
    return {key: float(dice) for key, dice in found.items() if dice is not None and key in keys}


def volume_limits(volume_ml: float, dice: float | None) -> tuple[str, str]:
    """Between what the true volume lies if the Dice with it is ``dice``, as text; empty where that says nothing.

    Of Dice = 2 |A and B| / (|A| + |B|), the overlap is at most the smaller one: with the greatest overlap the other
    volume is dice / (2 - dice) times as large, or as many times larger.
    """
    if not dice:
        return "", ""
    share = dice / (2 - dice)
    return f"{volume_ml * share:.1f}", f"{volume_ml / share:.1f}"


def _expectation(shown: ShownCase, info: ModelInfo | None) -> str:
    if is_corrected(shown):
        return "A person corrected the labels, so the accuracy stated on the model's card does not apply."
    if info is None:
        return "The model is not on this machine, so that its card is not repeated here."
    subsets = info.scores.get(KEY)
    split, record = (subsets["split"], subsets) if subsets else info.headline_scores
    if not record:
        return "The model's card has no score."
    cases = record["cases"]
    count = len(cases) if isinstance(cases, list) else cases
    return EXPECTED.format(split=f"{count} {split}") + (ERRORS if _errors(shown, info) else "")


def _lesion_rows(shown: ShownCase) -> list[list[str]]:
    rows = [["lesion", "ml", "longest mm", "perpendicular mm", "product mm²", "slice", "measurable"]]
    for number, lesion in enumerate(measured_lesions(shown), start=1):
        found = lesion.diameters
        rows.append(
            [
                str(number),
                f"{lesion.volume_ml:.1f}",
                f"{found.longest.length_mm:.1f}",
                f"{found.perpendicular.length_mm:.1f}",
                f"{found.product_mm2:.0f}",
                str(found.index),
                "yes" if found.is_measurable else "no",
            ]
        )
    return rows if len(rows) > 1 else []


def _lesion_notes(shown: ShownCase) -> list[str]:
    if "ET" not in shown.lesions:
        return [f"Schema {shown.schema.name} has no enhancing tumor, so that no diameter is measured."]
    found = shown.lesions["ET"]
    notes = []
    if not found.lesions:
        notes.append(f"No enhancing lesion of {MIN_ML:g} ml or more.")
    else:
        measurable = [lesion for lesion in found.lesions if lesion.is_measurable]
        total = sum(lesion.diameters.product_mm2 for lesion in measurable)
        said = f"Sum of products of {counted(len(measurable), 'measurable lesion')}: {total:.0f} mm²."
        notes.append(said if measurable else "None of them is measurable.")
    if found.small:
        notes.append(f"{counted(found.small, 'smaller piece')} ({found.small_ml:.2f} ml together) not listed.")
    return notes


def _place_rows(shown: ShownCase) -> list[list[str]]:
    rows = [["place", "R, A, S mm", "ml", "between", "may change"]]
    for number, place in enumerate(shown.record.review, start=1):
        effects = {key: float(ml) for key, ml in place["effect_ml"].items()}
        key = max(effects, key=lambda name: effects[name])
        where = ", ".join(f"{value:.0f}" for value in place["position_ras_mm"])
        labels = " and ".join(place["labels"])
        rows.append([str(number), where, f"{place['size_ml']:.1f}", labels, f"{key} by {effects[key]:.1f} ml"])
    return rows if len(rows) > 1 else []


def _origin(shown: ShownCase, info: ModelInfo | None) -> list[str]:
    record = shown.record
    given = ", ".join(MODALITY_NAMES[name] for name in record.inputs)
    lacking = ", ".join(MODALITY_NAMES[name] for name in record.missing)
    model = [f"Model {record.model.id or 'unknown'}"]
    model += [f"weights {record.model.weights_sha256[:12]}"] if record.model.weights_sha256 else []
    model += [f"of voxmmsd {record.model.version}"] if record.model.version else []
    said = [
        "; ".join([", ".join(model), f"this report by voxmmsd {voxmmsd.__version__}"]) + ".",
        f"Images: {given}" + (f"; without {lacking}." if lacking else "."),
    ]
    if shown.edited_voxels is not None:
        said.append(f"Labels corrected by a person: {counted(shown.edited_voxels, 'voxel')} differ from the model's.")
    elif shown.rounds:
        said.append(f"Labels corrected by a person and carried through the volume: {counted(shown.rounds, 'round')}.")
    return [*said, *([info.limits] if info and info.limits else [])]
