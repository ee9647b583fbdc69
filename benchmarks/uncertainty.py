"""Does doubt find errors? The most uncertain tenth of the voxels around the lesion against chance, and calibration.

    python benchmarks/uncertainty.py --model MODEL --store DIR --splits FILE [--part validation] [--tta]
        [--temperature 1]

Measured in the lesion (expert's or model's) dilated by 10 mm, case by case. Chance is the share of wrong voxels there.
ECE: mean absolute difference between confidence and accuracy over 15 bins, weighted by their voxels.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from scipy import ndimage

from voxmmsd.data.store import PreparedCase, open_store
from voxmmsd.evaluation.temperature import tempered
from voxmmsd.inference.engines import Engine, open_engine
from voxmmsd.inference.uncertainty import entropy, uncertain_regions
from voxmmsd.inference.windows import predict_flipped, predict_probabilities
from voxmmsd.labels import schema_named
from voxmmsd.models.package import ModelPackage
from voxmmsd.models.registry import resolve_model

AROUND_MM, BINS = 10, 15


def measure(
    entry: PreparedCase, package: ModelPackage, engine: Engine, tta: bool, temperature: float
) -> dict[str, float]:
    compute = predict_flipped if tta else predict_probabilities
    probabilities = tempered(compute(np.asarray(entry.image()), engine, package.info.window), temperature)
    predicted, expert = probabilities.argmax(axis=0), np.asarray(entry.label())
    distance = ndimage.distance_transform_edt((predicted == 0) & (expert == 0), sampling=entry.preprocess.spacing_mm)
    zone = distance <= AROUND_MM
    wrong, doubt, confidence = (
        (predicted != expert)[zone],
        entropy(probabilities)[zone],
        probabilities.max(axis=0)[zone],
    )
    tenth = doubt >= np.quantile(doubt, 0.9)
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = [abs(confidence[bins == b].mean() - 1 + wrong[bins == b].mean()) * (bins == b).mean() for b in set(bins)]
    places = uncertain_regions(probabilities, schema_named(package.info.schema), entry.grid)
    found = [(predicted != expert)[_voxel(place.position_ras_mm, entry)] for place in places[:5]]
    return {
        "wrong": float(wrong.mean()),
        "wrong in the tenth": float(wrong[tenth].mean()),
        "ece": float(sum(gaps)),
        "places": len(places),
        "wrong at the first five": float(np.mean(found)) if found else float("nan"),
    }


def _voxel(position: tuple[float, float, float], entry: PreparedCase) -> tuple[int, ...]:
    index = np.linalg.solve(entry.grid.affine_zyx, [*position, 1.0])[:3]
    return tuple(np.rint(index).astype(int))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--splits", type=Path, required=True)
    parser.add_argument("--part", default="validation")
    parser.add_argument("--tta", action="store_true")
    parser.add_argument("--temperature", type=float, help="instead of the model's own")
    given = parser.parse_args()
    package = resolve_model(given.model)
    engine = open_engine(package)
    chosen = set(json.loads(given.splits.read_text(encoding="utf-8"))[given.part])
    rows = []
    for entry in (entry for entry in open_store(given.store) if entry.id in chosen):
        row = measure(entry, package, engine, given.tta, given.temperature or package.info.temperature)
        rows.append(row)
        print(f"{entry.id}  " + ", ".join(f"{name} {value:.3f}" for name, value in row.items()), flush=True)
    mean = {name: float(np.nanmean([row[name] for row in rows])) for name in rows[0]}
    ratio = mean["wrong in the tenth"] / mean["wrong"]
    print("mean  " + ", ".join(f"{name} {value:.3f}" for name, value in mean.items()) + f"; {ratio:.1f} times chance")


if __name__ == "__main__":
    main()
