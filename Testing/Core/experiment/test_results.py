import csv
import io
from dataclasses import replace

import numpy as np
import pytest

from voxmmsd.evaluation.scores import CaseScores, Scores
from voxmmsd.experiment.config import Arm
from voxmmsd.experiment.results import Comparison
from voxmmsd.experiment.scoring import Scored
from voxmmsd.labels import schema_named

SCHEMA = schema_named("brats-gli-2023")


def scored(*dices, reference_ml=(5.0, 0.3), predicted_ml=(4.0, 0.6)):
    """Two cases of equal Dice in all regions; the second has hardly any enhancing tumor."""
    return Scored(
        tuple(
            CaseScores(
                f"c{n}",
                {key: Scores(dice, 2.0, 0.5, 0.5, reference, predicted, "scored") for key in ("WT", "TC", "ET")},
            )
            for n, (dice, reference, predicted) in enumerate(zip(dices, reference_ml, predicted_ml, strict=True))
        ),
        lesionwise=tuple(dict.fromkeys(("WT", "TC", "ET"), dice / 2) for dice in dices),
    )


@pytest.fixture
def comparison():
    return Comparison(
        SCHEMA,
        {
            Arm("scratch", 3, 0): scored(0.5, 0.7),
            Arm("vox-mmsd", 3, 0): scored(0.6, 0.9),
            Arm("scratch", 3, 1): scored(0.4, 0.8),
            Arm("vox-mmsd", 3, 1): scored(0.4, 0.9, predicted_ml=(4.0, 0.2)),
        },
    )


def test_a_hardly_drawn_enhancing_tumor_counts_apart(comparison):
    assert np.isnan(comparison.dice("scratch", 3)[:, 1, 2]).all()
    assert comparison.mean(Arm("scratch", 3, 0)) == pytest.approx((0.6 + 0.6 + 0.5) / 3)
    by_method = {row[1]: row for row in comparison.rows()[1:]}
    assert (by_method["scratch"][6], by_method["vox-mmsd"][6]) == ("1.0", "0.5")


def test_a_region_that_no_patient_has_is_a_dash():
    arms = {Arm(method, 3, 0): scored(0.5, 0.7, reference_ml=(0.1, 0.3)) for method in ("scratch", "vox-mmsd")}
    assert [row[5] for row in Comparison(SCHEMA, arms).rows()[1:]] == ["-", "-"]


def test_the_gain_is_paired_by_draw_and_patient(comparison):
    gain = comparison.gain("vox-mmsd", 3)
    whole = (0.1 + 0.2 + 0.0 + 0.1) / 4
    assert gain.effect == pytest.approx((2 * whole + 0.05) / 3)
    assert gain.draws == (2, 0)
    assert gain.patients == (2, 0)
    row = comparison.rows()[2]
    assert row[:2] == ["3", "vox-mmsd"]
    assert row[7:11] == ["+8.3", row[8], "2:0", "2:0"]
    assert comparison.rows()[1][7:11] == [""] * 4


def test_one_draw_of_one_patient_has_a_dash_for_its_interval():
    one = {
        Arm(method, 3, 0): replace(scored(0.5, dice), patients=("c0", "c0"))
        for method, dice in (("scratch", 0.7), ("vox-mmsd", 0.9))
    }
    row = Comparison(SCHEMA, one).rows()[2]
    assert (row[7:9], row[-1]) == (["+6.7", "-"], "+5.0 (-)")


def test_a_broken_off_draw_is_left_out_of_the_gain(comparison):
    found = {**comparison.found, Arm("scratch", 3, 2): scored(0.0, 0.0)}
    assert Comparison(SCHEMA, found).gain("vox-mmsd", 3) == comparison.gain("vox-mmsd", 3)


def test_tables_hold_every_case_and_every_arm(comparison):
    cases = list(csv.DictReader(io.StringIO(comparison.cases_csv())))
    assert len(cases) == 4 * 2 * 3
    assert cases[0] | {"method": "scratch", "case": "c0", "dice": "0.50000", "status": "scored"} == cases[0]
    assert len(list(csv.DictReader(io.StringIO(comparison.arms_csv())))) == 4


def test_lesion_wise_scores_stand_beside_with_a_gain_of_their_own(comparison):
    rows = comparison.rows()
    dice, gain = (rows[0].index(name) for name in ("lesion-wise", "its gain"))
    assert [row[dice] for row in rows[1:]] == ["0.300", "0.350"]
    assert (rows[1][gain], rows[2][gain][:4]) == ("", "+5.0")
    assert "official rules of brats2023" in " ".join(comparison.notes())
    cases = list(csv.DictReader(io.StringIO(comparison.cases_csv())))
    assert float(cases[0]["lesionwise"]) == 0.25
    assert float(next(csv.DictReader(io.StringIO(comparison.arms_csv())))["lesionwise"]) == 0.3
