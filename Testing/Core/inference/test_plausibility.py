"""What is implausible is withheld, what is doubtful is said."""

import csv
import json
from types import SimpleNamespace

import numpy as np
import pytest
from hard_places import CASE, OTHER, Place, pristine

from voxmmsd.cli import main
from voxmmsd.inference import outcomes, stages
from voxmmsd.inference.plausibility import Extent, check_extent, check_presence, check_result, extent_of
from voxmmsd.inference.presence import LargestPart, core_of, largest_part
from voxmmsd.labels import schema_named
from voxmmsd.records.findings import BLOCKING, NOTE, WARNING, Finding

A_TUMOR = Extent(110.0, 1550.0, 2, 0.0)
IMPOSSIBLE = Finding(BLOCKING, "tumor-volume", "2,268 ml of tumor", "look at the picture")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return pristine(tmp_path_factory.mktemp("pristine"))


@pytest.fixture
def place(source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Place.copied(source, tmp_path)


def segment(place, *more):
    arguments = ["segment", place.cases, "--out", place.root / "out", "--model", place.model, "--engine", "onnx", *more]
    return main([str(a) for a in arguments])


@pytest.mark.parametrize(
    ("changed", "kinds"),
    [
        ({}, []),
        ({"tumor_ml": 321.0, "brain_ml": 1837.0, "components": 10}, []),
        ({"tumor_ml": 450.0, "brain_ml": 2000.0}, [(WARNING, "tumor-volume")]),
        ({"tumor_ml": 450.0}, [(WARNING, "tumor-volume"), (WARNING, "tumor-share")]),
        ({"tumor_ml": 2268.0, "brain_ml": 4500.0}, [(BLOCKING, "tumor-volume"), (BLOCKING, "tumor-share")]),
        ({"tumor_ml": 8.0, "brain_ml": 10.0, "outside": 0.9, "components": 200}, []),  # no whole brain
        ({"outside": 0.05}, [(WARNING, "tumor-outside")]),
        ({"outside": 0.5}, [(BLOCKING, "tumor-outside")]),
        ({"components": 21}, [(WARNING, "tumor-scattered")]),
        ({"components": 300}, [(BLOCKING, "tumor-scattered")]),
    ],
)
def test_extents_that_no_head_holds_are_findings(changed, kinds):
    found = list(check_extent(Extent(**{**A_TUMOR.__dict__, **changed})))
    assert [(one.severity, one.kind) for one in found] == kinds


def test_an_extent_is_counted_in_ml_components_and_share_outside():
    label, brain = np.zeros((2, 10, 10, 10), np.uint8)
    brain[:, :, :5] = 1
    label[:4, :4, :4], label[8:, 8:, 8:] = 2, 1
    extent = extent_of(label, brain > 0, 0.01)
    assert (extent.tumor_ml, extent.brain_ml) == pytest.approx((0.72, 5.0))
    assert extent.components == 1, "a speck below 0.1 ml does not count"
    assert extent.outside == pytest.approx(8 / 72)


@pytest.mark.parametrize(("dice", "severity"), [(0.0, [BLOCKING]), (0.5, [WARNING]), (0.85, []), (None, [])])
def test_modalities_that_the_card_expects_nothing_of_are_a_finding(dice, severity):
    info = SimpleNamespace(scores={} if dice is None else {"subsets": {"dice": {"t1n": {"WT": dice}}}})
    shape = (2, 2, 2)
    prediction = SimpleNamespace(
        prepared=SimpleNamespace(image_czyx=np.ones((4, *shape)), grid=SimpleNamespace(voxel_volume_ml=1.0)),
        prepared_label_zyx=np.zeros(shape, np.uint8),
        largest_part=LargestPart(),
        package=SimpleNamespace(info=info),
        volumes=SimpleNamespace(case=SimpleNamespace(missing=("t1c", "t2w", "t2f"))),
    )
    found = check_result(prediction)
    assert [one.severity for one in found] == severity
    skull = check_result(prediction, [Finding(WARNING, "skull", "a skull", "give a brain mask")])
    assert skull[0].kind in ("result-of-skull", "result-of-modalities") and skull[0].severity == BLOCKING


@pytest.mark.parametrize(
    ("tumor_ml", "largest", "kinds"),
    [
        (0.0, LargestPart(), ["no-tumor"]),
        (8.5, LargestPart(8.4, 0.77), ["maybe-no-tumor"]),
        (8.5, LargestPart(8.4, 0.92), []),
        (90.0, LargestPart(88.0, 0.77), []),
        (8.5, LargestPart(8.4, 0.77, 0.999), ["maybe-no-tumor"]),
        (30.0, LargestPart(29.0, 0.88, 0.61), ["maybe-no-tumor"]),
        (30.0, LargestPart(29.0, 0.88, 0.999), []),
    ],
)
def test_what_the_model_is_not_sure_of_may_be_no_tumor(tumor_ml, largest, kinds):
    found = list(check_presence(Extent(tumor_ml, 1500.0, 1, 0.0), largest, has_contrast=True))
    assert [one.kind for one in found] == kinds
    assert all(one.severity == (NOTE if one.kind == "no-tumor" else WARNING) for one in found)
    assert list(check_presence(Extent(tumor_ml, 20.0, 1, 0.0), largest, has_contrast=True)) == [], "no whole brain"


def test_without_t1_contrast_no_sure_core_is_asked_for():
    edema = LargestPart(29.0, 0.88, 0.61)
    assert not list(check_presence(Extent(30.0, 1500.0, 1, 0.0), edema, has_contrast=False))


def test_the_largest_part_has_its_volume_and_mean_probability():
    label, found = np.zeros((8, 8, 8), np.uint8), np.zeros((4, 8, 8, 8), np.float32)
    label[:2, :2, :2], label[4:7, 4:7, 4:7] = 1, 2
    found[1, :2, :2, :2] = 1.0  # a smaller part, all core
    found[2, 4:7, 4:7, 4:7] = 0.75
    found[2, 4, 4, 4:6], found[1, 4, 4, 4:6], found[3, 4, 4, 4] = 0.3, 0.25, 0.2
    found[0] = 1 - found[1:].sum(axis=0)
    part = largest_part(label, found, 0.05, core=(1, 3))
    assert (part.ml, part.probability) == pytest.approx((1.35, (25 * 0.75 + 0.75 + 0.55) / 27))
    assert part.core == pytest.approx((0.45 + 0.25) / 2), "0.1 ml are two voxels"
    assert largest_part(label, found, 0.05).core is None
    assert largest_part(np.zeros_like(label), found, 0.05, core=(1, 3)) == LargestPart()


def test_the_core_of_a_schema_is_what_its_region_says():
    assert core_of(schema_named("brats-2021")) == (1, 3)
    assert core_of(schema_named("whole-tumor")) == ()


def test_a_result_that_cannot_be_true_is_withheld_and_forced(place, capsys, monkeypatch):
    monkeypatch.setattr(stages, "check_result", lambda *_: (IMPOSSIBLE,))
    out = place.root / "out"
    assert segment(place) == 3
    said = capsys.readouterr().err
    assert "2,268 ml" in said and "--force" in said and "Traceback" not in said
    record = json.loads((out / f"{CASE}-voxmmsd.json").read_text())
    assert record["withheld"] == [IMPOSSIBLE.line()] and record["sha256"] is None
    assert sorted(file.name for file in out.glob("*.nii.gz")) == []
    assert (out / f"{CASE}-voxmmsd.png").is_file()

    monkeypatch.setattr(stages.Stages, "compute", lambda *_: pytest.fail("computed anew"))
    assert segment(place) == 3
    monkeypatch.undo()

    monkeypatch.chdir(place.root)
    monkeypatch.setattr(stages, "check_result", lambda *_: (IMPOSSIBLE,))
    assert segment(place, "--force") == 0
    record = json.loads((out / f"{CASE}-voxmmsd.json").read_text())
    assert (out / f"{CASE}-voxmmsd.nii.gz").is_file()
    assert record["withheld"] == [] and {IMPOSSIBLE.line(), stages.FORCED} <= set(record["findings"])


def test_a_doubtful_result_is_handed_over_with_its_finding(place, monkeypatch):
    doubtful = Finding(WARNING, "tumor-scattered", "scattered", "look at the picture")
    monkeypatch.setattr(stages, "check_result", lambda *_: (doubtful,))
    assert segment(place) == 0
    record = json.loads((place.root / "out" / f"{CASE}-voxmmsd.json").read_text())
    assert doubtful.line() in record["findings"] and "tumor-scattered" in record["finding_kinds"]


def test_a_fault_in_one_case_is_its_failure_and_the_table_says_so(place, capsys, monkeypatch):
    place.other()
    real = stages.look_first

    def look(volumes, *args, **options):
        if volumes.case.id == CASE:
            raise ZeroDivisionError("of ours")
        return real(volumes, *args, **options)

    monkeypatch.setattr(stages, "look_first", look)
    assert segment(place) == 2
    said = capsys.readouterr().err
    assert "internal fault: ZeroDivisionError" in said
    assert "2 cases: 1 done, 1 failed" in said.replace("doubtful", "done")
    with (place.root / "out" / "volumes.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["case"], row["exit"]) for row in rows] == [(CASE, "2"), (OTHER, "0")]
    assert rows[1]["WT_ml"] and not rows[0]["WT_ml"]


def test_the_table_keeps_the_rows_of_earlier_calls_and_takes_the_new_ones_of_a_case(tmp_path):
    for volumes in ({"a": {"WT": 1.0}, "b": {"WT": 2.0, "ED": 1.5}}, {"b": {"WT": 3.0}, "c": {"RC": 4.0}}):
        outcomes.write_volumes(tmp_path, [outcomes.Outcome(case, "done", found) for case, found in volumes.items()])
    with (tmp_path / "volumes.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == ["case", "state", "exit", "WT_ml", "ED_ml", "RC_ml", "findings", "why"]
    assert [(row["case"], row["WT_ml"], row["RC_ml"]) for row in rows] == [
        ("a", "1", ""),
        ("b", "3", ""),
        ("c", "", "4"),
    ]


def test_a_table_that_is_another_s_is_left_alone(tmp_path):
    (tmp_path / "volumes.csv").write_text("mine,own\n")
    assert outcomes.write_volumes(tmp_path, [outcomes.Outcome("a", "done")]) is None
    assert (tmp_path / "volumes.csv").read_text() == "mine,own\n"
