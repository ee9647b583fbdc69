"""The benchmark of false alarms: whole brains with and without a tumor."""

import json
import sys

import nibabel as nib
import numpy as np
import pytest
from toy_models import toy_package

from benchmarks import false_alarms
from voxmmsd.data.cases import find_cases
from voxmmsd.data.reading import read_case
from voxmmsd.phantom import write_phantoms


@pytest.fixture(scope="module")
def patients(tmp_path_factory):
    """Two patients; the first's tumor keeps to one side, the second's does not."""
    folder = tmp_path_factory.mktemp("patients")
    for number, patient in enumerate(write_phantoms(folder, 2, seed=0, side=32)):
        (file,) = patient.glob("*-seg.nii.gz")
        stored = nib.load(file)
        label = np.zeros(stored.shape, np.uint8)
        label[8 : 10 if number == 0 else 24, 14:18, 14:18] = 1
        nib.save(nib.Nifti1Image(label, stored.affine), file)
    return folder


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return toy_package(tmp_path_factory.mktemp("models") / "toy").folder


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["false_alarms", *map(str, arguments)])
    false_alarms.main()


def test_each_case_is_seen_with_its_tumor_and_as_a_mirrored_half_and_only_once(
    patients, package, tmp_path, monkeypatch, capsys
):
    out = tmp_path / "out.jsonl"
    run(monkeypatch, patients, "--model", package, "--out", out)
    records = [json.loads(line) for line in out.read_text().splitlines()]
    first, second = (case.id for case in find_cases(patients).cases)
    assert [(record["case"], record["kind"]) for record in records] == [
        (first, "tumor"), (first, "mirrored half"), (second, "tumor"),
    ]  # fmt: skip
    assert all(record["brain_ml"] > 1 and record["withheld"] == record["doubtful"] == [] for record in records)
    assert capsys.readouterr().out.count("tumor") >= 1

    monkeypatch.setattr(false_alarms, "predict", lambda *_: pytest.fail("computed again"))
    monkeypatch.setattr(false_alarms, "mirrored", lambda *_: None)
    run(monkeypatch, patients, "--model", package, "--out", out)
    run(monkeypatch, "--table", out)
    assert "mirrored half" in capsys.readouterr().out
    assert out.read_text().splitlines() == [json.dumps(record) for record in records]


def test_brains_without_a_tumor_need_no_label_and_a_phantom_no_folder(patients, package, tmp_path, monkeypatch):
    out = tmp_path / "out.jsonl"
    monkeypatch.setattr(false_alarms, "_SIDE", 32)
    run(monkeypatch, patients, "--model", package, "--out", out, "--without-tumor", "--phantoms", 1)
    kinds = [json.loads(line)["kind"] for line in out.read_text().splitlines()]
    assert kinds == ["without tumor", "without tumor", "phantom without tumor"]


def test_a_modality_that_is_left_out_is_missing(patients):
    whole = read_case(find_cases(patients).cases[0], with_label=False)
    there = false_alarms.without(whole, ["t1c"])
    assert there.case.missing == ("t1c",) and there.present == (True, False, True, True)
    assert not there.image.array[1].any() and whole.image.array[1].any()


def test_the_table_counts_findings_and_gives_the_span_of_what_makes_a_tumor_sure():
    def record(ml, probability, core, **found):
        largest = {"ml": ml, "probability": probability, "core": core}
        extent = {"tumor_ml": ml, "brain_ml": 1000.0, "components": 1, "outside": 0.0}
        return {"case": "a", "kind": "tumor", **extent, "largest": largest, "withheld": [], "doubtful": [], **found}

    few = [record(40.0, 0.9, 0.99), record(60.0, 0.95, None), record(500.0, 0.8, 0.7, withheld=["tumor-share"])]
    row = false_alarms.table([*few, record(0.0, 0.0, None, doubtful=["maybe-no-tumor"])]).splitlines()[-1]
    assert " ".join(row.split()) == "tumor 4 1 1 50, 500 0.500 1 0.800 to 0.950 0.700 to 0.990"
