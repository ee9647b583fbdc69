"""Train the network that extracts brains (``voxmmsd/data/brain``) from HD-BET's masks, export and measure it.

    python benchmarks/brain_extraction.py train HEADS --out DIR [--steps 2000] [--threads 2] [--seed 0]
    python benchmarks/brain_extraction.py export DIR --onnx voxmmsd/data/brain/brain.onnx
    python benchmarks/brain_extraction.py measure HEADS [--tumors 10]

``HEADS`` holds ``heads/CASE__SEQUENCE.npz`` (``image`` (z, y, x) in the order of LPS, ``spacing`` in mm, ``tumor``:
expert mask, or empty), ``masks/CASE__SEQUENCE.npz`` (``prob``: HD-BET's probability at 1.5 mm as uint8) and
``test.txt``, the cases that are never learned from. The sequences of a case share one grid, and so one mask: the mean
of those there are. Training goes on from ``DIR/state.pt`` where there is one, exactly: each step draws from its number.
"""

from __future__ import annotations

import argparse
import math
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

import voxmmsd
from voxmmsd.data.brain_extraction import BRIGHTEST, SPACING_MM, extract_brain, in_blocks, scaled_head
from voxmmsd.data.strippers import BRAIN_MODEL
from voxmmsd.data.volume import Grid, Volume, resample
from voxmmsd.labels import MODALITIES
from voxmmsd.model_config import NetworkConfig
from voxmmsd.networks.heads import SegmentationNetwork
from voxmmsd.wording import text_table

CHANNELS = (8, 24, 48, 96)
WINDOW = (80, 96, 80)  # voxels of 2 mm, (z, y, x)
TEACHER_MM = 1.5
BATCH, RATE, WEIGHT_DECAY, AVERAGE = 1, 2e-3, 1e-4, 0.98
STATISTICS_KEPT = 0.7  # of the steps; then BatchNorm's statistics are those of inference
_RAS_FROM_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def network() -> SegmentationNetwork:
    return SegmentationNetwork(NetworkConfig(CHANNELS, (0.0,) * len(CHANNELS), in_channels=8), class_count=8)


def grid_of(shape: tuple[int, ...], spacing_zyx: np.ndarray) -> Grid:
    """The grid of an array in the order of LPS whose outer face lies at 0."""
    spacing = np.asarray(spacing_zyx, np.float64)[::-1]
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = spacing / 2
    return Grid(shape, _RAS_FROM_LPS @ affine)  # type: ignore[arg-type]


def head_volume(folder: Path, name: str) -> Volume:
    with np.load(folder / "heads" / f"{name}.npz") as file:
        return Volume(file["image"].astype(np.float32), grid_of(file["image"].shape, file["spacing"]))


def teacher_volume(folder: Path, name: str) -> Volume:
    with np.load(folder / "masks" / f"{name}.npz") as file:
        return Volume(file["prob"].astype(np.float32) / 255, grid_of(file["prob"].shape, 3 * (TEACHER_MM,)))


def cases_with_masks(folder: Path) -> dict[str, list[str]]:
    """Case -> names of its masks."""
    found: dict[str, list[str]] = {}
    for file in sorted((folder / "masks").glob("*__*.npz")):
        found.setdefault(file.stem.split("__")[0], []).append(file.stem)
    return found


def sequences_of(folder: Path, case: str) -> list[str]:
    return sorted(file.stem for file in (folder / "heads").glob(f"{case}__*.npz"))


class Head:
    """A case at 2 mm: its sequences uint8, and the teacher's probability uint8, padded with 0 beyond the image."""

    def __init__(self, folder: Path, case: str, masks: list[str]) -> None:
        names = sequences_of(folder, case)
        # Native cases have a grid per sequence: then each mask serves its own image only.
        shapes = {np.load(folder / "heads" / f"{name}.npz")["image"].shape for name in names}
        self.case, self.images, self.targets = case, [], []
        for name in names if len(shapes) == 1 else masks:
            volume = head_volume(folder, name)
            fine = resample(volume, volume.grid.with_spacing(SPACING_MM))
            target = np.mean(
                [resample(teacher_volume(folder, m), fine.grid).array for m in (masks if len(shapes) == 1 else [name])],
                axis=0,
            )
            scaled = scaled_head(fine.array)
            self.images.append(np.rint(scaled[:, ::-1, ::-1] * (255 / BRIGHTEST)).astype(np.uint8))  # RAS
            self.targets.append(np.rint(target[:, ::-1, ::-1] * 255).astype(np.uint8))


# What a step sees


