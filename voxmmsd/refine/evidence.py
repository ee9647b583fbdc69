"""What a reader's edits say: which voxels were changed by hand, and which were looked at and left alone.

Changes that lie in a few parallel planes mean that these planes were reviewed: what was left alone in them is right,
too. Any other changes are strokes, which say nothing of the voxels beside them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from nibabel.orientations import aff2axcodes
from scipy import ndimage

from voxmmsd.data.volume import Grid
from voxmmsd.errors import ConfigError, InputError
from voxmmsd.labels import EDITED

MAX_PLANES = 12
THIN = 0.5  # of the width of the changes: thicker stacks of planes are strokes of a round brush
STROKES = "strokes"
_VIEWS = {"axial": "SI", "coronal": "AP", "sagittal": "LR"}
_AXES = "zyx"


@dataclass(frozen=True, order=True)
class Plane:
    """A plane of voxels: all with ``index`` along the array's ``axis`` (0 z, 1 y, 2 x)."""

    axis: int
    index: int

    def of(self, array_zyx: np.ndarray) -> np.ndarray:
        """The plane's voxels, as a view."""
        return np.moveaxis(array_zyx, self.axis, 0)[self.index]


@dataclass(frozen=True)
class Evidence:
    """What is known of a case after its edits, on the result's grid.

    ``label_zyx``: class indices as they are now. ``origin_zyx``: PREDICTED, EDITED or CARRIED, uint8; carried voxels
    are of an earlier round and are decided again. ``planes``: reviewed, of all rounds. ``edited``: voxels changed in
    this round.
    """

    grid: Grid
    label_zyx: np.ndarray
    origin_zyx: np.ndarray
    planes: tuple[Plane, ...]
    edited: int

    @property
    def edited_zyx(self) -> np.ndarray:
        """Changed by hand, in this round or before; bool."""
        return self.origin_zyx == EDITED

    @property
    def fixed_zyx(self) -> np.ndarray:
        """Changed by hand or in a reviewed plane: these stay as they are; bool."""
        fixed = self.edited_zyx
        for plane in self.planes:
            plane.of(fixed)[...] = True
        return fixed

    @property
    def strokes_zyx(self) -> np.ndarray:
        """Changed by hand outside all reviewed planes; bool."""
        strokes = self.edited_zyx
        for plane in self.planes:
            plane.of(strokes)[...] = False
        return strokes

    def text(self) -> str:
        """In words, such as ``1,204 voxels in 2 reviewed planes``."""
        kind = f"in {len(self.planes)} reviewed plane{'s' * (len(self.planes) > 1)}" if self.planes else "in strokes"
        return f"{int(self.edited_zyx.sum()):,} voxels edited by hand {kind}"


def places_on(target: Grid, voxels_zyx: np.ndarray, grid: Grid) -> np.ndarray:
    """Voxels of ``grid``, ``(n, 3)`` indices, as places in voxels of ``target``, ``(n, 3)`` float."""
    to_target = np.linalg.solve(target.affine_zyx, grid.affine_zyx)
    return voxels_zyx @ to_target[:3, :3].T + to_target[:3, 3]


def distance_mm(mask_zyx: np.ndarray, grid: Grid, target: Grid) -> np.ndarray | None:
    """How far each voxel of ``target`` is from the nearest of a mask's on ``grid``; None where none lies inside it."""
    away = np.ones(target.shape_zyx, bool)
    places = places_on(target, np.argwhere(mask_zyx), grid)
    away[tuple(np.rint(places[inside_of(target, places)]).astype(int).T)] = False
    return None if away.all() else ndimage.distance_transform_edt(away, sampling=target.spacing_mm_zyx)


def inside_of(grid: Grid, places_zyx: np.ndarray) -> np.ndarray:
    """Which places are nearest to a voxel of the grid; bool ``(n,)``."""
    inside = (places_zyx >= -0.5) & (places_zyx < np.array(grid.shape_zyx) - 0.5)
    return np.asarray(inside.all(axis=1))


