import math

import pytest
import torch

from voxmmsd.config import make_config
from voxmmsd.errors import ConfigError
from voxmmsd.losses.contrast import contrast_loss
from voxmmsd.losses.restoration import restoration_loss
from voxmmsd.losses.self_distillation import distillation_loss
from voxmmsd.networks.voxel_features import voxel_features
from voxmmsd.pretext.method import open_method
from voxmmsd.pretext.teacher import Teacher
from voxmmsd.pretext.vox_mmsd import first_momentum
from voxmmsd.schedules import cosine, teacher_temperature
from voxmmsd.training.optimization import sgd
from voxmmsd.training_config import METHODS, PretrainConfig
from voxmmsd.views.pairs import draw_pairs
from voxmmsd.views.pretrain_intensity import PretrainIntensityRanges
from voxmmsd.views.siamese import clean_blocks, make_views


def config(**changes):
    given = {"preset": "tiny", "channels": (4, 6, 8), "block": 16, "mask_size": 4, "mask_ratio": 0.5, "pairs": 64}
    return make_config(PretrainConfig, {**given, "candidates": 4096, **changes})


def blocks(seed=0):
    raw = torch.randint(1, 256, (4, 4, 16, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
    corners = torch.tensor([[[0, 0, 0], [3, 1, 0]], [[2, 4, 1], [0, 0, 0]]])
    return clean_blocks(raw, corners, torch.ones(2, 4, dtype=torch.bool))


def losses(method, step=0):
    torch.manual_seed(step)
    return method.train().losses(blocks(), step, torch.Generator().manual_seed(step))


@pytest.mark.parametrize("name", METHODS)
def test_every_method_learns(name):
    torch.manual_seed(0)
    method = open_method(config(method=name))
    optimizer = sgd(method, 0.0)
    for group in optimizer.param_groups:
        group["lr"] = 0.02
    found = []
    for step in range(25):
        optimizer.zero_grad()
        loss = losses(method, step % 2)["loss"]
        loss.backward()
        optimizer.step()
        method.after_update(step)
        found.append(float(loss.detach()))
    assert all(math.isfinite(value) for value in found)
    assert sum(found[-4:]) < 0.99 * sum(found[:4])


def test_gradients_reach_all_of_the_student_and_nothing_of_the_teacher():
    method = open_method(config())
    losses(method)["loss"].backward()
    for name, parameter in method.named_parameters():
        if name.startswith("teacher."):
            assert parameter.grad is None, name
        else:
            assert parameter.grad is not None, name
    for part in (method.unet.encoder, method.unet.decoder, method.projector, method.restorer):
        assert sum(float(p.grad.abs().sum()) for p in part.parameters()) > 0


def test_the_optimizer_gets_projector_and_restoration_head_and_not_the_teacher():
    method = open_method(config())
    given = {id(p) for group in sgd(method, 1e-5).param_groups for p in group["params"]}
    for part in (method.unet, method.projector, method.restorer):
        assert all(id(p) in given for p in part.parameters())
    assert not any(id(p) in given for p in method.teacher.parameters())


def test_the_teacher_is_the_moving_average_of_its_student_and_has_a_projector_of_its_own():
    student, head = torch.nn.Linear(3, 2), torch.nn.Linear(2, 2)
    teacher = Teacher(student, head)
    by_hand = [p.detach().clone() for p in (*student.parameters(), *head.parameters())]
    for momentum in (0.9, 0.99, 0.5):
        with torch.no_grad():
            for parameter in (*student.parameters(), *head.parameters()):
                parameter.add_(torch.randn_like(parameter))
        by_hand = [momentum * t + (1 - momentum) * s.detach() for t, s in
                   zip(by_hand, (*student.parameters(), *head.parameters()), strict=True)]  # fmt: skip
        teacher.follow(student, head, momentum=momentum)
    for ours, expected in zip(teacher.parameters(), by_hand, strict=True):
        torch.testing.assert_close(ours.data, expected)
    assert teacher.networks[1].weight.data_ptr() != head.weight.data_ptr()


@pytest.mark.parametrize("steps", [100, 600, 60_000])
def test_a_teacher_has_forgotten_its_random_start_when_a_run_ends_however_short(steps):
    kept = math.prod(cosine(step, steps, first_momentum(steps), 1.0) for step in range(steps))
    assert kept < 0.01
    assert first_momentum(steps) <= first_momentum(60_000) == 0.996


def test_the_center_moves_with_every_step_and_is_kept_in_the_state():
    method = open_method(config())
    losses(method)
    assert method.center.abs().sum() == 0, "it follows the update"
    method.after_update(0)
    first = method.center.clone()
    assert first.abs().sum() > 0
    losses(method, 1)
    method.after_update(1)
    assert not torch.equal(first, method.center)
    assert "center" in method.state_dict()


def test_a_step_without_finite_embeddings_leaves_the_center_as_it_is():
    method = open_method(config())
    losses(method)
    method.after_update(0)
    before = method.center.clone()
    with torch.no_grad():
        method.teacher.networks[1][-1].bias.fill_(float("nan"))
    method.start_step()
    losses(method, 1)
    method.after_update(1)
    torch.testing.assert_close(method.center, before)


@pytest.mark.parametrize(
    ("switch", "has", "has_not"),
    [
        ({"distillation": False}, "restoration", "distillation"),
        ({"restoration": False}, "distillation", "restoration"),
        ({"single_scale": True}, "distillation", ""),
        ({"same_mask_for_views": True}, "distillation", ""),
        ({"same_mask_for_modalities": True}, "restoration", ""),
        ({"pairs_within_modality": True}, "distillation", ""),
        ({"mask_after_augmentation": False}, "restoration", ""),
    ],
    ids=str,
)
def test_every_ablation_runs_and_leaves_out_what_it_says(switch, has, has_not):
    def of_one_start(**changes):
        torch.manual_seed(0)
        return losses(open_method(config(**changes)))

    whole, found = of_one_start(), of_one_start(**switch)
    assert has in found
    assert has_not not in found
    assert torch.isfinite(found["loss"])
    torch.testing.assert_close(of_one_start()["loss"], whole["loss"])
    assert float(found["loss"].detach()) != pytest.approx(float(whole["loss"].detach()), abs=1e-6)


def test_voxel_contrast_asks_only_the_pairs_that_were_found():
    given = {"method": "voxel-contrast", "channels": (4, 6), "candidates": 128}
    method, clean, rng = open_method(config(**given)).train(), blocks(), torch.Generator()
    loss = method.losses(clean, 0, rng.manual_seed(1))["loss"]
    views = make_views(clean, method.mask, PretrainIntensityRanges(), rng.manual_seed(1))
    pairs = draw_pairs(clean, views, 4, method.pairs, rng)
    assert 0.2 < float(pairs.weight.mean()) < 0.9
    features = voxel_features(method.unet(views.image), pairs.places)
    first, second = method.projector(features.flatten(0, 1)).unflatten(0, (2, -1))
    torch.testing.assert_close(loss, contrast_loss(first, second, pairs.weight.flatten()))


def test_what_is_restored_to_be_looked_at_does_not_depend_on_the_other_blocks_and_leaves_no_trace():
    for name in ("vox-mmsd", "masked-autoencoding"):
        method, clean = open_method(config(method=name)).train(), blocks()
        before = {key: value.clone() for key, value in method.state_dict().items()}
        seen, found = method.restore(clean, torch.Generator().manual_seed(0))
        with torch.no_grad():
            alone = torch.tanh(method.restorer(method.unet.eval()(seen[:1])[0]))
        torch.testing.assert_close(found[:1], alone)
        assert all(torch.equal(value, before[key]) for key, value in method.state_dict().items())


@pytest.mark.parametrize("switch", ["", "same_mask_for_views", "same_mask_for_modalities", "pairs_within_modality"])
def test_a_switch_shares_what_it_names_and_nothing_else(switch):
    method, clean, rng = open_method(config(**({switch: True} if switch else {}))), blocks(), torch.Generator()
    views = make_views(clean, method.mask, PretrainIntensityRanges(), rng.manual_seed(0))
    pairs = draw_pairs(clean, views, method.mask.cell, method.pairs, rng)
    first, second = views.visible.chunk(2)
    assert torch.equal(first, second) == (switch == "same_mask_for_views")
    assert torch.equal(views.visible[:, 0], views.visible[:, 1]) == (switch == "same_mask_for_modalities")
    assert torch.equal(*pairs.modalities.chunk(2)) == (switch == "pairs_within_modality")
    assert float(views.visible.float().mean()) == pytest.approx(0.5, abs=0.1)
    assert pairs.modalities.shape == (4, 64)


def test_single_scale_embeds_the_finest_features_alone():
    assert open_method(config(single_scale=True)).projector[0].in_features == 4
    assert open_method(config()).projector[0].in_features == 4 + 6


def test_the_total_is_the_weighted_sum():
    found = losses(open_method(config(distillation_weight=0.3)))
    torch.testing.assert_close(found["loss"], found["restoration"] + 0.3 * found["distillation"])


def test_the_losses_are_those_of_the_views_with_the_informative_modalities_and_the_temperature_of_the_epoch():
    """A case without T2, a block that is constant in T1 and too few pairs; step 10 of 1,000 is in epoch 3 of 300."""
    given = {"channels": (4, 6), "steps": 1000, "candidates": 128}
    method, clean, rng = open_method(config(**given)).train(), blocks(), torch.Generator()
    clean.informative[::2, 2] = clean.informative[1, 0] = False
    views = make_views(clean, method.mask, PretrainIntensityRanges(), rng.manual_seed(1))
    pairs = draw_pairs(clean, views, 4, method.pairs, rng)
    assert 0.2 < float(pairs.weight.mean()) < 0.9
    method.center.copy_(torch.linspace(-0.1, 0.1, len(method.center)))
    found = method.score(clean, views, pairs, step=10)

    student, (teacher, teacher_projector) = method.unet, method.teacher.networks
    pyramid, theirs = student(views.image), teacher(views.image)
    torch.testing.assert_close(
        found["restoration"], restoration_loss(method.restorer(pyramid[0]), clean.image, clean.informative)
    )
    embedded = [
        projector(voxel_features(features, pairs.places).flatten(0, 1)).unflatten(0, (2, -1))
        for features, projector in ((pyramid, method.projector), (theirs, teacher_projector))
    ]
    by_hand = distillation_loss(*embedded, method.center, teacher_temperature(3), pairs.weight.flatten())
    torch.testing.assert_close(found["distillation"], by_hand)
    by_step = distillation_loss(*embedded, method.center, teacher_temperature(10), pairs.weight.flatten())
    assert abs(float(by_hand.detach() - by_step.detach())) > 0.01


def test_masked_autoencoding_leaves_out_what_is_not_informative_too_and_masks_all_modalities_alike():
    method, clean, rng = (
        open_method(config(method="masked-autoencoding", channels=(4, 6))).train(),
        blocks(),
        torch.Generator(),
    )
    clean.informative[::2, 2] = False
    loss = method.losses(clean, 0, rng.manual_seed(1))["loss"]
    views = make_views(clean, method.mask, PretrainIntensityRanges(), rng.manual_seed(1))
    assert torch.equal(views.visible, views.visible[:, :1].expand_as(views.visible))
    prediction = method.restorer(method.unet(views.image)[0])
    torch.testing.assert_close(loss, restoration_loss(prediction, clean.image, clean.informative))


def test_nothing_to_learn_is_refused():
    with pytest.raises(ConfigError, match="nothing to learn"):
        config(distillation=False, restoration=False)


def test_a_collapse_is_seen_and_said():
    method = open_method(config())
    healthy = float(losses(method)["embedding spread"])
    assert method.warnings({"embedding spread": healthy}) == []
    with torch.no_grad():
        last = method.teacher.networks[1][-1]
        last.weight.zero_()
        last.bias.fill_(1.0)
    (warning,) = method.warnings({"embedding spread": float(losses(method)["embedding spread"])})
    assert "collapsed" in warning


def test_a_restoration_of_what_the_network_saw_can_be_looked_at():
    for name, gives in (("vox-mmsd", True), ("masked-autoencoding", True), ("voxel-contrast", False)):
        method = open_method(config(method=name)).train()
        found = method.restore(blocks(), torch.Generator().manual_seed(0))
        assert (found is not None) == gives
        assert method.unet.training
        if found:
            assert [tuple(array.shape) for array in found] == [(4, 4, 16, 16, 16)] * 2


@pytest.mark.parametrize("name", METHODS)
def test_listed_transforms_change_the_views_and_not_what_is_restored(name):
    clean = blocks()
    before = clean.image.clone()
    plain, changed = (
        open_method(config(method=name, transforms=given)).views(clean, torch.Generator().manual_seed(0)).image
        for given in ((), ("brightness:p=1,factor=1.5",))
    )
    assert not torch.equal(plain, changed)
    assert torch.equal(clean.image, before)


def test_a_transform_that_moves_voxels_is_refused():
    with pytest.raises(ConfigError, match="elastic moves voxels"):
        open_method(config(transforms=("elastic",)))
