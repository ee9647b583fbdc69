import numpy as np
import pytest
import torch
from monai.inferers import sliding_window_inference
from toy_models import toy_network

from voxmmsd.data.preprocess import input_scale
from voxmmsd.inference.engines import HostEngine
from voxmmsd.inference.engines.on_torch import TorchEngine
from voxmmsd.inference.windows import gaussian_weights, predict_flipped, predict_probabilities, window_starts


class Identity(HostEngine):
    """Logits that are the first three modalities: what comes out must be where it came in."""

    name, divisor, calls = "identity", 4, 0

    def logits(self, image):
        self.calls += 1
        return image[:, :3] * 50


def picture(shape, seed=0):
    return np.random.default_rng(seed).integers(1, 255, (4, *shape)).astype(np.uint8)


@pytest.mark.parametrize(("length", "window"), [(10, 16), (16, 16), (17, 16), (64, 16), (65, 16), (33, 8)])
def test_windows_cover_every_voxel_and_stay_inside(length, window):
    starts = window_starts(length, window)
    covered = {voxel for start in starts for voxel in range(start, min(start + window, length))}
    assert covered == set(range(length))
    assert max(starts) + window <= max(length, window)
    assert len(set(starts)) == len(starts)


@pytest.mark.parametrize("shape", [(8, 8, 8), (9, 10, 23), (30, 17, 5)])
@pytest.mark.parametrize("window", [8, 16, 64])
def test_each_voxels_answer_comes_out_where_the_voxel_is(shape, window):
    image = picture(shape)
    got = predict_probabilities(image, Identity(), window)
    expected = np.exp(image[:3] * input_scale(image)[:3, None, None, None] * 50)
    expected /= expected.sum(axis=0)
    np.testing.assert_allclose(got, expected, atol=1e-4)


def test_a_volume_that_fits_is_computed_at_once_and_an_empty_window_not_at_all():
    engine = Identity()
    predict_probabilities(picture((12, 12, 12)), engine, 16)
    assert engine.calls == 1
    image = np.zeros((4, 72, 16, 16), np.uint8)
    image[:, :6] = image[:, 58:64] = 200  # behind the second there is nothing; between them there is an empty window
    engine = Identity()
    probabilities = predict_probabilities(image, engine, 16)
    assert engine.calls == 2
    for nowhere in (probabilities[:, 64:], probabilities[:, 16:48]):
        assert (nowhere[0] == 1).all() and (nowhere[1:] == 0).all()


def test_the_blend_equals_monais_on_the_same_windows():
    network = toy_network()
    image = picture((32, 32, 32))
    scaled = torch.from_numpy(image * input_scale(image)[:, None, None, None])[None]
    with torch.inference_mode():
        theirs = sliding_window_inference(scaled, 16, 1, network, overlap=0.25, mode="gaussian")
    ours = predict_probabilities(image, TorchEngine(network, torch.device("cpu")), 16)
    # MONAI's last window is flush with the end as ours, its first ones a step of 12 apart.
    np.testing.assert_allclose(ours, torch.softmax(theirs[0], 0).numpy(), atol=2e-3)


def test_progress_tells_windows_done_and_in_all_before_the_first_is_done():
    seen = []
    predict_probabilities(picture((20, 8, 8)), Identity(), 8, progress=lambda *pair: seen.append(pair))
    assert seen == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_weights_are_largest_in_the_middle_and_never_zero():
    weights = gaussian_weights((8, 8, 16))
    assert weights.max() == 1
    assert weights.min() > 0
    assert weights[4, 4, 8] == weights.max()


def test_an_engine_leaves_a_network_in_the_mode_it_was_in():
    network = toy_network().train()
    TorchEngine(network, torch.device("cpu")).logits(torch.zeros(1, 4, 8, 8, 8))
    assert network.training


def test_flipped_is_the_mean_over_all_mirror_images_whatever_side_the_patient_lies_on():
    engine, image = TorchEngine(toy_network(), torch.device("cpu")), picture((16, 12, 16))
    seen = []
    ours = predict_flipped(image, engine, 16, progress=lambda *pair: seen.append(pair))
    mirrored = predict_flipped(image[:, :, :, ::-1], engine, 16)[:, :, :, ::-1]
    np.testing.assert_allclose(ours, mirrored, atol=1e-5)
    np.testing.assert_allclose(ours.sum(axis=0), 1, atol=1e-5)
    assert abs(ours - predict_probabilities(image, engine, 16)).max() > 1e-3
    assert seen == [(number, 8) for number in range(9)]
