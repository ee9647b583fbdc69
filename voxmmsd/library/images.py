"""Images as stored in the library: skull-stripped, without free text in headers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np

from voxmmsd.data.brain_mask import skull_volumes_ml
from voxmmsd.data.volume import Volume, resample
from voxmmsd.errors import LibraryError
from voxmmsd.labels import MODALITIES

MIN_AIR = 0.25  # share of voxels that are exactly 0 around a stripped brain; an ellipsoid's box has 0.48


def brain_only(case_id: str, images: Mapping[str, Volume], mask: Volume | None) -> dict[str, Volume]:
    """Images ``(z, y, x)`` by modality, in the order of MODALITIES, outside ``mask`` 0; without one they must be so.

    Raises:
        LibraryError: no modality or an unknown one, an image that is all 0, or a head whose skull is not stripped.
    """
    if not images or set(images) - set(MODALITIES):
        raise LibraryError(
            f"case {case_id}: has the images {', '.join(images) or 'none'}",
            f"give one or more of {', '.join(MODALITIES)}",
        )
    kept = {}
    for name in MODALITIES:
        if name in images:
            kept[name] = _masked(images[name], mask) if mask is not None else images[name]
            if not kept[name].array.any():
                raise LibraryError(f"case {case_id}: {name} is 0 everywhere inside the brain", "give the right images")
    if mask is None:
        _refuse_a_head(case_id, kept)
    return kept


def image_hash(images: Mapping[str, Volume]) -> str:
    """Hex SHA-256 of the voxels, whatever type they are stored as."""
    digest = hashlib.sha256()
    for name, volume in images.items():
        digest.update(f"{name} {volume.grid.shape_zyx}".encode())
        digest.update(np.ascontiguousarray(volume.array, np.float32).tobytes())
    return digest.hexdigest()


def storable(array_zyx: np.ndarray) -> np.ndarray:
    """In a type that every reader of NIfTI knows."""
    if array_zyx.dtype in (np.uint8, np.int16, np.uint16, np.int32):
        return array_zyx
    if array_zyx.dtype.kind in "iub" and abs(array_zyx).max() < 2**31:
        return array_zyx.astype(np.int32)
    return array_zyx.astype(np.float32)


def _masked(image: Volume, mask: Volume) -> Volume:
    inside = mask if mask.grid.same_as(image.grid) else resample(mask, image.grid, order=0)
    return Volume(np.where(inside.array > 0, image.array, 0).astype(image.array.dtype), image.grid)


def _refuse_a_head(case_id: str, images: Mapping[str, Volume]) -> None:
    heads = [name for name, volume in images.items() if (volume.array == 0).mean() < MIN_AIR]
    seen = skull_volumes_ml(images)
    if heads or seen:
        raise LibraryError(
            f"case {case_id}: the skull seems not to be stripped ({', '.join(heads or images)}), and a head with its "
            "skin shows a face",
            "give its brain mask, or strip the skull first, as HD-BET or SynthStrip do",
        )
