"""Fit the modality recognizer and measure it: single volumes, swaps of two slots noticed, false alarms, milliseconds.

    python benchmarks/modalities.py FOLDER... [--splits FILE] [--write voxmmsd/preflight/modality_model.json]

With --splits the model is fitted on its pool and unlabeled cases and measured on the others; leaving one out measures
all. Fitting is a linear discriminant with a common covariance.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from unittest.mock import patch

import numpy as np

from voxmmsd.data.cases import find_cases
from voxmmsd.data.formats.sources import read_volume
from voxmmsd.labels import MODALITIES
from voxmmsd.preflight import modality

SHRINKAGE = 0.05  # added to the variances of standardized features

Features = dict[str, np.ndarray]  # slot -> features


def fit(cases: Sequence[Features]) -> dict[str, np.ndarray]:
    features = np.array([case[name] for case in cases for name in MODALITIES])
    kind = np.array([number for _ in cases for number in range(len(MODALITIES))])
    mean, spread = features.mean(axis=0), features.std(axis=0)
    standard = (features - mean) / spread
    centers = np.array([standard[kind == number].mean(axis=0) for number in range(len(MODALITIES))])
    covariance = np.cov((standard - centers[kind]).T) + SHRINKAGE * np.eye(standard.shape[1])
    weights = centers @ np.linalg.inv(covariance)
    return {"mean": mean, "spread": spread, "weights": weights, "offset": -0.5 * (weights * centers).sum(axis=1)}


def measure_missing(cases: Sequence[Features], models: Sequence[dict[str, np.ndarray]]) -> str:
    """As ``measure``, of cases of which only two or three modalities are there."""
    noticed, swaps, alarms, looked = 0, 0, 0, 0
    for case, model in zip(cases, models, strict=True):
        with (
            patch.object(modality, "_model", lambda model=model: model),
            patch.object(modality, "modality_features", lambda features: features),
        ):
            for there in (some for count in (2, 3) for some in combinations(MODALITIES, count)):
                part = {name: case[name] for name in there}
                looked += 1
                alarms += bool(modality.swapped_slots(part)[0])
                for one, other in combinations(there, 2):
                    swaps += 1
                    noticed += bool(modality.swapped_slots({**part, one: part[other], other: part[one]})[0])
    return f"{noticed} of {swaps} swaps noticed; {alarms} false alarms in {looked}"


def measure(cases: Sequence[Features], models: Sequence[dict[str, np.ndarray]]) -> str:
    right, noticed, swaps, alarms = [], 0, 0, 0
    for case, model in zip(cases, models, strict=True):
        with (
            patch.object(modality, "_model", lambda model=model: model),
            patch.object(modality, "modality_features", lambda features: features),
        ):
            right += [modality.recognize(case[name]).modality == name for name in MODALITIES]
            alarms += bool(modality.swapped_slots(case)[0])
            for one, other in combinations(MODALITIES, 2):
                swaps += 1
                noticed += bool(modality.swapped_slots({**case, one: case[other], other: case[one]})[0])
    return (
        f"{len(cases)} cases: single volumes {np.mean(right):.0%} right; "
        f"{noticed} of {swaps} swaps noticed; {alarms} false alarms"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--splits", type=Path)
    parser.add_argument("--write", type=Path)
    given = parser.parse_args()
    cases: dict[str, Features] = {}
    seconds = []
    for case in (case for folder in given.folders for case in find_cases(folder).cases if not case.missing):
        arrays = {name: read_volume(source).array for name, source in case.modalities.items()}
        started = time.process_time()
        cases[case.id] = {name: modality.modality_features(array) for name, array in arrays.items()}
        seconds.append((time.process_time() - started) / len(arrays))
    print(f"features: median {1000 * statistics.median(seconds):.0f} ms of one core a volume")
    everyone = list(cases.values())
    without = [fit([c for c in everyone if c is not case]) for case in everyone]  # no case is judged by a model of it
    print("leaving one out,", measure(everyone, without))
    print("leaving one out, with two or three modalities only,", measure_missing(everyone, without))
    chosen = set(cases)
    if given.splits:
        record = json.loads(given.splits.read_text(encoding="utf-8"))
        chosen = {
            id_ for id_ in (*record["pool"], *record.get("unlabeled", record.get("unlabelled", ()))) if id_ in cases
        }
    model = fit([case for id_, case in cases.items() if id_ in chosen])
    others = [case for id_, case in cases.items() if id_ not in chosen]
    if others:
        print("fitted on the pool, on the others,", measure(others, [model] * len(others)))
        print("the same, with two or three modalities only,", measure_missing(others, [model] * len(others)))
    if given.write:
        rounded = {name: np.round(value, 4).tolist() for name, value in model.items()}
        about = f"linear discriminant of modality_features, fitted by benchmarks/modalities.py on {len(chosen)} cases"
        given.write.write_text(json.dumps({"about": about, **rounded}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
