"""Read a case: all images on one grid, with all checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from voxmmsd.concurrency import mapped
from voxmmsd.data.alignment import Alignment, align
from voxmmsd.data.bias_field import without_bias_field
from voxmmsd.data.brain_extraction import extract_brain
from voxmmsd.data.brain_mask import MAX_BRAIN_ML, above_zero_ml, mask_of_stripped, strip
from voxmmsd.data.case import Case
from voxmmsd.data.checkerboard import alignment_picture
from voxmmsd.data.formats.image import Image
from voxmmsd.data.formats.sources import Source, frame_of, read_image
from voxmmsd.data.label_maps import values_of
from voxmmsd.data.strippers import HD_BET, SHIPPED, STRIPPERS, installed
from voxmmsd.data.volume import Grid, Volume, canonical, resample
from voxmmsd.errors import InputError
from voxmmsd.labels import MODALITIES, SCHEMAS, LabelSchema, indices_from_values, schema_named

NOTICEABLE = 0.01  # of the largest value
MAX_BELOW_ZERO = 0.25  # splines leave up to 0.07 at the brain's border, z-scoring 0.4 to 0.5
ORIGINAL_INTENSITIES = "give the image with its original intensities: what is below 0 would be lost"


@dataclass(frozen=True)
class CaseVolumes:
    """A case as read: everything on the grid of the modality ``reference``.

    ``image``: ``(4, z, y, x)`` float32 in MODALITIES order, missing modalities all 0. ``label_zyx``: class indices,
    uint8. ``brain_mask_zyx``: bool. ``grids``: of each modality, as given. ``alignments``: if requested. ``notes``:
    what was resampled or doubtful, as text. ``corrected``: bias fields were removed. ``taken_for_stripped``: a head was
    to be stripped, and was not, since no more of the reference is above 0 than a brain.
    """

    case: Case
    image: Volume
    present: tuple[bool, bool, bool, bool]
    reference: str
    label_zyx: np.ndarray | None
    brain_mask_zyx: np.ndarray | None
    schema: LabelSchema | None
    notes: tuple[str, ...]
    grids: Mapping[str, Grid]
    alignments: tuple[Alignment, ...] = ()
    corrected: bool = False
    taken_for_stripped: bool = False


def read_case(
    case: Case,
    reference: str | None = None,
    with_label: bool = True,
    *,
    aligned: bool = False,
    brain_mask: str = "",
    only_heads: bool = False,
    n4: bool = False,
    picture: Path | None = None,
    on_stage: Callable[[str], None] = lambda stage: None,
    at_once: bool = False,
) -> CaseVolumes:
    """Read all images of a case on the grid of one modality: ``reference``, else t1c, else the finest.

    Modalities and brain mask on other grids are resampled in world space (linear; nearest for masks and labels).
    ``aligned``: each modality is first registered to the reference, if that helps; a label or mask is moved with the
    modality whose grid it has, preferably the reference. ``picture``: file for a checkerboard picture of the alignment.
    ``brain_mask``: a skull-stripped modality, or a tool for stripping, instead of the mask of the case. A program gets
    the reference; the network that comes along (``voxmmsd``) gets all modalities, once they lie on each other.
    ``only_heads``: nothing is stripped if no more of the reference is above 0 than a brain, or if the case has a mask.
    ``n4``: bias fields are removed inside the brain mask, or where the image is above 0. ``on_stage`` is called with
    ``aligning``, ``stripping`` and ``correcting``, which take long, before they begin. ``at_once``: files are read side
    by side.

    Raises:
        InputError: no modality, a missing reference, an image that cannot be read, is all 0 or does not overlap, a
            label without a schema, on a grid of none of the inputs, or with values that its schema does not have.
        MissingDependencyError: a package for a format, the alignment or the brain mask is not installed.
    """
    case = case if only_heads and case.brain_mask else _with_mask_of(case, brain_mask)
    _check_request(case, reference)
    reader = _Reader()
    volumes = _modalities(reader, case, at_once)
    chosen = reference or ("t1c" if "t1c" in volumes else min(volumes, key=lambda n: volumes[n].grid.voxel_volume_ml))
    grids = {name: volume.grid for name, volume in volumes.items()}
    grid = grids[chosen]
    tool = brain_mask if brain_mask in STRIPPERS and case.brain_mask is None else ""
    stripped = None
    taken_for_stripped = bool(tool) and only_heads and above_zero_ml(volumes[chosen]) <= MAX_BRAIN_ML
    if taken_for_stripped:
        reader.notes.append(f"{chosen} seems to be stripped already: the brain is what is above 0 in it")
        tool, stripped = "", mask_of_stripped(volumes[chosen], chosen)
    if aligned:
        on_stage("aligning")
    places = _Places(grids, chosen, _alignments(volumes, chosen, picture, case.id) if aligned else {})
    reader.notes += [one.text() for one in places.alignments.values()]
    image = np.zeros((len(MODALITIES), *grid.shape_zyx), np.float32)
    for name in list(volumes):
        placed = places.moved(volumes.pop(name), name)
        moved, note = _on_reference(placed, name, case.modalities[name].path, grid, chosen)
        image[MODALITIES.index(name)] = moved
        reader.notes += [f"{note} of {chosen}"] if note else []
    schema = schema_named(case.schema) if case.schema else None
    label = _label(case, schema, places, reader) if with_label and case.label else None
    if tool:
        on_stage("stripping")
        reference_image = Volume(image[MODALITIES.index(chosen)], grid)
        stripped = extract_brain(Volume(image, grid)) if tool == SHIPPED else strip(reference_image, tool)
    mask = _brain_mask(case, places, reader) if case.brain_mask else stripped
    if tool:
        used = ", ".join(grids) if tool == SHIPPED else chosen
        reader.notes.append(f"brain mask by {STRIPPERS[tool].title} from {used}")
    if n4:
        on_stage("correcting")
        _remove_bias_fields(image, grid, mask)
        reader.notes.append("bias fields were removed (N4)")
    present = tuple(name in grids for name in MODALITIES)
    return CaseVolumes(
        case, Volume(image, grid), present, chosen, label, mask, schema,  # type: ignore[arg-type]
        tuple(reader.notes), grids, tuple(places.alignments.values()), n4, taken_for_stripped,
    )  # fmt: skip


def reading_options(*, align: bool, brain_mask: str, from_scanner: bool = False, n4: bool = False) -> dict[str, Any]:
    """What ``read_case`` is called with where these options were given; ``brain_mask``: as there, or a file.

    ``from_scanner`` aligns, and strips heads by the first tool that is installed unless another way is named.
    """
    word = brain_mask if brain_mask in (*MODALITIES, *STRIPPERS) else ""
    if from_scanner and not brain_mask:
        word = next(iter(installed()), HD_BET)
    return {
        "aligned": align or from_scanner,
        "brain_mask": word,
        "only_heads": from_scanner and not brain_mask,
        "n4": n4,
    }


def _remove_bias_fields(image_czyx: np.ndarray, grid: Grid, mask_zyx: np.ndarray | None) -> None:
    for channel in image_czyx:
        if channel.any():
            inside = channel > 0 if mask_zyx is None else mask_zyx
            channel[...] = without_bias_field(Volume(channel, grid), inside)


def _check_request(case: Case, reference: str | None) -> None:
    if not case.modalities:
        raise InputError(f"case {case.id}: has no modality", f"give at least one of {', '.join(MODALITIES)}")
    if reference and reference not in case.modalities:
        raise InputError(
            f"case {case.id}: has no {reference} to be the reference", f"choose one of {', '.join(case.modalities)}"
        )


def _with_mask_of(case: Case, word: str) -> Case:
    if not word:
        return case
    if word in STRIPPERS:
        return replace(case, brain_mask=None)
    if word not in case.modalities:
        raise InputError(f"case {case.id}: has no {word} to take the brain mask from", "give one of its modalities")
    return replace(case, brain_mask=case.modalities[word])


def _alignments(
    volumes: Mapping[str, Volume], reference: str, picture: Path | None, title: str
) -> dict[str, Alignment]:
    fixed = volumes[reference]
    found = {name: align(name, volume, fixed) for name, volume in volumes.items() if name != reference}
    if picture and found:
        alignment_picture(
            fixed, [(n, volumes[n], one.grid(volumes[n].grid)) for n, one in found.items()], picture, title
        )
    return found


@dataclass(frozen=True)
class _Places:
    """The original grids of the modalities, the reference, and the alignments of the others."""

    grids: Mapping[str, Grid]
    reference: str
    alignments: Mapping[str, Alignment]

    @property
    def target(self) -> Grid:
        return self.grids[self.reference]

    def drawn_on(self, grid: Grid) -> str | None:
        """The modality whose voxels ``grid`` has, in whatever order of axes; the reference before the others."""
        return next((n for n in (self.reference, *self.grids) if _same_voxels(grid, self.grids[n])), None)

    def moved(self, volume: Volume, with_modality: str | None) -> Volume:
        """The volume, moved as that modality was."""
        alignment = self.alignments.get(with_modality or "")
        return Volume(volume.array, alignment.grid(volume.grid)) if alignment else volume


class _Reader:
    """Reads each file once, including frames of 4-D files, and collects notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self._last: tuple[tuple[Path, str | None], Image] | None = None

    def read_label(self, source: Source) -> Volume:
        image = read_image(source)
        self.notes += [f"label: {note}" for note in image.notes]
        return values_of(image, source)

    def read(self, source: Source, name: str) -> Volume:
        key = (source.path, source.series_uid)
        if self._last is None or self._last[0] != key:
            self._last = None
            image = read_image(source)
            self.notes += [f"{name}: {note}" for note in image.notes]
            self._last = (key, image) if len(image.frames_tzyx) > 1 else None
        else:
            image = self._last[1]
        return frame_of(image, source)


