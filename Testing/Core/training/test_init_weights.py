import torch

from voxmmsd.labels import schema_named
from voxmmsd.training.init_weights import UNKNOWN_CLASS_LOGIT, mapped_head

OLD, NEW = schema_named("brats-gli-2023"), schema_named("brats-gli-2024")


def head(classes):
    weight = torch.arange(classes, dtype=torch.float32).reshape(-1, 1, 1, 1, 1).repeat(1, 5, 1, 1, 1)
    return weight, torch.arange(classes, dtype=torch.float32) / 10


def test_a_head_that_grows_keeps_the_known_tissues_and_starts_the_new_one_at_never():
    mapped = mapped_head(*head(4), OLD, NEW)
    assert mapped["head.weight"][:, 0, 0, 0, 0].tolist() == [0, 1, 2, 3, 0]
    assert mapped["head.bias"].tolist() == torch.tensor([0, 0.1, 0.2, 0.3, UNKNOWN_CLASS_LOGIT]).tolist()


def test_a_head_that_shrinks_or_changes_its_order_maps_by_tissue():
    assert mapped_head(*head(5), NEW, OLD)["head.weight"][:, 0, 0, 0, 0].tolist() == [0, 1, 2, 3]
    msd = mapped_head(*head(4), OLD, schema_named("msd-task01"))  # edema first
    assert msd["head.weight"][:, 0, 0, 0, 0].tolist() == [0, 2, 1, 3]


def test_a_grown_head_says_what_the_old_one_said():
    torch.manual_seed(0)
    features = torch.randn(2, 5, 3, 3, 3)
    weight, bias = torch.randn(4, 5, 1, 1, 1) * 5, torch.randn(4)
    mapped = mapped_head(weight, bias, OLD, NEW)
    before = torch.nn.functional.conv3d(features, weight, bias).argmax(1)
    after = torch.nn.functional.conv3d(features, mapped["head.weight"], mapped["head.bias"]).argmax(1)
    assert (before == after).float().mean() > 0.9
