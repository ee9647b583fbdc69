"""Removes the smooth brightness that a coil adds to an image: N4 (Tustison et al., IEEE TMI 29, 2010), by SimpleITK."""

from __future__ import annotations

import numpy as np

from voxmmsd.data.formats.itk import reason_of, simpleitk
from voxmmsd.data.volume import Volume
from voxmmsd.errors import InputError

SPACING_MM = 4.0  # the field is smooth: it is found on large voxels
ITERATIONS = (50, 50, 30)


def without_bias_field(volume: Volume, mask_zyx: np.ndarray) -> np.ndarray:
    """The image ``(z, y, x)``, float32, divided by its bias field as found inside the mask; 0 stays 0.

    Raises:
        InputError: N4 fails, for example in a mask of a few voxels.
        MissingDependencyError: SimpleITK is not installed.
    """
    sitk = simpleitk("--n4")
    array = np.maximum(volume.array.astype(np.float32), 0)
    shrink = [max(1, round(SPACING_MM / mm)) for mm in volume.grid.spacing_mm_zyx[::-1]]
    image, inside = sitk.GetImageFromArray(array), sitk.GetImageFromArray((mask_zyx & (array > 0)).astype(np.uint8))
    for each in (image, inside):
        each.SetSpacing(list(volume.grid.spacing_mm_zyx[::-1]))
    corrector = sitk.N4BiasFieldCorrectionImageFilter()
    corrector.SetMaximumNumberOfIterations(ITERATIONS)
    try:
        corrector.Execute(sitk.Shrink(image, shrink), sitk.Shrink(inside, shrink))
        field = sitk.GetArrayFromImage(corrector.GetLogBiasFieldAsImage(image))
    except RuntimeError as error:
        raise InputError(f"the bias field could not be estimated ({reason_of(error)})", "leave --n4 out") from error
    return (array / np.exp(field)).astype(np.float32)
