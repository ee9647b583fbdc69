"""Distillation in half precision: neither extreme features nor extreme embeddings may give what is not a number."""

import pytest
import torch

from voxmmsd.config import make_config
from voxmmsd.losses.self_distillation import distillation_loss, mean_embedding, moved_center, teacher_targets
from voxmmsd.networks.heads import Projector
from voxmmsd.pretext.method import open_method
from voxmmsd.training_config import PretrainConfig
from voxmmsd.views.siamese import clean_blocks

HALVES = [torch.float16, torch.bfloat16]
LARGEST = torch.finfo(torch.float16).max
EXTREMES = {
    "largest": lambda e: torch.full_like(e, LARGEST),
    "of both signs": lambda e: LARGEST * torch.sign(torch.randn(e.shape)).to(e.dtype),
    "smallest": lambda e: torch.full_like(e, torch.finfo(e.dtype).tiny),
    "zero": torch.zeros_like,
    "one alone": lambda e: torch.nn.functional.one_hot(torch.zeros(e.shape[:2], dtype=torch.long), e.shape[2]).to(e),
}


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("who", ["student", "teacher", "both"])
@pytest.mark.parametrize("name", EXTREMES)
def test_extreme_embeddings_give_a_finite_loss_gradient_and_center(name, who, dtype):
    torch.manual_seed(0)
    usual, extreme = torch.randn(2, 8, 16).to(dtype), EXTREMES[name](torch.empty(2, 8, 16, dtype=dtype))
    student = (extreme if who != "teacher" else usual).clone().requires_grad_()
    teacher = extreme if who != "student" else usual
    loss = distillation_loss(student, teacher, torch.zeros(16), 0.04, torch.ones(8))
    loss.backward()
    assert loss.dtype == torch.float32 and torch.isfinite(loss)
    assert torch.isfinite(student.grad).all()
    assert torch.isfinite(moved_center(torch.zeros(16), mean_embedding(teacher, torch.ones(8)))).all()
    assert torch.isfinite(teacher_targets(teacher, torch.zeros(16), 0.04)).all()


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("level", [0.0, 1e-6, 6e4])
def test_extreme_features_give_embeddings_of_unit_length(level, dtype):
    torch.manual_seed(0)
    projector, features = Projector(12, 16), (level * torch.randn(32, 12).sign()).to(dtype).requires_grad_()
    with torch.no_grad():
        projector[6].weight.mul_(1e6)  # beyond what float16 can hold
    with torch.autocast("cpu", dtype=dtype):
        embeddings = projector(features)
    embeddings.square().sum().backward()
    assert embeddings.dtype == torch.float32
    torch.testing.assert_close(embeddings.norm(dim=-1), torch.ones(32), atol=1e-3, rtol=0)
    assert torch.isfinite(features.grad).all()
    assert all(torch.isfinite(parameter.grad).all() for parameter in projector.parameters())


@pytest.mark.parametrize("dtype", HALVES)
def test_a_step_of_vox_mmsd_in_half_precision_is_finite_with_a_projector_gone_wild(dtype):
    torch.manual_seed(0)
    given = {"preset": "tiny", "channels": (4, 6, 8), "block": 16, "mask_size": 4, "mask_ratio": 0.5, "pairs": 64}
    method = open_method(make_config(PretrainConfig, {**given, "candidates": 4096})).train()
    method.autocast = lambda: torch.autocast("cpu", dtype=dtype)
    with torch.no_grad():
        for network in (method.projector, method.teacher.networks[1]):
            network[0].weight.mul_(1e5)
            network[6].weight.mul_(1e6)
    raw = torch.randint(1, 256, (4, 4, 16, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    blocks = clean_blocks(raw, torch.tensor([[[0, 0, 0], [3, 1, 0]], [[2, 4, 1], [0, 0, 0]]]), torch.ones(2, 4).bool())
    found = method.losses(blocks, 0, torch.Generator().manual_seed(0))
    found["loss"].backward()
    assert all(torch.isfinite(value) for value in found.values()), found
    assert all(torch.isfinite(p.grad).all() for p in method.parameters() if p.grad is not None)
    method.after_update(0)
    assert torch.isfinite(method.center).all()