def _modalities(reader: _Reader, case: Case, at_once: bool) -> dict[str, Volume]:
    """By name, in the order of MODALITIES; a file that several share is read once."""
    names = [name for name in MODALITIES if name in case.modalities]
    if not at_once or len({case.modalities[name].path for name in names}) < len(names):
        return {name: _modality(reader, name, case.modalities[name]) for name in names}

    def read(name: str) -> tuple[Volume, list[str]]:
        of_file = _Reader()
        return _modality(of_file, name, case.modalities[name]), of_file.notes

    found = dict(zip(names, mapped(read, names), strict=True))
    reader.notes += [note for _, notes in found.values() for note in notes]
    return {name: volume for name, (volume, _) in found.items()}


def share_below_zero(image_zyx: np.ndarray) -> float:
    """Share of the voxels that are not 0 which are well below 0, and which preprocessing cuts off, judged by every
    second voxel along each axis. Resampling by splines leaves some at borders; a z-scored image has half of the brain
    there."""
    values = image_zyx[::2, ::2, ::2]
    values = values[values != 0]
    return float((values < -NOTICEABLE * values.max()).mean()) if values.size and values.max() > 0 else 0.0


def _modality(reader: _Reader, name: str, source: Source) -> Volume:
    volume = reader.read(source, name)
    if not (volume.array > 0).any():  # what is below 0 is cut off
        which = "0 or less" if volume.array.any() else "0"
        raise InputError(
            f"{source.path}: every voxel of {name} is {which}", "leave this modality out or give the right file"
        )
    if (share := share_below_zero(volume.array)) > MAX_BELOW_ZERO:
        raise InputError(
            f"{source.path}: {share:.0%} of the voxels of {name} that are not 0 are below 0, as after normalization",
            ORIGINAL_INTENSITIES,
        )
    return volume


