"""That a training passes the right step, share and mode to the pieces that have tests of their own."""

import numpy as np
import pytest
import torch
from torch import nn

from voxmmsd.config import make_config
from voxmmsd.phantom import write_phantoms
from voxmmsd.runs import open_run
from voxmmsd.training.cases import fixed_splits, labeled_entries, unlabeled_entries
from voxmmsd.training.finetune import FineTuning
from voxmmsd.training.pretrain import PreTraining
from voxmmsd.training_config import FinetuneConfig, PretrainConfig


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cases") / "in"
    write_phantoms(folder, 3, seed=0, side=32)
    return folder


@pytest.fixture
def finetuning(cases, tmp_path):
    """Of 16 steps 4 warm up, the balance ends after 4, dropout rises from 4 to 8, BatchNorm is frozen from 8 on."""
    config = make_config(FinetuneConfig, {
        "folders": (str(cases),), "run": str(tmp_path / "run"), "channels": (4, 6), "patch": 16, "steps": 16,
        "modality_dropout": 1.0, "oversample_foreground": 0.25, "warmup": 0.25, "device": "cpu", "threads": 1,
        "workers": 1,
    })  # fmt: skip
    with open_run(tmp_path / "run", "finetune", {}, 16) as run:
        entries = labeled_entries(config, run)
        yield FineTuning(config, run, entries, fixed_splits(config, run, entries))


def at(training, step):
    training.step = step
    return training


def norms(network):
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm3d)]


def test_patches_are_drawn_as_the_options_say(finetuning):
    recipe = finetuning.sampler.recipe
    assert (recipe.size, recipe.batch, recipe.augment) == (16, 2, True)
    assert (recipe.foreground, recipe.modality_dropout) == (0.25, 1.0)


def test_batchnorm_follows_the_batches_at_first_and_is_frozen_from_its_step_on(finetuning):
    for step, frozen in ((0, False), (7, False), (8, True), (15, True)):
        before = [norm.running_mean.clone() for norm in norms(finetuning.network)]
        at(finetuning, step).train_step()
        assert finetuning.network.training
        for norm, mean in zip(norms(finetuning.network), before, strict=True):
            assert norm.training != frozen
            assert torch.equal(norm.running_mean, mean) == frozen


def test_batchnorm_starts_from_the_first_batch_and_then_remembers_about_the_last_ten_of_a_short_run(finetuning):
    momenta = []
    for step in (0, 1, 4, 15):
        at(finetuning, step).set_batchnorm()
        momenta.append({norm.momentum for norm in norms(finetuning.network)})
    assert momenta == [{1.0}, {0.5}, {0.2}, {0.1}]


def test_the_class_balance_falls_to_0_and_stays_there(finetuning):
    balances = [finetuning.recipe.class_balance(step) for step in range(16)]
    assert balances[:5] == pytest.approx([1, 0.5 + 0.125**0.5, 0.5, 0.5 - 0.125**0.5, 0], abs=1e-6)
    assert not any(balances[4:])


@pytest.mark.parametrize("step", [0, 2, 5, 12])
def test_the_loss_of_a_step_is_that_of_its_patches_with_its_dropout_and_its_balance(finetuning, step):
    loss = at(finetuning, step).losses(0)["loss"]
    share = float(np.clip((step - 4) / 4, 0, 1))
    image, label = finetuning.sampler.batch(step, share)
    logits = finetuning.network(image)
    torch.testing.assert_close(loss, finetuning.loss(logits, label, finetuning.recipe.class_balance(step)))


def test_all_modalities_are_seen_in_the_first_quarter_and_a_subset_from_the_middle_on(finetuning):
    assert [finetuning.recipe.dropout_share(step) for step in (0, 4, 6, 8, 15)] == [0, 0, 0.5, 1, 1]
    for step, whole in ((0, True), (3, True), (8, False), (15, False)):
        images = []
        hook = finetuning.network.register_forward_pre_hook(lambda _, given, images=images: images.extend(given))
        at(finetuning, step).losses(0)
        hook.remove()
        assert (images[0].amax(dim=(2, 3, 4)) > 0).all(dim=1).tolist() == [whole] * 2


def test_the_head_learns_at_ten_times_the_rate_that_is_logged(finetuning):
    at(finetuning, 5).train_step()
    rates = {group["lr_scale"]: group["lr"] for group in finetuning.optimizer.param_groups}
    assert rates == {1.0: finetuning.rates(5)["learning_rate"], 10.0: 10 * finetuning.rates(5)["learning_rate"]}
    heads = {id(parameter) for parameter in finetuning.network.head.parameters()}
    for group in finetuning.optimizer.param_groups:
        assert all((id(parameter) in heads) == (group["lr_scale"] == 10) for parameter in group["params"])


def test_fine_tuning_warms_up_over_its_share_and_ends_at_a_hundredth(finetuning):
    rates = [finetuning.rates(step)["learning_rate"] for step in (0, 3, 4, 16)]
    assert rates == pytest.approx([0, 1e-3, 1e-3, 1e-5])


@pytest.fixture
def pretraining(cases, tmp_path):
    config = make_config(PretrainConfig, {
        "folders": (str(cases),), "run": str(tmp_path / "run"), "channels": (4, 6), "block": 16, "mask_size": 4,
        "pairs": 32, "candidates": 4096, "mask_ratio": 0.5, "steps": 40, "device": "cpu", "threads": 1, "workers": 1,
    })  # fmt: skip
    with open_run(tmp_path / "run", "pretrain", {}, 40) as run:
        yield PreTraining(config, run, *unlabeled_entries(config, run))


def test_weight_decay_rises_on_kernels_alone_while_the_learning_rate_falls(pretraining):
    for step, decay in ((0, 1e-5), (20, 5.5e-5)):
        at(pretraining, step).train_step()
        kernels, others = pretraining.optimizer.param_groups
        assert (kernels["weight_decay"], others["weight_decay"]) == (pytest.approx(decay), 0.0)
        assert all(parameter.ndim > 1 for parameter in kernels["params"])
    assert pretraining.rates(39)["learning_rate"] == pytest.approx(1e-4, rel=0.05)
    assert pretraining.rates(1)["learning_rate"] == pytest.approx(1e-3, rel=0.01)


def test_after_a_step_the_teacher_has_moved_by_its_momentum_and_the_center_by_a_tenth(pretraining):
    """Of 40 steps the momentum rises from 0.75 to 1 on half a cosine, a quarter of which is 10 steps."""
    method, momentum = at(pretraining, 10).method, 1 - 0.25 * (1 + 0.5**0.5) / 2
    teacher, student = method.teacher.networks[0].encoder[0][0], method.unet.encoder[0][0]
    before = teacher.weight.detach().clone()
    with torch.no_grad():
        student.weight += 1  # so that it is far from its teacher
    pretraining.train_step()
    torch.testing.assert_close(teacher.weight, momentum * before + (1 - momentum) * student.weight.detach())
    assert 0 < float(method.center.norm()) <= 0.1  # a tenth of a mean of unit vectors


def test_the_teacher_normalizes_by_its_own_batch_and_takes_no_gradient(pretraining):
    pretraining.train_step()
    teacher = pretraining.method.teacher.networks
    assert all(norm.training for norm in norms(teacher))
    assert all(parameter.grad is None for parameter in teacher.parameters())
