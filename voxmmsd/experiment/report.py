"""HTML report of an experiment: results, gains, calibration, volumes, patients."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from voxmmsd.evaluation.agreement import agreement_rows, volumes_ml
from voxmmsd.evaluation.calibration import MARGIN_MM, Calibration, pooled
from voxmmsd.evaluation.charts import agreement_chart, calibration_chart, efficiency_chart, gains_chart
from voxmmsd.evaluation.html import Section, write_report
from voxmmsd.evaluation.statistics import means_over_regions
from voxmmsd.experiment.results import Comparison, shown


def write_comparison(comparison: Comparison, file: Path, what: str) -> Path:
    """Write the page; ``what`` describes the scores and the cases."""
    with TemporaryDirectory(prefix="voxmmsd-") as place:
        folder = Path(place)
        sections = [_results(comparison, folder, what), *_calibration(comparison, folder), _volumes(comparison, folder)]
        return write_report(file, "Label efficiency", [*sections, _patients(comparison)])


def _results(comparison: Comparison, folder: Path, what: str) -> Section:
    methods = dict.fromkeys(method for cases in comparison.numbers for method in comparison.methods(cases))
    dice = {
        method: {
            cases: _by_draw(comparison.dice(method, cases))
            for cases in comparison.numbers
            if method in comparison.methods(cases)
        }
        for method in methods
    }
    pictures = [(efficiency_chart(dice, folder / "dice.png"), "Mean over the draws; small dots are the draws.")]
    gains = {
        f"{method}, {cases} cases": comparison.gain(method, cases)
        for cases in comparison.numbers
        for method in comparison.methods(cases)
        if method != comparison.baseline
    }
    if gains:
        points = {name: (100 * g.effect, 100 * g.low, 100 * g.high) for name, g in gains.items()}
        caption = "Paired by draw and patient; the interval resamples both."
        pictures.append((gains_chart(points, comparison.baseline, folder / "gains.png"), caption))
    return Section("Results", [what, *comparison.notes()], comparison.rows(), pictures)


def _calibration(comparison: Comparison, folder: Path) -> list[Section]:
    sections = []
    for cases in comparison.numbers:
        models: dict[str, Calibration] = {}
        for method in comparison.methods(cases):
            arms = [s for arm, s in comparison.found.items() if (arm.method, arm.cases) == (method, cases)]
            if found := pooled([each for scored in arms for each in scored.calibrations]):
                models[method] = found
        if models:
            chart = calibration_chart(models, folder / f"calibration-{cases}.png")
            text = f"Voxels within {MARGIN_MM:g} mm of the expert's labels, all draws and patients."
            sections.append(Section(f"Calibration, {cases} labeled cases", [text], pictures=[(chart, "")]))
    return sections


def _volumes(comparison: Comparison, folder: Path) -> Section:
    """Volumes of the baseline and the first other method with the fewest cases, where a bias would be largest."""
    cases = min(comparison.numbers)
    table: list[list[str]] = []
    pictures = []
    for method in comparison.methods(cases)[:2]:
        scored = [s for arm, s in comparison.found.items() if (arm.method, arm.cases) == (method, cases)]
        all_cases = [case for each in scored for case in each.cases]
        rows = agreement_rows(all_cases, comparison.regions)
        table += [["method", *rows[0]]] if not table else []
        table += [[method, *row] for row in rows[1:]]
        volumes = {key: volumes_ml(all_cases, key) for key in comparison.regions}
        pictures.append((agreement_chart(volumes, folder / f"volumes-{method}.png"), method))
    text = "Model's less expert's volume (Bland-Altman); a patient counts once per draw."
    return Section(f"Volumes, {cases} labeled cases", [text], table, pictures)


def _patients(comparison: Comparison) -> Section:
    """Dice per patient, averaged over regions and draws."""
    ids = [case.case_id for case in next(iter(comparison.found.values())).cases]
    rows = [["cases", "method", *ids]]
    for cases in comparison.numbers:
        for method in comparison.methods(cases):
            dice = comparison.dice(method, cases)
            means = means_over_regions(dice, np.ones((len(ids), len(dice))), np.eye(len(ids)))
            rows.append([str(cases), method, *map(shown, means)])
    return Section("Patients", ["Mean Dice of the regions that count in the patient, mean over the draws."], rows)


def _by_draw(dice: np.ndarray) -> list[float]:
    draws, patients, _ = dice.shape
    return means_over_regions(dice, np.eye(draws), np.ones((draws, patients))).tolist()
