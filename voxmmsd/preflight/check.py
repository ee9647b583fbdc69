"""Check a case before it is segmented: everything that could spoil the result, most severe first.

The thresholds were set on 25 skull-stripped BraTS cases and one native case with a skull; they assume a brain of about
adult size.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations

import numpy as np

from voxmmsd.data.brain_mask import mask_of_stripped, skull_volumes_ml
from voxmmsd.data.case import Case
from voxmmsd.data.finding.draft import two_fit
from voxmmsd.data.finding.naming import patient_of, read_name
from voxmmsd.data.formats.sources import Source, frame_of, read_image, read_volume, stem_of
from voxmmsd.data.reading import MAX_BELOW_ZERO, ORIGINAL_INTENSITIES, CaseVolumes, share_below_zero
from voxmmsd.data.strippers import HD_BET, STRIPPERS, installed
from voxmmsd.data.volume import Grid, Volume, mean_index, resample
from voxmmsd.errors import InputError, MissingDependencyError, VoxMMSDError
from voxmmsd.labels import MODALITIES, LabelSchema
from voxmmsd.preflight.mirrored import mirrored
from voxmmsd.preflight.misalignment import displacements
from voxmmsd.preflight.modality import CERTAIN, modality_from_name, recognize_with_prior, swapped_slots
from voxmmsd.records.findings import BLOCKING, NOTE, WARNING, Finding, blocking, in_order

FEW_VALUES = 12  # a label map has no more
_NUMBERED = re.compile(r"(.*\d{3,}.*?)[-_. ](?:s|se|ser|series)?\d{1,4}", re.IGNORECASE)  # a code, a series
THICK_MM, TOO_THICK_MM = 3.0, 7.0
MAX_OFFSET_MM = 3.0  # between the centers of two modalities' brains
MIN_OVERLAP = 0.93  # Dice of two modalities' brains
MIN_WITHIN = 0.98  # of a brain within another's, for it to be the same in part


def check_case(
    case: Case, *, postoperative: bool = False, schema: LabelSchema | None = None, brain_mask: str = ""
) -> tuple[Finding, ...]:
    """All findings in a case; never raises an error because of its images.

    ``postoperative``: the patient is said to have been operated on; ``schema``: the labels of the model that is to be
    used; ``brain_mask``: a modality that is stripped, or a stripper's name, as ``read_case`` takes it.
    """
    findings = [*check_identity(case), *check_choices(case), *check_operation(postoperative, schema)]
    volumes: dict[str, Volume] = {}
    for name, source in case.modalities.items():
        try:
            image = read_image(source)
            findings += [Finding(WARNING, "doubtful-file", f"{name}: {note}", "check it", name) for note in image.notes]
            volumes[name] = frame_of(image, source)
        except VoxMMSDError as error:
            findings.append(_unusable(error, name))
    try:
        mask = _mask(case, volumes, brain_mask)
    except VoxMMSDError as error:
        mask = None
        findings.append(_unusable(error, "brain mask"))
    return in_order([*findings, *check_images(case, volumes, mask=mask, to_strip=brain_mask in STRIPPERS)])


def check_images(
    case: Case,
    volumes: Mapping[str, Volume],
    *,
    grids: Mapping[str, Grid] | None = None,
    mask: Volume | None = None,
    to_strip: bool = False,
) -> tuple[Finding, ...]:
    """As ``check_volumes``, and whether each image is in its slot."""
    findings, skulls = _volumes_checked(volumes, grids, mask, to_strip)
    usable = {name: volume for name, volume in volumes.items() if not _is_unusable(findings, name)}
    stated = {name: modality_from_name(source) for name, source in case.modalities.items()}
    with_skull = any(name in skulls for name in usable)
    return in_order([*findings, *check_slots(stated, brains_of(usable, mask), case.is_by_name, with_skull)])


def check_volumes(
    volumes: Mapping[str, Volume],
    *,
    grids: Mapping[str, Grid] | None = None,
    mask: Volume | None = None,
    to_strip: bool = False,
) -> tuple[Finding, ...]:
    """What the voxels and grids of a case's modalities tell.

    ``grids``: as the modalities were given, where the volumes were resampled. ``mask``: of the brain, on any grid.
    ``to_strip``: the skull is going to be stripped.
    """
    return in_order(_volumes_checked(volumes, grids, mask, to_strip)[0])


def _volumes_checked(
    volumes: Mapping[str, Volume], grids: Mapping[str, Grid] | None, mask: Volume | None, to_strip: bool
) -> tuple[list[Finding], dict[str, float]]:
    """The findings of ``check_volumes``, and the modalities that show a skull."""
    grids = grids or {name: volume.grid for name, volume in volumes.items()}
    findings = [finding for name, volume in volumes.items() for finding in _check_one(name, volume)]
    findings += [finding for name, grid in grids.items() for finding in _check_spacing(name, grid)]
    usable = {name: volume for name, volume in volumes.items() if not _is_unusable(findings, name)}
    findings += _check_same(usable)
    findings += _check_grids({name: grid for name, grid in grids.items() if name in usable})
    brains = brains_of(usable, mask)
    skulls = skull_volumes_ml(brains)
    if skulls and not to_strip:
        findings.append(_skull_finding(skulls))
    flipped = {finding.modality: finding for finding in _check_mirrored(brains, mask)}
    others = {name: brain for name, brain in brains.items() if name not in flipped}  # no registration mends a flip
    findings += _check_alignment(others, mask, with_outlines=mask is None and not skulls)
    return [*findings, *flipped.values()], skulls


def check_slots(
    stated: Mapping[str, str],
    volumes: Mapping[str, Volume],
    is_by_name: bool = False,
    with_skull: bool | None = None,
) -> Iterator[Finding]:
    """Images that seem to be in another's place: by their names or DICOM tags, and by their voxels where brain only.

    ``stated``: slot -> the modality that its name or tags state, empty where they state none. Where that is the slot
    itself, voxels must outweigh it. ``is_by_name``: nobody but the name says which image is which, and what the voxels
    say against it is BLOCKING. ``with_skull``: whether a skull shows, where that is known.
    """
    named = {slot: name for slot, name in stated.items() if name not in ("", slot)}
    brains = {name: volume.array for name, volume in volumes.items() if (volume.array > 0).any()}
    with_skull = bool(skull_volumes_ml(volumes)) if with_skull is None else with_skull
    seen, certainty = ({}, 0.0) if with_skull else swapped_slots(brains)
    sure = {
        slot: recognize_with_prior(stated.get(slot, ""), brains[slot]).probability[name] for slot, name in seen.items()
    }
    seen = {slot: name for slot, name in seen.items() if stated.get(slot) != slot or sure[slot] >= 0.5}
    for slot in sorted({*named, *seen}, key=MODALITIES.index):
        signs = [f"is named as {named[slot]}"] if slot in named else []
        if slot in seen:
            looks = f"looks like {seen[slot]} (confidence {100 * sure[slot]:.0f} %)"
            signs.append(looks if sure[slot] >= 0.5 else f"fits {seen[slot]} best, judged together with the others")
        text = f"what is given as {slot} {' and '.join(signs)}"
        severity = BLOCKING if is_by_name and slot in seen and certainty >= CERTAIN else WARNING
        way = "check which image is which" + (", and name them one by one (--t1n, --t1c, ...)" if is_by_name else "")
        yield Finding(severity, "wrong-slot", text, way, slot, seen.get(slot) or named[slot])


def _unusable(error: VoxMMSDError, name: str) -> Finding:
    return Finding(BLOCKING, "unusable-image", error.problem, error.remedy, name)


def _mask(case: Case, volumes: Mapping[str, Volume], word: str) -> Volume | None:
    """The brain mask that a file or a stripped modality gives. Raises VoxMMSDError where it gives none."""
    if word in STRIPPERS:
        if not STRIPPERS[word].is_installed:
            raise MissingDependencyError(f"{STRIPPERS[word].title} is not installed", STRIPPERS[word].way)
        return None
    if word:
        if word not in volumes:
            raise InputError(f"there is no {word} to take the brain mask from", "give one of its modalities")
        return Volume(mask_of_stripped(volumes[word], word), volumes[word].grid)
    if case.brain_mask is None:
        return None
    volume = read_volume(case.brain_mask)
    return Volume(volume.array > 0, volume.grid)


def brains_of(volumes: Mapping[str, Volume], mask: Volume | None) -> dict[str, Volume]:
    """The volumes, 0 outside the mask where there is one."""
    if mask is None:
        return dict(volumes)
    return {
        name: Volume(volume.array * resample(mask, volume.grid, order=0).array, volume.grid)
        for name, volume in volumes.items()
    }


def _skull_finding(skulls: Mapping[str, float]) -> Finding:
    way = "segment with --from-scanner, which aligns and strips"
    if not installed():
        way = f"install HD-BET ({STRIPPERS[HD_BET].way}) and {way}"
    return Finding(
        WARNING,
        "skull",
        f"{', '.join(skulls)}: more tissue ({max(skulls.values()):,.0f} ml) than a brain has; the skull seems not to "
        "be stripped, and models expect it to be",
        f"{way}, or give a brain mask (--brain-mask FILE, or a modality that is stripped)",
    )


def check_stripping(volumes: CaseVolumes) -> Iterator[Finding]:
    """That a head which was to be stripped was taken for stripped: a small one in air of 0 has no more than a brain."""
    if volumes.taken_for_stripped:
        yield Finding(
            WARNING,
            "taken-for-stripped",
            f"{volumes.reference}: was taken for stripped and left as it is, because no more of it is above 0 than a "
            "brain has, which may also be so of a child's head or of a few slices",
            "look at it, and if a skull is left, segment with --brain-mask voxmmsd",
            volumes.reference,
        )


def check_identity(case: Case) -> Iterator[Finding]:
    """Whether all images are from one patient and one day, from DICOM tags or ids in file names.

    Who the patient is does not appear in a finding. A name blocks only where it holds what is clearly a patient's code
    (letters and three digits): ``scan1_t1`` and ``Smith_flair`` may well be of one.
    """
    by_kind: dict[str, dict[str, set[str]]] = {"patients": {}, "dates": {}}
    surely = True
    for name, source in case.modalities.items():
        patient, date, is_sure = _identity(source)
        surely = surely and is_sure
        for kind, value in (("patients", patient), ("dates", date)):
            if value:
                by_kind[kind].setdefault(value.casefold(), set()).add(name)
    by_names = all(not source.path.is_dir() for source in case.modalities.values())
    for kind, values in by_kind.items():
        if len(values) > 1:
            is_sure = surely and not (kind == "patients" and by_names and _differ_by_a_last_number(values))
            groups = " / ".join(", ".join(sorted(names)) for names in values.values())
            text = f"the images are from different {kind}: {groups}"
            remedy = "give images of one patient and one examination"
            yield Finding(BLOCKING if is_sure else WARNING, f"different-{kind}", text, remedy)


def check_choices(case: Case) -> Iterator[Finding]:
    """Whether one image fits each slot: where several do, nobody has said which is meant."""
    for slot, images in case.undecided.items():
        if slot == "label":
            continue
        flag = f"--{slot.replace('_', '-')}"
        yield Finding(
            BLOCKING, "two-images", two_fit(slot, images),
            f"say which: name the images one by one ({flag} {images[0].name}), or put the case into a list", slot,
        )  # fmt: skip


def check_operation(postoperative: bool, schema: LabelSchema | None) -> Iterator[Finding]:
    """Whether the model knows the resection cavity."""
    if postoperative and schema is not None and all(label.key != "RC" for label in schema.labels):
        yield Finding(
            WARNING, "operated", f"postoperative case, and the model ({schema.name}) has no label for the resection "
            "cavity: it may label the cavity as necrosis or edema",
            "use a model for postoperative cases (brats-gli-2024), or correct the cavity by hand",
        )  # fmt: skip


def _differ_by_a_last_number(codes: Iterable[str]) -> bool:
    """Whether names share a patient's code, and go on with the number of a series, as dcm2niix may write it."""
    found = [_NUMBERED.fullmatch(code) for code in codes]
    return None not in found and len({one[1].casefold() for one in found if one}) == 1


