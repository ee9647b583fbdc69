"""Synthetic patients: brain-shaped, four modalities with plausible contrasts, a tumor whose label is exact.

For tests, the demo and Slicer's sample data; numpy, SciPy and nibabel only. Anatomy is defined in world coordinates and
sampled on the requested grid, so the same kind of patient appears with any spacing, orientation and shape. Not suitable
for training a model for real scans.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation

from voxmmsd.data.formats.image import MAX_VOXELS
from voxmmsd.data.formats.nifti import read_nifti
from voxmmsd.data.volume import Grid
from voxmmsd.errors import ConfigError, InputError
from voxmmsd.files import folder_written_aside, read_json, write_json_atomic, written_aside
from voxmmsd.labels import MODALITIES, LabelSchema, schema_named

# Mean signal of each tissue in t1n, t1c, t2w, t2f; 1 is white matter on T1. The relations are those of textbooks.
_SIGNAL = {
    "csf": (0.30, 0.32, 1.60, 0.25),
    "gray": (0.75, 0.80, 1.00, 0.95),
    "white": (1.00, 1.05, 0.75, 0.75),
    "cap": (0.85, 0.90, 1.25, 1.22),  # bright FLAIR around the ventricles, as the elderly have it: no tumor
    "edema": (0.78, 0.82, 1.35, 1.28),
    "necrosis": (0.48, 0.52, 1.45, 0.85),
    "enhancing": (0.82, 1.65, 1.10, 1.12),
}
_NOISE = 0.035
_BIAS = 0.18
_BRAIN_SEMI_AXES = (0.40, 0.46, 0.38)  # of the field of view, in (x, y, z)
_MAX_PATIENTS = 10_000
_DATA_SET = {"name": "synthetic patients", "schema": "brats-gli-2023"}  # what dataset.json says of them


@dataclass(frozen=True)
class Phantom:
    """``image_czyx`` float32, outside the brain exactly 0; ``label_zyx`` uint8 with the values of the schema."""

    image_czyx: np.ndarray
    label_zyx: np.ndarray
    grid: Grid
    schema: LabelSchema


def make_phantom(
    seed: int,
    shape_zyx: tuple[int, int, int] = (96, 96, 96),
    spacing_mm_zyx: tuple[float, float, float] = (1.0, 1.0, 1.0),
    orientation: str = "LPS",
    tumor: bool = True,
    schema: str = "brats-gli-2023",
    oblique_degrees: float = 0.0,
) -> Phantom:
    """Create one patient. ``orientation``: axis codes of the array's x, y and z; ``oblique_degrees`` tilts the grid.

    Raises:
        ConfigError: a side of fewer than 16 voxels, or a schema without necrosis, edema and enhancing tumor.
    """
    _check_size(shape_zyx)
    labels = _tissue_values(schema_named(schema))
    grid = _grid(shape_zyx, spacing_mm_zyx, orientation, oblique_degrees)
    rng = np.random.default_rng([seed, 0xB12A1])
    place = _Places(grid, rng)
    tissue, inside = _brain(place, rng)
    label = np.zeros(shape_zyx, np.uint8)
    if tumor:
        for name, where in _tumor(place, inside, rng).items():
            for signal, own in zip(tissue, _SIGNAL[name], strict=True):
                signal[where] = own * (1 + 0.05 * place.wander[where])
            label[where] = labels[name]
    return Phantom(_scanned(tissue, inside, place, rng), label, grid, schema_named(schema))


def write_phantom(phantom: Phantom, folder: Path, case_id: str) -> Path:
    """Write ``folder/CASEID/CASEID-t1n.nii.gz`` ... ``-seg.nii.gz``; returns the folder of the case."""
    images = dict(zip(MODALITIES, phantom.image_czyx, strict=True))
    with folder_written_aside(folder / case_id) as aside:
        for name, array in images.items():
            _write(aside / f"{case_id}-{name}.nii.gz", np.rint(array).astype(np.int16), phantom.grid)
        _write(aside / f"{case_id}-seg.nii.gz", phantom.label_zyx, phantom.grid)
    return folder / case_id


def write_phantoms(folder: Path, count: int, seed: int, side: int = 96, spacing_mm: float = 1.0) -> list[Path]:
    """Write ``count`` patients ``phantom-SEED-000`` ... and the ``dataset.json`` that names their schema.

    A patient that already exists with identical content, from a call that was killed or had a smaller count, is kept.
    Returns the folders that were written.

    Raises:
        InputError: something else with that name exists, or the folder belongs to another data set.
    """
    if not 1 <= count <= _MAX_PATIENTS:
        raise ConfigError(f"--count {count}: is out of range", f"give 1 to {_MAX_PATIENTS}")
    _check_size((side, side, side))
    _refuse_another_data_set(folder / "dataset.json")

    def make(number: int) -> Phantom:
        return make_phantom(seed * _MAX_PATIENTS + number, (side, side, side), (spacing_mm, spacing_mm, spacing_mm))

    ids = {number: f"phantom-{seed:03d}-{number:03d}" for number in range(count)}
    missing = {number: case_id for number, case_id in ids.items() if not (folder / case_id).exists()}
    for number in ids.keys() - missing.keys():
        if not _is_written(make(number), folder / ids[number]):
            raise InputError(
                f"{folder / ids[number]}: exists already", "nothing is overwritten, name another folder or --seed"
            )
    write_json_atomic(folder / "dataset.json", _DATA_SET)
    return [write_phantom(make(number), folder, case_id) for number, case_id in missing.items()]


def _refuse_another_data_set(file: Path) -> None:
    try:
        is_ours = not file.exists() or read_json(file) == _DATA_SET
    except ValueError:
        is_ours = False
    if not is_ours:
        raise InputError(f"{file}: describes another data set", "nothing is overwritten, name another folder")


def _is_written(phantom: Phantom, place: Path) -> bool:
    """Whether the folder of a case contains exactly this patient."""
    expected = {**dict(zip(MODALITIES, np.rint(phantom.image_czyx), strict=True)), "seg": phantom.label_zyx}
    try:
        found = {name: read_nifti(place / f"{place.name}-{name}.nii.gz") for name in expected}
    except InputError:
        return False
    return all(
        image.grid.same_as(phantom.grid) and np.array_equal(image.frames_tzyx, expected[name][None])
        for name, image in found.items()
    )


def _check_size(shape_zyx: tuple[int, int, int]) -> None:
    if min(shape_zyx) < 16:
        raise ConfigError(
            f"a phantom of {shape_zyx} voxels has no room for a brain", "give 16 along each side at least"
        )
    if np.prod(np.array(shape_zyx, float)) > MAX_VOXELS:
        raise ConfigError(
            f"a phantom of {shape_zyx} voxels is larger than any scan", "give 512 along each side at most"
        )


def _tissue_values(schema: LabelSchema) -> dict[str, int]:
    necrosis = next((lb.value for lb in schema.labels if lb.key in ("NCR", "NETC", "NET")), None)
    edema = next((lb.value for lb in schema.labels if lb.key in ("ED", "SNFH")), None)
    enhancing = next((lb.value for lb in schema.labels if lb.key == "ET"), None)
    if necrosis is None or edema is None or enhancing is None:
        raise ConfigError(
            f"schema {schema.name} does not have the tissues of a phantom (necrosis, edema, enhancing)",
            "choose a schema of gliomas, such as brats-gli-2023",
        )
    return {"edema": edema, "enhancing": enhancing, "necrosis": necrosis}


def _grid(
    shape_zyx: tuple[int, int, int], spacing_mm_zyx: tuple[float, float, float], orientation: str, oblique: float
) -> Grid:
    to_codes = nib.orientations.axcodes2ornt(tuple(orientation))
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for axis, (target, sign) in enumerate(to_codes.astype(int)):
        affine[target, axis] = sign * spacing_mm_zyx[2 - axis]
    turn = Rotation.from_euler("xyz", [oblique, -0.6 * oblique, 0.4 * oblique], degrees=True).as_matrix()
    affine[:3, :3] = turn @ affine[:3, :3]
    middle = (np.array(shape_zyx[::-1]) - 1) / 2
    affine[:3, 3] = -affine[:3, :3] @ middle  # the world's origin is the middle of the brain
    return Grid(shape_zyx, affine)


class _Places:
    """Voxel positions in units of the brain's size: ``ras`` ``(3, z, y, x)``, about -1 to 1 inside the brain."""

    def __init__(self, grid: Grid, rng: np.random.Generator) -> None:
        extent_mm = np.abs(grid.affine_zyx[:3, :3]) @ np.asarray(grid.shape_zyx)  # along R, A, S
        semi_axes_mm = np.asarray(_BRAIN_SEMI_AXES) * extent_mm
        self._affine = grid.affine_zyx[:3] / semi_axes_mm[:, None]
        index = np.indices(grid.shape_zyx, np.float32).reshape(3, -1)
        ras = self._affine[:, :3].astype(np.float32) @ index + self._affine[:, 3:].astype(np.float32)
        self.ras = ras.reshape(3, *grid.shape_zyx)
        self.wander = self.waves(rng, 9.0, 14)

    def waves(self, rng: np.random.Generator, frequency: float, count: int) -> np.ndarray:
        """A smooth random function of the place, about -1 to 1: plane waves of random direction and phase.

        The phase of a plane wave is a sum of one term per axis of the grid, so that the wave is a product of three
        complex exponentials of one axis each, and the sum of all waves is one matrix product.
        """
        directions = rng.normal(size=(count, 3))
        directions *= frequency * rng.uniform(0.5, 1.0, (count, 1)) / np.linalg.norm(directions, axis=1, keepdims=True)
        phase = rng.uniform(0, 2 * np.pi, count) + directions @ self._affine[:, 3]
        shape = self.ras.shape[1:]
        steps = directions @ self._affine[:, :3]  # radians per voxel along z, y and x
        along_z, along_y, along_x = (
            np.exp(1j * np.outer(step, np.arange(side))) for step, side in zip(steps.T, shape, strict=True)
        )
        planes = (along_z * np.exp(1j * phase)[:, None])[:, :, None] * along_y[:, None, :]
        planes = planes.reshape(count, -1).T.astype(np.complex64)
        rows = along_x.astype(np.complex64)
        total = planes.real @ rows.imag + planes.imag @ rows.real  # the imaginary part of the product: a sine
        return total.reshape(shape) / np.float32(np.sqrt(count / 2) * 1.5)

    def distance(self, center: np.ndarray, radii: np.ndarray) -> np.ndarray:
        """Distance from ``center`` where 1 is the ellipsoid of ``radii``."""
        scaled = (self.ras - center[:, None, None, None]) / radii[:, None, None, None]
        return np.sqrt((scaled**2).sum(axis=0))


