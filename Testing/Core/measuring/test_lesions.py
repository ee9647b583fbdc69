"""Lesions of drawn label maps and their counterparts."""

import numpy as np
import pytest

from voxmmsd.data.volume import Grid
from voxmmsd.labels import schema_named
from voxmmsd.measuring.lesions import find_lesions, matches
from voxmmsd.measuring.response import BY_DIAMETERS, BY_VOLUME, Response, assessed

SCHEMA = schema_named("brats-gli-2023")
NCR, ED, ET = 1, 2, 3


def grid_of(shape, spacing=1.0, shift=(0, 0, 0)):
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = shift
    return Grid(shape, affine)


def labels(*balls, shape=(40, 60, 60)):
    """Class indices: balls of (center zyx, radius, index), later ones over earlier ones."""
    label = np.zeros(shape, np.uint8)
    places = np.indices(shape)
    for center, radius, index in balls:
        distance = np.sqrt(sum((p - c) ** 2 for p, c in zip(places, center, strict=True)))
        label[distance <= radius] = index
    return label


def lesions(*balls, structure="ET", **where):
    label = labels(*balls)
    return find_lesions(label, SCHEMA, grid_of(label.shape, **where), structure)


def pairs(first, second):
    return matches(first.lesions, first.grid, second.lesions, second.grid)


def test_lesions_come_largest_first_and_specks_are_counted_together():
    found = lesions(((20, 15, 15), 4, ET), ((20, 45, 45), 7, ET), ((5, 5, 50), 2, ET))
    assert [round(lesion.volume_ml, 3) for lesion in found.lesions] == [1.419, 0.257]
    assert (found.small, round(found.small_ml, 3)) == (1, 0.033)
    assert found.volume_ml == pytest.approx(1.709)
    assert found.lesions[0].center_ras_mm == pytest.approx((45, 45, 20))


def test_a_rim_in_pieces_is_one_enhancing_lesion_around_its_necrosis():
    label = labels(((20, 30, 30), 12, ET), ((20, 30, 30), 9, NCR))
    label[:, 28:33, :][label[:, 28:33, :] == ET] = NCR  # a gap cuts the rim into halves
    grid = grid_of(label.shape)
    (lesion,) = find_lesions(label, SCHEMA, grid, "ET").lesions
    assert lesion.diameters.longest.length_mm > 24
    assert lesion.volume_ml == pytest.approx((label == ET).sum() / 1000)


def test_whole_tumor_lesions_hold_all_tissues():
    found = lesions(((20, 30, 30), 12, ED), ((20, 30, 30), 7, ET), structure="WT")
    (lesion,) = found.lesions
    assert lesion.volume_ml == pytest.approx((labels(((20, 30, 30), 12, ED)) > 0).sum() / 1000)


def test_a_lesion_that_grew_or_shrank_is_matched():
    small, large = lesions(((20, 30, 30), 5, ET)), lesions(((20, 31, 30), 11, ET))
    assert pairs(small, large) == pairs(large, small) == [(0, 0)]


def test_a_split_a_merger_a_new_and_a_resolved_lesion_are_told():
    one = lesions(((20, 30, 30), 10, ET))
    two = lesions(((20, 24, 30), 4, ET), ((20, 37, 30), 4.5, ET))
    far = lesions(((20, 10, 10), 5, ET))
    assert pairs(one, two) == [(0, 0), (0, 1)]
    assert pairs(two, one) == [(0, 0), (1, 0)]
    assert pairs(one, far) == []


def test_a_lesion_that_slipped_by_its_size_is_still_the_same_unless_another_one_has_its_place():
    before, after = lesions(((20, 30, 20), 3, ET)), lesions(((20, 30, 30), 3, ET))
    assert pairs(before, after) == [(0, 0)]  # a gap of 4 mm
    both = lesions(((20, 30, 20), 3, ET), ((20, 30, 30), 3.2, ET))
    assert [both.lesions[b].center_ras_mm[0] for _, b in pairs(before, both)] == [20]


