import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from voxmmsd.views.intensity import IntensityDraw, IntensityRanges, blur, change_intensity, draw_intensity


def neutral(shape):
    ones, zeros = torch.ones(shape[:2]), torch.zeros(shape[:2])
    return {"brightness": ones, "contrast": ones, "gamma": ones, "blur_sigma": zeros, "noise": torch.zeros(shape)}


def image(seed=0, shape=(2, 4, 8, 9, 10)):
    values = torch.rand(shape, generator=torch.Generator().manual_seed(seed))
    values[..., :3] = 0
    return values


def test_neutral_parameters_change_nothing():
    original = image()
    changed = change_intensity(original, IntensityDraw(**neutral(original.shape)))
    torch.testing.assert_close(changed, original, atol=1e-6, rtol=0)


def test_only_the_channel_that_drew_a_change_is_changed():
    original = image()
    parameters = neutral(original.shape)
    parameters["gamma"] = torch.ones(2, 4)
    parameters["gamma"][1, 2] = 1.5
    changed = change_intensity(original, IntensityDraw(**parameters))
    torch.testing.assert_close(changed[1, 2], original[1, 2] ** 1.5)
    changed[1, 2] = original[1, 2]
    torch.testing.assert_close(changed, original, atol=1e-6, rtol=0)


def test_background_and_a_missing_modality_stay_exactly_zero_under_all_changes():
    original = image()
    original[0, 1] = 0
    always = IntensityRanges(noise_p=1, blur_p=1, brightness_p=1, contrast_p=1, gamma_p=1)
    changed = change_intensity(original, draw_intensity(original.shape, always, torch.Generator().manual_seed(1)))
    assert torch.isfinite(changed).all()
    assert (changed[original == 0] == 0).all()
    assert not torch.allclose(changed, original)


def test_the_blur_equals_scipys():
    original = image(shape=(1, 2, 12, 12, 12))
    blurred = blur(original, torch.tensor([[0.8, 0.0]]))
    expected = gaussian_filter(original[0, 0].numpy(), 0.8, mode="nearest", radius=3)  # 4 sigma
    np.testing.assert_allclose(blurred[0, 0], expected, atol=1e-5)
    torch.testing.assert_close(blurred[0, 1], original[0, 1])


def test_each_change_happens_as_often_as_its_probability_says():
    draw = draw_intensity(torch.Size((500, 4, 1, 1, 1)), IntensityRanges(), torch.Generator().manual_seed(0))
    share = {
        "brightness": (draw.brightness != 1).float().mean(),
        "gamma": (draw.gamma != 1).float().mean(),
        "contrast": (draw.contrast != 1).float().mean(),
        "blur": (draw.blur_sigma > 0).float().mean(),
        "noise": (draw.noise != 0).float().mean(),
    }
    expected = {"brightness": 0.15, "gamma": 0.15, "contrast": 0.15, "blur": 0.1, "noise": 0.15}
    for name, value in expected.items():
        assert float(share[name]) == pytest.approx(value, abs=0.04), name


def test_the_same_seed_draws_the_same():
    shape = torch.Size((2, 4, 5, 5, 5))
    one, two = (draw_intensity(shape, IntensityRanges(), torch.Generator().manual_seed(7)) for _ in range(2))
    torch.testing.assert_close(one.noise, two.noise)
    torch.testing.assert_close(one.gamma, two.gamma)