def _brain(place: _Places, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Signal per modality ``(4, z, y, x)`` of the healthy brain and the mask of its inside."""
    radius = place.distance(np.zeros(3), np.ones(3)) + 0.04 * place.waves(rng, 3.0, 6)
    inside = radius < 1
    folds = 0.09 * place.waves(rng, 22.0, 20)
    cortex = radius + folds > 0.86
    ventricle, cap = np.zeros_like(inside), np.zeros_like(inside)
    for side in (-1, 1):
        center = np.array([0.14 * side, 0.0, 0.12]) + rng.normal(scale=0.015, size=3)
        distance = place.distance(center, np.array([0.09, 0.34, 0.17])) + 0.1 * place.wander
        ventricle |= distance < 1
        cap |= distance < 1.5
    sulcus = (radius + folds > 0.99) & inside
    deep_gray = place.distance(np.array([0.0, 0.05, -0.05]), np.array([0.34, 0.22, 0.2])) + 0.1 * place.wander < 1
    signal = np.empty((4, *inside.shape), np.float32)
    for channel in range(4):
        healthy = np.where(cortex | deep_gray, _SIGNAL["gray"][channel], _SIGNAL["white"][channel])
        healthy = np.where(cap, _SIGNAL["cap"][channel], healthy)
        signal[channel] = np.where(ventricle | sulcus, _SIGNAL["csf"][channel], healthy)
    signal *= 1 + 0.04 * place.waves(rng, 12.0, 10)
    return signal * inside, inside


def _tumor(place: _Places, inside: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Masks of edema, enhancing rim and necrosis: nested, lobed, irregular, somewhere inside the brain."""
    direction = rng.normal(size=3)
    center = direction / np.linalg.norm(direction) * rng.uniform(0.25, 0.5)
    radius = rng.uniform(0.24, 0.4)
    distance = place.distance(center, radius * rng.uniform(0.85, 1.2, 3))
    for _ in range(int(rng.integers(0, 3))):  # lobes
        shift = rng.normal(size=3)
        lobe = center + shift / np.linalg.norm(shift) * radius * rng.uniform(0.6, 0.9)
        distance = np.minimum(distance, place.distance(lobe, radius * rng.uniform(0.5, 0.8) * np.ones(3)))
    edge = distance + 0.16 * place.waves(rng, 11.0, 12)
    edema_edge = distance / rng.uniform(1.3, 1.9) + 0.16 * place.waves(rng, 6.0, 10)
    rim = rng.uniform(0.25, 0.45)
    tumor = (edge < 1) & inside
    necrosis = (edge + 0.12 * place.waves(rng, 16.0, 10) < 1 - rim) & tumor
    return {"edema": (edema_edge < 1) & inside & ~tumor, "enhancing": tumor & ~necrosis, "necrosis": necrosis}


def _scanned(signal: np.ndarray, inside: np.ndarray, place: _Places, rng: np.random.Generator) -> np.ndarray:
    """Scanner effects: slight blur, a bias field, Rician noise, an arbitrary scale per modality."""
    out = np.zeros_like(signal)
    for channel, image in enumerate(signal):
        soft = ndimage.gaussian_filter(image, 0.5)
        bias = 1 + _BIAS * place.waves(rng, 1.5, 5)
        real = soft * bias + rng.normal(scale=_NOISE, size=soft.shape).astype(np.float32)
        imaginary = rng.normal(scale=_NOISE, size=soft.shape).astype(np.float32)
        # At least 1 after rounding: inside the brain nothing is 0, outside everything is.
        scale = rng.uniform(300, 1200)
        out[channel] = np.where(inside, np.maximum(1, scale * np.hypot(real, imaginary)), 0)
    return out


def _write(file: Path, array_zyx: np.ndarray, grid: Grid) -> None:
    image = nib.Nifti1Image(array_zyx.T, grid.affine_xyz)
    image.header.set_xyzt_units("mm")
    with written_aside(file) as aside:
        nib.save(image, aside)
