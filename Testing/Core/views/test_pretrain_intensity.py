from dataclasses import replace

import pytest
import torch

from voxmmsd.views.pretrain_intensity import PretrainIntensityRanges, change_pretrain_intensity, draw_pretrain_intensity

NEVER = PretrainIntensityRanges(noise_std=0.0, blur_p=0, factor_p=0, shift_p=0, contrast_p=0, gamma_p=0)


def image(rows=2, size=10):
    return torch.rand(rows, 4, size, size, size, generator=torch.Generator().manual_seed(3))


def changed(ranges, seed=0):
    channels, generator = image().flatten(0, 1), torch.Generator().manual_seed(seed)
    draw = draw_pretrain_intensity(*image().shape[:2], ranges, generator)
    index = torch.arange(len(channels))
    noise = torch.randn(channels.shape, generator=generator)
    return change_pretrain_intensity(
        channels, index, torch.ones(len(channels), dtype=torch.bool), draw, noise
    ).unflatten(0, (-1, 4))


def test_p_means_how_often_a_change_happens():
    draw = draw_pretrain_intensity(4000, 4, PretrainIntensityRanges(), torch.Generator().manual_seed(0))
    share = {
        "blur": float((draw.blur_sigma > 0).float().mean()),
        "factor": float((draw.factor != 1).float().mean()),
        "shift": float((draw.shift != 0).float().mean()),
        "contrast": float((draw.contrast != 1).float().mean()),
        "gamma": float((draw.gamma != 1).float().mean()),
    }
    assert share == pytest.approx({"blur": 0.4, "factor": 0.85, "shift": 0.4, "contrast": 0.5, "gamma": 0.8}, abs=0.03)
    blocks = (
        (draw.blur_sigma > 0).unflatten(0, (-1, 4)).any(dim=1).float().mean()
    )  # 0.8, less the blocks none of whose modalities drew it
    assert float(blocks) == pytest.approx(0.8 * (1 - 0.5**4), abs=0.03)
    assert draw.noise_std == 0.05


def test_nothing_drawn_changes_nothing():
    torch.testing.assert_close(changed(NEVER), image(), atol=2e-6, rtol=0)


def test_each_change_is_what_its_name_says():
    original = image()
    factor = changed(replace(NEVER, factor_p=1.0, factor=(0.8, 0.8)))
    torch.testing.assert_close(factor, 0.8 * original, atol=2e-6, rtol=0)
    shift = changed(replace(NEVER, shift_p=1.0, shift_each=1.0, shift=(0.3, 0.3)))
    torch.testing.assert_close(shift, original + 0.3, atol=2e-6, rtol=0)
    contrast = changed(replace(NEVER, contrast_p=1.0, contrast=(1.2, 1.2)))
    mean = original.mean(dim=(2, 3, 4), keepdim=True)
    torch.testing.assert_close(contrast, (original - mean) * 1.2 + mean, atol=2e-6, rtol=0)
    gamma = changed(replace(NEVER, gamma_p=1.0, gamma=(1.5, 1.5)))
    low, high = original.amin(dim=(2, 3, 4), keepdim=True), original.amax(dim=(2, 3, 4), keepdim=True)
    torch.testing.assert_close(gamma, ((original - low) / (high - low)) ** 1.5 * (high - low) + low, atol=1e-5, rtol=0)
    blurred = changed(replace(NEVER, blur_p=1.0, blur_each=1.0, blur_sigma=(1.0, 1.0)))
    assert blurred.std() < 0.5 * original.std()


def test_gamma_of_negative_values_stays_a_number():
    noisy = changed(replace(NEVER, noise_std=0.5, gamma_p=1.0, gamma=(0.7, 0.7)))
    assert torch.isfinite(noisy).all()
    assert noisy.amin() < 0


def test_cells_of_a_channel_share_its_mean_and_range_and_hidden_ones_do_not_count():
    """As one channel or as its two halves, the same comes out; a hidden piece changes nothing for the others."""
    ranges = replace(PretrainIntensityRanges(), noise_std=0.0, blur_p=0.0, contrast_p=1.0, gamma_p=1.0)
    whole = image(rows=1)
    draw = draw_pretrain_intensity(1, 4, ranges, torch.Generator().manual_seed(1))
    channels, true = torch.arange(4), torch.ones(4, dtype=torch.bool)
    expected = change_pretrain_intensity(whole[0], channels, true, draw, torch.zeros_like(whole[0]))
    halves = torch.cat([whole[0, :, :5], whole[0, :, 5:], 9 * torch.ones(4, 5, 10, 10)])
    shown = torch.cat([true, true, ~true])
    found = change_pretrain_intensity(halves, channels.repeat(3), shown, draw, torch.zeros_like(halves))
    torch.testing.assert_close(torch.cat([found[:4], found[4:8]], dim=1), expected)