def find_evidence(
    before_zyx: np.ndarray,
    edited_zyx: Sequence[np.ndarray],
    grid: Grid,
    *,
    reviewed: Sequence[Plane] | None = None,
    origin_zyx: np.ndarray | None = None,
    earlier: Sequence[Plane] = (),
) -> Evidence:
    """The edits as differences from ``before_zyx``; all are class indices ``(z, y, x)`` uint8 on ``grid``.

    ``edited_zyx``: one map, or several of different readers. ``reviewed``: planes that were gone through whole, none of
    them for strokes; None: as the changes lie. ``origin_zyx`` and ``earlier``: origins and reviewed planes of the
    rounds before. Where a later round edits what an earlier one did, the later one counts.

    Raises:
        InputError: nothing was changed, or two maps change a voxel to different labels.
    """
    label = before_zyx.copy()
    changed = np.zeros(before_zyx.shape, bool)
    planes: set[Plane] = set(earlier)
    for one in edited_zyx:
        new = one != before_zyx
        _refuse_contradiction(label, one, changed & new, grid)
        planes |= set(planes_of(new, grid) if reviewed is None else reviewed)
        label[new] = one[new]
        changed |= new
    if not changed.any():
        raise InputError(
            "the labels hold no edit: they are those of the result", "paint a correction and save it first"
        )
    origin = np.zeros(before_zyx.shape, np.uint8) if origin_zyx is None else origin_zyx.copy()
    origin[changed] = EDITED
    return Evidence(grid, label, origin, tuple(sorted(planes)), int(changed.sum()))


def _refuse_contradiction(label: np.ndarray, other: np.ndarray, both: np.ndarray, grid: Grid) -> None:
    against = both & (label != other)
    if against.any():
        first = tuple(int(index) for index in np.argwhere(against)[0])
        x, y, z = grid.affine_zyx[:3] @ (*first, 1)
        raise InputError(
            f"the edited labels contradict each other in {int(against.sum()):,} voxels, the first at ({x:.0f}, "
            f"{y:.0f}, {z:.0f}) mm RAS: they change it to different labels",
            "settle it in one of them, or give them one by one, the later one on the result of the earlier",
        )


def planes_of(changed_zyx: np.ndarray, grid: Grid) -> tuple[Plane, ...]:
    """The few parallel planes that the changes lie in, or none where they are strokes.

    Planes are few where they are at most MAX_PLANES and, put on one another, at most THIN as thick as the changes are
    wide along either other axis.
    """
    if not changed_zyx.any():
        return ()
    used = [np.flatnonzero(changed_zyx.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    thick = [len(one) * mm for one, mm in zip(used, grid.spacing_mm_zyx, strict=True)]
    axis = int(np.argmin(thick))
    width = min(thick[other] for other in range(3) if other != axis)
    if len(used[axis]) > MAX_PLANES or thick[axis] > THIN * width:
        return ()
    return tuple(Plane(axis, int(index)) for index in used[axis])


def parse_planes(texts: Sequence[str], grid: Grid) -> tuple[Plane, ...] | None:
    """``("axial:60", "axial:71-73")`` as planes, ``("strokes",)`` as none; None where nothing is said.

    A view's planes are those of the array's axis that is nearest to its normal, counted from 0 as the file has them.

    Raises:
        ConfigError: no such view, or a plane outside the image.
    """
    if not texts:
        return None
    if list(texts) == [STROKES]:
        return ()
    codes = aff2axcodes(grid.affine_xyz)[::-1]
    found = []
    for text in texts:
        match = re.fullmatch(r"([a-z]+):(\d+)(?:-(\d+))?", text)
        if not match or match[1] not in _VIEWS:
            raise ConfigError(
                f"--reviewed {text}: names no planes", f"give {STROKES}, or planes such as axial:60 or coronal:71-73"
            )
        axis = next(axis for axis in range(3) if codes[axis] in _VIEWS[match[1]])
        first, last = int(match[2]), int(match[3] or match[2])
        if not first <= last < grid.shape_zyx[axis]:
            raise ConfigError(
                f"--reviewed {text}: the image has {match[1]} planes 0 to {grid.shape_zyx[axis] - 1} (axis "
                f"{_AXES[axis]})",
                "name planes among them",
            )
        found += [Plane(axis, index) for index in range(first, last + 1)]
    return tuple(sorted(set(found)))
