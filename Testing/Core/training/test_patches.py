from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import torch

from voxmmsd.data.store import PreparedCase
from voxmmsd.data.volume import Grid
from voxmmsd.labels import schema_named
from voxmmsd.losses.segmentation import EDITED_BIT
from voxmmsd.model_config import PreprocessConfig
from voxmmsd.training import patches
from voxmmsd.training.patches import PatchRecipe, PatchSampler, draw_kept
from voxmmsd.transforms.listed import make_transforms


@pytest.fixture
def entries(tmp_path):
    """Three cases of 40 voxels a side: a big tissue 1 and a tiny tissue 2; the second case lacks t2w."""
    made = []
    for number in range(3):
        array = np.full((5, 40, 40, 40), 100 + number, np.uint8)
        array[4] = 0
        array[4, 4:24, 4:24, 4:24] = 1
        array[4, 30, 31, 32] = 2
        present = (True, True, number != 1, True)
        array[2] *= present[2]
        array[3, ::2] = 100
        array[3, 1::2] = 100 + 30 * (number + 1)  # the contrast tells the case, its median is scaled away
        np.save(tmp_path / f"c{number}.npy", array)
        made.append(
            PreparedCase(
                tmp_path,
                f"c{number}",
                f"p{number}",
                "key",
                f"hash{number}",
                "sha",
                array.shape,
                Grid((40, 40, 40), np.eye(4)),
                present,
                "brats-gli-2023",
                PreprocessConfig(),
            )
        )
    return made


def case_of(image):
    """The number of the case that a patch comes from."""
    return round(float(image[3].amax() / image[3].amin() - 1) / 0.3) - 1


def recipe(**changes):
    return PatchRecipe(
        **{"size": 16, "batch": 3, "foreground": 1.0, "modality_dropout": 0.0, "augment": False, **changes}
    )


def test_a_step_draws_the_same_batch_whatever_was_drawn_before(entries):
    one, two = (PatchSampler(entries, recipe(augment=True), seed=5) for _ in range(2))
    for step in range(3):
        one.batch(step)
    for step in (3, 4):
        for a, b in zip(one.batch(step), two.batch(step), strict=True):
            assert torch.equal(a, b)
    assert not torch.equal(one.batch(3)[0], one.batch(4)[0])


def test_another_seed_draws_another_batch(entries):
    a, b = (PatchSampler(entries, recipe(augment=True), seed).batch(0)[0] for seed in (1, 2))
    assert not torch.equal(a, b)


def test_every_case_is_seen_once_in_each_round(entries):
    sampler = PatchSampler(entries, recipe(foreground=0.0), seed=0)
    for step in range(5):
        assert sorted(case_of(image) for image in sampler.batch(step)[0]) == [0, 1, 2]


def test_rare_labels_are_seen_as_often_as_common_ones(entries):
    sampler = PatchSampler(entries, recipe(), seed=0)
    seen = [bool((label == 2).any()) for step in range(60) for label in sampler.batch(step)[1]]
    assert np.mean(seen) == pytest.approx(0.5, abs=0.12)


def test_a_label_that_one_case_has_is_seen_as_often_as_the_others(entries):
    file = entries[1].array_file
    array = np.load(file)
    array[4, 26:36, 26:36, 26:36] = 3
    np.save(file, array)
    sampler = PatchSampler(entries, recipe(), seed=0)
    seen = [bool((label == 3).sum() > 400) for step in range(60) for label in sampler.batch(step)[1]]
    assert np.mean(seen) > 0.25


def test_specks_of_a_label_are_not_sought_out_where_other_cases_have_more(entries):
    array = np.load(entries[1].array_file)
    array[4, 26:36, 26:36, 26:36] = 2
    np.save(entries[1].array_file, array)
    sampler = PatchSampler(entries, recipe(size=8), seed=0)
    cases = [
        case_of(image)
        for step in range(30)
        for image, label in zip(*sampler.batch(step), strict=True)
        if (label == 2).any()
    ]
    assert len(cases) > 20
    assert set(cases) == {1}


def test_specks_are_sought_out_in_a_data_set_that_has_no_more_of_the_label(entries):
    """Else a data set of small tumors would get no foreground where its share is balanced."""
    array = np.load(entries[2].array_file)
    array[4] = 0
    array[4, 10:14, 10:14, 10:14] = 1
    np.save(entries[2].array_file, array)
    cases = [*entries[:2], replace(entries[2], cohort="of small tumors")]
    sampler = PatchSampler(cases, recipe(balance_cohorts=True), seed=0)
    drawn = [case_of(image) for step in range(40) for image in sampler.batch(step)[0]]
    assert drawn.count(2) == pytest.approx(60, abs=15)


def test_every_foreground_patch_holds_tumor_and_patches_stay_inside(entries):
    sampler = PatchSampler(entries, recipe(), seed=0)
    for step in range(10):
        image, label = sampler.batch(step)
        assert (label > 0).flatten(1).any(dim=1).all()
        assert (image[:, 0] > 0).all()


def test_tissue_has_the_level_that_segmenting_gives_it_whatever_the_case(entries):
    """The first modality is one value throughout, another in each case: its median becomes one half."""
    images, _ = PatchSampler(entries, recipe(foreground=0.0), seed=0).batch(0)
    np.testing.assert_allclose(images[:, 0], 0.5, rtol=1e-6)


def test_a_missing_modality_stays_zero(entries):
    sampler = PatchSampler(entries[1:2], recipe(batch=1, augment=True), seed=0)
    image, _ = sampler.batch(0)
    assert image[0, 2].abs().max() == 0
    assert image[0, 0].max() > 0