def sample(heads: list[Head], generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A random head, changed at random: image (z, y, x) as ``scaled_head`` gives it, and the probability of brain."""
    head = heads[generator.integers(len(heads))]
    number = int(generator.integers(len(head.images)))
    both = np.stack([head.images[number], head.targets[number]]).astype(np.float32)
    other = head.images[int(generator.integers(len(head.images)))]
    if generator.random() < 0.3 and other.shape == head.images[number].shape:  # a sequence that nobody scanned
        first, second = generator.uniform(-1, 1, 2)
        mixed = first * both[0] + second * other
        both[0] = (mixed - mixed.min()) * (255 / max(1e-3, float(np.ptp(mixed))))
    both[0] *= BRIGHTEST / 255
    both[1] /= 255
    both[0] = thick_slices(both[0], generator)
    image, target = moved(both, generator)
    image = contrast(image, target, generator)
    image = with_lesion(image, target, generator)
    image = cut(image, target, generator)
    image = scaled_head(np.maximum(image, 0))
    return image, target


def thick_slices(image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Half of the time voxels become longer along one axis."""
    if generator.random() < 0.5:
        return image
    axis, factor = int(generator.integers(3)), generator.uniform(1.3, 3.5)
    size = image.shape[axis]
    width = ndimage.uniform_filter1d(image, round(factor), axis=axis)
    places = (np.arange(max(2, round(size / factor))) * factor + generator.uniform(0, factor)).clip(0, size - 1)
    kept = np.take(width, np.rint(places).astype(int), axis=axis)
    at = np.interp(np.arange(size), np.rint(places), np.arange(len(places)))
    low = np.floor(at).astype(int).clip(0, len(places) - 1)
    high = (low + 1).clip(0, len(places) - 1)
    share = (at - low).reshape([-1 if a == axis else 1 for a in range(3)]).astype(np.float32)
    return np.take(kept, low, axis=axis) * (1 - share) + np.take(kept, high, axis=axis) * share


def moved(both: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Turned, stretched, mirrored and shifted into the window. Little of the brain leaves it."""
    angles = np.radians(generator.normal(0, (6, 6, 8)))
    turn = torch.eye(3)
    for axis, angle in enumerate(angles):
        a, b = [(1, 2), (0, 2), (0, 1)][axis]
        one = torch.eye(3)
        one[a, a] = one[b, b] = math.cos(angle)
        one[a, b], one[b, a] = -math.sin(angle), math.sin(angle)
        turn = turn @ one
    stretch = torch.tensor(
        generator.normal(1.0, 0.08, 3).clip(0.8, 1.25) * generator.normal(1.0, 0.05), dtype=torch.float32
    )
    if generator.random() < 0.5:
        stretch[0] = -stretch[0]  # x, left and right
    size = torch.tensor(both.shape[1:][::-1], dtype=torch.float32)  # x, y, z
    window = torch.tensor(WINDOW[::-1], dtype=torch.float32)
    middle = (
        torch.tensor(ndimage.center_of_mass(both[1] > 0.5)[::-1], dtype=torch.float32) if both[1].any() else size / 2
    )
    shift = torch.tensor(generator.uniform(-1, 1, 3) * (6, 8, 10), dtype=torch.float32)
    # Output place p (voxels from the window's middle) -> input voxel middle + A (p - shift); grid_sample wants [-1, 1].
    matrix = turn * stretch[None, :]
    to_unit = 2 / size
    theta = torch.zeros(1, 3, 4)
    theta[0, :, :3] = to_unit[:, None] * matrix * (window / 2)[None, :]
    theta[0, :, 3] = to_unit * (middle + 0.5 - matrix @ shift) - 1
    places = F.affine_grid(theta, [1, 2, *WINDOW], align_corners=False)
    return F.grid_sample(torch.from_numpy(both[None]), places, align_corners=False)[0].numpy()


def contrast(image: np.ndarray, target: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Other sequences: gamma, a random curve, intensities turned around, a bias field, blurring, noise."""
    top = float(np.percentile(image, 99.7)) or 1.0
    air = image < 0.06 * top
    unit = np.clip(image / top, 0, 1)
    kind = generator.random()
    if kind < 0.25:
        unit = unit ** np.exp(generator.normal(0, 0.35))
    elif kind < 0.5:  # any curve, so that no tissue has a fixed brightness
        knots = generator.uniform(0, 1, 7)
        curve = np.interp(unit, np.linspace(0, 1, 7), knots)
        unit = np.where(air, unit, 0.1 + 0.9 * curve)
    elif kind < 0.65:
        unit = np.where(air, unit, np.clip(1.1 - unit, 0, 1))
    if generator.random() < 0.25:  # the brain as a whole against the rest
        unit = unit * (1 + (target > 0.5) * generator.uniform(-0.5, 1.0))
    if generator.random() < 0.5:
        field = ndimage.zoom(generator.normal(0, 0.25, (3, 3, 3)), np.array(WINDOW) / 3, order=1)
        unit = unit * np.exp(field)
    if generator.random() < 0.3:
        unit = ndimage.gaussian_filter(unit, generator.uniform(0.3, 1.0))
    if generator.random() < 0.5:
        unit = unit + generator.normal(0, generator.uniform(0.005, 0.05), unit.shape)
    return unit.astype(np.float32)


def with_lesion(image: np.ndarray, target: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """A third of the time a bright or dark ball at the surface of the brain, or a bright rim: still brain."""
    inside = target > 0.5
    if generator.random() > 0.33 or not inside.any():
        return image
    rim = np.argwhere(inside & ~ndimage.binary_erosion(inside, iterations=4))
    place, radius = rim[generator.integers(len(rim))], generator.uniform(4, 14)
    axes = [np.arange(n) - p for n, p in zip(image.shape, place, strict=True)]
    away = np.sqrt(
        sum(
            (a.reshape([-1 if i == k else 1 for i in range(3)]) * generator.uniform(0.7, 1.4)) ** 2
            for k, a in enumerate(axes)
        )
    )
    ball = np.clip((radius - away) / 2, 0, 1) * inside
    level = generator.uniform(0.0, 1.3) * float(np.percentile(image[inside], 90))
    if generator.random() < 0.4:  # a ring with a dark middle
        ball = ball - 0.7 * np.clip((0.6 * radius - away) / 2, 0, 1) * inside
    return (image * (1 - ball) + level * ball).astype(np.float32)


def cut(image: np.ndarray, target: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Necks, noses, tops and ears left out by the field of view, also at an angle; the brain outside it is no brain."""
    z, y, x = WINDOW
    out = image
    if generator.random() < 0.5:  # below
        normal = np.array([1.0, *generator.normal(0, 0.15, 2)])
        height = generator.uniform(0.0, 0.35) * z
        places = np.indices(WINDOW, sparse=True)
        below = (places[0] - height) * normal[0] + (places[1] - y / 2) * normal[1] + (places[2] - x / 2) * normal[2] < 0
        out = np.where(below, 0, out)
        target[below] = 0
    if generator.random() < 0.15:  # above
        from_ = z - int(generator.integers(4, 24))
        out = out.copy()
        out[from_:], target[from_:] = 0, 0
    if generator.random() < 0.2:  # nose
        out = out.copy()
        from_ = y - int(generator.integers(4, 18))
        out[:, from_:], target[:, from_:] = 0, 0
    return out


# Training


def loss_of(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy against the teacher's probability, and soft Dice."""
    share = torch.sigmoid(logits)
    axes = tuple(range(1, target.ndim))
    dice = (2 * (share * target).sum(axes) + 1) / (share.sum(axes) + target.sum(axes) + 1)
    return F.binary_cross_entropy_with_logits(logits, target) * 4 + (1 - dice).mean()


def train(folder: Path, out: Path, steps: int, threads: int, seed: int) -> None:
    torch.set_num_threads(threads)
    out.mkdir(parents=True, exist_ok=True)
    left_out = set((folder / "test.txt").read_text().split())
    heads = [Head(folder, case, masks) for case, masks in cases_with_masks(folder).items() if case not in left_out]
    print(f"{len(heads)} heads, {sum(len(h.images) for h in heads)} images", flush=True)
    torch.manual_seed(seed)
    model, average = (network().to(memory_format=torch.channels_last_3d) for _ in range(2))
    average.load_state_dict(model.state_dict())
    optimizer = torch.optim.AdamW(model.parameters(), RATE, weight_decay=WEIGHT_DECAY)
    state, first = out / "state.pt", 0
    if state.exists():
        saved = torch.load(state, weights_only=True)
        model.load_state_dict(saved["model"])
        average.load_state_dict(saved["average"])
        optimizer.load_state_dict(saved["optimizer"])
        first = saved["step"]
    started, losses = time.process_time(), []
    for step in range(first, steps):
        rate = RATE * min(1.0, (step + 1) / 30) * (0.5 + 0.5 * math.cos(math.pi * step / steps)) + 1e-5
        for group in optimizer.param_groups:
            group["lr"] = rate
        model.train()
        if step > STATISTICS_KEPT * steps:
            for module in model.modules():
                if isinstance(module, torch.nn.BatchNorm3d):
                    module.eval()
        generator = np.random.default_rng([seed, step])
        pairs = [sample(heads, generator) for _ in range(BATCH)]
        image = torch.from_numpy(np.stack([in_blocks(one) for one, _ in pairs])).to(
            memory_format=torch.channels_last_3d
        )
        target = torch.from_numpy(np.stack([in_blocks(one) for _, one in pairs]))
        loss = loss_of(model(image), target)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        with torch.no_grad():
            keep = min(AVERAGE, (step + 1) / (step + 10))
            for ours, theirs in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
                if ours.is_floating_point():
                    ours.lerp_(theirs, 1 - keep)
                else:
                    ours.copy_(theirs)
        losses.append(loss.item())
        if (step + 1) % 25 == 0 or step + 1 == steps:
            print(f"{step + 1} {np.mean(losses[-25:]):.4f} {time.process_time() - started:.0f} CPU s", flush=True)
            saved = {
                "model": model.state_dict(),
                "average": average.state_dict(),
                "optimizer": optimizer.state_dict(),
                "step": step + 1,
            }
            torch.save(saved, out / "state.next")
            (out / "state.next").replace(state)


def export(folder: Path, file: Path) -> None:
    from voxmmsd.models.export_onnx import export_onnx

    saved = torch.load(folder / "state.pt", weights_only=True)
    model = network()
    model.load_state_dict(saved["average"])
    export_onnx(model, file)
    print(f"{file}: {file.stat().st_size / 1e6:.1f} MB after {saved['step']} steps")


# Measuring


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2 * float((one & other).sum()) / max(1, int(one.sum() + other.sum()))


def measure(folder: Path, tumors: int) -> None:
    """By sequence, on the cases of ``test.txt``: Dice against HD-BET, tumor kept, and seconds."""
    tested = (folder / "test.txt").read_text().split()
    masks = {case: names for case, names in cases_with_masks(folder).items() if case in tested}
    rows, by_sequence, times = [], defaultdict(list), []
    kept_all: list[float] = []
    for case, names in masks.items():
        for name in names:
            head = head_volume(folder, name)
            started = time.perf_counter()
            found = extract_brain(head)
            times.append(time.perf_counter() - started)
            expected = resample(teacher_volume(folder, name), head.grid).array > 0.5
            tumor = np.load(folder / "heads" / f"{name}.npz")["tumor"]
            # What HD-BET cuts off as well is no fault of ours.
            kept = float(found[tumor].mean()) if tumor.size and tumor.any() else float("nan")
            kept_teacher = float(expected[tumor].mean()) if tumor.size and tumor.any() else float("nan")
            sequence = name.split("__")[1]
            by_sequence[sequence].append(dice(found, expected))
            kept_all.append(kept)
            ml = found.sum() * head.grid.voxel_volume_ml
            rows.append(
                (case, sequence, f"{by_sequence[sequence][-1]:.3f}", f"{kept:.4f}", f"{kept_teacher:.4f}", f"{ml:,.0f}")
            )
    print(text_table([("case", "sequence", "Dice", "tumor kept", "by HD-BET", "ml"), *rows]))
    for sequence, values in sorted(by_sequence.items()):
        print(f"{sequence}: {len(values)} images, mean Dice {np.mean(values):.4f}, worst {min(values):.4f}")
    print(f"tumor kept: mean {np.nanmean(kept_all):.4f}, worst {np.nanmin(kept_all):.4f}; {np.median(times):.2f} s")
    if tumors:
        measure_tumors(folder, list(masks)[:tumors])


def measure_tumors(folder: Path, cases: list[str]) -> None:
    """Dice of what the starter segments under our mask of all sequences, and under HD-BET's."""
    from nibabel.nifti1 import Nifti1Image

    segmenter = voxmmsd.Segmenter()
    values = []
    for case in cases:
        names = [name for name in sequences_of(folder, case) if name.split("__")[1] in MODALITIES]
        heads = {name.split("__")[1]: head_volume(folder, name) for name in names}
        grid = next(iter(heads.values())).grid
        if len(heads) < 3 or any(head.grid != grid for head in heads.values()):
            continue
        teachers = cases_with_masks(folder)[case]
        expected = np.mean([resample(teacher_volume(folder, name), grid).array for name in teachers], axis=0) > 0.5
        found = extract_brain(Volume(np.stack([head.array for head in heads.values()]), grid))
        results = []
        for mask in (found, expected):
            images = {n: Nifti1Image((head.array * mask).T, grid.affine_xyz) for n, head in heads.items()}
            results.append(segmenter(images, force=True).mask_zyx("WT"))
        values.append(dice(*results))
        print(f"{case}: brain {dice(found, expected):.4f}, tumor {values[-1]:.4f}", flush=True)
    print(f"tumors under both masks: mean Dice {np.mean(values):.4f}, worst {min(values):.4f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=("train", "export", "measure"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--onnx", type=Path, default=BRAIN_MODEL)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tumors", type=int, default=0, help="cases to segment under both masks")
    given = parser.parse_args()
    if given.verb == "train":
        train(given.folder, given.out, given.steps, given.threads, given.seed)
    elif given.verb == "export":
        export(given.folder, given.onnx)
    else:
        measure(given.folder, given.tumors)


if __name__ == "__main__":
    main()
