import numpy as np
import pytest
import torch
from patients import write_patient
from refine.made_features import SCHEMA, features
from toy_models import as_kept, toy_network, toy_package

from voxmmsd.data.cases import find_cases
from voxmmsd.data.preprocess import Prepared, input_scale
from voxmmsd.data.volume import Grid
from voxmmsd.errors import InputError, MemoryBudgetError, ModelError
from voxmmsd.inference.engines import OnnxEngine
from voxmmsd.inference.quantize import quantize
from voxmmsd.inference.windows import predict_probabilities
from voxmmsd.refine import compute_features
from voxmmsd.refine.features import _starts
from voxmmsd.refine.fitting import Fit, enlarged, interpolated, scores
from voxmmsd.refine.kept import read_features, write_features
from voxmmsd.refine.onnx_outputs import with_pyramid


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return toy_package(tmp_path_factory.mktemp("models") / "toy")


def prepared(shape=(20, 24, 28)):
    image = np.random.default_rng(0).integers(1, 255, (4, *shape)).astype(np.uint8)
    return Prepared(image, Grid(shape, np.eye(4)), (True,) * 4)


def test_the_pyramid_and_the_logits_are_those_of_the_network(package):
    given = prepared()
    network = toy_network()
    network.load_state_dict({name: as_kept(tensor) for name, tensor in network.state_dict().items()})
    image = torch.from_numpy(given.image_czyx * input_scale(given.image_czyx)[:, None, None, None])[None]
    with torch.inference_mode():
        pyramid, logits = network.unet(image), network(image)
    found = compute_features(given, package)
    assert [level.shape for level in found.pyramid] == [(4, 20, 24, 28), (6, 10, 12, 14)]
    for level, expected in zip(found.pyramid, pyramid, strict=True):
        np.testing.assert_allclose(level, expected[0], atol=0.02 * float(expected.abs().max()))
    np.testing.assert_allclose(found.logits_czyx, logits[0], atol=0.02 * float(logits.abs().max()))
    assert found.grid == given.grid


def test_in_windows_the_logits_are_those_of_segmenting_with_these_windows(package):
    given = prepared()
    found = compute_features(given, package, window=16)
    engine = OnnxEngine(package)
    expected = predict_probabilities(given.image_czyx, engine, 16)
    logits = np.exp(found.logits_czyx.astype(np.float32))
    np.testing.assert_allclose(logits / logits.sum(axis=0), expected, atol=5e-3)
    assert all(np.isfinite(level).all() for level in found.pyramid)


@pytest.mark.parametrize(("length", "window"), [(100, 52), (112, 56), (96, 64), (20, 32)])
def test_windows_start_where_the_coarsest_level_has_a_voxel_and_leave_nothing_out(length, window):
    starts = _starts(length, window, 4)
    assert all(start % 4 == 0 for start in starts)
    covered = np.zeros(length, bool)
    for start in starts:
        covered[start : start + window] = True
    assert covered.all() and starts[-1] + window >= length


def test_the_box_around_the_tissue_has_its_own_grid(package):
    given = prepared((28, 28, 28))
    given.image_czyx[:, :8] = 0
    found = compute_features(given, package)
    assert found.grid.shape_zyx == (20, 28, 28)
    np.testing.assert_allclose(found.grid.affine_zyx[:3, 3], [0, 0, 8])
    assert (found.image_czyx == given.image_czyx[:, 8:]).all()


def test_too_little_memory_is_said(package):
    with pytest.raises(MemoryBudgetError, match="allow more with --memory"):
        compute_features(prepared(), package, memory=1)


def test_the_model_keeps_every_byte_of_its_file(package):
    content, names = with_pyramid(package.onnx, 3)
    assert content.startswith(package.onnx.read_bytes())
    assert len(names) == 2


def test_a_model_in_eight_bits_has_nearly_the_same_pyramid(package, tmp_path):
    write_patient(tmp_path / "patients", "BraTS-GLI-00001-000", seed=1, shape_xyz=(32, 32, 32))
    small = quantize(package, find_cases(tmp_path / "patients").cases, tmp_path / "small")
    exact, near = (compute_features(prepared(), one) for one in (package, small))
    for level, other in zip(exact.pyramid, near.pyramid, strict=True):
        assert level.shape == other.shape
        assert np.abs(level - other).mean() < 0.1 * np.abs(level).max()


@pytest.mark.parametrize("content", [b"", b"no model at all", bytes(range(256)), b"\x3a\x7f\x01"])
def test_a_file_that_is_no_network_of_ours_is_refused(tmp_path, content):
    file = tmp_path / "model.onnx"
    file.write_bytes(content)
    with pytest.raises(ModelError, match=r"model.onnx: its feature pyramid cannot be found"):
        with_pyramid(file, 3)


def test_an_array_read_at_voxels_is_the_array_enlarged():
    coarse = np.random.default_rng(2).normal(size=(3, 4, 5, 6)).astype(np.float32)
    places = np.argwhere(np.ones((16, 20, 24)))
    np.testing.assert_allclose(interpolated(coarse, places, 4).T.reshape(3, 16, 20, 24), enlarged(coarse, 4), atol=1e-5)


def test_between_two_coarse_voxels_lies_their_mean():
    line = np.zeros((1, 2, 1, 1), np.float32)
    line[0, 1] = 1
    assert enlarged(line, 2)[0, :, 0, 0].tolist() == [0, 0.25, 0.75, 1]


def test_scores_at_a_voxel_are_its_features_times_the_weights():
    made = features(np.zeros((32, 32, 32), int), np.zeros((32, 32, 32), int))
    generator = np.random.default_rng(3)
    weights = tuple(generator.normal(size=(len(array), SCHEMA.class_count)) for _, array in made.levels)
    bias = np.arange(4.0)
    total = scores(made, Fit(weights, bias, 1.0))
    place = np.array([[7, 8, 9]])
    expected = bias + sum(
        interpolated(array, place, step) @ each for (step, array), each in zip(made.levels, weights, strict=True)
    )
    np.testing.assert_allclose(total[:, 7, 8, 9], expected[0], rtol=1e-3)


@pytest.mark.parametrize("name", ["f.npz", "case-7.features", "f"])
def test_features_come_back_from_their_file_for_the_same_model_and_images_only(tmp_path, name):
    made, file, inputs = (
        features(np.zeros((32, 32, 32), int), np.zeros((32, 32, 32), int)),
        tmp_path / name,
        {"t1c": "a"},
    )
    write_features(file, made, inputs)
    assert [written.name for written in tmp_path.iterdir()] == [name]
    back = read_features(file, "model", inputs)
    assert back is not None and back.grid == made.grid
    assert all((one == other).all() for one, other in zip(back.pyramid, made.pyramid, strict=True))
    assert (back.logits_czyx == made.logits_czyx).all() and (back.image_czyx == made.image_czyx).all()
    assert read_features(file, "another", inputs) is None
    assert read_features(file, "model", {"t1c": "b"}) is None
    write_features(file, made, inputs, {"n4": "False", "brain_mask": "a"})
    assert read_features(file, "model", inputs, {"n4": "True"}) is None
    assert read_features(file, "model", inputs, {"n4": "False", "brain_mask": "b"}) is None
    assert read_features(file, "model", inputs, {"n4": "False", "reference": "t1c"}) is not None


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"text"])
def test_a_damaged_file_of_features_is_named(tmp_path, content):
    file = tmp_path / "f.npz"
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"f.npz: cannot be read as features .* delete it"):
        read_features(file, "model", {})
