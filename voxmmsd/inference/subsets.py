"""Score a model with each of the 15 subsets of the modalities and add the table to its card."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

import voxmmsd
from voxmmsd.clock import now
from voxmmsd.data.case import Case
from voxmmsd.data.cases import find_cases
from voxmmsd.data.label_maps import volumes_ml
from voxmmsd.data.reading import CaseVolumes, read_case
from voxmmsd.data.volume import Volume
from voxmmsd.errors import InputError, ModelError
from voxmmsd.evaluation.scores import nan_mean, region_dice
from voxmmsd.evaluation.volume_errors import Errors, median_errors
from voxmmsd.inference.engines import Engine, open_engine
from voxmmsd.inference.predict import predict
from voxmmsd.labels import MODALITIES, LabelSchema, converted_indices, have_same_tissues, schema_named
from voxmmsd.models.card import card
from voxmmsd.models.learned import has_learned, in_part, inherited_by
from voxmmsd.models.package import ModelPackage, rewrite_record
from voxmmsd.models.registry import resolve_model
from voxmmsd.models.subsets import KEY, SUBSETS, VOLUMES, subset_key, table_rows, with_subset_scores
from voxmmsd.terminal import progress_bar
from voxmmsd.wording import counted, text_table

SPLITS = ("train", "validation", "test")


def evaluate_subsets(model: str, folder: Path, split: str, schema: str = "", device: str = "auto") -> str:
    """Score a model on the cases of a folder that are in its ``split``; returns the text to print.

    Raises:
        InputError: no complete, labeled case in that split, or labels with other tissues than the model.
        ModelError: no such model, one that cannot segment, or one whose folder cannot be written.
    """
    package = resolve_model(model)
    if Path(model).suffix == ".zip" and Path(model).is_file():
        raise ModelError(
            f"{model}: the table is written into the model's package, and a zip is only read",
            f"import it with `voxmmsd models import {model}` and name it {package.info.id}",
        )
    engine = open_engine(package, device=device)
    found = find_cases(folder, schema or None).cases
    cases, split = choose_cases(found, package, split)
    dice, volumes = score_subsets(cases, package, engine)
    record = {
        "split": split,
        "cases": [case.id for case in cases],
        "created": now(),
        "version": voxmmsd.__version__,
        "dice": dice,
        VOLUMES: volumes,
    }
    earlier = package.info.scores.get(KEY)
    written = rewrite_record(package, lambda info: with_subset_scores(info, record), card)
    lines = [
        text_table(table_rows(record)),
        f"mean Dice over {counted(len(cases), f'{split} case')}, in {written.folder}",
    ]
    if earlier:
        lines.append(
            f"it takes the place of the table of {earlier['created']} over {counted(len(earlier['cases']), 'case')}"
        )
    return "\n".join(lines)


def choose_cases(cases: Sequence[Case], package: ModelPackage, split: str) -> tuple[list[Case], str]:
    """The complete labeled cases of the model's own split; with ``other``, those of patients it has never seen.

    ``test`` cases that an ancestor of the model was trained on are excluded.

    Raises:
        InputError: there is none.
    """
    usable = [case for case in cases if case.label is not None and not case.missing]
    if split in SPLITS:
        wanted = set(package.info.provenance.cases.get(split, ()))
        chosen = [case for case in usable if {case.id, case.patient_id} & wanted]
        if split == "test":
            chosen = [case for case in chosen if not inherited_by(package.info).holds(case)]
    else:
        chosen = [case for case in usable if not (has_learned(package, case) or in_part(package.info, SPLITS, case))]
    if not chosen and split == "other" and (unknown := inherited_by(package.info).unknown):
        raise InputError(
            f"{package.info.id} was started from {', '.join(unknown)}, and which patients that model was trained on is "
            "unknown, so that no case is certainly new to it",
            "import that model with `voxmmsd models import`",
        )
    if not chosen:
        raise InputError(
            f"none of {len(cases)} cases is labeled, complete and of the model's {split} cases",
            "choose another folder, or another --split (validation, test, other)",
        )
    return chosen, split


def score_subsets(
    cases: Sequence[Case],
    package: ModelPackage,
    engine: Engine,
    subsets: Sequence[tuple[str, ...]] = SUBSETS,
) -> tuple[dict[str, dict[str, float | None]], dict[str, Errors]]:
    """Subset's key -> region's key -> mean Dice over the cases that have the region, None where none has; and subset's
    key -> median errors of the volumes of regions and labels."""
    schema = schema_named(package.info.schema)
    found: dict[str, list[dict[str, float]]] = {subset_key(subset): [] for subset in subsets}
    measured: dict[str, list[tuple[dict[str, float], dict[str, float]]]] = {key: [] for key in found}
    with progress_bar(total=len(cases) * len(subsets), unit="subset") as bar:
        for case in cases:
            volumes = read_case(case)
            reference = _reference(volumes, schema)
            expert = volumes_ml(reference, schema, volumes.image.grid)
            for subset in subsets:
                predicted = predict(with_only(volumes, subset), package, engine).label_zyx
                found[subset_key(subset)].append(region_dice(reference, predicted, schema))
                measured[subset_key(subset)].append((expert, volumes_ml(predicted, schema, volumes.image.grid)))
                bar.update()
    return (
        {key: _means(scores, schema) for key, scores in found.items()},
        {key: median_errors(pairs) for key, pairs in measured.items()},
    )


def region_means(cases: Sequence[Case], package: ModelPackage, engine: Engine) -> dict[str, float | None]:
    """Region's key -> mean Dice over the cases that have the region, None where none has."""
    schema = schema_named(package.info.schema)
    found: list[dict[str, float]] = []
    for case in cases:
        volumes = read_case(case)
        predicted = predict(volumes, package, engine).label_zyx
        found.append(region_dice(_reference(volumes, schema), predicted, schema))
    return _means(found, schema)


def with_only(volumes: CaseVolumes, modalities: Sequence[str]) -> CaseVolumes:
    """The case with only these modalities, on the same grid."""
    present = tuple(name in modalities for name in MODALITIES)
    image = volumes.image.array * np.array(present, np.float32)[:, None, None, None]
    case = replace(volumes.case, modalities={n: s for n, s in volumes.case.modalities.items() if n in modalities})
    return replace(volumes, case=case, image=Volume(image, volumes.image.grid), present=present)  # type: ignore[arg-type]


def _reference(volumes: CaseVolumes, schema: LabelSchema) -> np.ndarray:
    assert volumes.schema is not None
    assert volumes.label_zyx is not None
    if not have_same_tissues(volumes.schema, schema):
        raise InputError(
            f"case {volumes.case.id}: its label is in schema {volumes.schema.name}, the model writes {schema.name}, "
            "which has other tissues",
            "score the model on cases of its own schema",
        )
    return converted_indices(volumes.label_zyx, volumes.schema, schema, f"case {volumes.case.id}")


def _means(scores: Sequence[Mapping[str, float]], schema: LabelSchema) -> dict[str, float | None]:
    """By region, as a record has it."""
    means = {region.key: nan_mean(one[region.key] for one in scores) for region in schema.regions}
    return {key: round(mean, 4) if math.isfinite(mean) else None for key, mean in means.items()}
