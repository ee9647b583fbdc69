import numpy as np
import pytest
import torch

from voxmmsd.losses.self_distillation import distillation_loss, mean_embedding, moved_center, teacher_targets
from voxmmsd.schedules import teacher_temperature


def views(rows):
    """Rows of the authors, first half view 1, second half view 2, as ``(2, pairs, dimensions)``."""
    return torch.from_numpy(rows).reshape(2, len(rows) // 2, -1)


def test_three_steps_with_their_center_equal_the_authors(golden):
    known = np.load(golden / "self_distillation.npz")
    center = torch.zeros(known["centre_after"].shape[1])
    for step in range(3):
        student, teacher = views(known["student"][step]), views(known["teacher"][step])
        temperature = teacher_temperature(int(known["epoch"][step]))
        loss = distillation_loss(student, teacher, center, temperature)
        assert float(loss) == pytest.approx(float(known["loss"][step]), rel=1e-5)
        center = moved_center(center, mean_embedding(teacher))
        np.testing.assert_allclose(center, known["centre_after"][step], atol=1e-7)


def test_each_view_of_the_student_answers_the_other_view_of_the_teacher():
    student, teacher = torch.randn(2, 2, 6, 5, generator=torch.Generator().manual_seed(0)).double()
    center = torch.linspace(-1, 1, 5).double()
    by_hand = 0.0
    for pair in range(6):
        for view in (0, 1):
            target = torch.exp((teacher[1 - view, pair] - center) / 0.05)
            said = torch.exp(student[view, pair] / 0.1)
            by_hand -= float((target / target.sum() * (said / said.sum()).log()).sum()) / 12
    assert float(distillation_loss(student, teacher, center, 0.05)) == pytest.approx(by_hand, rel=1e-5)


def test_pairs_of_weight_0_change_neither_loss_nor_center():
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, 2, 9, 5, generator=generator)
    weight = torch.tensor([1.0] * 6 + [0.0] * 3)
    center = torch.randn(5, generator=generator)
    weighted = distillation_loss(student, teacher, center, 0.05, weight)
    torch.testing.assert_close(weighted, distillation_loss(student[:, :6], teacher[:, :6], center, 0.05))
    torch.testing.assert_close(mean_embedding(teacher, weight), mean_embedding(teacher[:, :6]))
    assert float(distillation_loss(student, teacher, center, 0.05, torch.zeros(9))) == 0


def test_no_gradient_reaches_the_teacher():
    student, teacher = torch.randn(2, 2, 4, 5).unbind()
    student.requires_grad_(), teacher.requires_grad_()
    distillation_loss(student, teacher, torch.zeros(5), 0.05).backward()
    assert student.grad.abs().sum() > 0
    assert teacher.grad is None


def test_targets_are_sharper_at_a_lower_temperature():
    teacher = torch.randn(2, 4, 5, generator=torch.Generator().manual_seed(1))
    sharp, soft = (teacher_targets(teacher, torch.zeros(5), t).amax(-1).mean() for t in (0.04, 0.4))
    assert sharp > soft
