"""Measure the misalignment of two images from their edges, independent of contrast, uneven brightness and a common
outline.

In each of eight parts of the brain the shift is sought at which the edges of both run along each other best (normalized
gradient fields: Haber and Modersitzki, MICCAI 2006); one rigid motion is then fitted to the eight shifts. Parts that
contradict each other tell nothing: in some old scans brains differ by more than a motion. It is not a registration;
``data.alignment`` corrects it. Mutual information was tried before: uneven brightness misled it by up to 12 mm in
four of 25 cases. Only what is well inside counts, since brains stripped by one mask have one outline wherever they lie.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy import fft, ndimage

from voxmmsd.data.volume import Grid, Volume, bounding_box, downsample, mean_index, resample

SPACING_MM = 2.0
REACH = 6  # voxels: how far a part is looked for, 12 mm along each axis
RIM = 4  # voxels that are left out around
EDGE = 1.0  # voxels: width of the edges that are looked at
TISSUE = 0.05  # of the bright tissue's brightness: below is air
# Of a gradient's components (i, j), and how often each counts: their correlations add up to the squared scalar product.
_EDGE_PRODUCTS = ((0, 0, 1), (1, 1, 1), (2, 2, 1), (0, 1, 2), (0, 2, 2), (1, 2, 2))
FEWEST_VOXELS, FEWEST_PARTS = 300, 6  # from which a part, and all parts, tell something
MIN_DISTANCE_MM = 3.0  # mean distance over the brain, from which two images are said not to lie on each other
MAX_SPREAD = 0.6  # of that distance: how far the parts may be from one rigid motion, and still be believed


@dataclass(frozen=True)
class Displacement:
    """``mean_mm``: how far one image lies from the other, over the brain; ``spread_mm``: median distance of the parts'
    own shifts from the motion that explains them best."""

    mean_mm: float
    spread_mm: float

    @property
    def is_significant(self) -> bool:
        return self.mean_mm >= MIN_DISTANCE_MM and self.spread_mm <= MAX_SPREAD * self.mean_mm


NONE = Displacement(0.0, 0.0)


def displacement(fixed: Volume, moving: Volume, mask: Volume | None = None) -> Displacement:
    """How far ``moving`` lies from ``fixed``; ``NONE`` where there is too little tissue to tell.

    Images ``(z, y, x)`` may lie on different grids. ``mask``: where both were set to 0 outside, on any grid.
    """
    return displacements(fixed, {"": moving}, mask)[""]


def displacements(fixed: Volume, others: Mapping[str, Volume], mask: Volume | None = None) -> dict[str, Displacement]:
    """``displacement`` of each of ``others``, by name: what is looked at is made coarse only once."""
    grid = fixed.grid.with_spacing(SPACING_MM)
    brain = None if mask is None else resample(mask, grid, order=0).array > 0
    still = Coarse.of(fixed, grid)
    return {name: _displacement(still, Coarse.of(other, grid), brain) for name, other in others.items()}


@dataclass(frozen=True)
class Coarse:
    """An image ``(z, y, x)`` float32 on a coarse grid, and where it shows tissue."""

    image: np.ndarray
    tissue: np.ndarray
    grid: Grid

    @classmethod
    def of(cls, volume: Volume, grid: Grid) -> Coarse:
        image = downsample(volume, grid).array
        above = image[image > 0]
        return cls(image, image > (TISSUE * np.percentile(above, 90) if above.size else 0), grid)


def _displacement(one: Coarse, other: Coarse, brain: np.ndarray | None) -> Displacement:
    inside = one.tissue & other.tissue
    if brain is not None:
        inside &= brain
    inside = ndimage.binary_erosion(inside, iterations=RIM)
    box = bounding_box(inside, REACH)
    if box is None:
        return NONE
    inside = np.pad(inside[box], REACH)
    here, there = (np.pad(edge_field(each.image[box], inside[_UNPADDED]), _PADDING) for each in (one, other))
    found = [(part.middle, *_best_shift(here, there, part)) for part in _parts(inside)]
    if len(found) < FEWEST_PARTS:
        return NONE
    centers, shifts, weights = (np.array(column, float) for column in zip(*found, strict=True))
    places = SPACING_MM * np.transpose(np.unravel_index(np.flatnonzero(inside)[::50], inside.shape))
    motion, spread = _rigid(SPACING_MM * centers, SPACING_MM * shifts, weights, places)
    moved = motion[:3] + np.cross(motion[3:], places - places.mean(axis=0))
    share = _share(here, there, places / SPACING_MM, moved / SPACING_MM)
    return Displacement(share * float(np.linalg.norm(moved, axis=1).mean()), share * spread)


def _share(here: np.ndarray, there: np.ndarray, places: np.ndarray, moved: np.ndarray) -> float:
    """How much of a motion the edges of the whole brain bear out: the share of it at which they agree best.

    ``places`` and ``moved`` ``(n, 3)`` in voxels. The shifts of the parts are whole voxels, and single ones may be far
    off: the motion fitted to them says the direction better than the distance.
    """
    fixed = np.stack([ndimage.map_coordinates(edges, places.T, order=1) for edges in here])
    shares = np.linspace(0.0, 1.0, 9)
    agreement = []
    for share in shares:
        at = (places + share * moved).T
        found = np.stack([ndimage.map_coordinates(edges, at, order=1) for edges in there])
        agreement.append(float(((fixed * found).sum(axis=0) ** 2).mean()))
    return float(shares[int(np.argmax(agreement))])


_UNPADDED, _PADDING = (slice(REACH, -REACH),) * 3, ((0, 0), *((REACH, REACH),) * 3)


def edge_field(image: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """``(3, z, y, x)`` float32: the gradient, of length 1 where it is strong, of 0 where it is weak."""
    gradient = _gradient(image)
    squared = (gradient**2).sum(axis=0)
    gradient /= np.sqrt(squared + max(float(np.median(squared[inside])), 1e-12))
    return gradient


def _gradient(image: np.ndarray) -> np.ndarray:
    """``(3, z, y, x)`` float32: derivatives of a Gaussian, as SciPy has them, but as products with matrices: along an
    axis all three share the work of those before it."""
    (smooth_z, steep_z), (smooth_y, steep_y), (smooth_x, steep_x) = (_filters(n) for n in image.shape)
    planes = image.reshape(len(image), -1)
    smoothed, steepness = ((matrix @ planes).reshape(image.shape) for matrix in (smooth_z, steep_z))
    out = np.empty((3, *image.shape), np.float32)
    np.matmul(smooth_y @ steepness, smooth_x.T, out=out[0])
    np.matmul(steep_y @ smoothed, smooth_x.T, out=out[1])
    np.matmul(smooth_y @ smoothed, steep_x.T, out=out[2])
    return out


def _filters(length: int) -> tuple[np.ndarray, np.ndarray]:
    """``(length, length)`` float32: what a line is multiplied by for a Gaussian and for its derivative."""
    one = np.eye(length)
    smooth, steep = (ndimage.gaussian_filter1d(one, EDGE, axis=0, order=order) for order in (0, 1))
    return smooth.astype(np.float32), steep.astype(np.float32)


@dataclass(frozen=True)
class _Part:
    """A part of the brain: the box around it, which of its voxels belong to it, and their middle (voxels)."""

    box: tuple[slice, ...]
    inside: np.ndarray
    middle: np.ndarray


def _parts(inside: np.ndarray) -> Iterator[_Part]:
    """The eight parts around the middle, those of some size."""
    middle = mean_index(inside)
    halves = [(slice(0, int(at) + 1), slice(int(at) + 1, n)) for at, n in zip(middle, inside.shape, strict=True)]
    for octant in product(*halves):
        box = bounding_box(inside[octant])
        if box is None or np.count_nonzero(within := inside[octant][box]) < FEWEST_VOXELS:
            continue
        start = [outer.start + inner.start for outer, inner in zip(octant, box, strict=True)]
        place = tuple(slice(first, first + n) for first, n in zip(start, within.shape, strict=True))
        yield _Part(place, within, start + mean_index(within))


def _best_shift(one: np.ndarray, other: np.ndarray, part: _Part) -> tuple[np.ndarray, float]:
    """The shift (voxels) at which edges agree best, and by how much more than elsewhere.

    Agreement is the mean of the squared scalar product: a sum of products of edges' components, each of which is a
    correlation that the FFT gives for all shifts at once.
    """
    wide = tuple(slice(side.start - REACH, side.stop + REACH) for side in part.box)
    here, there = one[(slice(None), *part.box)] * part.inside, other[(slice(None), *wide)]
    shape = [fft.next_fast_len(n, real=True) for n in there.shape[1:]]
    agreement = edge_agreement(edge_spectra(here, shape), there, shape)[(slice(2 * REACH + 1),) * 3]
    best = np.array(np.unravel_index(int(agreement.argmax()), agreement.shape)) - REACH
    return best, float(agreement.max() / max(float(np.median(agreement)), 1e-12) - 1)


def edge_spectra(here: np.ndarray, shape: Sequence[int]) -> list[np.ndarray]:
    """What ``edge_agreement`` needs of one of the two; ``shape``: that of the transform."""
    return [np.conj(fft.rfftn(here[i] * here[j], shape)) for i, j, _ in _EDGE_PRODUCTS]


def edge_agreement(spectra: Sequence[np.ndarray], there: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """The sum of the squared scalar products of the edges ``(3, z, y, x)`` of two images, at all shifts."""
    total: np.ndarray | float = 0.0
    for spectrum, (i, j, weight) in zip(spectra, _EDGE_PRODUCTS, strict=True):
        total += weight * spectrum * fft.rfftn(there[i] * there[j], shape)
    return fft.irfftn(total, shape)


def _rigid(
    centers: np.ndarray, shifts: np.ndarray, weights: np.ndarray, places: np.ndarray
) -> tuple[np.ndarray, float]:
    """The small motion that explains the parts' shifts best (all in mm), and the median distance of the shifts from
    it; parts far from it count less and less."""
    middle = places.mean(axis=0)
    design = np.concatenate([np.concatenate([np.eye(3), _cross(center - middle)], axis=1) for center in centers])
    trust, misfit = weights, np.zeros(len(weights))
    for _ in range(5):
        root = np.repeat(np.sqrt(trust), 3)
        motion = np.linalg.lstsq(design * root[:, None], shifts.ravel() * root, rcond=None)[0]
        misfit = np.linalg.norm((shifts.ravel() - design @ motion).reshape(-1, 3), axis=1)
        trust = weights / (1 + (misfit / SPACING_MM) ** 2)
    return motion, float(np.median(misfit))


def _cross(place: np.ndarray) -> np.ndarray:
    """3x3: times a small turn, how far it moves a place."""
    x, y, z = place
    return np.array([[0, z, -y], [-z, 0, x], [y, -x, 0]])
