"""Compare the old and the new model on held-out patients: segmentations of each case, and their Dice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch

from voxmmsd.corrections.verdict import HoldOutCase
from voxmmsd.data.formats.writing import write_nifti
from voxmmsd.data.store import PreparedCase
from voxmmsd.data.volume import Grid, Volume, resample
from voxmmsd.evaluation.scores import region_dice
from voxmmsd.inference.engines.on_torch import TorchEngine
from voxmmsd.inference.windows import predict_probabilities
from voxmmsd.labels import LabelSchema, Region, index_of_tissue, known_indices, schema_named, values_from_indices
from voxmmsd.models.agreement import QUANTIZED
from voxmmsd.models.learned import NOTHING, Learned, reason_inherited, reason_learned
from voxmmsd.models.package import ModelPackage
from voxmmsd.models.weights import load_network
from voxmmsd.networks.heads import SegmentationNetwork


def compare_on_hold_out(
    old: ModelPackage,
    new: SegmentationNetwork,
    schema: LabelSchema,
    entries: Sequence[PreparedCase],
    drawn_over: Mapping[str, Sequence[str]],
    device: torch.device,
    folder: Path,
    inherited: Learned = NOTHING,
    as_old: Mapping[str, PreparedCase] = MappingProxyType({}),
) -> list[HoldOutCase]:
    """Score both models on each entry; write ``folder/CASE-old.nii.gz`` and ``-new.nii.gz`` on the prepared grid.

    Only regions whose tissues both models know are compared. ``drawn_over``: case id -> models whose output the label
    was drawn on. ``inherited``: what the ancestors of the new model were trained on. ``as_old``: case id -> the case
    as the old model's preprocessing gives it (default: as it is among ``entries``), whose labels are brought onto the
    grid of the entry.
    """
    theirs = schema_named(old.info.schema)
    shared = [region for region in schema.regions if _knows(theirs, region, schema)]
    old_engine = TorchEngine(load_network(old).to(device), device)
    new_engine = TorchEngine(new.to(device), device)
    found = []
    for entry in entries:
        reference = np.asarray(entry.label())
        old_indices = _segmented(as_old.get(entry.id, entry), old_engine, old.info.window, entry.grid)
        said = {
            "old": known_indices(old_indices, theirs, schema),
            "new": _segmented(entry, new_engine, old.info.window, entry.grid),
        }
        for name, indices in said.items():
            write_nifti(folder / f"{entry.id}-{name}.nii.gz", values_from_indices(indices, schema), entry.grid)
        scores = {name: region_dice(reference, indices, schema, shared) for name, indices in said.items()}
        reason = _unfair(entry, old, drawn_over.get(entry.id, ()), inherited)
        found.append(HoldOutCase(entry.id, entry.patient_id, scores["old"], scores["new"], reason))
    return found


def _segmented(case: PreparedCase, engine: TorchEngine, window: int, grid: Grid) -> np.ndarray:
    """Class indices ``(z, y, x)`` on ``grid``: as in ``predict``, of another grid the probabilities are resampled."""
    found = predict_probabilities(np.asarray(case.image()), engine, window)
    if not case.grid.same_as(grid):
        moved = resample(Volume(found[1:], case.grid), grid, order=1).array
        found = np.concatenate([1 - moved.sum(axis=0, keepdims=True), moved])
    return found.argmax(axis=0).astype(np.uint8)


def _knows(theirs: LabelSchema, region: Region, schema: LabelSchema) -> bool:
    """Whether ``theirs`` has all tissues of a region of ``schema``."""
    labels = [label for label in schema.labels if label.value in region.values]
    return all(index_of_tissue(label, theirs) is not None for label in labels)


def _unfair(entry: PreparedCase, old: ModelPackage, drawn_over: Sequence[str], inherited: Learned) -> str:
    for model in drawn_over:
        if model.removesuffix(QUANTIZED) == old.info.id.removesuffix(QUANTIZED):  # their outputs hardly differ
            return f"its label was drawn over the output of {model}, which favors it"
    return reason_learned(old, entry) or reason_inherited("the new model", inherited, entry)
