"""Rigid registration of the modalities of a case to one of them; only affines are corrected, voxels are unchanged.

SimpleITK maximizes the mutual information of Mattes et al. (IEEE TMI 22, 2003), coarse to fine. A correction is
accepted only if it improves mutual information sufficiently: see ``MIN_GAIN`` and ``MIN_SHIFT_MM``.

Register heads, not brains: images stripped with one mask share its outline, which prevents a correction. A shift of a
few millimeters within the outline is detected by ``preflight`` but not corrected here. Mutual information of the inside
alone was tried, and was off by 10 mm for pairs of sequences that have little of it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from voxmmsd.data.formats.itk import simpleitk
from voxmmsd.data.volume import Grid, Volume, resample
from voxmmsd.errors import InputError

SPACING_MM = 2.0
COARSE, FINE = ((4,), (4.0,)), ((2, 1), (2.0, 1.0))  # shrink factors and smoothing in mm of each level
SAMPLES = 60_000  # voxels looked at in each step
BINS, ITERATIONS, MIN_STEP = 40, 100, 1e-3
MIN_GAIN = 0.01  # of mutual information
MIN_SHIFT_MM = 1.0  # at the farthest place in the head: less is not worth an interpolation
_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Alignment:
    """The result of registering one modality to the reference.

    ``correction``: 4x4, RAS mm to RAS mm, applied after the affine of the modality; the identity if not ``accepted``.
    ``before`` and ``after``: mutual information before and after registration, higher is better. ``shift_mm``: largest
    displacement within the head.
    """

    modality: str
    accepted: bool
    correction: np.ndarray
    before: float
    after: float
    shift_mm: float

    def text(self) -> str:
        """One line for people."""
        change = f"mutual information {self.before:.3f} to {self.after:.3f}"
        if self.accepted:
            return f"{self.modality} was moved by up to {self.shift_mm:.1f} mm onto the reference ({change})"
        return (
            f"{self.modality} stays where it is: moving it by up to {self.shift_mm:.1f} mm gains too little ({change})"
        )

    def record(self) -> dict[str, object]:
        """For a result's record."""
        return {**asdict(self), "correction": self.correction.round(6).tolist()}

    def grid(self, grid: Grid) -> Grid:
        """The modality's grid, corrected."""
        return Grid(grid.shape_zyx, self.correction @ grid.affine_xyz)


def align(modality: str, moving: Volume, fixed: Volume) -> Alignment:
    """Register one ``(z, y, x)`` volume to another: a rotation and a shift.

    Raises:
        InputError: the registration fails, for example without overlap.
        MissingDependencyError: SimpleITK is not installed.
    """
    sitk = simpleitk("--align")
    fixed_image, moving_image = (_itk_image(sitk, _evened(volume)) for volume in (fixed, moving))
    start = sitk.Euler3DTransform()
    start.SetCenter(_center(fixed_image, sitk))
    try:
        before = _information(sitk, fixed_image, moving_image, start)
        found, after = _best(sitk, fixed_image, moving_image, start)
    except RuntimeError as error:
        raise InputError(
            f"{modality}: cannot be aligned to the reference ({str(error).strip().splitlines()[-1]})",
            "check that both are of one head, or leave it out",
        ) from error
    correction = np.linalg.inv(_LPS @ _matrix(found) @ _LPS)
    shift = _farthest_mm(correction, moving)
    accepted = after - before >= MIN_GAIN and shift >= MIN_SHIFT_MM
    return Alignment(modality, accepted, correction if accepted else np.eye(4), before, after, shift)