@pytest.mark.parametrize(("axis", "gap", "found"), [(0, 0, [(0, 0)]), (0, 1, []), (1, 5, [(0, 0)]), (1, 6, [])])
def test_the_gap_of_lesions_is_that_of_their_surfaces(axis, gap, found):
    """Slices of 6 mm, pixels of 1 mm: in slices side by side lesions touch, and are 6 mm apart with one between."""
    grid = Grid((20, 60, 60), np.diag([1.0, 1.0, 6.0, 1.0]))
    before, after = np.zeros((2, *grid.shape_zyx), np.uint8)
    place = [slice(4, 6), slice(20, 32), slice(20, 32)]
    before[tuple(place)] = ET
    start = place[axis].stop + gap
    place[axis] = slice(start, start + 2)
    after[tuple(place)] = ET
    assert pairs(*(find_lesions(label, SCHEMA, grid, "ET") for label in (before, after))) == found


def test_lesions_are_matched_in_the_world_whatever_the_grids():
    first = lesions(((20, 30, 30), 8, ET))
    label = labels(((15, 15, 15), 4, ET), shape=(30, 30, 30))
    second = find_lesions(label, SCHEMA, grid_of(label.shape, 2.0, (0, 0, -10)), "ET")  # center at 30, 30, 20 mm
    assert pairs(first, second) == [(0, 0)]
    apart = find_lesions(label, SCHEMA, grid_of(label.shape, 2.0, (0, 40, -10)), "ET")
    assert pairs(first, apart) == []


def categories(sizes, thresholds, gone=(), new=(), traces=()):
    asked = [[visit in each for visit in range(len(sizes))] for each in (gone, new, traces)]
    found = assessed(sizes, thresholds, gone=asked[0], new=asked[1], traces=asked[2])
    return [str(one.response) for one in found]


@pytest.mark.parametrize(
    ("sizes", "by_diameters", "by_volume"),
    [
        ([100, 50], "PR", "SD"),
        ([100, 50.1], "SD", "SD"),
        ([100, 35], "PR", "PR"),
        ([100, 35.1], "PR", "SD"),
        ([100, 124.9], "SD", "SD"),
        ([100, 125], "PD", "SD"),
        ([100, 139.9], "PD", "SD"),
        ([100, 140], "PD", "PD"),
    ],
)
def test_the_limits_of_the_categories_belong_to_response_and_progression(sizes, by_diameters, by_volume):
    assert categories(sizes, BY_DIAMETERS) == [by_diameters]
    assert categories(sizes, BY_VOLUME) == [by_volume]


def test_progression_is_against_the_least_so_far_and_comes_before_a_response():
    assert categories([100, 30, 40], BY_DIAMETERS) == ["PR", "PD"]
    assert categories([100, 30, 37], BY_DIAMETERS) == ["PR", "PR"]


def test_a_new_measurable_lesion_is_progression_whatever_else_shrank():
    assert categories([100, 20], BY_DIAMETERS, new=[1]) == ["PD"]


def test_what_is_gone_is_a_complete_response_and_what_comes_back_is_progression():
    assert categories([100, 0, 8], BY_DIAMETERS, gone=[1]) == ["CR", "PD"]
    assert categories([100, 0, 8], BY_VOLUME, gone=[1]) == ["CR", "PD"]


def test_small_pieces_that_are_left_are_neither_a_complete_response_nor_progression():
    assert categories([100, 0.05], BY_VOLUME, traces=[1]) == ["PR"]
    assert categories([100, 0], BY_DIAMETERS, traces=[1]) == ["PR"]
    assert categories([100, 0, 0.05, 0.09], BY_VOLUME, gone=[1], traces=[2, 3]) == ["CR", "PR", "PR"]
    assert categories([0.15, 0.09], BY_VOLUME, traces=[1]) == ["SD"]


def test_what_grows_again_from_small_pieces_was_never_gone():
    assert categories([900, 0, 30], BY_DIAMETERS, traces=[1]) == ["PR", "PR"]
    assert categories([900, 400, 0, 490, 510], BY_DIAMETERS, traces=[2]) == ["PR", "PR", "SD", "PD"]
    assert categories([900, 0, 0, 30], BY_DIAMETERS, gone=[1], traces=[2]) == ["CR", "PR", "PD"]
    _, found = assessed([900, 0, 30], BY_DIAMETERS, gone=[False] * 3, new=[False] * 3, traces=[False, True, False])
    assert found.from_nadir == found.from_baseline == (30 - 900) / 900


def test_without_anything_measurable_at_the_first_visit_nothing_is_told():
    (found,) = assessed([0, 0], BY_DIAMETERS, gone=[False, False], new=[False, False])
    assert found.response == Response.UNKNOWN
    assert found.from_baseline is None