def _on_reference(volume: Volume, name: str, path: Path, grid: Grid, reference: str) -> tuple[np.ndarray, str]:
    """The voxels on ``grid``, and a note on how they were changed, if at all."""
    if volume.grid.same_as(grid):
        return volume.array, ""
    moved = resample(volume, grid).array
    if not moved.any():
        raise InputError(
            f"{path}: {name} lies elsewhere in space than {reference}: they do not overlap",
            "register them first (--align) or leave it out",
        )
    return moved, f"{name} resampled from {_spacing(volume.grid)} to the grid"


def _label(case: Case, schema: LabelSchema | None, places: _Places, reader: _Reader) -> np.ndarray:
    assert case.label is not None
    path = case.label.path
    volume = reader.read_label(case.label)  # a file that is not a label map is reported as such, before its schema
    if schema is None:
        raise InputError(
            f"{path}: its label schema cannot be determined", f"name it with --schema ({', '.join(SCHEMAS)})"
        )
    drawn_on = places.drawn_on(volume.grid)
    if drawn_on is None:
        raise InputError(
            f"{path}: the label's grid ({_spacing(volume.grid)}) is that of none of the case's images "
            f"({', '.join(places.grids)})",
            "add the image that the label was drawn on",
        )
    indices = Volume(indices_from_values(volume.array, schema, str(path)), volume.grid)
    indices = places.moved(indices, drawn_on)
    if not indices.grid.same_as(places.target):
        indices = resample(indices, places.target, order=0)
    if drawn_on != places.reference:
        reader.notes.append(
            f"label brought from the grid of {drawn_on} to that of {places.reference} (nearest neighbor)"
        )
    return indices.array


def _same_voxels(first: Grid, second: Grid) -> bool:
    """Whether both grids have the same voxels, in whatever order of axes."""
    return first.same_as(second) or _canonical(first).same_as(_canonical(second))


def _canonical(grid: Grid) -> Grid:
    return canonical(Volume(np.broadcast_to(np.uint8(0), grid.shape_zyx), grid)).grid


def _brain_mask(case: Case, places: _Places, reader: _Reader) -> np.ndarray:
    assert case.brain_mask is not None
    source, reference = case.brain_mask, places.reference
    volume = reader.read(source, "brain mask")
    stripped = next((name for name, image in case.modalities.items() if image == source), None)
    array = mask_of_stripped(volume, stripped) if stripped else volume.array > 0
    if not array.any():
        raise InputError(f"{source.path}: the brain mask is empty", "give the right one or leave it out")
    inside = places.moved(Volume(array, volume.grid), stripped or places.drawn_on(volume.grid))
    if stripped:
        reader.notes.append(f"brain mask from {stripped}, which is stripped")
    if inside.grid.same_as(places.target):
        return inside.array
    moved = resample(inside, places.target, order=0).array
    if not moved.any():
        raise InputError(
            f"{source.path}: the brain mask lies elsewhere in space than {reference}", "give one that fits"
        )
    reader.notes.append(
        f"brain mask brought from {_spacing(volume.grid)} to the grid of {reference} (nearest neighbor)"
    )
    return moved


def _spacing(grid: Grid) -> str:
    return " x ".join(f"{mm:.3g}" for mm in grid.spacing_mm_zyx[::-1]) + " mm"
