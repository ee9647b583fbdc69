"""Scores as text for the terminal, as CSV and as JSON."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence

import numpy as np

from voxmmsd.evaluation.lesionwise import LESION_METRICS, LesionScores
from voxmmsd.evaluation.scores import METRICS, SCORED, CaseScores, mean_scores
from voxmmsd.files import without_nan

HEADINGS = {
    "dice": "Dice",
    "hd95_mm": "HD95 mm",
    "sensitivity": "sensitivity",
    "precision": "precision",
    "reference_ml": "expert ml",
    "predicted_ml": "predicted ml",
}
LESION_HEADINGS = {
    "dice": "Dice",
    "hd95_mm": "HD95 mm",
    "nsd_05": "NSD 0.5",
    "nsd_10": "NSD 1.0",
    "found": "found",
    "missed": "missed",
    "false": "false",
    "whole_dice": "whole Dice",
    "whole_hd95_mm": "whole HD95",
}
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def score_rows(cases: Sequence[CaseScores]) -> list[list[str]]:
    """A heading, a row per case and structure, then the means with the number of cases behind each."""
    rows = [["case", "structure", *HEADINGS.values(), "status"]]
    for case in cases:
        for key, scores in case.structures.items():
            status = "" if scores.status == SCORED else scores.status
            rows.append([case.case_id, key, *(shown(getattr(scores, metric), metric) for metric in METRICS), status])
    return rows + mean_rows(cases)


def mean_rows(cases: Sequence[CaseScores]) -> list[list[str]]:
    """A row per structure: means, each with ``(n)`` where it is not over all cases."""
    rows = []
    for key, means in mean_scores(cases).items():
        cells = []
        for metric in METRICS:
            mean = means[metric]
            cells.append(shown(mean.value, metric) + ("" if mean.count == len(cases) else f" (n={mean.count})"))
        rows.append([f"mean of {len(cases)}", key, *cells, ""])
    return rows


def lesion_rows(cases: Mapping[str, Mapping[str, LesionScores]]) -> list[list[str]]:
    """Official scores: a heading, a row per case and structure, then the means over all cases, as BraTS ranks."""
    rows = [["case", "structure", *LESION_HEADINGS.values()]]
    for case_id, structures in cases.items():
        for key, scores in structures.items():
            rows.append([case_id, key, *(_lesion_cell(getattr(scores, metric), metric) for metric in LESION_HEADINGS)])
    for key in dict.fromkeys(key for structures in cases.values() for key in structures):
        means = {
            metric: float(np.mean([getattr(s[key], metric) for s in cases.values()])) for metric in LESION_HEADINGS
        }
        rows.append([f"mean of {len(cases)}", key, *(shown(value, metric) for metric, value in means.items())])
    return rows


def lesion_csv(cases: Mapping[str, Mapping[str, LesionScores]]) -> str:
    """One line per case and structure with all official metrics at full precision."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["case", "structure", *LESION_METRICS])
    for case_id, structures in cases.items():
        for key, scores in structures.items():
            numbers = [getattr(scores, metric) for metric in LESION_METRICS]
            cells = ["" if math.isnan(number) else repr(number) for number in numbers]
            writer.writerow([_harmless(case_id), key, *cells])
    return stream.getvalue()


def _lesion_cell(value: float, metric: str) -> str:
    return str(value) if isinstance(value, int) else shown(value, metric)


def csv_text(cases: Sequence[CaseScores]) -> str:
    """One line per case and structure, full precision, empty where not a number; ids cannot act as formulas."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["case", "structure", *METRICS, "status"])
    for case in cases:
        for key, scores in case.structures.items():
            numbers = [getattr(scores, metric) for metric in METRICS]
            cells = ["" if math.isnan(number) else repr(number) for number in numbers]
            writer.writerow([_harmless(case.case_id), key, *cells, scores.status])
    return stream.getvalue()


def json_text(cases: Sequence[CaseScores], schema: str, failures: Sequence[tuple[str, str]] = ()) -> str:
    """Scores of each case and the means with their counts; not-a-number is null. ``failures``: ids with reasons."""
    record = {
        "format": 1,
        "schema": schema,
        "cases": {
            case.case_id: {
                key: {**{m: without_nan(getattr(s, m)) for m in METRICS}, "status": s.status}
                for key, s in case.structures.items()
            }
            for case in cases
        },
        "means": {
            key: {metric: {"value": without_nan(mean.value), "cases": mean.count} for metric, mean in means.items()}
            for key, means in mean_scores(cases).items()
        },
        **({"failures": dict(failures)} if failures else {}),
    }
    return json.dumps(record, indent=1, ensure_ascii=False) + "\n"


def shown(value: float, metric: str) -> str:
    """A score as text; NaN is a dash."""
    if math.isnan(value):
        return "-"
    return f"{value:.2f}" if metric.endswith(("_mm", "_ml")) else f"{value:.3f}"


def _harmless(text: str) -> str:
    return "'" + text if text.startswith(_FORMULA_STARTS) else text
