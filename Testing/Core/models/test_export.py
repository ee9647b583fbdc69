"""What was handed over gives the labels of ``segment`` in the peer's own runtime, without this package."""

import json
import subprocess
import sys

import nibabel as nib
import numpy as np
import onnxruntime
import pytest
import torch
from toy_models import toy_info, toy_network

from voxmmsd.cli import main
from voxmmsd.data.cases import find_cases, read_case
from voxmmsd.data.preprocess import Preprocess, input_scale
from voxmmsd.errors import InputError
from voxmmsd.inference.engines import OnnxEngine
from voxmmsd.inference.predict import predict
from voxmmsd.inference.windows import TissueBox
from voxmmsd.models.export import export_model
from voxmmsd.models.weights import pack_network
from voxmmsd.phantom import write_phantoms

BUNDLE_RUN = """
import sys
sys.modules["voxmmsd"] = None
from monai.bundle import run
run(config_file=f"{bundle}/configs/inference.json", meta_file=f"{bundle}/configs/metadata.json",
    bundle_root="{bundle}", dataset_dir="{cases}", output_dir="{out}")
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A model with value 4 for enhancing tumor, a case, and the labels that ``segment`` gives."""
    place = tmp_path_factory.mktemp("hand-over")
    write_phantoms(place / "cases", 1, seed=3, side=48)
    case = find_cases(place / "cases").cases[0]
    network = toy_network(schema="brats-2021")
    with torch.no_grad():  # so that every class wins somewhere
        logits = network(torch.from_numpy(window_of(case)[0]))
        network.head.bias -= logits.mean(dim=(0, 2, 3, 4))
    package = pack_network(place / "model", network, toy_info(schema="brats-2021"))
    volumes = read_case(case, with_label=False)
    prediction = predict(volumes, package, OnnxEngine(package, threads=1), probabilities=True)
    return place, package, case, prediction


def window_of(case):
    """What the record beside an export asks for: the prepared case in its tissue's box, and that box."""
    image = Preprocess().apply(read_case(case, with_label=False)).image_czyx
    box = TissueBox.around(image, 4)
    return (box.cut(image) * input_scale(image)[:, None, None, None])[None].astype(np.float32), box


@pytest.mark.parametrize("form", ["onnx", "torchscript"])
def test_a_file_gives_the_labels_of_segment_on_the_box_of_the_tissue(world, form, capsys):
    place, package, case, prediction = world
    out = place / f"model.{form}"
    assert main(["export", str(package.folder), "--to", form, "--out", str(out)]) == 0
    window, box = window_of(case)
    if form == "onnx":
        logits = onnxruntime.InferenceSession(out).run(None, {"image": window})[0]
    else:
        logits = torch.jit.load(out)(torch.from_numpy(window)).detach().numpy()
    labels = box.put_back(logits[0].argmax(axis=0), np.zeros(box.image_zyx, int))
    assert (labels == prediction.prepared_label_zyx).mean() > 0.999
    record = json.loads((place / f"model.{form}.json").read_text(encoding="utf-8"))
    assert record["label_values"] == [0, 1, 2, 4]
    assert record["input"]["sides_are_multiples_of"] == 4


@pytest.mark.long
def test_the_preparation_that_a_bundle_carries_is_that_of_this_package():
    from voxmmsd.data import preprocess
    from voxmmsd.models.bundle_template import prepare

    rng = np.random.default_rng(0)
    image = rng.gamma(2.0, 300.0, (4, 12, 14, 16)).astype(np.float32)
    image[:, :3], image[3] = 0, 0
    mask = rng.random(image.shape[1:]) < 0.8
    for given in (None, mask):
        ours = preprocess.to_uint8(image, 99.5, given)
        assert np.array_equal(prepare.to_uint8(image, 99.5, given), ours)
    assert np.array_equal(prepare.input_scale(ours), preprocess.input_scale(ours))
    assert prepare.TISSUE_LEVEL == preprocess.TISSUE_LEVEL


def test_a_bundle_runs_in_monai_without_this_package_to_the_same_labels(world):
    place, package, _, prediction = world
    bundle = export_model(package, "monai-bundle", place / "bundle")
    code = BUNDLE_RUN.format(bundle=bundle, cases=place / "cases", out=place / "results")
    result = subprocess.run(
        [sys.executable, "-c", code.replace('f"', '"')], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-3000:]
    (file,) = (place / "results").glob("*.nii.gz")
    image = nib.load(file)
    theirs = np.asanyarray(image.dataobj).T
    ours = np.array([0, 1, 2, 4], np.uint8)[prediction.label_zyx]
    np.testing.assert_allclose(image.affine, prediction.grid.affine_xyz, atol=1e-4)
    assert set(np.unique(theirs)) <= {0, 1, 2, 4}
    assert len(np.unique(ours)) == 4
    differ = theirs != ours
    first, second = np.sort(prediction.probabilities_czyx, axis=0)[:-3:-1]
    assert (first - second)[differ].max(initial=0) < 1e-4, "only where two labels are as probable as each other"
    assert differ.mean() < 1e-3


def test_nothing_is_overwritten_and_nothing_half_is_left(world, tmp_path, monkeypatch):
    _, package, *_ = world
    out = export_model(package, "onnx", tmp_path / "m.onnx")
    with pytest.raises(InputError, match="exists already"):
        export_model(package, "onnx", out)
    monkeypatch.setattr("voxmmsd.models.export_bundle._metadata", lambda info: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export_model(package, "monai-bundle", tmp_path / "bundle")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.onnx", "m.onnx.json"]


def test_a_record_that_a_kill_left_without_its_model_is_no_obstacle_and_another_ones_is_kept(world, tmp_path):
    _, package, *_ = world
    out = export_model(package, "onnx", tmp_path / "m.onnx")
    out.unlink()
    assert export_model(package, "onnx", out).is_file()
    out.unlink()
    record = tmp_path / "m.onnx.json"
    record.write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match=r"m\.onnx\.json: exists already"):
        export_model(package, "onnx", out)
    assert record.read_text(encoding="utf-8") == "{}"
    assert not out.exists()
