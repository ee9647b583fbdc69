"""The report of a case: what it says, what it keeps to itself, what it never overwrites."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from reporting.made_results import write_image, write_result
from reporting.made_visits import turned, visit, write_visit
from toy_models import toy_package

from voxmmsd.cli import main
from voxmmsd.data.volume import Grid, Volume, resample
from voxmmsd.errors import InputError, ModelError
from voxmmsd.models.package import WEIGHTS
from voxmmsd.models.subsets import SUBSETS, subset_key
from voxmmsd.records.findings import Finding, Severity
from voxmmsd.records.result import ModelUsed
from voxmmsd.reporting import case_pdf
from voxmmsd.reporting.case_pdf import pdf_page
from voxmmsd.reporting.case_report import model_info, report_result
from voxmmsd.reporting.contents import made_report, volume_limits
from voxmmsd.reporting.shown import find_result, shown_case

CASE = "BraTS-GLI-00007-100"
# A ball with a rim of 10 mm and a necrosis, in edema, and a smaller lesion.
BALLS = [((15, 5, 8), 16, 2), ((15, 5, 8), 10, 3), ((15, 5, 8), 6, 1), ((-18, -10, 4), 4, 3)]


def shown(root, balls=BALLS, **how):
    file = write_visit(root, CASE, balls, **how)
    return shown_case(find_result(file, str(root / "cases" / CASE)))


def reported(root, **how):
    file = write_visit(root, CASE, BALLS)
    return report_result(file, images=str(root / "cases" / CASE), **how)


def test_the_page_holds_volumes_diameters_model_and_pictures_and_fetches_nothing(tmp_path):
    page, pdf = reported(tmp_path)
    text = page.read_text(encoding="utf-8")
    assert page.name == f"{CASE}-voxmmsd-report.html"
    assert pdf.read_bytes().startswith(b"%PDF-")
    for said in (CASE, "toy-1", "research use only", "Whole tumor (WT)", "Places to check", "Sum of products"):
        assert said in text
    assert text.count("data:image/png;base64,") == 2
    assert not re.search(r'(src|href)="(?!data:)', text)


def test_the_diameters_are_those_of_the_balls_to_within_a_voxel(tmp_path):
    rows = made_report(shown(tmp_path, spacing_zyx=(1.0, 1.0, 1.0)), None).lesions
    (_, _, longest, perpendicular, product, _, measurable), small = rows[1], rows[2]
    assert 20 <= float(longest) <= 22
    assert 20 <= float(perpendicular) <= 22
    assert float(product) == pytest.approx(float(longest) * float(perpendicular), abs=3)
    assert (measurable, small[6]) == ("yes", "no")


def test_no_name_is_shown_unless_one_is_given(tmp_path):
    page, _ = reported(tmp_path)
    assert "Patient" not in page.read_text(encoding="utf-8")
    page, _ = reported(tmp_path, out=tmp_path / "named", patient_name="Doe, <Jane>")
    assert "Doe, &lt;Jane&gt;" in page.read_text(encoding="utf-8")


def test_the_sheet_does_not_show_boxes_for_a_name(monkeypatch):
    case_pdf._families.cache_clear()
    monkeypatch.setattr(case_pdf, "_OF_OTHER_SCRIPTS", ())
    assert [case_pdf._printable(name) for name in ("Müller, Jürgen", "Πέτρος", "Иван", "")] == [
        "Müller, Jürgen", "Πέτρος", "Иван", "",
    ]  # fmt: skip
    assert case_pdf._printable("山田 太郎") == "(its letters are in no installed font: see the HTML page)"
    case_pdf._families.cache_clear()


def test_a_report_is_never_overwritten_and_one_that_was_cut_off_is_written_again(tmp_path):
    page, pdf = reported(tmp_path)
    with pytest.raises(InputError, match="exists already"):
        report_result(tmp_path / "results" / f"{CASE}-voxmmsd.nii.gz", images=str(tmp_path / "cases"))
    pdf.unlink()
    page.write_text("cut off", encoding="utf-8")
    report_result(tmp_path / "results" / f"{CASE}-voxmmsd.nii.gz", images=str(tmp_path / "cases" / CASE))
    assert "cut off" not in page.read_text(encoding="utf-8")
    assert pdf.is_file()


def texts_of(report, case):
    return [text for text in pdf_page(report, case).texts if text.get_text()]


def test_however_much_there_is_to_say_the_page_ends_above_its_edge(tmp_path):
    case = shown(tmp_path, [((x, y, 8), 6, 3) for x in (-20, 0, 20) for y in (-22, -4, 14)])
    place = {"position_ras_mm": [1, 2, 3], "size_ml": 1.0, "labels": ["ET", "NCR"], "effect_ml": {"ET": 0.5}}
    long = [Finding(Severity.WARNING, "x", f"{n}: something that takes many words " * 4, "do it") for n in range(30)]
    case = replace(case, record=replace(case.record, review=(place,) * 12, findings=tuple(long)))
    report = made_report(case, None, "A name")
    found = texts_of(report, case)
    assert min(text.get_position()[1] for text in found) > 0.03
    said = " ".join(text.get_text() for text in found)
    assert "and 4 more: see the page" in said  # lesions
    assert "and 7 more: see the page" in said  # places
    assert re.search(r"and \d+ more: see the page", found[-1].get_text())


@pytest.mark.parametrize("schema", ["brats-gli-2023", "whole-tumor"])
def test_a_case_without_tumor_or_without_its_enhancing_part_is_reported_as_well(schema, tmp_path):
    images, label, grid = visit([])
    if schema == "whole-tumor":
        label[10:20, 20:30, 20:30] = 1
    file = write_result(tmp_path, CASE, images, label, grid, schema)
    page, _ = report_result(file, images=str(tmp_path / "cases" / CASE))
    said = page.read_text(encoding="utf-8")
    assert ("no enhancing tumor, so that no diameter" if schema == "whole-tumor" else "No enhancing lesion") in said


def test_one_modality_is_enough(tmp_path):
    images, label, grid = visit(BALLS)
    file = write_result(tmp_path, CASE, {"t2f": images["t2f"]}, label, grid)
    page, _ = report_result(file, images=str(tmp_path / "cases" / CASE))
    assert "without T1, T1 post-contrast, T2." in page.read_text(encoding="utf-8")


def scored(tmp_path, **scores):
    return toy_package(tmp_path / "toy", scores=scores).info


def test_the_expected_dice_is_that_of_the_card_with_the_modalities_that_there_are(tmp_path):
    table = {subset_key(subset): {"WT": 0.5, "TC": None, "ET": 0.25} for subset in SUBSETS}
    table["t1c+t2f"] = {"WT": 0.8, "TC": 0.6, "ET": 0.4}
    info = scored(tmp_path, subsets={"split": "test", "cases": ["a"] * 12, "created": "", "version": "", "dice": table})
    case = shown(tmp_path)
    report = made_report(case, info)
    rows = {row[0]: row[1:] for row in report.volumes}
    volume = case.volumes_ml["WT"]
    limits = f"{volume / 1.5:.1f}–{volume * 1.5:.1f}"
    assert rows["Whole tumor (WT)"] == [f"{volume:.1f}", "0.80", limits, "not measured"]
    assert rows["Edema (ED)"][1:] == ["", "", "not measured"]
    assert "12 test cases" in report.expectation


def test_the_expected_error_of_a_volume_is_that_of_the_card_with_the_modalities_that_there_are(tmp_path):
    table = {subset_key(subset): {"WT": 0.5, "TC": None, "ET": 0.25} for subset in SUBSETS}
    errors = {"t1c+t2f": {"WT": {"ml": 4.25, "percent": 8.4}, "ET": {"ml": 0.2, "percent": None}}}
    subsets = {"split": "test", "cases": ["a"] * 12, "created": "", "version": "", "dice": table, "volumes": errors}
    report = made_report(shown(tmp_path), scored(tmp_path, subsets=subsets))
    rows = {row[0]: row[-1] for row in report.volumes}
    assert rows["Whole tumor (WT)"] == "4.2 ml, 8 %"
    assert rows["Enhancing tumor (ET)"] == "0.2 ml"
    assert rows["Edema (ED)"] == "not measured"
    assert "half of the cases were farther off" in report.expectation


def test_scores_with_all_modalities_are_not_promised_where_some_are_missing(tmp_path):
    case = shown(tmp_path)
    report = made_report(case, scored(tmp_path, validation={"cases": 1, "regions": {"WT": 0.8}}))
    assert {row[2] for row in report.volumes[1:]} == {""}


def test_the_limits_of_a_volume_are_those_of_two_nested_volumes():
    """8 ml within 12 ml: Dice = 16 / 20."""
    assert volume_limits(8, 0.8)[1] == "12.0"
    assert volume_limits(12, 0.8)[0] == "8.0"
    assert volume_limits(8, 0.0) == volume_limits(8, None) == ("", "")


def test_corrected_labels_are_measured_and_said_to_be_corrected(tmp_path):
    file = write_visit(tmp_path, CASE, BALLS)
    _, label, grid = visit(BALLS)
    changed = np.where(label == 3, 1, label)
    edited = write_image(tmp_path / "edited.nii.gz", changed, grid)
    found = find_result(file, str(tmp_path / "cases" / CASE))
    case = shown_case(found, str(edited))
    report = made_report(case, scored(tmp_path, test={"cases": 3, "regions": {"WT": 0.8}}))
    assert report.lesions == []
    assert {row[2] for row in report.volumes[1:]} == {row[-1] for row in report.volumes[1:]} == {""}
    assert f"{int((label == 3).sum()):,} voxels differ" in " ".join(report.origin)


def test_images_lie_where_the_alignment_put_them(tmp_path):
    """The record's correction is applied, no image is registered again."""
    images, label, grid = visit(BALLS)
    move = turned((3, 0, 5), (6, -4, 2))
    moved = Grid(grid.shape_zyx, np.linalg.inv(move) @ grid.affine_xyz)
    flair = write_image(tmp_path / "cases" / CASE / f"{CASE}-t2f.nii.gz", images["t2f"], moved)
    alignment = {"modality": "t2f", "accepted": True, "correction": move.tolist()}
    file = write_result(tmp_path, CASE, {"t1c": images["t1c"], "t2f": flair}, label, grid, alignment=(alignment,))
    case = shown_case(find_result(file, str(tmp_path / "cases" / CASE)))
    expected = resample(Volume(images["t2f"].astype(np.float32), grid), case.grid).array
    inside = expected > 0
    assert np.abs(case.images["t2f"] - expected)[inside].mean() < 0.02 * expected[inside].mean()


