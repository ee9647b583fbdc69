"""Notice an image that is flipped against another, as a conversion that lost its orientation makes.

A brain with left and right exchanged looks nearly the same: its outline tells nothing, and a network finds the tumor on
both sides. Its folds differ: the edges of two images (``misalignment``) are compared as they are and flipped, each at
the shift at which they agree best. Flipped along another axis as well, or along two, which is a turn by 180 degrees,
the outline differs too, but it looks as if the image had only to be registered, which cannot mend a flip.

``benchmarks/misalignment.py --mirrored`` measures how often that is right: ``docs/segmenting-measured.md``.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from nibabel.orientations import io_orientation
from scipy import fft, ndimage

from voxmmsd.data.volume import Volume, bounding_box, resample
from voxmmsd.preflight.misalignment import Coarse, edge_agreement, edge_field, edge_spectra

SPACING_MM = 3.0
REACH = 7  # voxels: how far images may be apart along each axis, 21 mm
RIM = 1  # voxels that are left out around
RIM_IN_MASK = 3  # the same where one brain mask gives all images one outline, which is not mirrored
MIN_GAIN = 0.06  # log of the agreement when flipped to that without
MIN_PEAK = 1.0  # by how much the best shift agrees better than others do: below, images are somewhere else
SURE = 0.3  # log of the two agreements, from which no other flip is tried: one of the two is right
SIDES = ("left and right", "front and back", "top and bottom")  # what a flip along the patient's x, y or z exchanges
LEFT_RIGHT = (0,)
OTHER_FLIPS = ((1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2))


def mirrored(fixed: Volume, others: Mapping[str, Volume], mask: Volume | None = None) -> dict[str, tuple[str, ...]]:
    """Those of ``others`` that seem to be flipped against ``fixed``, in their order, and which of ``SIDES`` are
    exchanged.

    Images ``(z, y, x)`` of brains or heads may lie on different grids. ``mask``: where all were set to 0 outside.
    """
    grid = fixed.grid.with_spacing(SPACING_MM)
    brain = None if mask is None else resample(mask, grid, order=0).array > 0
    still = Coarse.of(fixed, grid)
    found = {name: _flip(still, Coarse.of(other, grid), brain) for name, other in others.items()}
    return {name: tuple(SIDES[axis] for axis in axes) for name, axes in found.items() if axes}


def _flip(one: Coarse, other: Coarse, brain: np.ndarray | None) -> tuple[int, ...]:
    """The axes x, y, z of the patient along which ``other`` is flipped; empty where it is not."""
    box = bounding_box(one.tissue | other.tissue)
    if box is None:
        return ()
    here, there = (_edges_inside(each, brain, box) for each in (one, other))
    place = np.argsort(io_orientation(one.grid.affine_zyx)[:, 0])  # of the patient's axes among the arrays'
    shape = [fft.next_fast_len(n + REACH, real=True) for n in here.shape[1:]]
    spectra = edge_spectra(here, shape)

    def best(edges: np.ndarray) -> tuple[float, float]:
        return _best(edge_agreement(spectra, edges, shape))

    def best_flip(axes: tuple[int, ...]) -> tuple[float, float]:
        return best(_flipped(there, place[list(axes)]))

    as_is, _ = best(there)
    found: dict[tuple[int, ...], tuple[float, float]] = {LEFT_RIGHT: best_flip(LEFT_RIGHT)}
    in_mirror, _ = found[LEFT_RIGHT]
    if min(as_is, in_mirror) <= 0:
        return ()
    if abs(np.log(in_mirror / as_is)) < SURE:
        found |= {axes: best_flip(axes) for axes in OTHER_FLIPS}
    axes, (agreement, peak) = max(found.items(), key=lambda each: each[1][0])
    if peak < MIN_PEAK or np.log(agreement / as_is) < MIN_GAIN:
        return ()
    # A flip of the box around both brings an image that lies far off into the other's place, where it agrees better
    # than where it was: it has to agree better than one that was moved there.
    moved, _ = best(ndimage.shift(there, (0, *_way_between(other.tissue, one.tissue)), order=0, prefilter=False))
    return axes if np.log(agreement / max(moved, as_is)) >= MIN_GAIN else ()


def _way_between(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Voxels from the middle of the box around what is in ``one`` to that of ``other``."""
    boxes = (bounding_box(each) for each in (one, other))
    here, there = (np.array([(side.start + side.stop) // 2 for side in box or ()]) for box in boxes)
    return there - here


def _flipped(edges: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """A field of edges ``(3, z, y, x)`` of the image flipped along ``axes`` of 0 to 2."""
    flipped = np.flip(edges, tuple(1 + axes)).copy()
    flipped[axes] *= -1
    return flipped


def _edges_inside(image: Coarse, brain: np.ndarray | None, box: tuple[slice, ...]) -> np.ndarray:
    tissue = image.tissue if brain is None else image.tissue & brain
    inside = ndimage.binary_erosion(tissue, iterations=RIM if brain is None else RIM_IN_MASK)[box]
    return edge_field(image.image[box], inside) * inside if inside.any() else np.zeros((3, *inside.shape), np.float32)


def _best(agreement: np.ndarray) -> tuple[float, float]:
    """That of the best shift within REACH, and by how much it is better than the median one's."""
    near = np.r_[: REACH + 1, -REACH:0]
    agreement = agreement[np.ix_(near, near, near)]
    best = float(agreement.max())
    return best, best / max(float(np.median(agreement)), 1e-12) - 1
