"""The report of ``evaluate``: scores, official scores, enhancing tumor, volumes, calibration, three example cases."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from voxmmsd.data.preprocess import Preprocess
from voxmmsd.data.reading import read_case
from voxmmsd.data.volume import Volume, canonical, resample
from voxmmsd.errors import VoxMMSDError
from voxmmsd.evaluation.agreement import agreement_rows, volumes_ml
from voxmmsd.evaluation.calibration import MARGIN_MM, pooled
from voxmmsd.evaluation.charts import agreement_chart, calibration_chart
from voxmmsd.evaluation.evaluate import Evaluation, ScoredCase, prediction_on
from voxmmsd.evaluation.html import Section, write_report
from voxmmsd.evaluation.pictures import overlay_picture
from voxmmsd.evaluation.scores import MIN_ML, CaseScores, counted_dice, falsely_found
from voxmmsd.evaluation.tables import lesion_rows, mean_rows, score_rows
from voxmmsd.model_config import PreprocessConfig


def write_evaluation(found: Evaluation, file: Path) -> Path:
    """Write the page atomically."""
    regions = [region.key for region in found.schema.regions]
    with TemporaryDirectory(prefix="voxmmsd-") as place:
        folder = Path(place)
        sections = [_means(found)]
        if found.protocol:
            sections.append(_official(found))
        if "ET" in regions:
            sections.append(_enhancing(found.cases))
        sections += [_volumes(found, regions, folder), *_calibration(found, folder), *_looks(found, regions, folder)]
        sections.append(Section("Every case", table=score_rows(found.cases)))
        return write_report(file, "Evaluation", sections)


def _means(found: Evaluation) -> Section:
    missing = [f"No prediction for: {', '.join(found.unpredicted)}."] if found.unpredicted else []
    missing += [f"Not scored: {case_id}: {reason}" for case_id, reason in found.failures]
    text = "Means over the cases in which a score is a number; (n=...) says of how many, where not of all."
    return Section("Scores", [text, *missing], [score_rows(found.cases)[0], *mean_rows(found.cases)])


def _official(found: Evaluation) -> Section:
    text = (
        f"By the rules of {found.protocol}, lesion by lesion; a missed or false lesion has Dice 0 and the "
        "penalty's HD95. whole: the structure as one mask."
    )
    return Section(f"Lesion-wise ({found.protocol})", [text], lesion_rows(found.lesions))


def _enhancing(cases: Sequence[CaseScores]) -> Section:
    least = MIN_ML["ET"]
    dice = np.array([counted_dice(case, "ET") for case in cases])
    counted = dice[np.isfinite(dice)]
    false = falsely_found(cases, "ET")
    rows = [["cases with it", "mean Dice", "missed", "cases without it", "falsely found"]]
    mean = f"{counted.mean():.3f}" if counted.size else "-"
    rows.append(
        [str(counted.size), mean, str(int((counted == 0).sum())), str(len(cases) - counted.size), str(len(false))]
    )
    text = f"Cases with more than {least:g} ml of it by the expert; below, a few voxels decide between 0 and 1."
    listed = [f"Falsely found, more than {least:g} ml: {', '.join(false)}."] if false else []
    return Section("Enhancing tumor", [text, *listed], rows)


def _volumes(found: Evaluation, regions: Sequence[str], folder: Path) -> Section:
    chart = agreement_chart({key: volumes_ml(found.cases, key) for key in regions}, folder / "volumes.png")
    text = "Model's less expert's volume (Bland-Altman): bias, and limits within which 95 % of the differences lie."
    return Section("Volumes", [text], agreement_rows(found.cases, regions), [(chart, "One dot per case.")])


def _calibration(found: Evaluation, folder: Path) -> list[Section]:
    known = [each.calibration for each in found.scored if each.calibration]
    together = pooled(known)
    if together is None:
        text = (
            "Not measured: no probability maps beside the predictions; `voxmmsd segment --probabilities` writes them."
        )
        return [Section("Calibration", [text])]
    chart = calibration_chart({f"{len(known)} cases": together}, folder / "calibration.png")
    return [Section("Calibration", [f"Voxels within {MARGIN_MM:g} mm of the expert's labels."], pictures=[(chart, "")])]


def _looks(found: Evaluation, regions: Sequence[str], folder: Path) -> list[Section]:
    """The worst, the middle and the best case by mean Dice of the regions, as far as their images can be read."""
    means = {each.case.id: _mean_dice(each.scores, regions) for each in found.scored}
    order = sorted((each for each in found.scored if np.isfinite(means[each.case.id])), key=lambda e: means[e.case.id])
    if not order:
        return []
    chosen = dict(zip(("best", "middle", "worst"), (order[-1], order[len(order) // 2], order[0]), strict=True))
    paragraphs, pictures, shown = [], [], set()
    for name in ("worst", "middle", "best"):
        each = chosen[name]
        if each.case.id in shown:
            continue
        shown.add(each.case.id)
        try:
            picture = _overlay(each, folder / f"{len(shown)}.png")
        except VoxMMSDError as error:
            paragraphs.append(f"{each.case.id}: no picture: {error}")
            continue
        pictures.append((picture, f"{each.case.id}, the {name}: mean Dice of the regions {means[each.case.id]:.3f}"))
    return [Section("Cases to look at", paragraphs, pictures=pictures)]


def _mean_dice(case: CaseScores, regions: Sequence[str]) -> float:
    values = [value for key in regions if np.isfinite(value := counted_dice(case, key))]
    return float(np.mean(values)) if values else float("nan")


def _overlay(each: ScoredCase, file: Path) -> Path:
    volumes = read_case(each.case)
    prepared = Preprocess(PreprocessConfig()).apply(volumes)
    predicted = prediction_on(volumes.image.grid, each.prediction, each.schema)
    carried = resample(canonical(Volume(predicted, volumes.image.grid)), prepared.grid, order=0).array
    return overlay_picture(
        prepared.image_czyx,
        prepared.present,
        carried,
        each.schema,
        prepared.grid,
        file,
        each.case.id,
        prepared.label_zyx,
    )
