from dataclasses import replace

import numpy as np
import pytest
from refine.made_features import ED, ET, NCR, SCHEMA, ball, features, grid

from voxmmsd.data.volume import Grid
from voxmmsd.errors import ConfigError, InputError
from voxmmsd.labels import CARRIED, EDITED, PREDICTED, schema_named
from voxmmsd.refine import carry, find_evidence, refine
from voxmmsd.refine.carry import CarrySettings
from voxmmsd.refine.evidence import Plane, distance_mm
from voxmmsd.refine.fitting import FitSettings, draw_samples
from voxmmsd.refine.verb import LOW_AGREEMENT

FEW = CarrySettings(fitting=FitSettings(others=1000))  # as few in these small volumes as there are in a brain
LESION = ball((16, 16, 16), 8)
TRUTH = np.where(LESION, ED, 0).astype(np.uint8)
NOTHING = np.zeros_like(TRUTH)
RC = 4


def missed():
    """The network's features show a lesion that its head calls background."""
    return features(TRUTH, NOTHING)


def one_slice(index=16, before=NOTHING, truth=TRUTH, **more):
    edited = before.copy()
    edited[index] = truth[index]
    return find_evidence(before, [edited], grid(), reviewed=(Plane(0, index),), **more)


def test_one_corrected_slice_is_carried_through_the_lesion():
    refined = refine(missed(), one_slice(), SCHEMA, settings=FEW)
    assert (refined.label_zyx == TRUTH).mean() > 0.999
    assert (refined.label_zyx[LESION] == ED).mean() > 0.99
    assert refined.agreement == 1


def test_the_agreement_is_that_of_the_edited_voxels_alone():
    edited = NOTHING.copy()
    edited[16, 16, 8:24] = ED  # nothing in the images sets these voxels apart
    evidence = find_evidence(NOTHING, [edited], grid(), reviewed=(Plane(0, 16),))
    assert refine(features(NOTHING, NOTHING), evidence, SCHEMA, settings=FEW).agreement == 0


def test_an_edited_voxel_weighs_what_it_takes_of_a_voxel_that_the_network_saw():
    coarse = features(TRUTH[::2, ::2, ::2], NOTHING[::2, ::2, ::2], side=16, spacing=2.0)
    samples = draw_samples(coarse, one_slice(), FEW.fitting)
    edited = int(LESION[16].sum())
    assert samples.edited.sum() == edited
    assert samples.weights[samples.edited].sum() == pytest.approx(edited / 8)


def test_a_distance_that_is_known_already_draws_the_same_voxels():
    evidence, images = one_slice(), missed()
    distance = distance_mm(evidence.edited_zyx, evidence.grid, images.grid)
    drawn, again = (draw_samples(images, evidence, FEW.fitting, known) for known in (None, distance))
    assert (drawn.places_zyx == again.places_zyx).all() and (drawn.weights == again.weights).all()
    near = draw_samples(images, evidence, FEW.fitting, np.full_like(distance, 1.0))
    assert len(near.labels) < len(drawn.labels)  # all others are as near as that


@pytest.mark.parametrize("side", [32, 48])
def test_specks_and_holes_are_cleaned_alike_however_far_the_brain_reaches(side):
    before, label = (np.zeros((side, side, side), np.uint8) for _ in range(2))
    label[4:12, 4:12, 4:12] = ED
    label[8, 8, 8] = 0  # a small hole
    label[20, 20, 20] = ET  # a speck
    space = Grid(label.shape, np.eye(4))
    cleaned = carry._cleaned(label, before, SCHEMA, space, 0.05)
    assert (cleaned[4:12, 4:12, 4:12] == ED).all() and (cleaned > 0).sum() == 8**3
    assert (carry._cleaned(before, before, SCHEMA, space, 0.05) == 0).all()


def test_it_says_who_decided_each_voxel():
    refined = refine(missed(), one_slice(), SCHEMA, settings=FEW)
    assert (refined.origin_zyx[16][LESION[16]] == EDITED).all()
    assert (refined.origin_zyx[16][~LESION[16]] == PREDICTED).all()
    assert (
        (refined.origin_zyx == CARRIED) == ((refined.label_zyx != NOTHING) & (np.arange(32) != 16)[:, None, None])
    ).all()
    assert refined.carried_voxels == (refined.label_zyx > 0).sum() - LESION[16].sum()


