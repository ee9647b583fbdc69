import pytest
import torch

from voxmmsd.compute.devices import Precision
from voxmmsd.model_config import NetworkConfig
from voxmmsd.networks.heads import SegmentationNetwork
from voxmmsd.training.optimization import MAX_GRADIENT, adamw, optimize, sgd


def test_the_head_has_a_learning_rate_of_its_own():
    torch.manual_seed(0)
    network = SegmentationNetwork(NetworkConfig.of((4, 6)), 3)
    optimizer = adamw(network, weight_decay=0.0, head_lr_scale=10.0)
    before = {name: value.detach().clone() for name, value in network.named_parameters()}
    loss = network(torch.rand(2, 4, 8, 8, 8)).square().mean()
    loss.backward()
    optimize(loss, network, optimizer, Precision(torch.device("cpu")), learning_rate=1e-3)
    moved = {name: float((value.detach() - before[name]).abs().max()) for name, value in network.named_parameters()}
    # AdamW's first step moves every weight by the learning rate, whatever the gradient's size.
    assert 0.0099 < moved["head.weight"] <= 0.0101
    assert 0.00099 < max(distance for name, distance in moved.items() if name.startswith("unet")) <= 0.00101


@pytest.mark.parametrize(("norm", "step"), [(1e6, MAX_GRADIENT), (3.0, 3.0)])
def test_a_huge_gradient_moves_the_weights_no_further_than_one_of_norm_12(norm, step):
    layer = torch.nn.Linear(4, 3)
    optimizer = sgd(layer, weight_decay=0.0)
    before = [parameter.detach().clone() for parameter in layer.parameters()]
    for parameter in layer.parameters():
        parameter.grad = torch.full_like(parameter, norm / 15**0.5)  # of 15 weights
    assert optimize(torch.tensor(1.0), layer, optimizer, Precision(torch.device("cpu")), learning_rate=1.0)
    moved = [(parameter.detach() - old).flatten() for parameter, old in zip(layer.parameters(), before, strict=True)]
    assert float(torch.cat(moved).norm()) == pytest.approx(step, rel=1e-4)


def test_a_step_whose_gradient_is_not_finite_leaves_weights_and_momentum():
    layer = torch.nn.Linear(4, 3)
    optimizer = sgd(layer, weight_decay=0.0)
    before = layer.weight.detach().clone()
    for parameter in layer.parameters():
        parameter.grad = torch.full_like(parameter, torch.inf)
    assert not optimize(torch.tensor(1.0), layer, optimizer, Precision(torch.device("cpu")), learning_rate=1.0)
    assert torch.equal(layer.weight, before)
    assert not optimizer.state[layer.weight]["momentum_buffer"].any()


def test_kernels_alone_decay_in_the_body_and_in_the_head():
    network = SegmentationNetwork(NetworkConfig.of((4, 6)), 3)
    groups = adamw(network, weight_decay=0.01, head_lr_scale=2.0).param_groups
    decays = {id(parameter): group["weight_decay"] for group in groups for parameter in group["params"]}
    assert len(decays) == len(list(network.parameters()))
    for name, parameter in network.named_parameters():
        assert decays[id(parameter)] == (0.01 if parameter.ndim > 1 else 0.0), name
