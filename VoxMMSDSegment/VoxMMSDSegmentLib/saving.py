"""What leaves Slicer: labels as a file, and corrections for the training library."""

from __future__ import annotations

import json
from collections.abc import Collection, Generator
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from voxmmsd.errors import InputError
from voxmmsd.labels import MODALITIES, MODALITY_NAMES
from voxmmsd.records.result import ENDING, ModelUsed, ResultRecord
from VoxMMSDLib.segments import MODEL, SCHEMA, label_array
from VoxMMSDLib.volumes import (
    Write,
    array_write,
    export_by_slicer,
    ijk_to_world,
    mask_write,
    refuse_bent,
    remove_whole,
    volume_write,
)
from VoxMMSDSegmentLib.case import CASE_ID
from VoxMMSDSegmentLib.result import BRAIN_MASK, REVIEW, input_of, reference_of, step_of
from VoxMMSDSegmentLib.rounds import FINGERPRINTS, base_of, predicted_labels


def save_labels(result: Any, file: Path) -> None:
    """Write label values on the reference's grid. The file's ending chooses the format.

    Raises:
        InputError: the reference is gone, the format is unknown, or the file cannot be written.
    """
    labels_write(result, file)()


def labels_write(result: Any, file: Path) -> Write:
    """What writes the labels as they are now as NIfTI; other formats are written at once, by Slicer."""
    reference = reference_in_scene(result)
    labels = label_array(result, reference)
    if file.name.endswith((".nii", ".nii.gz")):
        return array_write(labels, ijk_to_world(reference), file, result.GetName())
    labelmap = slicer.modules.volumes.logic().CreateAndAddLabelVolume(reference, "VoxMMSD temporary labels")
    labelmap.SetHideFromEditors(True)
    try:
        slicer.util.updateVolumeFromArray(labelmap, labels)
        export_by_slicer(labelmap, file, compressed=True)
    finally:
        remove_whole(labelmap)
    return lambda: None


def with_ending(file: Path) -> Path:
    """A file's name, ended as one for labels where it has no ending that Slicer knows."""
    return file if file.name.lower().endswith(ENDINGS) else file.with_name(f"{file.name}.nii.gz")


ENDINGS = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")


def reference_in_scene(result: Any) -> Any:
    """The volume whose grid the result has.

    Raises:
        InputError: the user has deleted it, or bent it.
    """
    reference = reference_of(result)
    if reference is None:
        raise InputError(
            _("{name}: the image it was made on is no longer in the scene").format(name=result.GetName()),
            _("load it and segment the images again"),
        )
    refuse_bent(reference)
    return reference


def refuse_gone(result: Any, images: Collection[str]) -> None:
    """Raises InputError: an image that the result was made from is not among ``images``, the modalities there are."""
    known = json.loads(result.GetAttribute(FINGERPRINTS) or "{}")
    if gone := [MODALITY_NAMES[key] for key in known if key not in images]:
        problem = _("{name}: the image given as {gone} is no longer in the scene")
        raise InputError(
            problem.format(name=result.GetName(), gone=", ".join(gone)), _("load it and segment the images again")
        )


def writes_for_library(result: Any, folder: Path) -> Generator[None, None, tuple[list[str], list[Write]]]:
    """Take a result out of the scene, one file a step: options of the core's ``library add``, and what writes the files
    that they name.

    The case goes as it was segmented: aligned where that was done, with the brain mask that was made. Nothing of names,
    tags or paths goes along.

    Raises:
        InputError: an image is gone, or cannot be written.
    """
    schema, reference = result.GetAttribute(SCHEMA), reference_in_scene(result)
    images, mask, writes = yield from image_writes(result, reference, folder)
    refuse_gone(result, images)
    options = [text for key, file in images.items() for text in (f"--{key}", str(file))]
    options += ["--brain-mask", str(mask)] if mask else []
    if (predicted := predicted_labels(result)) is not None:
        writes.append(volume_write(predicted, folder / f"{CASE_ID}-voxmmsd.nii.gz"))
        review = tuple(json.loads(result.GetAttribute(REVIEW) or "[]"))
        record = ResultRecord(schema, CASE_ID, model=ModelUsed(result.GetAttribute(MODEL)), review=review)
        record.write(folder / f"{CASE_ID}{ENDING}")
        options += ["--result", str(folder / f"{CASE_ID}{ENDING}")]
        yield
    base, labels, affine = base_of(result, reference), label_array(result, reference), ijk_to_world(reference)
    writes.append(array_write(labels, affine, folder / "label.nii", result.GetName()))
    options += ["--label", str(folder / "label.nii"), "--schema", schema, "--drawn-over", result.GetAttribute(MODEL)]
    if base is not None:
        writes.append(array_write(base.origin_with(labels), affine, folder / "origin.nii", result.GetName()))
        options += ["--origins", str(folder / "origin.nii")]
    return options, writes


def image_writes(
    result: Any, reference: Any, folder: Path
) -> Generator[None, None, tuple[dict[str, Path], Path | None, list[Write]]]:
    """Take a result's images, as they were segmented, out of the scene, one a step.

    Modality -> file, the brain mask's file where there is one, and what writes them: the images into a folder of
    their own, which is the case.

    Raises:
        InputError: the images are gone, or cannot be written.
    """
    images: dict[str, Path] = {}
    writes: list[Write] = []
    (folder / CASE_ID).mkdir(parents=True, exist_ok=True)
    for key in MODALITIES:
        node = step_of(result, key) or input_of(result, key)
        if node is not None:
            images[key] = folder / CASE_ID / f"{key}.nii"
            writes.append(volume_write(node, images[key]))
            yield
    if not images:
        problem = _("{name}: its images are no longer in the scene").format(name=result.GetName())
        raise InputError(problem, _("load them and segment them again"))
    mask = result.GetNodeReference(BRAIN_MASK)
    if mask is None:
        return images, None, writes
    writes.append(mask_write(mask, reference, folder / "brain-mask.nii"))
    yield
    return images, folder / "brain-mask.nii", writes