def test_edited_voxels_and_reviewed_planes_stay_exactly_even_where_the_images_say_otherwise():
    edited = NOTHING.copy()
    edited[16] = TRUTH[16]
    edited[16, 16, 16] = ET  # nothing looks like it
    evidence = find_evidence(NOTHING, [edited], grid(), reviewed=(Plane(0, 16),))
    assert (refine(missed(), evidence, SCHEMA, settings=FEW).label_zyx[16] == edited[16]).all()


def test_what_was_left_alone_in_a_reviewed_plane_stays_and_beside_a_stroke_it_may_change():
    edited = NOTHING.copy()
    edited[16, 16, 12:21] = ED
    as_plane = refine(
        missed(), find_evidence(NOTHING, [edited], grid(), reviewed=(Plane(0, 16),)), SCHEMA, settings=FEW
    )
    as_stroke = refine(missed(), find_evidence(NOTHING, [edited], grid(), reviewed=()), SCHEMA, settings=FEW)
    assert (as_plane.label_zyx[16] == edited[16]).all()
    assert (as_stroke.label_zyx[16] == ED).sum() > (edited[16] == ED).sum()


def test_strokes_speak_of_the_labels_that_they_replace_alone():
    twin = ball((16, 26, 26), 3)
    look = np.where(twin, ED, TRUTH).astype(np.uint8)
    said = np.where(twin, NCR, 0).astype(np.uint8)  # it looks like what is painted, but the network calls it a core
    edited = said.copy()
    edited[16, 12:21, 12:21] = ED
    evidence = find_evidence(said, [edited], grid(), reviewed=())
    refined = refine(features(look, said), evidence, SCHEMA, settings=FEW)
    assert (refined.label_zyx[LESION] == ED).mean() > 0.9
    assert (refined.label_zyx[twin] == NCR).all()


def test_a_locked_label_loses_and_gains_no_voxel():
    core = ball((16, 16, 16), 4)
    look = np.where(core, ET, TRUTH).astype(np.uint8)
    said = np.where(core, ET, 0).astype(np.uint8)
    changed = look.copy()
    changed[core] = ED  # the reader calls the core edema
    evidence = one_slice(before=said, truth=changed)
    free = refine(features(look, said), evidence, SCHEMA, settings=FEW)
    assert (free.label_zyx == ET).sum() < core.sum() / 2
    locked = refine(features(look, said), evidence, SCHEMA, locked=["ET"], settings=FEW)
    away = np.arange(32) != 16
    assert ((locked.label_zyx == ET)[away] == core[away]).all()
    assert (locked.label_zyx[away] == ED).sum() > 500
    with pytest.raises(ConfigError, match="no such label; its labels are NCR, ED, ET"):
        refine(features(look, said), evidence, SCHEMA, locked=["XY"])


def test_a_tissue_that_the_network_does_not_know_is_learned_from_the_edits_alone():
    cavity = ball((16, 16, 16), 4)
    look = np.where(cavity, NCR, TRUTH).astype(np.uint8)  # it looks like something, and the network calls it edema
    truth = np.where(cavity, RC, TRUTH).astype(np.uint8)
    for surety in (3.0, 12.0):
        evidence = one_slice(before=TRUTH, truth=truth)
        refined = refine(features(look, TRUTH, surety), evidence, schema_named("brats-gli-2024"), settings=FEW)
        assert (refined.label_zyx == truth).mean() > 0.999
        assert (refined.label_zyx[cavity] == RC).mean() > 0.95
    same = refine(missed(), one_slice(), schema_named("brats-gli-2024"), settings=FEW).label_zyx
    assert (same == refine(missed(), one_slice(), SCHEMA, settings=FEW).label_zyx).all()  # unless there is none of it


