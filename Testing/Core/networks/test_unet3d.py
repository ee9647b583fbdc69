import numpy as np
import pytest
import torch

from voxmmsd.model_config import NetworkConfig
from voxmmsd.networks.heads import SegmentationNetwork
from voxmmsd.networks.unet3d import UNet3d


def test_the_pyramid_equals_the_authors_in_evaluation_mode(golden):
    stored = np.load(golden / "unet.npz")
    network = UNet3d(NetworkConfig.of((4, 8, 12, 16, 20))).eval()
    ours = [name for name in network.state_dict() if not name.endswith("num_batches_tracked")]
    theirs = [name for name in stored.files if name.startswith("weight/")]
    assert len(ours) == len(theirs)
    weights = {a: torch.from_numpy(stored[b]) for a, b in zip(ours, theirs, strict=True)}
    network.load_state_dict(weights, strict=False)
    with torch.inference_mode():
        pyramid = network(torch.from_numpy(stored["input"]))
    for level, features in enumerate(pyramid):
        np.testing.assert_allclose(features.numpy(), stored[f"pyramid_{level}"], atol=1e-5)


@pytest.mark.parametrize(("channels", "millions"), [((32, 64, 128, 256, 512), 21.4), ((16, 32, 64, 128, 256), 5.3)])
def test_the_networks_have_the_published_size(channels, millions):
    with torch.device("meta"):
        network = UNet3d(NetworkConfig.of(channels))
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(millions, abs=0.06)


def test_dropout_is_on_the_levels_below_the_second_of_encoder_and_decoder_alike():
    network = UNet3d(NetworkConfig.of((2, 3, 4, 5, 6)))

    def dropout_of(block):
        (found,) = (module.p for module in block.modules() if isinstance(module, torch.nn.Dropout))
        return found

    assert [dropout_of(block) for block in network.encoder] == [0, 0, 0.2, 0.2, 0.2]
    assert [dropout_of(up.block) for up in network.decoder] == [0.2, 0.2, 0, 0]  # from the deepest level on


def test_a_network_of_three_levels_gives_logits_of_the_input_shape():
    network = SegmentationNetwork(NetworkConfig.of((2, 4, 8)), class_count=4).eval()
    assert network(torch.zeros(1, 4, 8, 12, 16)).shape == (1, 4, 8, 12, 16)


def test_features_of_evaluation_do_not_depend_on_the_other_cases_of_the_batch():
    network = UNet3d(NetworkConfig.of((2, 4, 8))).eval()
    batch = torch.rand(2, 4, 8, 8, 8)
    torch.testing.assert_close(network(batch)[0][:1], network(batch[:1])[0])
