"""MONAI's SegResNet by the recipe of MONAI's BraTS tutorial (``brats_segmentation_3d``).

SegResNet (16 filters, dropout 0.2) with three sigmoid regions, Dice loss, Adam 1e-4 with weight decay 1e-5 and cosine
decay, a random crop, flips and intensity changes, images normalized over non-zero voxels, sliding windows with overlap
0.5. Its crop of 224 x 224 x 144 takes more memory than most have, and always holds the tumor: here one of ``--patch``,
64 as ours, is cut, half of them around a voxel of tumor, as MONAI's recipes for small crops do it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

import numpy as np
import torch
from monai.inferers import sliding_window_inference
from monai.losses import DiceLoss
from monai.networks.nets import SegResNet
from monai.transforms import (
    Compose,
    NormalizeIntensityd,
    RandCropByPosNegLabeld,
    RandFlipd,
    RandScaleIntensityd,
    RandShiftIntensityd,
    SpatialPadd,
)

from voxmmsd.data.store import PreparedCase
from voxmmsd.labels import LabelSchema

CASE = dict[str, torch.Tensor]


def teach(
    entries: Sequence[PreparedCase],
    schema: LabelSchema,
    options: argparse.Namespace,
    device: torch.device,
    clock: Callable[[], float],
) -> tuple[Callable[[PreparedCase], np.ndarray], int]:
    """A network trained until the time is up, the learning rate falling with it, and its steps."""
    cases = [_case(entry, schema) for entry in entries]
    network = SegResNet(
        blocks_down=[1, 2, 2, 4], blocks_up=[1, 1, 1], init_filters=16, in_channels=4, out_channels=3, dropout_prob=0.2
    ).to(device)
    loss_of = DiceLoss(smooth_nr=0, smooth_dr=1e-5, squared_pred=True, to_onehot_y=False, sigmoid=True)
    optimizer = torch.optim.Adam(network.parameters(), 1e-4, weight_decay=1e-5)
    size = 3 * (options.patch,)
    augment = Compose([
        SpatialPadd(["image", "regions", "tumor"], size),
        RandCropByPosNegLabeld(["image", "regions"], "tumor", size),
        *(RandFlipd(["image", "regions"], 0.5, axis) for axis in range(3)),
        RandScaleIntensityd("image", factors=0.1, prob=1.0),
        RandShiftIntensityd("image", offsets=0.1, prob=1.0),
    ]).set_random_state(options.seed)  # fmt: skip
    rng, steps, started = np.random.default_rng(options.seed), 0, clock()
    while (share := (clock() - started) / (60 * options.minutes)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = 1e-4 * (1 + np.cos(np.pi * share)) / 2
        drawn = [augment(cases[rng.integers(len(cases))])[0] for _ in range(options.batch)]
        image, regions = (
            torch.stack([each[key].as_tensor() for each in drawn]).to(device) for key in ("image", "regions")
        )
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(network(image), regions)
        loss.backward()
        optimizer.step()
        steps += 1
        if steps % 20 == 0:
            print(f"step {steps}: loss {loss.item():.3f}", flush=True)
    network.eval()

    def segment(entry: PreparedCase) -> np.ndarray:
        with torch.inference_mode():
            image = _case(entry, schema)["image"][None].to(device)
            logits = sliding_window_inference(image, 3 * (options.patch,), 1, network, 0.5)
        return labels_from_regions((logits[0].sigmoid() > 0.5).cpu().numpy(), schema)

    return segment, steps


def labels_from_regions(regions_czyx: np.ndarray, schema: LabelSchema) -> np.ndarray:
    """Class indices of nested regions (whole tumor, core, enhancing): the inner one has the last word."""
    whole, core, enhancing = (set(schema.region_indices(region)) for region in schema.regions[:3])
    labels = np.zeros(regions_czyx.shape[1:], np.uint8)
    labels[regions_czyx[0]] = min(whole - core)
    labels[regions_czyx[1]] = min(core - enhancing)
    labels[regions_czyx[2]] = min(enhancing)
    return labels


def _case(entry: PreparedCase, schema: LabelSchema) -> CASE:
    """Image normalized as the recipe has it, and its three regions, ``(channel, z, y, x)`` float32."""
    label = np.asarray(entry.label())
    regions = np.stack([np.isin(label, schema.region_indices(region)) for region in schema.regions[:3]])
    image = torch.from_numpy(np.array(entry.image(), np.float32))
    normalize = NormalizeIntensityd("image", nonzero=True, channel_wise=True)
    inside = torch.from_numpy(regions.astype(np.float32))
    return normalize({"image": image, "regions": inside, "tumor": inside[:1]})
