"""The scores of a fine-tuned model, case by case: made once, kept in a file beside the model."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from voxmmsd.data.store import Entry
from voxmmsd.evaluation.scores import CaseScores, Scores, score_case
from voxmmsd.files import write_json_atomic
from voxmmsd.inference.engines import TorchEngine
from voxmmsd.inference.windows import predict_probabilities
from voxmmsd.labels import LabelSchema
from voxmmsd.models.package import read_package
from voxmmsd.models.weights import load_network

LEAST_ML = {"ET": 0.5}
"""Smallest expert's volume at which a region's Dice counts: below, a few voxels decide between 0 and 1."""


@dataclass(frozen=True)
class Scored:
    """Scores of one model on some cases, in prepared space."""

    cases: tuple[CaseScores, ...]

    def dice(self, regions: Sequence[str]) -> np.ndarray:
        """``(case, region)``, not-a-number where the expert drew none, or less than ``LEAST_ML``."""
        return np.array([[_dice(case.structures[key], key) for key in regions] for case in self.cases])

    def falsely_found(self, region: str) -> tuple[str, ...]:
        """Cases in which the model found a region that the expert did not, or hardly, draw."""
        least = LEAST_ML.get(region, 0.0)
        found = [(case.case_id, case.structures[region]) for case in self.cases]
        return tuple(id_ for id_, s in found if s.reference_ml <= least < s.predicted_ml)


def score_model(model: Path, entries: Sequence[Entry], schema: LabelSchema, device: torch.device, file: Path) -> Scored:
    """Segment and score prepared, labelled cases; what ``file`` holds already is not made again."""
    kept = _read(file)
    if missing := [entry for entry in entries if entry.id not in kept]:
        package = read_package(model)
        engine = TorchEngine(load_network(package).to(device), device)
        for entry in missing:
            probabilities = predict_probabilities(np.asarray(entry.image()), engine, package.info.window)
            predicted = probabilities.argmax(axis=0).astype(np.uint8)
            kept[entry.id] = score_case(entry.id, np.asarray(entry.label()), predicted, schema, entry.grid)
            write_json_atomic(file, {id_: _record(case) for id_, case in kept.items()})
    return Scored(tuple(kept[entry.id] for entry in entries))


def _dice(scores: Scores, key: str) -> float:
    return scores.dice if scores.reference_ml > LEAST_ML.get(key, 0.0) else float("nan")


def _record(case: CaseScores) -> dict[str, dict[str, object]]:
    return {
        key: {name: _plain(value) for name, value in asdict(scores).items()} for key, scores in case.structures.items()
    }


def _plain(value: object) -> object:
    return None if isinstance(value, float) and math.isnan(value) else value


def _read(file: Path) -> dict[str, CaseScores]:
    if not file.is_file():
        return {}
    record = json.loads(file.read_text(encoding="utf-8"))
    return {id_: CaseScores(id_, {key: _scores(s) for key, s in case.items()}) for id_, case in record.items()}


def _scores(record: Mapping[str, object]) -> Scores:
    return Scores(**{name: float("nan") if value is None else value for name, value in record.items()})  # type: ignore[arg-type]
