import torch

from voxmmsd.config import NetworkConfig
from voxmmsd.networks.devices import Precision
from voxmmsd.networks.heads import SegmentationNetwork
from voxmmsd.training.optimization import adamw, optimize


def test_the_head_moves_at_its_own_pace():
    torch.manual_seed(0)
    network = SegmentationNetwork(NetworkConfig.of((4, 6)), 3)
    optimizer = adamw(network, weight_decay=0.0, head_pace=10.0)
    before = {name: value.detach().clone() for name, value in network.named_parameters()}
    loss = network(torch.rand(2, 4, 8, 8, 8)).square().mean()
    loss.backward()
    optimize(loss, network, optimizer, Precision(torch.device("cpu")), learning_rate=1e-3)
    moved = {name: float((value.detach() - before[name]).abs().max()) for name, value in network.named_parameters()}
    # AdamW's first step moves every weight by the learning rate, whatever the gradient's size.
    assert 0.0099 < moved["head.weight"] <= 0.0101
    assert 0.00099 < max(distance for name, distance in moved.items() if name.startswith("unet")) <= 0.00101


def test_kernels_alone_decay_in_the_body_and_in_the_head():
    network = SegmentationNetwork(NetworkConfig.of((4, 6)), 3)
    groups = adamw(network, weight_decay=0.01, head_pace=2.0).param_groups
    decays = {id(parameter): group["weight_decay"] for group in groups for parameter in group["params"]}
    assert len(decays) == len(list(network.parameters()))
    for name, parameter in network.named_parameters():
        assert decays[id(parameter)] == (0.01 if parameter.ndim > 1 else 0.0), name
