"""Checking a folder: a bad case never stops the others, and the last lines sum up."""

import json

import nibabel as nib
import numpy as np
import pytest
from hard_places import CASE, OTHER, Place, pristine

from voxmmsd.cli import main
from voxmmsd.preflight import many


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return pristine(tmp_path_factory.mktemp("pristine"))


@pytest.fixture
def place(source, tmp_path):
    place = Place.copied(source, tmp_path)
    place.other()
    return place


def test_an_image_without_a_voxel_above_0_is_checked(place, capsys):
    place.save(lambda voxels: -np.abs(voxels.astype(np.float32)) - np.arange(24, dtype=np.float32))
    main(["check", str(place.cases)])
    said = capsys.readouterr()
    assert "internal fault" not in said.out + said.err and OTHER in said.out


def test_a_fault_in_one_case_is_its_finding(place, capsys, monkeypatch):
    real = many.check_case

    def check(case, **options):
        if case.id == CASE:
            raise RuntimeError("of ours")
        return real(case, **options)

    monkeypatch.setattr(many, "check_case", check)
    assert main(["check", str(place.cases)]) == 2
    said = capsys.readouterr().out
    assert "blocking: internal fault: RuntimeError: of ours" in said and f"{OTHER}:" in said and "1 refused" in said


def test_what_to_do_is_said_once_for_a_kind_of_warning(place, capsys):
    for case_id in (CASE, OTHER):
        file = place.cases / case_id / f"{case_id}-t2f.nii.gz"
        image = nib.load(file)
        image.header["pixdim"][3] = 1
        nib.save(nib.Nifti1Image(np.asarray(image.dataobj)[..., ::4], image.affine @ np.diag([1, 1, 4, 1])), file)
    assert main(["check", str(place.cases)]) == 0
    said = capsys.readouterr().out
    assert said.count("prefer a 3-D acquisition") == 1 and said.count("thick-slices in 2 cases") == 1


def test_check_prints_a_record_for_programs(place, capsys):
    assert main(["check", str(place.cases), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert [one["case"] for one in record["cases"]] == [CASE, OTHER]
    assert {"state", "findings"} <= set(record["cases"][0])


def test_cases_prints_a_record_for_programs(place, capsys):
    assert main(["cases", str(place.cases), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert [one["id"] for one in record["cases"]] == [CASE, OTHER] and record["cases"][0]["t1c"].endswith("t1c.nii.gz")
