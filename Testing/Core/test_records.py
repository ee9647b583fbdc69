"""Records on disk as types: what is written is read back, and what earlier versions wrote is understood."""

import json

import pytest

from voxmmsd.errors import InputError
from voxmmsd.records.findings import Finding, Severity
from voxmmsd.records.result import ModelUsed, Refinement, ResultRecord, read_result_record

FINDINGS = (
    Finding(Severity.NOTE, "different-grids", "t2w on another grid", "nothing is to be done", "t2w"),
    Finding(Severity.WARNING, "skull", "t1c; t2w: more tissue than a brain has", "strip it; or give a mask", "t1c"),
)


def test_a_result_record_is_read_as_it_was_written(tmp_path):
    record = ResultRecord(
        "brats-gli-2023", "case-1", {"NCR": 1}, ModelUsed("toy-1", "0.1", "ab"), "onnx", "t1c", {"t1c": "cd"},
        findings=FINDINGS, notes=("computed in windows",), volumes_ml={"WT": 1.5}, seconds=2.0, sha256="ef",
    )  # fmt: skip
    record.write(tmp_path / "r.json")
    assert read_result_record(tmp_path / "r.json") == record
    assert record.warnings == (FINDINGS[1],)
    written = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    assert written["findings"] == [*(finding.line() for finding in FINDINGS), "computed in windows"]


def test_what_refine_did_is_read_as_it_was_written_and_with_what_an_earlier_record_has(tmp_path):
    done = Refinement(2, "ab", ("cd",), "ef", 64, 500, ((0, 12), (2, 3)), ("ET",), 0.9, {"ET": {"added": 1.5}})
    record = ResultRecord("brats-gli-2023", "case-1", sha256="ef", refined=done)
    record.write(tmp_path / "r.json")
    assert read_result_record(tmp_path / "r.json") == record
    old = {"schema": "brats-gli-2023", "refined": {"round": 1, "planes": [[0, 12]], "an_old_key": 1}}
    (tmp_path / "r.json").write_text(json.dumps(old))
    assert read_result_record(tmp_path / "r.json").refined == Refinement(1, planes=((0, 12),))


def test_the_findings_of_an_earlier_record_are_taken_from_its_lines(tmp_path):
    lines = ["warning: t1c: the skull is there; strip it", "note: t2w: nothing much; nothing", "computed in windows"]
    (tmp_path / "r.json").write_text(json.dumps({"schema": "brats-gli-2023", "findings": lines}))
    record = read_result_record(tmp_path / "r.json")
    assert [finding.line() for finding in record.findings] == lines[:2]
    assert record.notes == ("computed in windows",)
    assert [finding.text for finding in record.warnings] == ["t1c: the skull is there"]


def test_a_finding_of_an_earlier_record_keeps_its_remedy():
    record = FINDINGS[1].record()
    record["way_out"] = record.pop("remedy")
    assert Finding.of(record) == FINDINGS[1]


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{}",
        '{"schema": "x", "findings": 3}',
        '{"schema": "x", "model": 3}',
        '{"schema": "x", "refined": {"round": []}}',
        "no",
    ],
)
def test_what_is_no_record_of_a_result_is_refused(tmp_path, text):
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(InputError, match=r"r\.json: is not a result's record .*; segment again"):
        read_result_record(tmp_path / "r.json")
