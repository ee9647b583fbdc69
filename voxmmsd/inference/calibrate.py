"""Fit the temperature of a model's probabilities to labeled cases, and keep it in its record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from tqdm import tqdm

from voxmmsd.clock import now
from voxmmsd.data.cases import find_cases
from voxmmsd.data.splits import read_splits
from voxmmsd.data.store import PreparedCase, is_store, open_store, prepare_cases
from voxmmsd.errors import InputError, ModelError
from voxmmsd.evaluation.temperature import NearLesion, fit_temperature
from voxmmsd.inference.engines import open_engine
from voxmmsd.inference.windows import predict_probabilities
from voxmmsd.labels import schema_named
from voxmmsd.models.card import card
from voxmmsd.models.learned import in_part, inherited_by
from voxmmsd.models.package import ModelPackage, refuse_pretrained, rewrite_record
from voxmmsd.models.provenance import CALIBRATION
from voxmmsd.models.registry import copy_in_registry, resolve_model
from voxmmsd.wording import counted


def calibrate_model(model: str, folders: Sequence[Path], splits: Path | None = None, device: str = "auto") -> str:
    """Fit on the validation cases of the model, or of ``splits``, in ``folders`` (cases or stores); returns the text.

    The temperature is written into the package and into the registry's copy of it, which is the one that segments.

    Raises:
        InputError: no such case with a tumor, a case that cannot be read or used, or a store of other voxels.
        ModelError: no such model, one that cannot segment, or one whose folder cannot be written.
    """
    package = resolve_model(model)
    refuse_pretrained(package)
    if Path(model).suffix == ".zip" and Path(model).is_file():
        raise ModelError(
            f"{model}: the temperature is written into the model's package, and a zip is only read",
            f"import it with `voxmmsd models import {model}` and name it {package.info.id}",
        )
    with TemporaryDirectory(prefix="voxmmsd-") as aside:
        entries = [
            entry
            for number, folder in enumerate(folders)
            for entry in _entries(folder, Path(aside) / str(number), package)
        ]
        chosen = _validation(entries, package, splits)
        zones = _near_lesions(chosen, package, device)
    if not zones:
        raise InputError(
            f"none of {len(entries)} cases is a validation case with a labeled tumor",
            "give the folder that holds them, or name them with --splits",
        )
    seen = [entry.id for entry in chosen if entry.id in zones and _knows(package, entry)]
    record = {**fit_temperature(zones), "known": seen, "created": now()}
    places = [one for one in (package, copy_in_registry(package)) if one]
    for place in places:
        rewrite_record(place, lambda info: replace(info, training={**info.training, CALIBRATION: record}), card)
    lines = [
        f"temperature {record['temperature']:g}: the expected calibration error near the lesions of "
        f"{counted(len(zones), 'case')} changes from {record['error_before']:.3f} to {record['error_after']:.3f}, in "
        f"{' and '.join(str(place.folder) for place in places)}"
    ]
    if seen:
        lines.append(
            f"the model, or one before it, was trained on or selected by {len(seen)} of these cases: both are too good"
        )
    return "\n".join(lines)


def _entries(folder: Path, place: Path, package: ModelPackage) -> tuple[PreparedCase, ...]:
    spacing = package.info.preprocess.spacing_mm
    if not is_store(folder):
        cases = [case for case in find_cases(folder).cases if case.label is not None]
        result = prepare_cases(cases, place, package.info.preprocess)
        result.refuse_failures()
        return result.entries
    entries = open_store(folder)
    if other := next((entry for entry in entries if entry.preprocess.spacing_mm != spacing), None):
        raise InputError(
            f"{other.array_file}: was prepared at {other.preprocess.spacing_mm:g} mm, {package.info.id} works at "
            f"{spacing:g} mm",
            "give the folder of the cases themselves, or prepare them so",
        )
    return entries


def _validation(entries: Sequence[PreparedCase], package: ModelPackage, splits: Path | None) -> list[PreparedCase]:
    """Labeled ones, whose labels are mapped onto the model's schema."""
    if splits:
        wanted = set(read_splits(splits, entries, must_be_there=("validation",)).validation)
    else:
        wanted = set(package.info.provenance.cases.get("validation", ()))
    schema = schema_named(package.info.schema)
    chosen = [entry for entry in entries if entry.has_label and {entry.id, entry.patient_id} & wanted]
    mapped = [entry.mapped_onto(schema) for entry in chosen]
    return [entry for entry in mapped if not entry.leaves_tissues_open]


def _near_lesions(entries: Sequence[PreparedCase], package: ModelPackage, device: str) -> dict[str, NearLesion]:
    engine = open_engine(package, device=device)
    found = {}
    for entry in tqdm(entries, unit="case", dynamic_ncols=True):
        probabilities = predict_probabilities(np.asarray(entry.image()), engine, package.info.window)
        zone = NearLesion.of(probabilities, np.asarray(entry.label()), entry.grid)
        if zone is not None:
            found[entry.id] = zone
    return found


def _knows(package: ModelPackage, entry: PreparedCase) -> bool:
    return in_part(package.info, ("train", "unlabelled"), entry) or inherited_by(package.info).holds(entry)