def _best(sitk: Any, fixed: Any, moving: Any, start: Any) -> tuple[Any, float]:
    """Coarse registration from two starts (as given, and with matched centers of mass), fine from the better."""
    centered = sitk.Euler3DTransform(start)
    centered.SetTranslation(np.subtract(_center(moving, sitk), _center(fixed, sitk)).tolist())
    found = {}
    for begin in (start, centered):
        if _information(sitk, fixed, moving, begin) or begin is centered:
            _method(sitk, fixed, begin, *COARSE).Execute(fixed, moving)
            found[_information(sitk, fixed, moving, begin)] = begin
    best = found[max(found)]
    _method(sitk, fixed, best, *FINE).Execute(fixed, moving)
    return best, _information(sitk, fixed, moving, best)


def _method(sitk: Any, fixed: Any, transform: Any, shrink: tuple[int, ...], smooth_mm: tuple[float, ...]) -> Any:
    """A registration that changes ``transform`` itself."""
    voxels = fixed.GetNumberOfPixels()
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(BINS)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentagePerLevel([min(1.0, SAMPLES * by**3 / voxels) for by in shrink], seed=1)
    method.SetInterpolator(sitk.sitkLinear)
    # The gradient of mutual information is small everywhere: the default tolerance ends a registration half way.
    method.SetOptimizerAsRegularStepGradientDescent(2.0, MIN_STEP, ITERATIONS, 0.6, gradientMagnitudeTolerance=1e-7)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel(shrink)
    method.SetSmoothingSigmasPerLevel(smooth_mm)
    method.SetInitialTransform(transform, inPlace=True)
    return method


def _information(sitk: Any, fixed: Any, moving: Any, transform: Any) -> float:
    """Mutual information over all voxels; 0 if the images do not overlap."""
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(BINS)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetInitialTransform(transform)
    try:
        return -float(method.MetricEvaluate(fixed, moving))
    except RuntimeError as error:
        if "valid points" in str(error) or "outside" in str(error):
            return 0.0
        raise


def _evened(volume: Volume) -> Volume:
    """Isotropic, from 0 to 1, without the few brightest voxels' weight."""
    coarse = resample(Volume(volume.array.astype(np.float32), volume.grid), volume.grid.with_spacing(SPACING_MM))
    inside = coarse.array[coarse.array > 0]
    top = np.percentile(inside, 99.5) if inside.size else 1.0
    return Volume(np.clip(coarse.array / max(float(top), 1e-6), 0, 1).astype(np.float32), coarse.grid)


def _itk_image(sitk: Any, volume: Volume) -> Any:
    image = sitk.GetImageFromArray(volume.array)
    affine = _LPS @ volume.grid.affine_xyz
    spacing = np.asarray(volume.grid.spacing_mm_zyx[::-1])
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    image.SetDirection((affine[:3, :3] / spacing).ravel().tolist())
    return image


def _center(image: Any, sitk: Any) -> list[float]:
    """Center of mass in LPS mm."""
    array = sitk.GetArrayViewFromImage(image)
    total = float(array.sum()) or 1.0
    index = [float((array.sum(axis=tuple(b for b in range(3) if b != a)) * np.arange(n)).sum()) / total
             for a, n in enumerate(array.shape)]  # fmt: skip
    return list(image.TransformContinuousIndexToPhysicalPoint(index[::-1]))


def _matrix(transform: Any) -> np.ndarray:
    """4x4 of an Euler transform, LPS mm to LPS mm."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(transform.GetMatrix()).reshape(3, 3)
    matrix[:3, 3] = transform.TransformPoint((0.0, 0.0, 0.0))
    return matrix


def _farthest_mm(correction: np.ndarray, volume: Volume) -> float:
    """Largest displacement by ``correction`` in the head, which is everything clearly brighter than air."""
    step = tuple(max(1, n // 32) for n in volume.array.shape)
    sample = volume.array[:: step[0], :: step[1], :: step[2]]
    inside = np.argwhere(sample > 0.1 * np.percentile(sample, 99)) * step
    places = inside @ volume.grid.affine_zyx[:3, :3].T + volume.grid.affine_zyx[:3, 3]
    moved = places @ correction[:3, :3].T + correction[:3, 3]
    return float(np.linalg.norm(moved - places, axis=1).max(initial=0.0))
