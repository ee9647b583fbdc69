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
VOLUMES = "volumes"  # in the scores of a split, and of the subsets
_FEW_CASES = 10
SUBSET_SPLITS = ("validation", "test", "other")  # of the cases that a model is scored on


def subset_key(modalities: Iterable[str]) -> str:
    """``t1c+t2f``: the name of a subset in a record, in channel order."""
    given = set(modalities)
    return "+".join(name for name in MODALITIES if name in given)


def with_subset_scores(info: ModelInfo, record: Mapping[str, Any]) -> ModelInfo:
    """``record``: ``split``, ``cases`` (ids), ``created``, ``dice`` (subset's key -> region's key -> mean or None),
    ``volumes`` (subset's key -> structure's key -> median error: ``ml``, ``percent`` or None).

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
    return f"{without}: the model's card expects a Dice of {', '.join(parts)}, over {over_cases(record)}"


def expected_dice(info: ModelInfo, missing: Iterable[str], region: str = "WT") -> float | None:
    """The mean Dice of a region that the card expects without these modalities; None where it does not say."""
    record = info.scores.get(KEY)
    if record is None:
        return None
    dice = record["dice"].get(subset_key(name for name in MODALITIES if name not in set(missing)), {})
    return dice.get(region)


def volume_errors(info: ModelInfo, missing: Iterable[str] = ()) -> Mapping[str, Mapping[str, float | None]]:
    """Structure -> ``ml`` and ``percent``, the median errors of the volumes that the card tells of with the modalities
    that are not ``missing``; empty where they were not measured."""
    absent = set(missing)
    measured = info.scores.get(KEY, {}).get(VOLUMES, {})
    found: Mapping[str, Mapping[str, float | None]] = measured.get(
        subset_key(name for name in MODALITIES if name not in absent), {}
    )
    return found if found or absent or KEY in info.scores else info.headline_scores[1].get(VOLUMES, {})


def error_text(error: Mapping[str, float | None]) -> str:
    """``1.2 ml, 8 %``."""
    percent = error["percent"]
    return f"{error['ml']:.1f} ml" + ("" if percent is None else f", {percent:.0f} %")


def volume_markdown(errors: Mapping[str, Mapping[str, float | None]], over: str) -> str:
    """The errors of the volumes with all modalities, for the card; ``over``: which cases."""
    rows = [f"| {key} | {one['ml']:.1f} | {_shown(one['percent'], 0)} |" for key, one in errors.items()]
    return "\n".join(
        [
            f"Median absolute error of the volumes with all four modalities, over {over}; in percent of the "
            "expert's volume over the cases that have it:\n",
            "| structure | ml | % |",
            "|---|---|---|",
            *rows,
        ]
    )


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
    over = over_cases(record)
    return f"Mean Dice with each subset of the modalities, over {over}, measured {record['created']}:\n\n{table}"


def over_cases(record: Mapping[str, Any]) -> str:
    count = len(record["cases"])
    kind = {"validation": "validation ", "test": "test "}.get(record["split"], "")
    return f"{count} {kind}case{'' if count == 1 else 's'}"


def _digits(record: Mapping[str, Any]) -> int:
    """A mean over a handful of cases has no third digit."""
    return 3 if len(record["cases"]) >= _FEW_CASES else 2


def _shown(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
