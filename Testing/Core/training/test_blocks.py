import numpy as np
import pytest
import torch

from voxmmsd.data.cases import find_cases
from voxmmsd.data.store import prepare_cases
from voxmmsd.phantom import write_phantoms
from voxmmsd.training.blocks import BlockSampler


@pytest.fixture(scope="module")
def entries(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cases")
    write_phantoms(folder / "in", 3, seed=0, side=40)
    return prepare_cases(find_cases(folder / "in").cases, folder / "store", workers=1).entries


def sampler(entries, seed=0, size=24):
    return BlockSampler(entries, size, 2, seed, torch.device("cpu"))


def test_blocks_are_the_scan_at_their_corners_normalized(entries):
    blocks = sampler(entries).batch(4)
    cases, corners = sampler(entries).places(4)
    assert blocks.image.shape == (4, 4, 24, 24, 24)
    for view in range(2):
        for row, case in enumerate(cases):
            z, y, x = corners[view, row]
            raw = entries[case].image()[:, z : z + 24, y : y + 24, x : x + 24].astype(np.float32)
            low, high = raw.min(axis=(1, 2, 3), keepdims=True), raw.max(axis=(1, 2, 3), keepdims=True)
            np.testing.assert_allclose(blocks.image[2 * view + row], (raw - low) / (high - low), atol=1e-6)


def test_a_block_larger_than_its_scan_is_filled_with_nothing(entries):
    blocks = sampler(entries, size=64).batch(0)
    assert blocks.image.shape == (4, 4, 64, 64, 64)
    assert (blocks.image[..., 60:] == 0).all()
    assert blocks.image.amax() == 1


def test_a_step_gives_the_same_blocks_whatever_was_drawn_before(entries):
    one, two = sampler(entries), sampler(entries)
    for step in range(5):
        one.batch(step)
    torch.testing.assert_close(one.batch(5).image, two.batch(5).image, rtol=0, atol=0)
    assert not torch.equal(sampler(entries, seed=1).batch(5).image, two.batch(5).image)


def test_all_cases_are_seen_equally_often(entries):
    seen = np.concatenate([sampler(entries).places(step)[0] for step in range(9)])
    assert np.bincount(seen).tolist() == [6, 6, 6]


def test_every_step_cuts_at_other_places(entries):
    corners = {tuple(sampler(entries).places(step)[1].ravel().tolist()) for step in range(6)}
    assert len(corners) == 6
