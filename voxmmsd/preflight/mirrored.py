"""Notice an image that is a mirror image of another, left for right, as a conversion that lost its orientation makes.

A brain looks nearly the same in a mirror, so its outline tells nothing, and a network finds the tumor on both sides.
Its folds differ: the edges of two images (``misalignment``) are compared as they are and mirrored, each at the shift
at which they agree best.

By ``benchmarks/misalignment.py`` (``--mirrored``) on 68 cases of two patient groups, all 204 images are told when they
are mirrored, and none without, also inside one brain mask; ``docs/segmenting.md`` has those that were moved as well.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import fft, ndimage

from voxmmsd.data.volume import Grid, Volume, bounding_box, resample
from voxmmsd.preflight.misalignment import Coarse, edge_agreement, edge_field, edge_spectra

SPACING_MM = 3.0
REACH = 7  # voxels: how far images may be apart along each axis, 21 mm
RIM = 1  # voxels that are left out around
RIM_IN_MASK = 3  # the same where one brain mask gives all images one outline, which is not mirrored
MIN_GAIN = 0.05  # log of the agreement in the mirror to that without
MIN_PEAK = 1.0  # by how much the best shift agrees better than others do: below, images are somewhere else


def mirrored(fixed: Volume, others: Mapping[str, Volume], mask: Volume | None = None) -> list[str]:
    """Names of those of ``others`` that seem to have left and right exchanged, or ``fixed`` has; in their order.

    Images ``(z, y, x)`` of brains or heads may lie on different grids. ``mask``: where all were set to 0 outside.
    """
    grid = fixed.grid.with_spacing(SPACING_MM)
    brain = None if mask is None else resample(mask, grid, order=0).array > 0
    still = Coarse.of(fixed, grid)
    found = {name: _gain_and_peak(still, Coarse.of(other, grid), brain) for name, other in others.items()}
    return [name for name, (gain, peak) in found.items() if gain >= MIN_GAIN and peak >= MIN_PEAK]


def _gain_and_peak(one: Coarse, other: Coarse, brain: np.ndarray | None) -> tuple[float, float]:
    box = bounding_box(one.tissue | other.tissue)
    if box is None:
        return 0.0, 0.0
    here, there = (_edges_inside(each, brain, box) for each in (one, other))
    axis = _left_to_right(one.grid)
    in_mirror = np.flip(there, 1 + axis).copy()
    in_mirror[axis] *= -1
    shape = [fft.next_fast_len(n + REACH, real=True) for n in here.shape[1:]]
    spectra = edge_spectra(here, shape)
    (as_is, _), (best, peak) = (_best(edge_agreement(spectra, each, shape)) for each in (there, in_mirror))
    return (float(np.log(best / as_is)), peak) if min(best, as_is) > 0 else (0.0, 0.0)


def _edges_inside(image: Coarse, brain: np.ndarray | None, box: tuple[slice, ...]) -> np.ndarray:
    tissue = image.tissue if brain is None else image.tissue & brain
    inside = ndimage.binary_erosion(tissue, iterations=RIM if brain is None else RIM_IN_MASK)[box]
    return edge_field(image.image[box], inside) * inside if inside.any() else np.zeros((3, *inside.shape), np.float32)


def _left_to_right(grid: Grid) -> int:
    """The axis of ``(z, y, x)`` arrays that runs from one side of the patient to the other."""
    return int(np.abs(grid.affine_zyx[0, :3] / grid.spacing_mm_zyx).argmax())


def _best(agreement: np.ndarray) -> tuple[float, float]:
    """That of the best shift within REACH, and by how much it is better than the median one's."""
    near = np.r_[: REACH + 1, -REACH:0]
    agreement = agreement[np.ix_(near, near, near)]
    best = float(agreement.max())
    return best, best / max(float(np.median(agreement)), 1e-12) - 1
