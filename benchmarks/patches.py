"""Training patches per second: ours against MONAI's ``RandAffined`` and ``RandFlipd`` on the same case, in one run.

Both give one 64^3 patch of four modalities and its label with flips (p 0.5 per axis), rotation up to 20 degrees and
scaling by 0.8 to 1.25 (p 0.3 each). MONAI gets the tensors in memory and cuts a padded window before it turns it, as
its users do. The two take turns; printed is the mean and median time of each and their ratio.

    python benchmarks/patches.py
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from monai.transforms import Compose, RandAffined, RandFlipd, RandSpatialCropd, SpatialPadd

from voxmmsd.data.cases import find_cases
from voxmmsd.data.store import prepare_cases
from voxmmsd.phantom import write_phantoms
from voxmmsd.views.spatial import PatchPlace, SpatialRanges, cut_patch, draw_matrix

SIZE, ROUNDS = 64, 60


def main() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        write_phantoms(Path(folder) / "in", 1, seed=0, side=160)
        (entry,) = prepare_cases(find_cases(Path(folder) / "in").cases, Path(folder) / "store", workers=1).entries
        rng = np.random.default_rng(0)
        low, high = SIZE // 2, np.array(entry.shape_czyx[1:]) - SIZE // 2

        def ours() -> None:
            place = PatchPlace(rng.integers(low, high), draw_matrix(SpatialRanges(), rng))
            cut_patch(entry.image(), entry.label(), place, SIZE)

        case = {
            "image": torch.from_numpy(np.array(entry.image()).astype(np.float32) / 255),
            "label": torch.from_numpy(np.array(entry.label()).astype(np.float32))[None],
        }
        keys, wide = ("image", "label"), (96, 96, 96)  # room for a turned patch of 64
        theirs = Compose([
            SpatialPadd(keys, wide),
            RandSpatialCropd(keys, wide, random_size=False),
            *(RandFlipd(keys, 0.5, axis) for axis in range(3)),
            RandAffined(keys, prob=0.51, rotate_range=3 * (np.deg2rad(20),), scale_range=3 * ((-0.2, 0.25),),
                        spatial_size=3 * (SIZE,), mode=("bilinear", "nearest"), padding_mode="zeros"),
        ]).set_random_state(0)  # fmt: skip
        ours(), theirs(case)  # both warm
        times: dict[str, list[float]] = {"ours": [], "MONAI": []}
        for _ in range(ROUNDS):
            for name, make in (("ours", ours), ("MONAI", lambda: theirs(case))):
                started = time.perf_counter()
                make()
                times[name].append(time.perf_counter() - started)
    for name, seconds in times.items():
        mean, median = 1000 * statistics.mean(seconds), 1000 * statistics.median(seconds)
        print(f"{name:6s} mean {mean:6.1f} ms  median {median:6.1f} ms")
    print(f"MONAI / ours: {statistics.mean(times['MONAI']) / statistics.mean(times['ours']):.2f}x in the mean")


if __name__ == "__main__":
    main()
