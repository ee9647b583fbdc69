import numpy as np
import torch

from voxmmsd.networks.voxel_features import voxel_features


def test_features_of_voxels_equal_the_authors(golden):
    unet, known = np.load(golden / "unet.npz"), np.load(golden / "voxel_features.npz")
    pyramid = [torch.from_numpy(unet[f"pyramid_{level}"][:1]) for level in range(4)]
    places = torch.from_numpy(known["voxels_mzyx"][:, 1:])[None]
    np.testing.assert_allclose(voxel_features(pyramid, places)[0], known["features"], atol=1e-6)


def test_memory_format_does_not_matter_and_gradients_reach_every_level():
    pyramid = [torch.randn(2, c, s, s, s).requires_grad_() for c, s in ((3, 8), (5, 4), (7, 2))]
    places = torch.randint(0, 8, (2, 10, 3))
    features = voxel_features(pyramid, places)
    assert features.shape == (2, 10, 15)
    last = [level.detach().contiguous(memory_format=torch.channels_last_3d) for level in pyramid]
    torch.testing.assert_close(voxel_features(last, places), features)
    z, y, x = places[1, 4]
    torch.testing.assert_close(features[1, 4, 3:8], pyramid[1][1, :, z // 2, y // 2, x // 2])
    features.sum().backward()
    assert all(level.grad.abs().sum() > 0 for level in pyramid)