def _identity(source: Source) -> tuple[str, str, bool]:
    """Patient and date, each empty where it cannot be told, and whether what was told is beyond doubt."""
    if source.path.is_dir():
        from voxmmsd.data.formats.dicom import series_of

        chosen = series_of(source.path, source.series_uid)
        return (chosen.tags["patient_id"], chosen.tags["study_date"], True) if chosen else ("", "", True)
    case_id = read_name(stem_of(source.path.name)).head.strip(" _-.")
    if not any(letter.isalpha() for letter in case_id):  # a series' number
        return "", "", True
    patient = patient_of(case_id)
    is_code = sum(letter.isdigit() for letter in patient) >= 3
    return patient, case_id.removeprefix(patient).strip("-_"), is_code


def _check_one(name: str, volume: Volume) -> Iterator[Finding]:
    if (share := share_below_zero(volume.array)) > MAX_BELOW_ZERO:
        text = f"{name}: {share:.0%} of the voxels that are not 0 are below 0, as after normalization"
        yield Finding(BLOCKING, "negative", text, ORIGINAL_INTENSITIES, name)
    values = _values(volume, every=4)  # of most images enough, and soon sorted
    if len(values) > FEW_VALUES and values[-1] > 0:
        return
    values = _values(volume)
    if len(values) == 1:
        yield Finding(
            BLOCKING, "constant", f"{name}: every voxel is {values[0]:g}", "leave it out or give the right file", name
        )
    elif not (volume.array > 0).any():
        yield Finding(
            BLOCKING, "constant", f"{name}: every voxel is 0 or less", "leave it out or give the right file", name
        )
    elif len(values) <= FEW_VALUES and (values == np.rint(values)).all():
        yield Finding(
            BLOCKING, "label-map", f"{name}: holds {len(values)} different whole numbers: a label map, not an image",
            "give the image", name,
        )  # fmt: skip


