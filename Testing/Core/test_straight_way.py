"""The whole way through the command line: cases, preparation, training, segmentation, scores."""

import json

import nibabel as nib
import numpy as np
import pytest

from voxmmsd.cli import main
from voxmmsd.phantom import write_phantoms


def voxmmsd(*words):
    assert main([str(word) for word in words]) == 0, words


def mean_dice(folder, key):
    return json.loads((folder / "scores.json").read_text(encoding="utf-8"))["means"][key]["dice"]["value"]


@pytest.mark.long
def test_a_trained_network_segments_new_patients_far_better_than_an_untrained_one(tmp_path):
    write_phantoms(tmp_path / "patients", 6, seed=0, side=48)
    write_phantoms(tmp_path / "new", 2, seed=1, side=48)
    voxmmsd("prepare", tmp_path / "patients", "--store", tmp_path / "store")
    found = {}
    for name, *rest in (("trained", "--steps", 150), ("untrained", "--steps", 1, "--learning-rate", 0)):
        run, results = tmp_path / name, tmp_path / f"{name}-results"
        voxmmsd("finetune", tmp_path / "store", "--run", run, "--preset", "tiny", "--validate-every", 150, *rest)
        voxmmsd("segment", tmp_path / "new", "--out", results, "--model", run)
        voxmmsd("evaluate", results, tmp_path / "new", "--out", tmp_path / f"{name}-scores")
        found[name] = sum(mean_dice(tmp_path / f"{name}-scores", key) for key in ("WT", "TC", "ET")) / 3
    assert found["trained"] > 0.5
    assert found["trained"] > found["untrained"] + 0.3


@pytest.mark.long
@pytest.mark.real
def test_a_real_case_goes_in_and_a_scored_segmentation_on_its_grid_comes_out(shared_data, tmp_path):
    for number in ("00000", "00002", "00003"):
        case = f"BraTS2021_{number}"
        (tmp_path / "cases").mkdir(exist_ok=True)
        (tmp_path / "cases" / case).symlink_to(shared_data / "brats2021" / case)
    splits = {"pool": ["BraTS2021_00000", "BraTS2021_00002"], "validation": ["BraTS2021_00003"]}
    (tmp_path / "splits.json").write_text(json.dumps(splits))
    run, new, results = tmp_path / "run", tmp_path / "cases" / "BraTS2021_00003", tmp_path / "results"
    voxmmsd("finetune", tmp_path / "cases", "--run", run, "--preset", "tiny", "--splits", tmp_path / "splits.json",
            "--patch", 64, "--steps", 100, "--class-balancing", 0.5, "--validate-every", 100)  # fmt: skip
    voxmmsd("segment", new, "--out", results, "--model", run, "--picture")
    voxmmsd("evaluate", results, new, "--out", tmp_path / "scores")
    reference = nib.load(next(new.glob("*_t1ce.nii.gz")))
    label = nib.load(results / "BraTS2021_00003-voxmmsd.nii.gz")
    np.testing.assert_allclose(label.affine, reference.affine)
    assert label.shape == reference.shape
    assert set(np.unique(label.dataobj)) <= {0, 1, 2, 4}
    assert mean_dice(tmp_path / "scores", "WT") > 0.4
    assert (results / "BraTS2021_00003-voxmmsd.png").stat().st_size > 50_000


@pytest.mark.real
def test_a_case_of_four_different_grids_is_segmented_on_the_grid_of_its_reference(shared_data, tmp_path):
    from toy_models import toy_package

    folder = shared_data / "native" / "TCGA-FG-6692"
    model = toy_package(tmp_path / "toy").folder
    voxmmsd("segment", folder, "--out", tmp_path / "out", "--model", model, "--force")  # its skull is on
    (file,) = (tmp_path / "out").glob("*-voxmmsd.nii.gz")
    reference = nib.load(folder / "T1_post.nii.gz")
    assert nib.load(file).shape == reference.shape
    np.testing.assert_allclose(nib.load(file).affine, reference.affine, atol=1e-4)
