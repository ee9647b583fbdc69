import numpy as np
import pytest

from voxmmsd.data.volume import Grid
from voxmmsd.evaluation.temperature import tempered
from voxmmsd.inference.presence import LargestPart, largest_part
from voxmmsd.inference.uncertainty import DOUBTFUL, box_in_doubt, entropy, uncertain_regions
from voxmmsd.labels import schema_named

SCHEMA = schema_named("brats-gli-2023")  # background, NCR, ED, ET
AFFINE = np.array([[-1.0, 0, 0, 50], [0, -1.0, 0, 60], [0, 0, 2.0, -30], [0, 0, 0, 1]])
GRID = Grid((24, 24, 24), AFFINE)


def sure(shape=(24, 24, 24)):
    probabilities = np.zeros((4, *shape), np.float32)
    probabilities[0] = 1
    return probabilities


def put(probabilities, box, **classes):
    names = {"background": 0, "NCR": 1, "ED": 2, "ET": 3}
    probabilities[(slice(None), *box)] = 0
    for name, value in classes.items():
        probabilities[(names[name], *box)] = value


def test_entropy_is_0_where_it_is_sure_and_1_where_it_knows_nothing():
    probabilities = sure((2, 2, 2))
    probabilities[:, 1, 1, 1] = 0.25
    probabilities[:2, 0, 0, 1] = 0.5
    found = entropy(probabilities)
    assert found[0, 0, 0] == 0
    assert found[1, 1, 1] == pytest.approx(1)
    assert found[0, 0, 1] == pytest.approx(0.5)


def test_places_come_in_the_order_of_what_they_would_change_with_position_size_and_labels():
    probabilities = sure()
    small, large = (slice(2, 6),) * 3, (slice(10, 18), slice(10, 16), slice(10, 16))
    put(probabilities, small, ED=0.5, background=0.5)
    put(probabilities, large, ET=0.6, NCR=0.4)
    first, second = uncertain_regions(probabilities, SCHEMA, GRID)
    # Whether it is ET or NCR changes ET alone; 0.4 of each of 288 voxels of 2 mm^3.
    assert first.labels == ("ET", "NCR")
    assert first.effect_ml == pytest.approx({"WT": 0, "TC": 0, "ET": 0.4 * 288 * 0.002}, abs=1e-6)
    assert first.size_ml == pytest.approx(288 * 0.002)
    assert second.labels in (("ED", "background"), ("background", "ED"))
    assert second.effect_ml["WT"] == pytest.approx(0.5 * 64 * 0.002)
    x, y, z = first.position_ras_mm
    index = np.linalg.inv(AFFINE) @ (x, y, z, 1)
    assert all(10 <= value < stop for value, stop in zip(index[:3], (16, 16, 18), strict=True))
    assert first.record()["labels"] == ("ET", "NCR")


def test_the_position_of_a_place_is_inside_it_though_a_more_doubtful_one_lies_in_its_box():
    probabilities = sure()
    put(probabilities, (slice(2, 16), slice(2, 16), slice(2, 6)), ED=0.2, background=0.8)
    put(probabilities, (slice(2, 6), slice(2, 16), slice(2, 16)), ED=0.2, background=0.8)
    put(probabilities, (slice(11, 14), slice(5, 9), slice(11, 14)), ET=0.5, background=0.5)  # in the angle of the two
    found = uncertain_regions(probabilities, SCHEMA, GRID)
    assert len(found) == 2
    for place in found:
        x, y, z = np.rint((np.linalg.inv(AFFINE) @ (*place.position_ras_mm, 1))[:3]).astype(int)
        assert probabilities[3 if "ET" in place.labels else 2, z, y, x] > 0


def test_the_thin_doubt_of_every_border_is_not_a_place():
    probabilities = sure()
    put(probabilities, (slice(6, 16),) * 3, ED=0.5, background=0.5)
    put(probabilities, (slice(7, 15),) * 3, ED=1.0)
    assert uncertain_regions(probabilities, SCHEMA, GRID) == ()


def test_specks_are_left_out_and_the_list_has_an_end():
    probabilities = sure()
    for z in range(0, 24, 4):
        for y in range(0, 24, 4):
            put(probabilities, (slice(z, z + 3), slice(y, y + 3), slice(0, 3)), ED=0.5, background=0.5)
    put(probabilities, (slice(0, 2), slice(0, 2), slice(20, 22)), ED=0.5, background=0.5)
    found = uncertain_regions(probabilities, SCHEMA, GRID, most=5)
    assert len(found) == 5
    assert all(place.size_ml >= 0.05 for place in uncertain_regions(probabilities, SCHEMA, GRID))


def test_a_sure_model_has_nothing_to_look_at():
    assert uncertain_regions(sure(), SCHEMA, GRID) == ()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.7, 4.0])
def test_the_box_in_doubt_holds_all_that_calibrated_probabilities_say_of_a_tumor(temperature):
    rng = np.random.default_rng(0)
    probabilities = sure()
    logits = rng.normal(size=(4, 6, 7, 9)) * 0.2
    logits[0] += np.linspace(0, 12, 9)  # from in doubt to nearly sure
    probabilities[:, 5:11, 8:15, 9:18] = np.exp(logits) / np.exp(logits).sum(axis=0)
    box = box_in_doubt(probabilities, temperature)
    whole, near = tempered(probabilities, temperature), tempered(probabilities[(slice(None), *box)], temperature)
    assert whole[0].size > 2 * near[0].size
    outside = np.ones(GRID.shape_zyx, bool)
    outside[box] = False
    assert not (entropy(whole) > DOUBTFUL)[outside].any() and not probabilities.argmax(axis=0)[outside].any()
    start = [side.start for side in box]
    regions = uncertain_regions(whole, SCHEMA, GRID)
    assert regions and uncertain_regions(near, SCHEMA, GRID, start_zyx=start) == regions


def test_no_probability_is_too_high_to_be_in_doubt_at_a_temperature_that_flattens_all():
    probabilities = sure()
    probabilities[:, 3, 3, 3] = (1 - 3e-7, 1e-7, 1e-7, 1e-7)
    assert entropy(tempered(probabilities, 20.0))[3, 3, 3] > DOUBTFUL
    assert box_in_doubt(probabilities, 20.0) == (slice(0, 24),) * 3


def test_where_all_is_sure_there_is_no_box_and_no_region():
    assert box_in_doubt(sure(), 1.7) is None
    assert uncertain_regions(sure((0, 0, 0)), SCHEMA, GRID) == ()
    assert largest_part(np.zeros((0, 0, 0), np.uint8), sure((0, 0, 0)), 1.0) == LargestPart()
