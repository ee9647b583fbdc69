"""The verb from files to a report: predictions beside labels, official scores, maps, pictures."""

import csv
import json
import re
import shutil

import nibabel as nib
import numpy as np
import pytest

from voxmmsd.cli import main
from voxmmsd.data.cases import find_cases
from voxmmsd.data.formats.sources import read_volume
from voxmmsd.phantom import write_phantoms


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    place = tmp_path_factory.mktemp("evaluate")
    write_phantoms(place / "cases", 3, seed=4, side=32)
    (place / "predictions").mkdir()
    for number, case in enumerate(find_cases(place / "cases").cases):
        image = nib.load(case.label.path)
        label = np.asanyarray(image.dataobj)
        moved = np.roll(label, number, axis=0)
        file = place / "predictions" / f"{case.id}-voxmmsd.nii.gz"
        nib.save(nib.Nifti1Image(moved, image.affine), file)
        for value, key in ((1, "NCR"), (2, "ED"), (3, "ET")):
            likely = np.where(moved == value, 0.8, 0.05).astype(np.float32)
            name = f"{case.id}-voxmmsd-probability-{key}.nii.gz"
            nib.save(nib.Nifti1Image(likely, image.affine), place / "predictions" / name)
    return place


@pytest.fixture(scope="module")
def report(folders):
    arguments = [str(folders / "predictions"), str(folders / "cases"), "--out", str(folders / "out"), "--workers", "1"]
    assert main(["evaluate", *arguments, "--protocol", "brats2023"]) == 0
    return (folders / "out" / "report.html").read_text(encoding="utf-8")


def test_the_report_has_every_part_and_its_pictures(report):
    headings = re.findall("<h2>(.*?)</h2>", report)
    assert headings == [
        "Scores", "Lesion-wise (brats2023)", "Enhancing tumor", "Volumes", "Calibration", "Cases to look at",
        "Every case",
    ]  # fmt: skip
    assert report.count("data:image/png") == 2 + 3
    assert "the worst" in report
    assert "no picture" not in report


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_label_that_cannot_be_read_is_named_and_the_other_cases_are_scored(folders, tmp_path, capsys, workers):
    shutil.copytree(folders / "cases", tmp_path / "cases")
    spoiled = find_cases(tmp_path / "cases").cases[1]
    spoiled.label.path.write_bytes(b"")
    place = [str(folders / "predictions"), str(tmp_path / "cases"), "--out", str(tmp_path / "out")]
    assert main(["evaluate", *place, "--workers", workers]) == 2
    printed = capsys.readouterr()
    assert f"not scored: {spoiled.id}" in printed.out
    (line,) = printed.err.splitlines()
    assert line.startswith(f"voxmmsd: error: case {spoiled.id}: {spoiled.label.path}")
    record = json.loads((tmp_path / "out" / "scores.json").read_text(encoding="utf-8"))
    assert len(record["cases"]) == 2
    assert list(record["failures"]) == [spoiled.id]
    assert f"Not scored: {spoiled.id}" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_the_same_tissues_in_another_order_of_values_are_scored_tissue_by_tissue(folders, tmp_path, capsys):
    """In MSD's labels 1 is edema, which is 2 in those of BraTS 2023."""
    case = find_cases(folders / "cases").cases[0]
    image = nib.load(case.label.path)
    of_msd = np.array([0, 2, 1, 3], np.uint8)[np.asanyarray(image.dataobj).astype(int)]
    nib.save(nib.Nifti1Image(of_msd, image.affine), tmp_path / f"{case.id}-voxmmsd.nii.gz")
    (tmp_path / f"{case.id}-voxmmsd.json").write_text('{"schema": "msd-task01"}', encoding="utf-8")
    assert main(["evaluate", str(tmp_path), str(case.label.path.parent), "--out", str(tmp_path / "out")]) == 0
    with next((tmp_path / "out").glob("*.csv")).open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert {float(row["dice"]) for row in rows if row.get("dice")} == {1.0}


def test_where_no_case_can_be_scored_nothing_is_written(folders, tmp_path, capsys):
    shutil.copytree(folders / "predictions", tmp_path / "predictions")
    for file in (tmp_path / "predictions").glob("*-voxmmsd.nii.gz"):
        file.write_bytes(b"")
    place = [str(tmp_path / "predictions"), str(folders / "cases"), "--out", str(tmp_path / "out")]
    assert main(["evaluate", *place, "--workers", "1"]) == 2
    assert "no case can be scored: case phantom" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_official_scores_of_a_copy_are_perfect_and_of_a_moved_one_less(folders, report):
    rows = list(csv.DictReader((folders / "out" / "lesions.csv").open()))
    whole = [float(row["dice"]) for row in rows if row["structure"] == "WT"]
    assert whole[0] == 1.0
    assert whole[0] > whole[1] > whole[2]
    assert {row["structure"] for row in rows} == {"WT", "TC", "ET"}


def test_processes_give_what_one_gives(folders, report, capsys):
    arguments = ["evaluate", str(folders / "predictions"), str(folders / "cases")]
    assert main([*arguments, "--workers", "1"]) == 0
    alone = capsys.readouterr().out
    assert main([*arguments, "--workers", "2"]) == 0
    assert capsys.readouterr().out == alone


def test_where_images_cannot_be_read_the_report_says_so(folders, tmp_path):
    shutil.copytree(folders / "cases", tmp_path / "cases")
    for case in find_cases(tmp_path / "cases").cases:
        volume = read_volume(case.label)
        image = np.zeros(volume.array.shape[::-1], np.float32)
        for source in case.modalities.values():
            nib.save(nib.Nifti1Image(image, volume.grid.affine_xyz), source.path)
    arguments = [
        str(folders / "predictions"),
        str(tmp_path / "cases"),
        "--out",
        str(tmp_path / "out"),
        "--workers",
        "1",
    ]
    assert main(["evaluate", *arguments]) == 0
    assert "no picture" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
