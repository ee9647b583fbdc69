"""Segment one case: preprocess, predict, and map the labels to the grid of the image that the user chose."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from voxmmsd.data.label_maps import volumes_ml
from voxmmsd.data.preprocess import Prepared, Preprocess
from voxmmsd.data.reading import CaseVolumes
from voxmmsd.data.volume import Grid, bounding_box, box_on
from voxmmsd.evaluation.temperature import tempered
from voxmmsd.inference.engines import Engine
from voxmmsd.inference.presence import LargestPart, core_of, largest_part
from voxmmsd.inference.tiling import predict_tiled
from voxmmsd.inference.uncertainty import UncertainRegion, box_in_doubt, entropy, uncertain_regions
from voxmmsd.labels import LabelSchema, schema_named
from voxmmsd.models.package import ModelPackage
from voxmmsd.models.subsets import expectation

_MIN_BACKGROUND = 0.51  # from half on, no other class is more probable; the rest is for rounding


@dataclass(frozen=True)
class Prediction:
    """A segmentation on the grid of the reference input.

    ``label_zyx``: class indices uint8. ``probabilities_czyx``: float32, background first, or None if not requested.
    ``prepared`` and ``prepared_label_zyx``: input and output of the network, for pictures; ``largest_part``: of that
    output. ``uncertainty_zyx``: entropy, float32 in [0, 1], or None if not requested; ``review``: uncertain regions.
    ``volumes_ml``: by key of each label and region.
    """

    volumes: CaseVolumes
    package: ModelPackage
    schema: LabelSchema
    label_zyx: np.ndarray
    probabilities_czyx: np.ndarray | None
    prepared: Prepared
    prepared_label_zyx: np.ndarray
    largest_part: LargestPart
    uncertainty_zyx: np.ndarray | None
    review: tuple[UncertainRegion, ...]
    volumes_ml: Mapping[str, float]
    engine: str
    notes: tuple[str, ...]

    @property
    def case_id(self) -> str:
        return self.volumes.case.id

    @property
    def grid(self) -> Grid:
        return self.volumes.image.grid


def predict(
    volumes: CaseVolumes,
    package: ModelPackage,
    engine: Engine,
    window: int = 0,
    probabilities: bool = False,
    progress: Callable[[int, int], None] | None = None,
    *,
    tta: bool = False,
    uncertainty: bool = False,
    memory: int | None = None,
    prepared: Prepared | None = None,
) -> Prediction:
    """Segment a case read by ``read_case``.

    ``window``: maximum window size in voxels (0: the whole brain at once if memory allows); ``memory``: limit for the
    whole process, in bytes. ``tta``: mean over eight mirrored images, so that the network runs eight times.
    ``uncertainty``: also compute the uncertainty map. ``prepared``: the case as the package prepares it, where that is
    done already.

    Labels are the most probable class of each voxel. If preprocessing did not resample, they are copied back voxel by
    voxel; otherwise probabilities are interpolated linearly to the target grid and compared there, which keeps borders
    smooth. The temperature of the package changes probabilities and uncertainty after that, not the labels.

    Raises:
        InputError: no voxel is left inside the brain.
        MemoryBudgetError: even small windows do not fit.
    """
    preprocess = Preprocess(package.info.preprocess)
    prepared = prepared or preprocess.apply(volumes)
    schema = schema_named(package.info.schema)
    fitted = predict_tiled(prepared.image_czyx, engine, schema.class_count, window, memory, tta=tta, progress=progress)
    found, prepared_label = fitted.probabilities_czyx, fitted.label_zyx
    target = volumes.image.grid
    exact = preprocess.is_exact(prepared.grid, target)
    if exact:
        label = preprocess.undo(prepared_label, prepared.grid, target)
    else:
        label = _labels_on(target, found, prepared.grid, preprocess)
    temperature = package.info.temperature
    box = box_in_doubt(found, temperature) or (slice(0, 0),) * 3
    near = tempered(found[(slice(None), *box)], temperature)
    back = doubt = None
    if probabilities or uncertainty:
        found = tempered(found, temperature)
        back = _probabilities_on(target, found, prepared.grid, preprocess) if probabilities else None
        doubt = preprocess.undo(entropy(found), prepared.grid, target, order=1) if uncertainty else None
    return Prediction(
        volumes=volumes,
        package=package,
        schema=schema,
        label_zyx=label,
        probabilities_czyx=back,
        prepared=prepared,
        prepared_label_zyx=prepared_label,
        largest_part=largest_part(prepared_label[box], near, prepared.grid.voxel_volume_ml, core_of(schema)),
        uncertainty_zyx=doubt,
        review=uncertain_regions(near, schema, prepared.grid, start_zyx=[side.start for side in box]),
        volumes_ml=volumes_ml(label, schema, target),
        engine=engine.name,
        notes=(*volumes.notes, *_missing_notes(volumes, package), *([fitted.note] if fitted.note else [])),
    )


def _probabilities_on(target: Grid, found: np.ndarray, grid: Grid, preprocess: Preprocess) -> np.ndarray:
    """Class probabilities on ``target``; outside the preprocessed box they are background."""
    moved = preprocess.undo(found[1:], grid, target, order=1)
    background = np.clip(1 - moved.sum(axis=0, keepdims=True), 0, 1)
    return np.concatenate([background, moved]).astype(np.float32)


def _labels_on(target: Grid, found: np.ndarray, grid: Grid, preprocess: Preprocess) -> np.ndarray:
    """The most probable class of ``_probabilities_on``, one class at a time, to save half a gigabyte.

    Only in the box that a tumor can reach: where background has half of the probability all around, it has it between.
    """
    label = np.zeros(target.shape_zyx, np.uint8)
    tumor = bounding_box(found[0] < _MIN_BACKGROUND)
    box = box_on(target, tumor, grid) if tumor else None
    if box is None:
        return label
    shape = tuple(side.stop - side.start for side in box)
    part = target.crop((box[0].start, box[1].start, box[2].start), (shape[0], shape[1], shape[2]))
    index_of_best = np.zeros(shape, np.uint8)
    best, covered = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    for index, probability in enumerate(found[1:], start=1):
        moved = preprocess.undo(probability, grid, part, order=1)
        index_of_best[moved > best] = index
        np.maximum(best, moved, out=best)
        covered += moved
    np.subtract(1, covered, out=covered)
    index_of_best[covered >= best] = 0
    label[box] = index_of_best
    return label


def _missing_notes(volumes: CaseVolumes, package: ModelPackage) -> tuple[str, ...]:
    missing = volumes.case.missing
    return (expectation(package.info, missing),) if missing else ()