def test_modality_dropout_leaves_at_least_one_modality_and_not_all(entries):
    sampler = PatchSampler(entries[:1], recipe(batch=1, modality_dropout=1.0), seed=0)
    kept = [tuple((sampler.batch(step)[0][0].amax(dim=(1, 2, 3)) > 0).tolist()) for step in range(150)]
    assert len(set(kept)) == 14
    assert all(1 <= sum(k) <= 3 for k in kept)


def test_of_the_modality_dropout_the_given_share_is_in_force(entries):
    sampler = PatchSampler(entries[:1], recipe(batch=1, modality_dropout=0.8), seed=0)

    def share_that_lost_some(in_force):
        images = [sampler.batch(step, in_force)[0][0] for step in range(150)]
        return np.mean([bool((image.amax(dim=(1, 2, 3)) == 0).any()) for image in images])

    assert share_that_lost_some(0.0) == 0
    assert share_that_lost_some(0.5) == pytest.approx(0.4, abs=0.1)
    assert share_that_lost_some(1.0) == pytest.approx(0.8, abs=0.1)


def test_only_present_modalities_are_kept_and_all_subsets_are_drawn_alike():
    rng = np.random.default_rng(0)
    draws = [tuple(draw_kept((True, False, True, True), rng).tolist()) for _ in range(3000)]
    assert not any(draw[1] for draw in draws)
    counts = {draw: draws.count(draw) for draw in set(draws)}
    assert len(counts) == 6
    assert min(counts.values()) > 400
    assert draw_kept((False, True, False, False), rng).tolist() == [False, True, False, False]


def test_a_case_smaller_than_the_patch_is_padded_with_zeros(entries):
    image, label = PatchSampler(entries, recipe(size=64, batch=1), seed=0).batch(0)
    assert image.shape == (1, 4, 64, 64, 64)
    assert int((label == 1).sum()) == 20**3


def edited_in(entries, where, folder):
    """The same cases, the voxels of ``where`` edited by hand and those beside them carried."""
    file = folder / "who_origin.nii.gz"
    who = np.full(where.shape, 2, np.uint8)
    who[where] = 1
    nib.save(nib.Nifti1Image(who.T, entries[0].grid.affine_xyz), file)
    return [replace(entry, origins=file) for entry in entries]


@pytest.mark.parametrize("transforms", [(), ("elastic:p=1",)])
def test_edited_voxels_stay_marked_where_patches_turn_and_bend(entries, tmp_path, transforms):
    """Tissue 1 and nothing else was edited: the mark and the tissue stay together, voxel by voxel."""
    listed = make_transforms(transforms, schema_named("brats-gli-2023"))
    how = recipe(augment=True, transforms=listed)
    marked = edited_in(entries, np.asarray(entries[0].label()) == 1, tmp_path)
    plain, sampler = (PatchSampler(cases, how, seed=3) for cases in (entries, marked))
    seen = 0
    for step in range(6):
        (image, label), (same, bits) = plain.batch(step), sampler.batch(step)
        assert torch.equal(image, same) and torch.equal(label, bits % EDITED_BIT)
        assert torch.equal(bits >= EDITED_BIT, label == 1)
        seen += int((label == 1).sum())
    assert seen


def test_a_voxel_that_a_transform_gives_another_tissue_is_not_marked_any_more(entries, tmp_path):
    marked = edited_in(entries, np.ones((40, 40, 40), bool), tmp_path)
    how = recipe(augment=True, size=32, transforms=make_transforms(("paste:p=1",), schema_named("brats-gli-2023")))
    plain = PatchSampler(marked, recipe(augment=True, size=32), seed=4)
    pasted = PatchSampler(marked, how, seed=4)
    changed = 0
    for step in range(8):
        before, after = plain.batch(step)[1], pasted.batch(step)[1]
        other = before % EDITED_BIT != after % EDITED_BIT
        assert torch.equal(after >= EDITED_BIT, (before >= EDITED_BIT) & ~other)
        changed += int(other.sum())
    assert changed


@pytest.mark.parametrize("transform", ["axis-scaling:p=1,scale=0.5..0.6", "bias-field:p=1", "elastic:p=1", "paste:p=1"])
def test_listed_transforms_are_applied_without_the_other_augmentations_too(entries, transform):
    how = recipe(size=32, transforms=make_transforms((transform,), schema_named("brats-gli-2023")))
    plain, listed = PatchSampler(entries, recipe(size=32), seed=0), PatchSampler(entries, how, seed=0)
    before, after = ([sampler.batch(step) for step in range(4)] for sampler in (plain, listed))
    assert any(not torch.equal(one[0], other[0]) for one, other in zip(before, after, strict=True))
    if transform.startswith("bias-field"):
        assert all(torch.equal(one[1], other[1]) for one, other in zip(before, after, strict=True))


def test_a_case_that_is_drawn_more_often_is_held_once(entries, monkeypatch):
    """Corrections repeat a new case up to as often as the library has others; a GPU's memory would not hold that."""
    held = []
    monkeypatch.setattr(patches, "resident", lambda arrays, _: held.extend(arrays) or list(map(torch.tensor, arrays)))
    sampler = PatchSampler([*entries, *[entries[1]] * 5], recipe(foreground=0.0), seed=0)
    assert len(held) == 2 * len(entries)
    seen = [case_of(image) for step in range(8) for image in sampler.batch(step)[0]]
    assert [seen.count(number) for number in range(3)] == [3, 18, 3]
