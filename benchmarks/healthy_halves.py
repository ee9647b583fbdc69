"""Brains without a tumor from brains with one: the half without any label, and its mirror image.

    python benchmarks/healthy_halves.py STORE OUT --splits FILE [--margin-mm 10]

OUT gets images with empty labels, a list of them (``cases.csv``) that names each brain's patient, and ``splits.json``:
the given splits with these brains among the training cases. Only training cases are taken, and of these only those
whose labels keep the margin to the plane of symmetry. Teach with them as with any other cases:

    voxmmsd prepare OUT/cases.csv --store runs/store/healthy --spacing 1.5
    voxmmsd finetune STORE runs/store/healthy --splits OUT/splits.json ...
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from voxmmsd.data.formats.writing import write_nifti
from voxmmsd.data.splits import read_splits
from voxmmsd.data.store import PreparedCase, open_store
from voxmmsd.files import write_json_atomic
from voxmmsd.labels import MODALITIES

REACH = 0.1  # of the width: how far from its middle the plane of symmetry is looked for


def plane_of_symmetry(brain_zyx: np.ndarray) -> float:
    """Where along x, in voxels, a plane divides the brain into halves that are most alike; halves of voxels count."""
    width = brain_zyx.shape[2]
    reach = max(1, round(REACH * width))
    planes = np.arange(width - 1 - 2 * reach, width + 2 * reach) / 2
    return float(max(planes, key=lambda plane: _likeness(brain_zyx, plane)))


def mirrored_half(image_czyx: np.ndarray, label_zyx: np.ndarray, margin_voxels: float) -> np.ndarray | None:
    """The image with its half that has a tumor replaced by the other's mirror image; None if both have some."""
    plane = plane_of_symmetry(image_czyx.any(axis=0))
    places = np.flatnonzero((label_zyx > 0).any(axis=(0, 1)))
    if not places.size:
        return None
    if places.max() < plane - margin_voxels:
        keeps = np.arange(label_zyx.shape[2]) >= plane
    elif places.min() > plane + margin_voxels:
        keeps = np.arange(label_zyx.shape[2]) <= plane
    else:
        return None
    there = np.rint(2 * plane).astype(int) - np.arange(label_zyx.shape[2])
    inside = (there >= 0) & (there < len(there))
    mirror = np.where(inside, image_czyx[..., there.clip(0, len(there) - 1)], 0)
    return np.where(keeps, image_czyx, mirror).astype(image_czyx.dtype)


def write_healthy(entries: Sequence[PreparedCase], out: Path, margin_mm: float) -> list[str]:
    """Write the brains and their list; returns their ids."""
    rows = []
    for entry in entries:
        image = np.asarray(entry.image())
        healthy = mirrored_half(image, np.asarray(entry.label()), margin_mm / entry.preprocess.spacing_mm)
        if healthy is None:
            continue
        id_ = f"{entry.id}-healthy"
        files = {name: f"{id_}-{name}.nii.gz" for name, there in zip(MODALITIES, entry.present, strict=True) if there}
        for name, file in files.items():
            write_nifti(out / file, healthy[MODALITIES.index(name)], entry.grid)
        write_nifti(out / f"{id_}-seg.nii.gz", np.zeros(image.shape[1:], np.uint8), entry.grid)
        rows.append({"id": id_, "patient_id": entry.patient_id, "label": f"{id_}-seg.nii.gz", "schema": entry.schema,
                     **dict.fromkeys(MODALITIES, ""), **files})  # fmt: skip
    with (out / "cases.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, ["id", "patient_id", "label", "schema", *MODALITIES])
        writer.writeheader()
        writer.writerows(rows)
    return [str(row["id"]) for row in rows]


def _likeness(brain_zyx: np.ndarray, plane: float) -> float:
    """Voxels that the brain and its mirror image share."""
    there = np.rint(2 * plane).astype(int) - np.arange(brain_zyx.shape[2])
    inside = (there >= 0) & (there < len(there))
    mirror = brain_zyx[..., there.clip(0, len(there) - 1)] & inside
    return float((brain_zyx & mirror).sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--splits", type=Path, required=True)
    parser.add_argument("--margin-mm", type=float, default=10.0)
    given = parser.parse_args()
    given.out.mkdir(parents=True)
    entries = [entry for entry in open_store(given.store) if entry.has_label]
    train = set(read_splits(given.splits, entries, must_be_there=()).train)
    made = write_healthy([entry for entry in entries if entry.id in train], given.out, given.margin_mm)
    parts = json.loads(given.splits.read_text(encoding="utf-8"))
    pool = next(key for key in ("train", "training", "pool") if key in parts)
    write_json_atomic(given.out / "splits.json", {**parts, pool: [*parts[pool], *made]})
    print(f"{given.out}: {len(made)} brains without a tumor, of {len(train)} training cases")


if __name__ == "__main__":
    main()