def test_nothing_changes_beyond_the_farthest_distance_whatever_it_looks_like():
    twin = TRUTH.copy()
    twin[ball((26, 5, 5), 4)] = ED
    near = refine(features(twin, NOTHING), one_slice(10), SCHEMA, settings=replace(FEW, farthest_mm=5))
    rows = np.argwhere(near.origin_zyx == CARRIED)
    edits = np.argwhere(one_slice(10).edited_zyx)
    assert len(rows)
    assert max(np.sqrt(((edits - row) ** 2).sum(axis=1)).min() for row in rows) <= 5


def test_the_farther_from_the_edits_the_surer_it_must_be():
    close = refine(missed(), one_slice(), SCHEMA, settings=replace(FEW, reach_mm=0.2)).carried_voxels
    assert 0 <= close < refine(missed(), one_slice(), SCHEMA, settings=FEW).carried_voxels


def test_specks_fall_back_and_a_small_hole_in_the_tumor_is_filled():
    look = TRUTH.copy()
    look[16, 3, 3] = ED  # one voxel, not in the reviewed plane
    look[20, 16, 16] = 0
    refined = refine(features(look, NOTHING), one_slice(14, truth=look), SCHEMA, settings=FEW)
    assert refined.label_zyx[16, 3, 3] == 0
    assert refined.label_zyx[20, 16, 16] == ED


def test_edits_that_follow_nothing_in_the_images_are_explained_badly():
    edited = NOTHING.copy()
    edited[16][LESION[16]] = np.random.default_rng(0).integers(0, 4, LESION[16].sum())
    evidence = find_evidence(NOTHING, [edited], grid(), reviewed=(Plane(0, 16),))
    assert refine(missed(), evidence, SCHEMA, settings=FEW).agreement < LOW_AGREEMENT


def test_two_calls_give_the_same_labels():
    first, second = (refine(missed(), one_slice(), SCHEMA, settings=FEW) for _ in range(2))
    assert (first.label_zyx == second.label_zyx).all() and (first.origin_zyx == second.origin_zyx).all()


def test_rounds_build_on_each_other_and_what_was_carried_before_is_decided_anew():
    look = np.where(ball((16, 16, 16), 4), NCR, TRUTH).astype(np.uint8)
    shown = features(look, NOTHING)
    first = refine(shown, one_slice(10, truth=look), SCHEMA, settings=FEW)  # this plane shows edema alone
    assert (first.label_zyx[look == NCR] == NCR).mean() < 0.1
    second = refine(
        shown,
        one_slice(16, before=first.label_zyx, truth=look, origin_zyx=first.origin_zyx, earlier=first.evidence.planes),
        SCHEMA,
        settings=FEW,
    )
    assert (second.label_zyx[10] == look[10]).all() and (second.label_zyx[16] == look[16]).all()
    assert (second.label_zyx[look == NCR] == NCR).mean() > 0.9
    assert (second.label_zyx == look).mean() > 0.99
    assert (second.origin_zyx[10][look[10] > 0] == EDITED).all()


def test_edits_outside_the_brain_that_the_network_saw_are_refused():
    far = grid(64)
    before = np.zeros((64, 64, 64), np.uint8)
    edited = before.copy()
    edited[60, 50:60, 50:60] = ED
    with pytest.raises(InputError, match="no edit lies inside the brain"):
        refine(missed(), find_evidence(before, [edited], far), SCHEMA, settings=FEW)


def test_a_result_of_finer_voxels_than_the_network_sees_is_refined_on_its_own_grid():
    fine = grid(64, spacing=0.5)
    fine.affine_xyz[:3, 3] = -0.25
    fine = type(fine)(fine.shape_zyx, fine.affine_xyz)
    truth = TRUTH.repeat(2, 0).repeat(2, 1).repeat(2, 2)
    before = np.zeros_like(truth)
    edited = before.copy()
    edited[33] = truth[33]
    refined = refine(missed(), find_evidence(before, [edited], fine, reviewed=(Plane(0, 33),)), SCHEMA, settings=FEW)
    assert (refined.label_zyx[33] == truth[33]).all()
    overlap = (
        2 * ((refined.label_zyx == ED) & (truth == ED)).sum() / ((refined.label_zyx == ED).sum() + (truth == ED).sum())
    )
    assert overlap > 0.9
