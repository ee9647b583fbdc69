"""A brain mask where none is given: from a modality that is stripped already, or by a tool made for it.

A small network comes with the package (``data.brain_extraction``). HD-BET (Isensee et al. 2019) and SynthStrip (Hoopes
et al. 2022), which learned from far more heads, are called as programs where they are installed.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from scipy import ndimage

from voxmmsd.data.formats.sources import Source, read_volume
from voxmmsd.data.formats.writing import write_nifti
from voxmmsd.data.strippers import STRIPPERS, Program
from voxmmsd.data.volume import Volume
from voxmmsd.errors import InputError, MissingDependencyError
from voxmmsd.labels import MODALITIES

MAX_BRAIN_ML = 2200.0  # with meninges and a tumor; a head without its neck has 3,000 and more


WORDS = (*MODALITIES, *STRIPPERS)
"""What a brain mask can be asked for by, instead of a file."""


def tissue_ml(volume: Volume) -> float:
    """Volume of what is clearly brighter than air."""
    sample = _sample(volume)
    above = sample[sample > 0]
    bright = np.percentile(above, 90) if above.size else 1.0
    return _sampled_ml(int(np.count_nonzero(above > 0.15 * bright)), volume)


def above_zero_ml(volume: Volume) -> float:
    """Volume of what is above 0: in a stripped image the brain, in others also noise in the air."""
    return float(np.count_nonzero(volume.array > 0) * volume.grid.voxel_volume_ml)


def _sample(volume: Volume) -> np.ndarray:
    return volume.array[tuple(slice(None, None, max(1, n // 96)) for n in volume.array.shape)]


def _sampled_ml(count: int, volume: Volume) -> float:
    """Of so many voxels of the sample."""
    return float(count / _sample(volume).size * volume.array.size * volume.grid.voxel_volume_ml)


def strip(volume: Volume, word: str) -> np.ndarray:
    """Brain mask of a head, bool ``(z, y, x)``, by the program of that name.

    Raises:
        MissingDependencyError: it is not installed.
        InputError: it failed, or found no brain.
    """
    stripper = STRIPPERS[word]
    assert isinstance(stripper, Program)
    command = stripper.command()
    if command is None:
        raise MissingDependencyError(
            f"{stripper.title} is not installed",
            f"{stripper.way}; or give a mask with --brain-mask FILE",
        )
    with TemporaryDirectory(prefix="voxmmsd-") as folder:
        image, out = Path(folder) / "head.nii.gz", Path(folder) / "brain.nii.gz"
        write_nifti(image, volume.array.astype(np.float32), volume.grid)
        done = subprocess.run(
            [*command, *stripper.arguments(image, out)], capture_output=True, encoding="utf-8", errors="replace"
        )
        mask_file = stripper.mask(out)
        if done.returncode or not mask_file.is_file():
            last_line = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()[-1]
            raise InputError(
                f"{stripper.title} made no brain mask (exit code {done.returncode}: {last_line})",
                "try it by hand and give its mask with --brain-mask FILE",
            )
        mask = read_volume(Source(mask_file)).array > 0
    if mask.shape != volume.array.shape or not mask.any():
        raise InputError(f"{stripper.title} found no brain", "give a mask with --brain-mask FILE")
    return mask


def mask_of_stripped(volume: Volume, modality: str) -> np.ndarray:
    """Brain mask, bool ``(z, y, x)``, of an image that is 0 outside the brain; holes are filled.

    Raises:
        InputError: it is not stripped.
    """
    size_ml = above_zero_ml(volume)
    if not 0 < size_ml <= MAX_BRAIN_ML:
        raise InputError(
            f"{modality} is not a brain mask: {size_ml:,.0f} ml of it are above 0, and a brain has at most "
            f"{MAX_BRAIN_ML:,.0f} ml",
            "name a modality that is stripped, or give a mask with --brain-mask FILE",
        )
    return ndimage.binary_fill_holes(volume.array > 0)


def largest_piece(mask_zyx: np.ndarray) -> np.ndarray:
    """The largest connected piece, its holes filled; empty stays empty."""
    pieces, count = ndimage.label(mask_zyx)
    if count > 1:
        sizes = np.bincount(pieces.ravel())
        sizes[0] = 0
        mask_zyx = pieces == sizes.argmax()
    return ndimage.binary_fill_holes(mask_zyx)


def skull_volumes_ml(volumes: Mapping[str, Volume]) -> dict[str, float]:
    """Modality -> ml of tissue, where that is more than a brain has."""
    amounts = {name: tissue_ml(volume) for name, volume in volumes.items() if _may_have_skull(volume)}
    return {name: amount for name, amount in amounts.items() if amount > MAX_BRAIN_ML}


def _may_have_skull(volume: Volume) -> bool:
    """Whether all that is above 0 is more than a brain: nearly always enough to tell, and soon known."""
    return _sampled_ml(int(np.count_nonzero(_sample(volume) > 0)), volume) > MAX_BRAIN_ML
