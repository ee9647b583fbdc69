import csv
import io
import json

import numpy as np

from voxmmsd.data.volume import Grid
from voxmmsd.evaluation.scores import score_case
from voxmmsd.evaluation.tables import csv_text, json_text, score_rows
from voxmmsd.labels import schema_named
from voxmmsd.wording import text_table


def cases(case_id="c1"):
    reference, predicted = np.zeros((2, 6, 6, 6), np.uint8)
    reference[1:4], predicted[1:3] = 2, 2
    grid = Grid((6, 6, 6), np.eye(4))
    return [score_case(case_id, reference, predicted, schema_named("brats-gli-2023"), grid)]


def test_the_table_names_what_is_empty_and_shows_a_dash_for_it():
    text = text_table(score_rows(cases()))
    line = next(line for line in text.splitlines() if line.startswith("c1") and " ET " in line)
    assert "both empty" in line
    assert " - " in line
    assert "0.000" not in line
    assert "- (n=0)" in text


def test_csv_has_full_precision_and_empty_cells_for_what_is_no_number():
    rows = list(csv.DictReader(io.StringIO(csv_text(cases()))))
    by_key = {row["structure"]: row for row in rows}
    assert float(by_key["WT"]["dice"]) == 2 * 72 / (108 + 72)
    assert by_key["ET"]["dice"] == ""
    assert by_key["ET"]["status"] == "both empty"


def test_an_id_cannot_act_as_a_formula_in_a_spreadsheet():
    rows = list(csv.DictReader(io.StringIO(csv_text(cases("=HYPERLINK(1)")))))
    assert rows[0]["case"] == "'=HYPERLINK(1)"


def test_json_has_null_for_what_is_no_number_and_counts_behind_means():
    record = json.loads(json_text(cases(), "brats-gli-2023"))
    assert record["cases"]["c1"]["ET"]["dice"] is None
    assert record["means"]["WT"]["dice"]["cases"] == 1
    assert record["means"]["ET"]["dice"] == {"value": None, "cases": 0}
