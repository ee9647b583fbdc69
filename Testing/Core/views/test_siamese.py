import numpy as np
import pytest
import torch
from plain_views import plain_views

from voxmmsd.views.pretrain_intensity import PretrainIntensityRanges
from voxmmsd.views.siamese import (
    MaskRecipe,
    clean_blocks,
    draw_corners,
    draw_visible,
    hide,
    make_views,
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def raw_blocks(rows=4, size=16, seed=0):
    raw = torch.randint(1, 256, (rows, 4, size, size, size), dtype=torch.uint8, generator=generator(seed))
    raw[:, :, :4] = 0
    return raw


def blocks(rows=4, size=16, present=None, seed=0):
    raw = raw_blocks(rows, size, seed)
    present = torch.ones(rows // 2, 4, dtype=torch.bool) if present is None else present
    raw[~present.repeat(2, 1)] = 0
    return clean_blocks(raw, torch.zeros(2, rows // 2, 3, dtype=torch.long), present)


def test_the_two_blocks_of_a_case_lie_inside_it_and_overlap_by_a_quarter_at_least():
    shapes, size = [(140, 170, 130), (64, 70, 100), (50, 64, 64)], 64
    rng = np.random.default_rng(0)
    overlaps = []
    for _ in range(400):
        corners = draw_corners(shapes, size, rng)
        assert (corners >= 0).all()
        assert (corners <= np.maximum(np.array(shapes) - size, 0)).all()
        overlaps.append((size - np.abs(corners[0] - corners[1])).prod(axis=-1) / size**3)
    overlaps = np.array(overlaps)
    assert overlaps.min() >= 0.25
    assert overlaps[:, 0].min() < 0.35  # the room there is, is used
    assert (overlaps[:, 0] < 0.99).mean() > 0.95


def test_clean_blocks_run_from_0_to_1_and_name_what_is_constant_or_absent():
    raw = raw_blocks()
    raw[1, 2] = 7
    raw[3, 0] = 0
    found = clean_blocks(raw, torch.zeros(2, 2, 3, dtype=torch.long), torch.ones(2, 4, dtype=torch.bool))
    assert found.image[1, 2].abs().max() == 0
    assert found.image[3, 0].abs().max() == 0
    assert found.informative.sum() == 14
    assert not found.informative[1, 2] and not found.informative[3, 0]
    assert found.image[0].amax(dim=(1, 2, 3)).tolist() == [1.0] * 4
    assert found.image.amin() == 0


def test_cells_are_hidden_as_often_as_asked_in_every_modality_and_independently():
    visible = draw_visible(400, 4, 64, MaskRecipe(cell=16, share=0.875), generator()).float()
    assert visible.shape == (400, 4, 4, 4, 4)
    shares = visible.mean(dim=(0, 2, 3, 4))
    np.testing.assert_allclose(shares, 0.125, atol=0.01)
    flat = visible.reshape(2, 200, 4, -1)  # view, case, modality, cell
    for one in range(4):
        for other in range(4):
            both = flat[0, :, one] * flat[1, :, other]  # across the views
            assert float(both.mean()) == pytest.approx(0.125**2, abs=0.006)
            if one != other:  # across the modalities of one view
                assert float((flat[0, :, one] * flat[0, :, other]).mean()) == pytest.approx(0.125**2, abs=0.006)


def test_the_ablations_share_one_mask_where_they_say():
    views = draw_visible(6, 4, 32, MaskRecipe(cell=8, same_in_both_views=True), generator())
    assert torch.equal(views[:3], views[3:])
    assert not torch.equal(views[0], views[1])
    joint = draw_visible(6, 4, 32, MaskRecipe(cell=8, same_for_all_modalities=True), generator())
    assert all(torch.equal(joint[:, 0], joint[:, m]) for m in range(4))
    assert not torch.equal(joint[:3], joint[3:])


def test_hiding_covers_whole_cells_and_nothing_else():
    image = torch.ones(1, 2, 12, 12, 12)
    visible = torch.zeros(1, 2, 3, 3, 3, dtype=torch.bool)
    visible[0, 1, 2, 0, 1] = True
    hidden = hide(image, visible, 4)
    assert hidden[0, 0].sum() == 0
    assert hidden[0, 1, 8:, :4, 4:8].sum() == hidden.sum() == 4**3


def test_what_is_hidden_or_missing_is_exactly_0_after_all_disturbances():
    present = torch.ones(2, 4, dtype=torch.bool)
    present[1, 2] = False
    found = blocks(present=present)
    views = make_views(found, MaskRecipe(cell=4), PretrainIntensityRanges(), generator())
    assert torch.isfinite(views.image).all()
    assert (hide(views.image, ~views.visible, 4) == 0).all()
    assert (views.image[[1, 3], 2] == 0).all()
    seen = hide(torch.ones_like(views.image), views.visible, 4) > 0
    assert (views.image[0][seen[0]] != found.image[0][seen[0]]).float().mean() > 0.99


@pytest.mark.parametrize("hide_last", [True, False])
def test_the_fast_views_are_those_of_the_plain_reading(hide_last):
    present = torch.ones(4, 4, dtype=torch.bool)
    present[1, 2] = False
    recipe, ranges = MaskRecipe(cell=8, share=0.8, hide_last=hide_last), PretrainIntensityRanges()
    for seed in range(3):
        found = blocks(rows=8, present=present, seed=seed)
        fast = make_views(found, recipe, ranges, generator(seed)).image
        plain = plain_views(found, recipe, ranges, generator(seed))
        np.testing.assert_allclose(fast, plain, atol=2e-5)


def test_computing_all_cells_as_a_gpu_does_gives_what_computing_the_seen_ones_gives(monkeypatch):
    """But for the noise, of which another amount is drawn."""
    quiet = PretrainIntensityRanges(noise_std=0.0)
    few = make_views(blocks(), MaskRecipe(cell=4), quiet, generator())
    monkeypatch.setattr("voxmmsd.views.siamese._cells_to_compute", lambda shown: torch.unravel_index(
        torch.arange(shown.numel()), shown.shape))  # fmt: skip
    every = make_views(blocks(), MaskRecipe(cell=4), quiet, generator())
    torch.testing.assert_close(every.image, few.image)
    assert (hide(every.image, ~every.visible, 4) == 0).all()


def test_as_the_authors_do_noise_remains_where_nothing_is_seen():
    views = make_views(blocks(), MaskRecipe(cell=4, hide_last=False), PretrainIntensityRanges(), generator())
    assert (hide(views.image, ~views.visible, 4) != 0).float().mean() > 0.5


def test_the_same_seed_gives_the_same_views():
    one, two, other = (
        make_views(blocks(), MaskRecipe(cell=4), PretrainIntensityRanges(), generator(s)) for s in (1, 1, 2)
    )
    assert torch.equal(one.image, two.image)
    assert not torch.equal(one.image, other.image)
