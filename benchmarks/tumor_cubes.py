"""Models compared on the cubes of a tumor bank, which are of other patients than most cases: Dice, paired by patient.

    python benchmarks/tumor_cubes.py BANK.npz MODEL... --store STORE... [--count 200] [--leave-out t2f] [--engine onnx]

A cube is too small to say how good a model is, and z-scores are turned into intensities by the mean level of the
stores' first cases. But it tells which of several models, all of which have learned from all labeled cases, is better
on other patients: the differences to the first model, with the standard error over patients, are the result. A bank
may hold patients of the training under other names; models that learned from the same cases know the same of them. What
cannot be compared are models trained with patches of different sizes, or on cubes: those with small patches, and those
that know cubes, gained two points here and nothing, or less, on whole brains (docs/starter-model.md).
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from scipy import ndimage
from tqdm import tqdm

from voxmmsd.data.preprocess import input_scale
from voxmmsd.data.store import PreparedCase, open_store
from voxmmsd.data.tumor_bank import MEAN, PER_DEVIATION, TumorBank, read_tumor_bank
from voxmmsd.evaluation.scores import region_dice
from voxmmsd.inference.engines import Engine, open_engine
from voxmmsd.labels import MODALITIES, LabelSchema, schema_named
from voxmmsd.models.registry import resolve_model
from voxmmsd.wording import text_table

LEVEL_CASES = 6  # of each store


def levels(entries: Sequence[PreparedCase]) -> np.ndarray:
    """``(4, 2)``: mean and standard deviation of the brain, by modality, as networks get them."""
    found = []
    for entry in entries:
        image = entry.image()
        scaled = image * input_scale(image)[:, None, None, None]
        found.append([(channel[channel > 0].mean(), channel[channel > 0].std()) for channel in scaled])
    return np.array(found).mean(axis=0)


def cubes(
    bank: TumorBank, chosen: Sequence[int], level: np.ndarray, spacing_mm: float, divisor: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Images ``(4, z, y, x)`` as networks get them, and labels, on the model's grid; padded to its ``divisor``."""
    zoom = [size / spacing_mm for size in bank.voxel_mm_zyx]
    for index in chosen:
        stored = bank.image_nczyx[index].astype(np.float32)
        deviations = (stored - MEAN) / PER_DEVIATION
        image = np.where(stored > 0, level[:, 0, None, None, None] + deviations * level[:, 1, None, None, None], 0)
        image = np.stack([ndimage.zoom(np.maximum(channel, 0), zoom, order=1) for channel in image])
        label = ndimage.zoom(bank.label_nzyx[index], zoom, order=0)
        pad = [(0, -size % divisor) for size in label.shape]
        yield np.pad(image, [(0, 0), *pad]).astype(np.float32), np.pad(label, pad)


def scores(
    engine: Engine, given: Sequence[tuple[np.ndarray, np.ndarray]], left_out: Sequence[str], schema: LabelSchema
) -> np.ndarray:
    """Dice ``(cube, region)``; NaN where a region is not in the cube."""
    found = []
    for image, label in tqdm(given, desc="cubes", mininterval=5):
        seen = image.copy()
        seen[[MODALITIES.index(name) for name in left_out]] = 0
        predicted = engine.logits(seen[None])[0].argmax(axis=0)
        found.append(list(region_dice(label, predicted, schema).values()))
    return np.array(found)


def by_patient(dice: np.ndarray, patients: Sequence[str]) -> np.ndarray:
    """Means over the cubes of a patient."""
    rows: dict[str, list[np.ndarray]] = defaultdict(list)
    for row, patient in zip(dice, patients, strict=True):
        rows[patient].append(row)
    return np.array([_means(np.array(own)) for own in rows.values()])


def table(found: dict[str, np.ndarray], regions: Sequence[str]) -> str:
    """Means, and the differences to the first model with their standard errors, in Dice points."""
    first = next(iter(found.values()))
    rows = [["model", *regions, *(f"gain {key} (standard error)" for key in regions)]]
    for name, dice in found.items():
        gain = 100 * (dice - first)
        error = np.nanstd(gain, axis=0, ddof=1) / np.sqrt(np.isfinite(gain).sum(axis=0))
        gains = [f"{mean:+.1f} ({own:.1f})" for mean, own in zip(_means(gain), error, strict=True)]
        rows.append([name, *(f"{value:.3f}" for value in _means(dice)), *(gains if dice is not first else [""] * 3)])
    return text_table(rows)


def _means(values: np.ndarray) -> np.ndarray:
    counted = np.isfinite(values).sum(axis=0)
    return np.where(counted > 0, np.nansum(values, axis=0) / np.maximum(counted, 1), np.nan)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bank", type=Path)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--store", type=Path, nargs="+", required=True)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--leave-out", nargs="+", default=[], choices=MODALITIES)
    parser.add_argument("--engine", default="onnx")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    packages = [resolve_model(model) for model in given.models]
    info = packages[0].info
    schema = schema_named(info.schema)
    bank = read_tumor_bank(given.bank, schema)
    level = levels([entry for store in given.store for entry in open_store(store)[:LEVEL_CASES]])
    chosen = np.random.default_rng(0).permutation(len(bank.patients))[: given.count].tolist()
    made = list(cubes(bank, chosen, level, info.preprocess.spacing_mm, info.network.divisor))
    patients = [bank.patients[index] for index in chosen]
    found = {}
    for package in packages:
        engine = open_engine(package, given.engine, "cpu", given.threads)
        found[package.info.id] = by_patient(scores(engine, made, given.leave_out, schema), patients)
    without = f", without {', '.join(given.leave_out)}" if given.leave_out else ""
    print(f"{len(made)} cubes of {len(set(patients))} patients{without}")
    print(table(found, [region.key for region in schema.regions]))


if __name__ == "__main__":
    main()
