"""Augmentations of training patches beyond flips, rotations and intensity: one file a transform.

Each is a frozen dataclass of probabilities and ranges with three methods: ``bind`` to a label schema, ``draw`` the
parameters for a batch, ``apply`` them. Drawing comes first and looks at shapes alone; applying is pure and batched.
``transforms.listed`` knows them all by name; a new one is one file and one line there.

>>> import torch
>>> from voxmmsd.transforms.gamma import Gamma
>>> image, label = torch.rand(2, 4, 8, 8, 8), torch.zeros(2, 8, 8, 8, dtype=torch.uint8)
>>> gamma = Gamma(p=1.0, power=(0.7, 1.5))
>>> powers = gamma.draw(image.shape, torch.Generator().manual_seed(0))
>>> powers.shape  # of each image and modality
torch.Size([2, 4])
>>> changed, label = gamma.apply(image, label, powers)
>>> torch.equal(changed > 0, image > 0)
True
"""
