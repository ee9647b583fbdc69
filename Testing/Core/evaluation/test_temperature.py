import numpy as np
import pytest

from voxmmsd.data.volume import Grid
from voxmmsd.evaluation.calibration import calibrate
from voxmmsd.evaluation.temperature import NearLesion, fit_temperature, tempered

GRID = Grid((20, 20, 20), np.diag([5.0, 5.0, 5.0, 1.0]))


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=0))
    return (powers / powers.sum(axis=0)).astype(np.float32)


def case(seed, sharpness):
    """Three classes drawn from the softmax of random logits; the network says these times ``sharpness``."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (3, 20, 20, 20))
    edges = softmax(logits).cumsum(axis=0)
    truth = (rng.random((20, 20, 20)) > edges[:2]).sum(axis=0).astype(np.uint8)
    return softmax(sharpness * logits), truth


def test_the_fitted_temperature_is_the_factor_by_which_logits_are_too_large():
    for sharpness in (0.5, 1.0, 2.5):
        zones = {f"c{seed}": NearLesion.of(*case(seed, sharpness), GRID) for seed in range(3)}
        found = fit_temperature(zones)
        assert found["temperature"] == pytest.approx(sharpness, rel=0.05)
        assert found["cases"] == ["c0", "c1", "c2"]
        assert found["error_after"] < 0.02
    assert found["error_before"] > 0.1


def test_temper_by_hand_and_the_most_probable_class_stays():
    probabilities = np.array([[0.8, 0.2], [0.2, 0.8]], np.float32)
    np.testing.assert_allclose(tempered(probabilities, 2.0)[0], [2 / 3, 1 / 3], rtol=1e-6)
    assert tempered(probabilities, 1.0) is probabilities
    many = softmax(np.random.default_rng(0).normal(0, 4, (4, 500)))
    for temperature in (0.3, 1.7, 8.0):
        changed = tempered(many, temperature)
        np.testing.assert_allclose(changed.sum(axis=0), 1, rtol=1e-5)
        assert np.array_equal(changed.argmax(axis=0), many.argmax(axis=0))
        np.testing.assert_allclose(changed, softmax(np.log(many) / temperature), rtol=1e-4, atol=1e-6)


def test_certain_voxels_stay_certain():
    assert tempered(np.array([[1.0], [0.0]], np.float32), 3.0).tolist() == [[1.0], [0.0]]


def test_the_error_is_that_of_the_whole_calibration():
    probabilities, truth = case(0, 2.0)
    zone = NearLesion.of(probabilities, truth, GRID)
    assert zone.calibration(1.0).error == pytest.approx(calibrate(probabilities, truth, GRID).error, abs=1e-3)
    cooler = calibrate(tempered(probabilities, 2.0), truth, GRID).error
    assert zone.calibration(2.0).error == pytest.approx(cooler, abs=1e-3)


def test_a_case_without_a_lesion_says_nothing():
    assert NearLesion.of(case(0, 1.0)[0], np.zeros((20, 20, 20), np.uint8), GRID) is None
