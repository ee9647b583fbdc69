import numpy as np
import pytest

from voxmmsd.data.volume import Grid
from voxmmsd.evaluation.calibration import BINS, COVERAGES, Calibration, calibrate, lesion_zone, pooled

GRID = Grid((30, 30, 30), np.eye(4))


def lesion():
    label = np.zeros((30, 30, 30), np.uint8)
    label[14:16, 14:16, 14:16] = 1
    return label


def test_the_zone_reaches_a_centimeter_in_each_direction_and_no_farther():
    zone = lesion_zone(lesion(), GRID)
    assert [zone[14, 14, x] for x in (3, 4, 25, 26)] == [False, True, True, False]
    assert not zone[5, 5, 5], "a ball, not a box"
    thick = lesion_zone(lesion(), Grid((30, 30, 30), np.diag([1.0, 1.0, 5.0, 1.0])))
    assert [thick[z, 14, 14] for z in (11, 12, 17, 18)] == [False, True, True, False]
    assert not thick[12, 11, 14], "10 mm down and 3 mm aside are more than a centimeter"


def test_a_model_as_sure_as_it_is_right_has_no_error_and_a_boastful_one_has():
    rng = np.random.default_rng(0)
    reference = (rng.random((30, 30, 30)) < 0.8).astype(np.uint8)  # label 1 in 80 % of all places
    honest = np.stack([np.full(reference.shape, 0.2), np.full(reference.shape, 0.8)])
    boast = np.stack([np.full(reference.shape, 0.01), np.full(reference.shape, 0.99)])
    assert calibrate(honest, reference, GRID).error == pytest.approx(0.0, abs=0.01)
    assert calibrate(boast, reference, GRID).error == pytest.approx(0.19, abs=0.01)


def test_risk_falls_with_coverage_where_the_model_knows_its_errors():
    reference = np.ones((10, 10, 10), np.uint8)
    sure = np.full((10, 10, 10), 0.9)
    sure[:1] = 0.4  # a tenth is wrong, and the least sure (0.6 for the background)
    found = calibrate(np.stack([1 - sure, sure]), reference, Grid((10, 10, 10), np.eye(4)))
    assert found.risk[-1] == pytest.approx(0.1)
    assert found.risk[COVERAGES.index(0.9)] == 0.0
    assert found.voxels[6] == 100
    assert sum(found.voxels) == 1000


def test_pooling_adds_voxels_and_means_risks_and_survives_json():
    one = Calibration((1.0,) * BINS, (0.5,) * BINS, (1.0,) * BINS, (0.2,) * 20)
    two = Calibration((3.0,) * BINS, (2.5,) * BINS, (2.0,) * BINS, (0.4,) * 20)
    both = pooled([one, two])
    assert (both.voxels[0], both.confidence[0], both.risk[0]) == pytest.approx((4.0, 3.0, 0.3))
    assert both.error == 0.0, "over- and underconfident voxels of one bin cancel, as in any binned error"
    assert Calibration.of(one.record()) == one
    assert pooled([]) is None


def test_a_case_without_tumor_has_no_zone():
    assert calibrate(np.zeros((2, 4, 4, 4)), np.zeros((4, 4, 4), np.uint8), GRID) is None
