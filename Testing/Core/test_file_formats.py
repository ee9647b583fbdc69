"""The page of file formats names the keys that the program writes, all of them and no others."""

import dataclasses
import json
import re

import pytest
from conftest import REPOSITORY
from toy_models import toy_package

from voxmmsd.data.store import _OF_A_TRAINING, PreparedCase
from voxmmsd.library.records import CaseRecord, LabelVersion
from voxmmsd.models.decisions import Decision
from voxmmsd.models.package import RECORD
from voxmmsd.offline.contents import Contents
from voxmmsd.runs import open_run
from voxmmsd.runs.events import KINDS

PAGE = (REPOSITORY / "docs" / "file-formats.md").read_text(encoding="utf-8")


def fields(record, *without):
    return {item.name for item in dataclasses.fields(record)} - set(without)


def keys(name):
    """What the first column of a record's table names."""
    table = PAGE[PAGE.index(f"<!-- record: {name} -->") :].split("\n\n")[0]
    return {key for row in table.splitlines()[3:] for key in re.findall(r"`([\w.]+)`", row.split("|")[1])}


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("decision", fields(Decision)),
        ("events", set(KINDS)),
        ("store", {"format"} | fields(PreparedCase, *_OF_A_TRAINING)),
        ("case", {"format"} | fields(CaseRecord)),
        ("label", {"format"} | fields(LabelVersion)),
        ("bundle", fields(Contents)),
    ],
)
def test_the_tables_name_the_fields_of_the_records(name, written):
    assert keys(name) == written


def test_the_table_of_a_model_names_what_a_package_holds(tmp_path):
    record = json.loads((toy_package(tmp_path / "toy").folder / RECORD).read_text(encoding="utf-8"))
    assert keys("model") == set(record)


def test_the_table_of_a_status_names_what_a_run_writes(tmp_path):
    with pytest.raises(ValueError, match="on purpose"), open_run(tmp_path / "run", "prepare", {}, total=1):
        raise ValueError("on purpose")
    assert keys("status") == set(json.loads((tmp_path / "run" / "status.json").read_text(encoding="utf-8")))


def test_the_table_of_a_follow_up_names_what_follow_writes(tmp_path):
    from reporting.made_visits import write_visit

    from voxmmsd.reporting.follow_up import followed
    from voxmmsd.reporting.visits import read_visits

    ids = ["BraTS-GLI-00007-100", "BraTS-GLI-00007-101"]
    files = [write_visit(tmp_path, one, [((15, 5, 8), 9, 3)], spacing_zyx=(4.0, 4.0, 4.0)) for one in ids]
    record = followed(read_visits(files, images=[str(tmp_path / "cases" / one) for one in ids])).record()
    assert keys("follow-up") == set(record)
    table = PAGE[PAGE.index("<!-- record: follow-up -->") :].split("\n\n")[0]
    part = record["lesions"]["ET"][0]["visits"][0]["parts"][0]
    for name in (*record["visits"][1], *record["visits"][1]["rano_by_volume"], *part):
        assert f"`{name}`" in table or name in ("longest", "perpendicular"), name


def test_the_table_of_a_result_names_what_segment_writes(tmp_path):
    from voxmmsd.cli import main

    assert main(["phantom", str(tmp_path / "new"), "--count", "1", "--shape", "32"]) == 0
    model = str(REPOSITORY / "Testing" / "Slicer" / "toy-model.zip")
    out = ["--out", str(tmp_path / "out"), "--model", model, "--engine", "onnx", "--force"]
    assert main(["segment", str(tmp_path / "new"), *out]) == 0
    (record,) = (tmp_path / "out").glob("*-voxmmsd.json")
    assert keys("result") == set(json.loads(record.read_text(encoding="utf-8")))