def test_the_model_is_found_by_its_weights_and_another_one_is_refused(tmp_path):
    package = toy_package(tmp_path / "toy")
    images, label, grid = visit(BALLS)
    model = ModelUsed("toy-1", "0.1.0", package.info.files[WEIGHTS])
    file = write_result(tmp_path, CASE, images, label, grid, model=model)
    found = find_result(file, str(tmp_path / "cases" / CASE))
    assert model_info(found, str(package.folder)) == package.info
    assert model_info(found) is None  # not in the registry
    other = toy_package(tmp_path / "other", seed=1)
    with pytest.raises(ModelError, match="has weights that differ"):
        model_info(found, str(other.folder))


def test_segment_writes_reports_and_adds_them_to_results_that_are_there(tmp_path, capsys):
    assert main(["phantom", str(tmp_path / "new"), "--count", "1", "--shape", "32"]) == 0
    model = str(toy_package(tmp_path / "toy").folder)
    call = ["segment", str(tmp_path / "new"), "--out", str(tmp_path / "out"), "--model", model, "--engine", "onnx",
            "--force"]  # fmt: skip
    assert main(call) == 0
    assert list((tmp_path / "out").glob("*report*")) == []
    for _ in range(2):
        assert main([*call, "--report"]) == 0
    written = sorted(file.suffix for file in (tmp_path / "out").glob("*-voxmmsd-report.*"))
    assert written == [".html", ".pdf"]
    capsys.readouterr()
    assert main([*call, "--report", "--json"]) == 0
    json.loads(capsys.readouterr().out)
