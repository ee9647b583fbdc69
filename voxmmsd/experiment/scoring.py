"""Scores of a fine-tuned model, case by case, cached in a file beside the model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from voxmmsd.data.store import PreparedCase
from voxmmsd.evaluation.calibration import Calibration, calibrate
from voxmmsd.evaluation.lesionwise import score_lesions
from voxmmsd.evaluation.protocols import rules_of
from voxmmsd.evaluation.scores import CaseScores, Scores, counted_dice, score_case
from voxmmsd.files import without_nan, write_json_atomic
from voxmmsd.inference.engines.on_torch import TorchEngine
from voxmmsd.inference.windows import predict_probabilities
from voxmmsd.labels import LabelSchema
from voxmmsd.models.package import read_package
from voxmmsd.models.weights import load_network

LESION_RULES = "brats2023"


@dataclass(frozen=True)
class Scored:
    """Scores of a model on some cases, on the prepared grid, and its calibration in those with a tumor.

    ``patients``: whose each case is. ``lesionwise``: of each case, structure -> mean Dice of its lesions by the rules
    of ``LESION_RULES``.
    """

    cases: tuple[CaseScores, ...]
    patients: tuple[str, ...] = ()
    calibrations: tuple[Calibration, ...] = ()
    lesionwise: tuple[Mapping[str, float], ...] = ()

    def dice(self, regions: Sequence[str]) -> np.ndarray:
        """``(case, region)``; NaN if the reference is empty or tiny."""
        return np.array([[counted_dice(case, key) for key in regions] for case in self.cases])

    def lesion_dice(self, regions: Sequence[str]) -> np.ndarray:
        """``(case, region)``: 1 where there is no lesion and none is found. NaN: the rules lack the region."""
        return np.array([[lesions.get(key, np.nan) for key in regions] for lesions in self.lesionwise])


def score_model(
    model: Path, entries: Sequence[PreparedCase], schema: LabelSchema, device: torch.device, file: Path
) -> Scored:
    """Segment and score prepared, labeled cases; scores in ``file`` of the same voxels are not recomputed."""
    kept: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    if missing := [entry for entry in entries if kept.get(entry.id, {}).get("array_sha256") != entry.array_sha256]:
        package = read_package(model)
        engine = TorchEngine(load_network(package).to(device), device)
        for entry in missing:
            probabilities = predict_probabilities(np.asarray(entry.image()), engine, package.info.window)
            kept[entry.id] = _record(entry, probabilities, schema)
            write_json_atomic(file, kept)
    calibrations = [kept[entry.id]["calibration"] for entry in entries]
    return Scored(
        tuple(_case(entry.id, kept[entry.id]["structures"]) for entry in entries),
        tuple(entry.patient_id for entry in entries),
        tuple(Calibration.of(record) for record in calibrations if record),
        tuple(kept[entry.id]["lesionwise"] for entry in entries),
    )


def _record(entry: PreparedCase, probabilities: np.ndarray, schema: LabelSchema) -> dict[str, Any]:
    reference = np.asarray(entry.label())
    predicted = probabilities.argmax(axis=0).astype(np.uint8)
    scores = score_case(entry.id, reference, predicted, schema, entry.grid)
    rules = rules_of(LESION_RULES, "auto", schema)
    lesions = score_lesions(reference, predicted, schema, entry.grid, rules)
    calibration = calibrate(probabilities, reference, entry.grid)
    structures = {key: without_nan(asdict(each)) for key, each in scores.structures.items()}
    return {
        "array_sha256": entry.array_sha256,
        "structures": structures,
        "calibration": calibration.record() if calibration else None,
        "lesionwise": {key: each.dice for key, each in lesions.items()},
    }


def _case(case_id: str, structures: Mapping[str, Mapping[str, Any]]) -> CaseScores:
    return CaseScores(case_id, {key: _scores(record) for key, record in structures.items()})


def _scores(record: Mapping[str, Any]) -> Scores:
    numbers: dict[str, Any] = {name: float("nan") if value is None else value for name, value in record.items()}
    return Scores(**numbers)
