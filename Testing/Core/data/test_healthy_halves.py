"""Brains without a tumor, made of healthy halves."""

import json
import sys
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from benchmarks import healthy_halves
from benchmarks.healthy_halves import mirrored_half, plane_of_symmetry
from voxmmsd.data.cases import find_cases
from voxmmsd.data.splits import read_splits
from voxmmsd.data.store import open_store, prepare_cases
from voxmmsd.phantom import write_phantoms


@pytest.fixture
def brain():
    """Symmetric about x = 9.5, but for a ramp; a tumor in the half of low x."""
    image, label = np.zeros((4, 8, 10, 20), np.uint8), np.zeros((8, 10, 20), np.uint8)
    image[:, 2:6, 2:8, 3:17] = 100 + np.arange(14, dtype=np.uint8)
    label[3:5, 3:6, 4:6] = 1
    return image, label


def test_the_half_with_the_tumor_becomes_the_mirror_image_of_the_other(brain):
    image, label = brain
    assert plane_of_symmetry(image.any(axis=0)) == 9.5
    healthy = mirrored_half(image, label, 2)
    np.testing.assert_array_equal(healthy[..., 10:], image[..., 10:])
    np.testing.assert_array_equal(healthy[..., :10], image[..., 10:][..., ::-1])
    other = mirrored_half(image[..., ::-1], label[..., ::-1], 2)
    np.testing.assert_array_equal(other, healthy[..., ::-1])


def test_a_tumor_near_the_middle_or_on_both_sides_or_none_gives_no_brain(brain):
    image, label = brain
    assert mirrored_half(image, label, 5) is None
    label[3:5, 3:6, 14] = 2
    assert mirrored_half(image, label, 2) is None
    assert mirrored_half(image, np.zeros_like(label), 2) is None


def test_the_brains_are_cases_of_their_patients_among_the_training_cases(tmp_path, monkeypatch, capsys):
    write_phantoms(tmp_path / "in", 2, seed=0, side=32)
    for file in (tmp_path / "in").rglob("*seg.nii.gz"):
        stored = nib.load(file)
        label = np.asarray(stored.dataobj).copy()
        label[12:] = 0
        label[8:10, 14:18, 14:18] = 1
        nib.save(nib.Nifti1Image(label, stored.affine), file)
    prepare_cases(find_cases(tmp_path / "in").cases, tmp_path / "store", workers=1)
    first, second = open_store(tmp_path / "store")
    (tmp_path / "s.json").write_text(json.dumps({"pool": [first.id], "validation": [second.id], "test": []}))
    call = ["healthy_halves", tmp_path / "store", tmp_path / "out", "--splits", tmp_path / "s.json", "--margin-mm", "1"]
    monkeypatch.setattr(sys, "argv", [str(each) for each in call])
    healthy_halves.main()
    assert "1 brains without a tumor, of 1 training cases" in capsys.readouterr().out
    cases = find_cases(tmp_path / "out" / "cases.csv").cases
    assert [(case.id, case.patient_id) for case in cases] == [(f"{first.id}-healthy", first.patient_id)]
    result = prepare_cases(cases, tmp_path / "healthy", replace(first.preprocess), workers=1)
    result.refuse_failures()
    (entry,) = result.entries
    assert entry.has_label and not np.asarray(entry.label()).any()
    splits = read_splits(tmp_path / "out" / "splits.json", [first, second, entry])
    assert (splits.train, splits.validation) == ((first.id, entry.id), (second.id,))
