"""Preprocess a case, and map the network's output back: both in one class (``docs/method.md``, section 1).

Prepared arrays are closest-canonical RAS, cropped to the bounding box of the brain, at the target spacing, uint8: the
99.9th percentile of the non-zero voxels of a modality in the whole volume is 255. This assumes skull-stripped images.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from voxmmsd.data.reading import CaseVolumes
from voxmmsd.data.volume import Grid, Volume, bounding_box, canonical, resample, resampling_is_exact
from voxmmsd.errors import InputError
from voxmmsd.model_config import PreprocessConfig

TISSUE_LEVEL = 0.5
SPACING_TOLERANCE = 0.01  # relative: 1 % over a brain is under 2 mm at its rim


@dataclass(frozen=True)
class Prepared:
    """A preprocessed case, for training and inference.

    ``image_czyx``: uint8, four modalities, absent ones 0. ``label_zyx``: class indices uint8 on the same ``grid``.
    """

    image_czyx: np.ndarray
    grid: Grid
    present: tuple[bool, ...]
    label_zyx: np.ndarray | None = None


class Preprocess:
    """``apply`` preprocesses a case; ``undo`` maps arrays on a prepared grid to any other grid."""

    def __init__(self, config: PreprocessConfig | None = None) -> None:
        self.config = config or PreprocessConfig()

    def apply(self, volumes: CaseVolumes) -> Prepared:
        """Canonical axes, brain mask, uint8 range, target spacing, brain box.

        Raises:
            InputError: nothing is left inside the brain mask.
        """
        grid = volumes.image.grid
        image = canonical(volumes.image)
        mask = None
        if volumes.brain_mask_zyx is not None:
            mask = canonical(Volume(volumes.brain_mask_zyx, grid)).array
        image = Volume(to_uint8(image.array, self.config.percentile, mask), image.grid)
        if not image.array.any():
            raise InputError(
                f"case {volumes.case.id}: no voxel above 0 is left inside the brain", "check the brain mask"
            )
        target = self._target_grid(image.grid)
        prepared = np.stack([_as_uint8(resample(Volume(one, image.grid), target).array) for one in image.array])
        box = brain_box(prepared, self.config.margin_voxels)
        label = None
        if volumes.label_zyx is not None:
            label = resample(canonical(Volume(volumes.label_zyx, grid)), target, order=0).array[box]
        start = (box[0].start, box[1].start, box[2].start)
        cropped = np.ascontiguousarray(prepared[(slice(None), *box)])
        box_grid = target.crop(start, (cropped.shape[1], cropped.shape[2], cropped.shape[3]))
        return Prepared(cropped, box_grid, volumes.present, None if label is None else np.ascontiguousarray(label))

    def undo(self, array: np.ndarray, grid: Grid, target: Grid, order: int = 0) -> np.ndarray:
        """Carry ``(z, y, x)`` or ``(channel, z, y, x)`` from a prepared ``grid`` to ``target``; 0 outside the box.

        Copied voxel by voxel where nothing was resampled; else nearest neighbor (``order`` 0) or linear (1).
        """
        return resample(Volume(array, grid), target, order).array

    def is_exact(self, grid: Grid, target: Grid) -> bool:
        """Whether ``undo`` copies, that is, ``apply`` did not resample."""
        return resampling_is_exact(grid, target)

    def _target_grid(self, grid: Grid) -> Grid:
        spacing = np.asarray(grid.spacing_mm_zyx)
        if (np.abs(spacing / self.config.spacing_mm - 1) <= SPACING_TOLERANCE).all():
            return grid
        return grid.with_spacing(self.config.spacing_mm)


def to_uint8(image_czyx: np.ndarray, percentile: float, mask_zyx: np.ndarray | None = None) -> np.ndarray:
    """Scale each channel so that the percentile of its non-zero voxels is 255, clip, round; all-zero channels stay.

    ``mask_zyx``: bool; outside it everything is 0. Channels are gone through one by one, which takes little memory.
    """
    out = np.zeros(image_czyx.shape, np.uint8)
    for whole, whole_out in zip(image_czyx, out, strict=True):
        box = bounding_box(whole) or (slice(0, 0),) * 3
        channel, scaled = whole[box], whole_out[box]
        brain = None if mask_zyx is None else mask_zyx[box]
        inside = channel[channel != 0 if brain is None else (channel != 0) & brain]
        top = np.percentile(inside, percentile) if inside.size else 0.0
        if top > 0:
            values = channel * np.float32(255.0 / top)
            np.clip(values, 0, 255, out=values)
            np.rint(values, out=values)
            if brain is not None:
                values *= brain
            scaled[...] = values
    return out


def _as_uint8(values: np.ndarray) -> np.ndarray:
    return values if values.dtype == np.uint8 else np.rint(values).astype(np.uint8)


def input_scale(image_czyx: np.ndarray) -> np.ndarray:
    """Factors ``(4,)`` float32 that bring prepared uint8 to what a segmentation network sees; 0 for an absent modality.

    The median of each modality's voxels above 0, which is healthy tissue for the most part, becomes ``TISSUE_LEVEL``.
    The percentile alone leaves it anywhere between a fifth and three quarters of the range (so one bright vessel
    decides how bright a tumor is), and a network from few cases then learns neither. One factor per case keeps tiled
    and whole-volume inference alike, and 0 the value that says "nothing here".
    """
    scale = np.zeros(len(image_czyx), np.float32)
    for channel, image in enumerate(image_czyx):
        counts = np.bincount(image.ravel(), minlength=256)
        counts[0] = 0
        if total := counts.sum():
            scale[channel] = TISSUE_LEVEL / int(np.searchsorted(counts.cumsum(), total / 2))
    return scale


def brain_box(image_czyx: np.ndarray, margin: int) -> tuple[slice, slice, slice]:
    """The box of voxels > 0 in any channel, grown by ``margin`` voxels, within the array."""
    box = bounding_box(np.asarray((image_czyx > 0).any(axis=0)), margin)
    if box is None:
        raise ValueError("the image is all zero")
    return box
