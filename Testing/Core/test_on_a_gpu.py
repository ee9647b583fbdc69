"""What differs on a GPU, on a real one: where cases lie, half precision, no memory. Skipped where there is none.

python -m pytest Testing/Core/test_on_a_gpu.py
"""

import json

import nibabel as nib
import numpy as np
import pytest
import torch
from patients import write_patient
from toy_models import toy_package

from voxmmsd import doctor
from voxmmsd.cli import main
from voxmmsd.compute.devices import Precision
from voxmmsd.config import make_config
from voxmmsd.data.cases import find_cases
from voxmmsd.data.store import open_store, prepare_cases
from voxmmsd.errors import Canceled
from voxmmsd.evaluation.scores import dice
from voxmmsd.phantom import write_phantoms
from voxmmsd.pretext.vox_mmsd import VoxMMSD
from voxmmsd.runs import Request, Run, view_run
from voxmmsd.runs.curves import read_curves
from voxmmsd.runs.events import read_events
from voxmmsd.training.blocks import BlockSampler
from voxmmsd.training.finetune import finetune
from voxmmsd.training.patches import PatchRecipe, PatchSampler
from voxmmsd.training.pretrain import pretrain
from voxmmsd.training_config import FinetuneConfig, PretrainConfig
from voxmmsd.views.pairs import draw_pairs
from voxmmsd.views.pretrain_intensity import PretrainIntensityRanges
from voxmmsd.views.siamese import SiameseBlocks, SiameseViews, make_views

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU of NVIDIA here")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def gpu():
    return torch.device("cuda", 0)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cases")
    write_phantoms(folder / "in", 4, seed=0, side=48)
    prepare_cases(find_cases(folder / "in").cases, folder / "store", workers=1)
    return folder / "store"


@pytest.fixture(scope="module")
def entries(store):
    return open_store(store)


def options(kind, store, run, **changes):
    own = (
        {"patch": 32, "validate_every": 20}
        if kind is FinetuneConfig
        else {"block": 32, "mask_size": 8, "mask_ratio": 0.5}
    )
    given = {"folders": (str(store),), "run": str(run), "preset": "tiny", "channels": (8, 16, 32), "steps": 40}
    return make_config(kind, {**given, "checkpoint_every": 10, "device": "cuda", "threads": 1, **own, **changes})


def test_blocks_are_cut_on_the_gpu_as_on_the_cpu_whether_or_not_the_cases_fit_there(entries, gpu, monkeypatch):
    expected = BlockSampler(entries, 32, 2, 5, CPU)
    resident = BlockSampler(entries, 32, 2, 5, gpu)
    monkeypatch.setattr("voxmmsd.training.residency.RESIDENT_SHARE", 0.0)
    read_ahead = BlockSampler(entries, 32, 2, 5, gpu)
    for step in range(4):
        for sampler in (resident, read_ahead):
            found = sampler.batch(step)
            assert found.image.device == gpu
            torch.testing.assert_close(found.image.cpu(), expected.batch(step).image)


@pytest.mark.parametrize("share", [0.5, 0.0])
def test_patches_are_cut_on_the_gpu_as_on_the_cpu(entries, gpu, monkeypatch, share):
    monkeypatch.setattr("voxmmsd.training.residency.RESIDENT_SHARE", share)
    monkeypatch.setattr("voxmmsd.training.patches.change_intensity", lambda image, draw: image)  # drawn per device
    recipe = PatchRecipe(size=24, batch=2, foreground=0.5, modality_dropout=0.5, augment=True)
    expected, found = PatchSampler(entries, recipe, 3), PatchSampler(entries, recipe, 3, device=gpu)
    for step in range(20):
        (image, label), (image_there, label_there) = expected.batch(step), found.batch(step)
        assert image_there.device == gpu
        torch.testing.assert_close(image_there.cpu(), image, atol=2e-2, rtol=1e-3)
        assert (label_there.cpu() != label).float().mean() < 1e-3  # ties between two voxels may fall either way


def test_the_losses_of_pre_training_are_those_of_the_cpu_to_half_precision(entries, gpu):
    config = make_config(PretrainConfig, {"preset": "tiny"})
    torch.manual_seed(0)
    method = VoxMMSD(config).eval()
    blocks = BlockSampler(entries, config.block, 2, 0, CPU).batch(0)
    generator = torch.Generator().manual_seed(0)
    views = make_views(blocks, method.mask, PretrainIntensityRanges(), generator)
    pairs = draw_pairs(blocks, views, config.mask_size, method.pairs, generator)
    expected = method.score(blocks, views, pairs, 0)
    there = [type(drawn)(*(tensor.to(gpu) for tensor in vars(drawn).values())) for drawn in (blocks, views, pairs)]
    assert [type(drawn) for drawn in there[:2]] == [SiameseBlocks, SiameseViews]
    method.to(gpu).autocast = Precision(gpu).autocast
    found = method.score(*there, 0)
    for name, value in expected.items():
        assert found[name].item() == pytest.approx(value.item(), rel=0.02, abs=1e-3), name


@pytest.mark.parametrize(("kind", "train"), [(PretrainConfig, pretrain), (FinetuneConfig, finetune)])
def test_a_training_learns_on_the_gpu_and_continues_there(kind, train, store, tmp_path, monkeypatch):
    config = options(kind, store, tmp_path / "run", learning_rate=0.02 if kind is PretrainConfig else 3e-3)
    monkeypatch.setattr(Run, "asked", lambda self: Request.PAUSE if self.step == 15 else None)
    with pytest.raises(Canceled):
        train(config)
    monkeypatch.undo()
    train(config)
    assert view_run(tmp_path / "run").state == "finished"
    losses = [value for _, value in read_curves(tmp_path / "run")["loss"]]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]


def test_without_memory_a_training_makes_do_and_says_so(store, tmp_path, gpu):
    """What the network holds is left, and a part of what its activations take."""
    config = options(FinetuneConfig, store, tmp_path / "run", patch=96, batch=4, steps=4, channels=(32, 64, 128))
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(gpu).total_memory
    torch.cuda.set_per_process_memory_fraction(2.5 * 2**30 / total)
    try:
        finetune(config)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    warnings = [event["text"] for event in read_events(tmp_path / "run" / "events.jsonl") if event["kind"] == "warning"]
    assert any("out of memory" in text for text in warnings)


def test_a_case_is_segmented_on_the_gpu_as_on_the_cpu(tmp_path):
    package = toy_package(tmp_path / "model")
    write_patient(tmp_path / "in", shape_xyz=(60, 62, 58))
    found = []
    for device in ("cpu", "cuda"):
        arguments = ["segment", str(tmp_path / "in"), "--out", str(tmp_path / device), "--model", str(package.folder)]
        assert main([*arguments, "--engine", "torch", "--device", device, "--uncertainty"]) == 0
        (record,) = (tmp_path / device).glob("*-voxmmsd.json")
        assert device in json.loads(record.read_text(encoding="utf-8"))["engine"]
        (file,) = (tmp_path / device).glob("*-voxmmsd.nii.gz")
        found.append(np.asarray(nib.load(file).dataobj))
    assert dice(found[0] > 0, found[1] > 0) > 0.98
    assert (found[0] != found[1]).mean() < 0.02


def test_the_doctor_finds_a_sound_gpu_sound():
    text, good = doctor.examine("cuda")
    assert good, text
