"""Scores of a model with each subset of the modalities: in its record, in its card, and reported by ``segment``."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import Any

from voxmmsd.labels import MODALITIES, MODALITY_NAMES
from voxmmsd.models.package import ModelInfo

SUBSETS = tuple(subset for count in (4, 3, 2, 1) for subset in combinations(MODALITIES, count))
KEY = "subsets"  # in ModelInfo.scores
_FEW_CASES = 10
SUBSET_SPLITS = ("validation", "test", "other")  # of the cases that a model is scored on


def subset_key(modalities: Iterable[str]) -> str:
    """``t1c+t2f``: the name of a subset in a record, in channel order."""
    given = set(modalities)
    return "+".join(name for name in MODALITIES if name in given)


def with_subset_scores(info: ModelInfo, record: Mapping[str, Any]) -> ModelInfo:
    """``record``: ``split``, ``cases`` (ids), ``created``, ``dice`` (subset's key -> region's key -> mean or None).

    On test cases the row of all modalities is the model's score there, which tells more than that of validation.
    """
    scores = {**info.scores, KEY: dict(record)}
    if record["split"] == "test":
        scores["test"] = {"cases": len(record["cases"]), "regions": record["dice"][subset_key(MODALITIES)]}
    return dataclasses.replace(info, scores=scores)


def expectation(info: ModelInfo, missing: tuple[str, ...]) -> str:
    """The expected accuracy without these modalities, as text."""
    without = f"without {', '.join(missing)}"
    record = info.scores.get(KEY)
    if record is None:
        return (
            f"{without}: expect less than the model's scores with all four; how much less is not in its card "
            "(`voxmmsd evaluate MODEL CASES --subsets` measures it)"
        )
    if set(missing) >= set(MODALITIES):
        return f"{without}: there is nothing to segment"
    whole = record["dice"][subset_key(MODALITIES)]
    left = record["dice"][subset_key(name for name in MODALITIES if name not in missing)]
    digits = _digits(record)
    parts = [
        f"{region} {_shown(left[region], digits)} (with all four {_shown(whole[region], digits)})" for region in whole
    ]
    return f"{without}: the model's card expects a Dice of {', '.join(parts)}, over {_over(record)}"


def expected_dice(info: ModelInfo, missing: Iterable[str], region: str = "WT") -> float | None:
    """The mean Dice of a region that the card expects without these modalities; None where it does not say."""
    record = info.scores.get(KEY)
    if record is None:
        return None
    dice = record["dice"].get(subset_key(name for name in MODALITIES if name not in set(missing)), {})
    return dice.get(region)


def table_rows(record: Mapping[str, Any]) -> list[list[str]]:
    """A heading and a row per subset: a mark per modality that is there, then the mean Dice per region."""
    regions = list(record["dice"][subset_key(MODALITIES)])
    rows = [[*(MODALITY_NAMES[name] for name in MODALITIES), *regions]]
    for subset in SUBSETS:
        scores = record["dice"][subset_key(subset)]
        marks = ["x" if name in subset else "" for name in MODALITIES]
        rows.append([*marks, *(_shown(scores[region], _digits(record)) for region in regions)])
    return rows


def markdown(record: Mapping[str, Any]) -> str:
    """The table for the card, with what it was measured on."""
    heading, *rows = table_rows(record)
    lines = [heading, ["---"] * len(heading), *rows]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    return (
        f"Mean Dice with each subset of the modalities, over {_over(record)}, measured {record['created']}:\n\n{table}"
    )


def _over(record: Mapping[str, Any]) -> str:
    count = len(record["cases"])
    kind = {"validation": "validation ", "test": "test "}.get(record["split"], "")
    return f"{count} {kind}case{'' if count == 1 else 's'}"


def _digits(record: Mapping[str, Any]) -> int:
    """A mean over a handful of cases has no third digit."""
    return 3 if len(record["cases"]) >= _FEW_CASES else 2


def _shown(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
