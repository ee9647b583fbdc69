"""Visits of one phantom patient: lesions of known places and sizes, the head moved by a known transform."""

import functools

import numpy as np
from reporting.made_results import write_result
from scipy.spatial.transform import Rotation

from voxmmsd.data.volume import Grid
from voxmmsd.phantom import make_phantom

SIDE_MM = 96
# Of NCR, ED, ET and a cavity in t1c and t2f, over white matter:
SIGNAL = {1: (0.5, 0.5), 2: (0.8, 1.3), 3: (1.7, 1.1), 4: (0.3, 0.3)}


def turned(degrees, shift_mm):
    """4x4, RAS mm: how the head of a visit lies against that of the first."""
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    matrix[:3, 3] = shift_mm
    return matrix


@functools.lru_cache(maxsize=8)
def head(spacing_zyx, orientation):
    shape = tuple(round(SIDE_MM / step) for step in spacing_zyx)
    return make_phantom(5, shape, spacing_zyx, orientation, tumor=False)


def visit(balls, moved=None, spacing_zyx=(2.0, 2.0, 2.0), orientation="LPS"):
    """Images (t1c, t2f), class indices and grid. ``balls``: (center RAS mm, radius mm, class index), later over earlier
    ones, in the world of the first visit; ``moved``: 4x4 of the whole head."""
    phantom = head(spacing_zyx, orientation)
    t1c, t2f = phantom.image_czyx[1].copy(), phantom.image_czyx[3].copy()
    affine = phantom.grid.affine_zyx
    places = np.tensordot(affine[:3, :3], np.indices(phantom.grid.shape_zyx), 1) + affine[:3, 3][:, None, None, None]
    label = np.zeros(phantom.grid.shape_zyx, np.uint8)
    white = [float(np.median(image[image > 0])) for image in (t1c, t2f)]
    for center, radius, index in balls:
        inside = np.linalg.norm(places - np.reshape(center, (3, 1, 1, 1)), axis=0) <= radius
        label[inside] = index
        for image, level, share in zip((t1c, t2f), white, SIGNAL[index], strict=True):
            image[inside] = level * share
    moved = np.eye(4) if moved is None else moved
    grid = Grid(phantom.grid.shape_zyx, moved @ phantom.grid.affine_xyz)
    images = {"t1c": np.rint(t1c).astype(np.int16), "t2f": np.rint(t2f).astype(np.int16)}
    return images, label, grid


def write_visit(root, case_id, balls, *, schema="brats-gli-2023", **how):
    images, label, grid = visit(balls, **how)
    return write_result(root, case_id, images, label, grid, schema)
