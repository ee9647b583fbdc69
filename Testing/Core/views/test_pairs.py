import numpy as np
import pytest
import torch

from voxmmsd.views.pairs import PairRecipe, draw_pairs
from voxmmsd.views.pretrain_intensity import PretrainIntensityRanges
from voxmmsd.views.siamese import MaskRecipe, clean_blocks, draw_corners, make_views
from voxmmsd.views.spatial import cut_window

SIZE, CELL = 32, 8


@pytest.fixture(scope="module")
def scene():
    """Two scans whose voxels say where they are, their blocks, views and pairs; the second scan lacks T2."""
    rng = np.random.default_rng(0)
    scans = rng.integers(0, 256, (2, 4, 48, 50, 44), dtype=np.uint8)  # one voxel of 256 is 0
    scans[1, 2] = 0
    present = torch.tensor([[True] * 4, [True, True, False, True]])
    corners = draw_corners([scan.shape[1:] for scan in scans], SIZE, rng)
    raw = np.stack([cut_window(scans[b], corners[v, b], corners[v, b] + SIZE) for v in range(2) for b in range(2)])
    blocks = clean_blocks(torch.from_numpy(raw), torch.from_numpy(corners), present)
    generator = torch.Generator().manual_seed(0)
    views = make_views(blocks, MaskRecipe(CELL), PretrainIntensityRanges(), generator)
    pairs = draw_pairs(blocks, views, CELL, PairRecipe(count=300, candidates=2**16), generator)
    return scans, corners, blocks, views, pairs


def each_pair(scene):
    """(case, place in block 1, modality 1, place in block 2, modality 2) of every pair of weight 1."""
    pairs = scene[4]
    for case in range(2):
        for n in range(pairs.weight.shape[1]):
            if pairs.weight[case, n]:
                yield (case, pairs.places[case, n].numpy(), int(pairs.modalities[case, n]),
                       pairs.places[2 + case, n].numpy(), int(pairs.modalities[2 + case, n]))  # fmt: skip


def test_both_voxels_of_a_pair_are_one_place_of_the_scan_inside_both_blocks(scene):
    corners = scene[1]
    found = list(each_pair(scene))
    assert len(found) > 500
    for case, first, _, second, _ in found:
        assert ((first >= 0) & (first < SIZE) & (second >= 0) & (second < SIZE)).all()
        np.testing.assert_array_equal(first + corners[0, case], second + corners[1, case])


def test_every_voxel_of_a_pair_is_visible_and_positive_in_its_modality(scene):
    _, _, blocks, views, _ = scene
    for case, first, one, second, other in each_pair(scene):
        for row, place, modality in ((case, first, one), (2 + case, second, other)):
            assert views.visible[(row, modality, *(place // CELL))]
            assert blocks.image[(row, modality, *place)] > 0


def test_modalities_are_drawn_apart_and_among_those_that_the_case_has(scene):
    drawn = np.array([(case, one, other) for case, _, one, _, other in each_pair(scene)])
    assert set(drawn[drawn[:, 0] == 0, 1]) == {0, 1, 2, 3}
    assert set(drawn[drawn[:, 0] == 1, 1:].ravel()) == {0, 1, 3}
    same = (drawn[:, 1] == drawn[:, 2]).mean()
    assert 0.1 < same < 0.5


def test_too_few_pairs_are_filled_up_by_repeats_of_weight_0(scene):
    _, _, blocks, views, _ = scene
    pairs = draw_pairs(blocks, views, CELL, PairRecipe(50, candidates=800), torch.Generator().manual_seed(1))
    for case in range(2):
        found = int(pairs.weight[case].sum())
        assert 0 < found < 50
        assert pairs.weight[case].tolist() == [1.0] * found + [0.0] * (50 - found)
        real = {tuple(p) for p in pairs.places[case, :found].tolist()}
        assert {tuple(p) for p in pairs.places[case].tolist()} == real


def test_without_any_pair_all_weights_are_0_and_nothing_fails(scene):
    _, _, blocks, views, _ = scene
    nothing = type(views)(views.image, torch.zeros_like(views.visible))
    pairs = draw_pairs(blocks, nothing, CELL, PairRecipe(20, 500), torch.Generator().manual_seed(1))
    assert pairs.weight.sum() == 0
    assert ((pairs.places > -SIZE) & (pairs.places < SIZE)).all()


def test_the_ablation_draws_one_modality_for_both(scene):
    _, _, blocks, views, _ = scene
    recipe = PairRecipe(100, 2**16, same_modality=True)
    pairs = draw_pairs(blocks, views, CELL, recipe, torch.Generator().manual_seed(1))
    assert torch.equal(pairs.modalities[:2], pairs.modalities[2:])
