import numpy as np
import pytest
from refine.made_features import ED, ET, ball, grid

from voxmmsd.data.volume import Grid
from voxmmsd.errors import ConfigError, InputError
from voxmmsd.labels import EDITED
from voxmmsd.refine.evidence import Plane, distance_mm, find_evidence, parse_planes, planes_of


def nothing():
    return np.zeros((32, 32, 32), np.uint8)


def with_square(axis, *indices, side=12):
    """Changes in a square of ``side`` voxels in some planes."""
    label = nothing()
    for index in indices:
        Plane(axis, index).of(label)[4 : 4 + side, 4 : 4 + side] = ED
    return label


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_changes_in_a_few_planes_of_any_axis_mean_that_these_planes_were_reviewed(axis):
    evidence = find_evidence(nothing(), [with_square(axis, 9, 20)], grid())
    assert evidence.planes == (Plane(axis, 9), Plane(axis, 20))
    assert evidence.edited == 2 * 12 * 12
    fixed = evidence.fixed_zyx
    assert fixed.sum() == 2 * 32 * 32 and Plane(axis, 9).of(fixed).all()


def test_a_round_dab_is_a_stroke_that_says_nothing_of_the_voxels_beside_it():
    label = nothing()
    label[ball((16, 16, 16), 5)] = ED
    evidence = find_evidence(nothing(), [label], grid())
    assert evidence.planes == () and (evidence.fixed_zyx == (label > 0)).all()


def test_a_dab_in_thick_slices_is_a_stroke_though_it_lies_in_three_of_them():
    changed = with_square(0, 9, 10, 11) > 0
    assert len(planes_of(changed, grid())) == 3
    thick = grid()
    thick.affine_xyz[2, 2] = 5
    thick = type(thick)(thick.shape_zyx, thick.affine_xyz)
    assert planes_of(changed, thick) == ()
    assert planes_of(with_square(0, 9, 10) > 0, thick) == ()  # 10 mm thick and 12 mm wide
    assert len(planes_of(with_square(0, 9) > 0, thick)) == 1


def test_the_distance_from_an_edit_is_in_millimeters_on_whatever_grid():
    thick = Grid((32, 32, 32), np.diag([1.0, 1.0, 3.0, 1.0]))
    mask = nothing() > 0
    mask[10, 16, 16] = True
    away = distance_mm(mask, thick, thick)
    assert (away[12, 16, 16], away[10, 16, 19]) == (6.0, 3.0)
    finer = Grid((32, 32, 32), np.diag([1.0, 1.0, 1.5, 1.0]))
    assert distance_mm(mask, thick, finer)[24, 16, 16] == 6.0
    assert distance_mm(nothing() > 0, thick, thick) is None


def test_the_user_may_say_which_planes_were_reviewed():
    label = with_square(0, 9)
    assert find_evidence(nothing(), [label], grid(), reviewed=()).planes == ()
    assert find_evidence(nothing(), [label], grid(), reviewed=(Plane(1, 3),)).planes == (Plane(1, 3),)


def test_planes_are_named_by_view_and_voxel_index():
    assert parse_planes([], grid()) is None
    assert parse_planes(["strokes"], grid()) == ()
    assert parse_planes(["axial:3", "coronal:5-6"], grid()) == (Plane(0, 3), Plane(1, 5), Plane(1, 6))
    assert parse_planes(["sagittal:0"], grid()) == (Plane(2, 0),)


@pytest.mark.parametrize("text", ["axial", "oblique:3", "axial:32", "axial:6-5", "axial:-1"])
def test_planes_that_cannot_be_are_refused(text):
    with pytest.raises(ConfigError, match=f"--reviewed {text}"):
        parse_planes([text], grid())


def test_no_edit_is_refused():
    with pytest.raises(InputError, match="no edit"):
        find_evidence(nothing(), [nothing()], grid())


def test_two_readers_who_change_a_voxel_to_different_labels_contradict_each_other():
    first, second = with_square(0, 9), with_square(0, 9)
    assert find_evidence(nothing(), [first, second], grid()).edited == 144
    second[9, 4, 4] = ET
    with pytest.raises(InputError, match=r"contradict each other in 1 voxels, the first at \(4, 4, 9\) mm"):
        find_evidence(nothing(), [first, second], grid())


def test_the_edits_of_earlier_rounds_count_on_and_a_later_edit_of_the_same_voxel_wins():
    first = find_evidence(nothing(), [with_square(0, 9)], grid())
    later = first.label_zyx.copy()
    later[9, 4, 4], later[20, 4:16, 4:16] = ET, ED
    second = find_evidence(
        first.label_zyx, [later], grid(), origin_zyx=first.origin_zyx, earlier=first.planes, reviewed=(Plane(0, 20),)
    )
    assert second.planes == (Plane(0, 9), Plane(0, 20))
    assert second.edited == 1 + 144
    assert (second.origin_zyx == EDITED).sum() == 2 * 144
    assert second.label_zyx[9, 4, 4] == ET
