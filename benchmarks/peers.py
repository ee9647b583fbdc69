"""The same labeled cases given to a peer: MONAI's SegResNet by the recipe of MONAI's BraTS tutorial, for a given time.

Both sides get the same training cases, and may take the same wall time on the same machine; then both segment the
validation cases, which this package scores. The peer's recipe is MONAI's ``brats_segmentation_3d``: SegResNet (16
filters, dropout 0.2) with three sigmoid regions, Dice loss, Adam 1e-4 with weight decay 1e-5 and cosine decay, a random
crop, flips and intensity changes, images normalized over non-zero voxels, sliding windows with overlap 0.5. Its crop of
224 x 224 x 144 takes more memory than most have: ``--patch`` is 64 here, as ours.

    python benchmarks/peers.py runs/store-1.5mm --splits ../shared/data/splits.json --cases 3 --draw 0 --minutes 30
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from monai.inferers import sliding_window_inference
from monai.losses import DiceLoss
from monai.networks.nets import SegResNet
from monai.transforms import (
    Compose,
    NormalizeIntensityd,
    RandFlipd,
    RandScaleIntensityd,
    RandShiftIntensityd,
    RandSpatialCropd,
    SpatialPadd,
)

from voxmmsd.compute.devices import choose_device
from voxmmsd.data.splits import read_splits
from voxmmsd.data.store import PreparedCase, open_store
from voxmmsd.evaluation.scores import counted_dice, score_case
from voxmmsd.labels import LabelSchema

CASE = dict[str, torch.Tensor]


def main() -> None:
    options = _options()
    device = choose_device(options.device)
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    entries = open_store(Path(options.store))
    splits = read_splits(Path(options.splits), entries)
    chosen = _chosen(options, splits.train)
    training = [_case(entry) for entry in entries if entry.id in chosen]
    network, steps = train(training, options, device)
    validation = [entry for entry in entries if entry.id in splits.validation]
    print(
        f"SegResNet, {len(training)} cases ({', '.join(chosen)}), {steps} steps in {options.minutes:g} min on {device}"
    )
    report(network, validation, options.patch, device)


def train(cases: list[CASE], options: argparse.Namespace, device: torch.device) -> tuple[SegResNet, int]:
    """Train until the time is up, the learning rate falling with it."""
    network = SegResNet(
        blocks_down=[1, 2, 2, 4], blocks_up=[1, 1, 1], init_filters=16, in_channels=4, out_channels=3, dropout_prob=0.2
    ).to(device)
    loss_of = DiceLoss(smooth_nr=0, smooth_dr=1e-5, squared_pred=True, to_onehot_y=False, sigmoid=True)
    optimizer = torch.optim.Adam(network.parameters(), 1e-4, weight_decay=1e-5)
    size = 3 * (options.patch,)
    augment = Compose([
        SpatialPadd(["image", "regions"], size),
        RandSpatialCropd(["image", "regions"], size, random_size=False),
        *(RandFlipd(["image", "regions"], 0.5, axis) for axis in range(3)),
        RandScaleIntensityd("image", factors=0.1, prob=1.0),
        RandShiftIntensityd("image", offsets=0.1, prob=1.0),
    ]).set_random_state(options.seed)  # fmt: skip
    rng, steps, started = np.random.default_rng(options.seed), 0, time.monotonic()
    while (share := (time.monotonic() - started) / (60 * options.minutes)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = 1e-4 * (1 + np.cos(np.pi * share)) / 2
        drawn = [augment(cases[rng.integers(len(cases))]) for _ in range(options.batch)]
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
    return network.eval(), steps


def report(network: SegResNet, entries: list[PreparedCase], patch: int, device: torch.device) -> None:
    """Dice per region as ``voxmmsd compare`` has it: over the cases that have it, enhancing tumor above 0.5 ml."""
    dice: dict[str, list[float]] = {}
    for entry in entries:
        schema = entry.label_schema()
        with torch.inference_mode():
            logits = sliding_window_inference(_case(entry)["image"][None].to(device), 3 * (patch,), 1, network, 0.5)
        labels = labels_from_regions((logits[0].sigmoid() > 0.5).cpu().numpy(), schema)
        scores = score_case(entry.id, np.asarray(entry.label()), labels, schema, entry.grid)
        for region in schema.regions:
            dice.setdefault(region.key, []).append(counted_dice(scores, region.key))
    counted = {key: [value for value in values if np.isfinite(value)] for key, values in dice.items()}
    means = {key: float(np.mean(values)) for key, values in counted.items() if values}
    listed = ", ".join(f"{key} {value:.3f}" for key, value in means.items())
    print(
        f"mean Dice of the regions on {len(entries)} validation cases: {np.mean(list(means.values())):.3f} ({listed})"
    )


def labels_from_regions(regions_czyx: np.ndarray, schema: LabelSchema) -> np.ndarray:
    """Class indices of nested regions (whole tumor, core, enhancing): the inner one has the last word."""
    whole, core, enhancing = (set(schema.region_indices(region)) for region in schema.regions[:3])
    labels = np.zeros(regions_czyx.shape[1:], np.uint8)
    labels[regions_czyx[0]] = min(whole - core)
    labels[regions_czyx[1]] = min(core - enhancing)
    labels[regions_czyx[2]] = min(enhancing)
    return labels


def _case(entry: PreparedCase) -> CASE:
    """Image normalized as the recipe has it, and its three regions, ``(channel, z, y, x)`` float32."""
    schema, label = entry.label_schema(), np.asarray(entry.label())
    regions = np.stack([np.isin(label, schema.region_indices(region)) for region in schema.regions[:3]])
    image = torch.from_numpy(np.array(entry.image(), np.float32))
    normalize = NormalizeIntensityd("image", nonzero=True, channel_wise=True)
    return normalize({"image": image, "regions": torch.from_numpy(regions.astype(np.float32))})


def _chosen(options: argparse.Namespace, pool: tuple[str, ...]) -> list[str]:
    """The cases of a draw of ``voxmmsd compare``, from its run, or all of the pool."""
    if options.draw_file:
        return list(json.loads(Path(options.draw_file).read_text(encoding="utf-8"))["train"])
    order = np.random.default_rng([0, 0xD2A3, options.draw]).permutation(len(pool))
    return sorted(pool[number] for number in order[: options.cases or len(pool)])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("store")
    parser.add_argument("--splits", required=True)
    parser.add_argument("--cases", type=int, default=0, help="labeled cases (0: the whole pool)")
    parser.add_argument("--draw", type=int, default=0)
    parser.add_argument("--draw-file", default="", help="RUN/draws/N-cases-draw-D.json of a comparison: the same cases")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--patch", type=int, default=64)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    return parser.parse_args()


if __name__ == "__main__":
    main()