def _values(volume: Volume, every: int = 1) -> np.ndarray:
    """The different values of a sample, in order; ``every`` 4: of every fourth voxel of it along each axis."""
    steps = (every * max(1, n // 96) for n in volume.array.shape)
    return np.unique(volume.array[tuple(slice(None, None, step) for step in steps)])


def _check_spacing(name: str, grid: Grid) -> Iterator[Finding]:
    thickest = max(grid.spacing_mm_zyx)
    if thickest > THICK_MM:
        hopeless = thickest > TOO_THICK_MM
        yield Finding(
            WARNING if hopeless else NOTE, "thick-slices", f"{name}: voxels of {thickest:.3g} mm along one axis; "
            + ("volumes are unreliable, " if hopeless else "") + "small lesions may be missed",
            "prefer a 3-D acquisition if there is one", name,
        )  # fmt: skip


def _is_unusable(findings: Sequence[Finding], name: str) -> bool:
    return any(finding.modality == name and finding.severity == BLOCKING for finding in findings)


def _check_same(volumes: Mapping[str, Volume]) -> Iterator[Finding]:
    for one, other in combinations(volumes, 2):
        if _are_equal(volumes[one].array, volumes[other].array):
            yield Finding(
                BLOCKING, "same-volume", f"{one} and {other} are the same volume", "give each its own image", other
            )


def _are_equal(one: np.ndarray, other: np.ndarray) -> bool:
    """As ``np.array_equal``, of which every seventh slice says nearly always enough."""
    return np.array_equal(one[::7], other[::7]) and np.array_equal(one, other)


def _check_grids(grids: Mapping[str, Grid]) -> Iterator[Finding]:
    first = next(iter(grids), None)
    differing = [name for name, grid in grids.items() if first and not grid.same_as(grids[first])]
    if first and differing:
        yield Finding(
            NOTE, "different-grids", f"{', '.join(differing)} on another grid than {first}: resampled in world space",
            "nothing to do if they were registered; else register them (--align)",
        )  # fmt: skip


def _check_alignment(volumes: Mapping[str, Volume], mask: Volume | None, with_outlines: bool) -> Iterator[Finding]:
    """Misaligned images, whatever their grids: from the outlines of the brains and from edges.

    Where all others differ from the reference and not among each other, the reference is the odd one out.
    """
    reference, others = _reference_and_others(volumes)
    if not others:
        return
    findings = list(_compared(reference, volumes[reference], others, mask, with_outlines))
    if len(others) > 1 and {finding.modality for finding in findings} == set(others):
        first, *rest = others
        among_them = _compared(first, others[first], {name: others[name] for name in rest}, mask, with_outlines)
        if not any(among_them):
            odd = {reference: volumes[reference]}
            named = f"the others ({', '.join(others)})"
            findings = list(_compared(named, others[first], odd, mask, with_outlines)) or findings
    yield from findings


def _check_mirrored(volumes: Mapping[str, Volume], mask: Volume | None) -> Iterator[Finding]:
    """Flipped images. Where all others are flipped against the reference alike, it is the odd one."""
    reference, others = _reference_and_others(volumes)
    found = mirrored(volumes[reference], others, mask) if others else {}
    if len(found) > 1 and len(found) == len(others) and len(set(found.values())) == 1:
        found = {reference: next(iter(found.values()))}
        reference = f"the others ({', '.join(others)})"
    for name, sides in found.items():
        yield Finding(
            WARNING, "mirrored", f"{name} seems to be flipped against {reference}: "
            f"{' as well as '.join(sides)} are exchanged",
            "convert them again from the scanner's files, and compare where the tumor lies", name,
        )  # fmt: skip


def _reference_and_others(volumes: Mapping[str, Volume]) -> tuple[str, dict[str, Volume]]:
    """The T1 with contrast, where there is one, and what is compared with it."""
    reference = "t1c" if "t1c" in volumes else next(iter(volumes), "")
    return reference, {name: volume for name, volume in volumes.items() if name != reference}


def _compared(
    reference: str, fixed: Volume, others: Mapping[str, Volume], mask: Volume | None, with_outlines: bool
) -> Iterator[Finding]:
    """How each of ``others`` differs in place from ``fixed``, which is called ``reference``."""
    grid = fixed.grid.with_spacing(2.0)
    brains = {name: _brain_on(grid, volume) for name, volume in others.items()} if with_outlines else {}
    whole = _brain_on(grid, fixed) if with_outlines else None
    found_by_name = displacements(fixed, others, mask)
    for name in others:
        covered = _covered(whole, brains[name]) if whole is not None else 1.0
        if covered < MIN_OVERLAP:
            text = f"{name} covers only {100 * covered:.0f} % of the brain that {reference} shows"
            way = "nothing to do if it was acquired so: where it shows nothing, the other images decide"
            yield Finding(WARNING, "part-of-brain", text, way, name)
        signs = [_outlines_differ(whole, brains[name], grid)] if whole is not None and covered >= MIN_OVERLAP else []
        found = found_by_name[name]
        signs += [f"their edges are {found.mean_mm:.0f} mm apart, on average"] if found.is_significant else []
        if any(signs):
            yield Finding(
                WARNING, "not-aligned", f"{name} is not aligned with {reference}: " + " and ".join(filter(None, signs)),
                "register it to the others first (--align); before skull-stripping, if one brain mask serves them all",
                name,
            )  # fmt: skip


def _brain_on(grid: Grid, volume: Volume) -> np.ndarray:
    return resample(volume, grid, order=0).array > 0


def _covered(whole: np.ndarray, part: np.ndarray) -> float:
    """The share of the reference's brain that another image shows, where it shows nothing else; else 1."""
    both, all_, shown = (int(np.count_nonzero(mask)) for mask in (whole & part, whole, part))
    return both / max(1, all_) if both >= MIN_WITHIN * max(1, shown) else 1.0


def _outlines_differ(reference: np.ndarray, other: np.ndarray, grid: Grid) -> str:
    """How two brains' outlines differ, in words; empty where they agree."""
    brains = [reference, other]
    centers = [_center_mm(brain, grid) for brain in brains]
    offset = float(np.linalg.norm(centers[1] - centers[0]))
    both, one, two = (int(np.count_nonzero(mask)) for mask in (brains[0] & brains[1], *brains))
    overlap = 2 * both / max(1, one + two)
    if offset <= MAX_OFFSET_MM and overlap >= MIN_OVERLAP:
        return ""
    return f"the brain centers are {offset:.1f} mm apart, and the brains overlap by {100 * overlap:.0f} %"


def _center_mm(brain_zyx: np.ndarray, grid: Grid) -> np.ndarray:
    if not brain_zyx.any():
        return np.full(3, np.inf)
    return grid.affine_zyx[:3, :3] @ mean_index(brain_zyx) + grid.affine_zyx[:3, 3]


def refuse(findings: tuple[Finding, ...], case_id: str) -> None:
    """Raise InputError with all blocking findings, if there are any."""
    wrong = blocking(findings)
    if wrong:
        *before, last = wrong
        listed = [f"{finding.text}; {finding.remedy}" for finding in before]
        raise InputError(f"case {case_id}: {'; '.join([*listed, last.text])}", last.remedy)
