"""Match predictions with expert labels and score them, cases in parallel."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from voxmmsd.concurrency import process_count
from voxmmsd.data.case import Case
from voxmmsd.data.cases import find_cases
from voxmmsd.data.formats.sources import Source, read_volume
from voxmmsd.data.label_maps import on_same_voxels, read_label, read_values
from voxmmsd.data.volume import Grid, Volume, resample
from voxmmsd.errors import InputError, VoxMMSDError
from voxmmsd.evaluation.calibration import Calibration, calibrate
from voxmmsd.evaluation.lesionwise import LesionScores, score_lesions
from voxmmsd.evaluation.protocols import rules_of
from voxmmsd.evaluation.scores import CaseScores, score_case
from voxmmsd.evaluation.tables import lesion_rows, score_rows
from voxmmsd.failures import failure_of_case
from voxmmsd.labels import LabelSchema, converted_indices, have_same_tissues, schema_named
from voxmmsd.records.result import read_result_record
from voxmmsd.wording import text_table


@dataclass(frozen=True)
class ScoredCase:
    """A case's files and its scores.

    ``lesions``: the official scores, if a protocol was requested. ``calibration``: if there are probability maps beside
    the prediction (``segment --probabilities``).
    """

    case: Case
    prediction: Path
    schema: LabelSchema
    scores: CaseScores
    lesions: Mapping[str, LesionScores]
    calibration: Calibration | None


@dataclass(frozen=True)
class Evaluation:
    """Scores of the cases that have both, and the ids of labeled cases without a prediction.

    ``failures``: id and reason of each case that could not be scored.
    """

    schema: LabelSchema
    scored: tuple[ScoredCase, ...]
    unpredicted: tuple[str, ...]
    protocol: str = ""
    failures: tuple[tuple[str, VoxMMSDError], ...] = ()

    @property
    def cases(self) -> tuple[CaseScores, ...]:
        return tuple(each.scores for each in self.scored)

    @property
    def lesions(self) -> dict[str, Mapping[str, LesionScores]]:
        """Case id -> structure -> official scores; empty without a protocol."""
        return {each.case.id: each.lesions for each in self.scored} if self.protocol else {}

    def text(self) -> str:
        """What the verb prints."""
        lines = [text_table(score_rows(self.cases))]
        if self.protocol:
            lines += ["", f"lesion-wise, by the rules of {self.protocol}:", text_table(lesion_rows(self.lesions))]
        lines += [f"no prediction for: {', '.join(self.unpredicted)}"] if self.unpredicted else []
        lines += [f"not scored: {', '.join(case_id for case_id, _ in self.failures)}"] if self.failures else []
        return "\n".join(lines)


def evaluate_folders(
    predictions: Path, labels: Path, schema: str = "", protocol: str = "", task: str = "auto", workers: int = 0
) -> Evaluation:
    """Score ``CASEID-voxmmsd.nii.gz`` (or ``CASEID.nii.gz``) against the cases' expert labels, cases in parallel.

    A case that cannot be scored (a file that cannot be read, a label without a schema, grids that differ, schemas that
    mean other tissues) is named in ``failures`` and does not stop the others.

    Raises:
        InputError: nothing to score, or no case that can be scored.
        ConfigError: no such protocol or task.
    """
    found = find_cases(labels, schema or None)
    found = replace(found, cases=tuple(case for case in found.cases if case.label is not None))
    found.refuse_none("case with an expert's label")
    cases = found.cases
    pairs = [(case, file) for case in cases if (file := _prediction_of(case, predictions)) is not None]
    if not pairs:
        raise InputError(
            f"{predictions}: holds no prediction of {', '.join(case.id for case in cases[:5])}",
            "name the files CASEID-voxmmsd.nii.gz",
        )
    score = partial(_scored_or_why_not, protocol=protocol, task=task)
    scored: list[ScoredCase] = []
    failures: list[tuple[str, VoxMMSDError]] = []
    for (case, _), result in zip(pairs, _in_parallel(score, pairs, workers), strict=True):
        if isinstance(result, ScoredCase):
            scored.append(result)
        else:
            failures.append((case.id, result))
    if not scored:
        case_id, error = failures[0]
        more = f" (and {len(failures) - 1} more cases)" if len(failures) > 1 else ""
        raise InputError(f"no case can be scored: case {case_id}: {error.problem}{more}", error.remedy) from error
    schemas = {each.schema.name: each.schema for each in scored}
    if len(schemas) > 1:
        raise InputError(f"{labels}: cases follow different schemas ({', '.join(schemas)})", "evaluate one at a time")
    predicted = {case.id for case, _ in pairs}
    unpredicted = tuple(case.id for case in cases if case.id not in predicted)
    return Evaluation(next(iter(schemas.values())), tuple(scored), unpredicted, protocol, tuple(failures))


def _in_parallel(
    score: Callable[[tuple[Case, Path]], ScoredCase | VoxMMSDError], pairs: Sequence[tuple[Case, Path]], workers: int
) -> Iterator[ScoredCase | VoxMMSDError]:
    count = process_count(workers, len(pairs))
    if count <= 1:
        yield from map(score, pairs)
        return
    with ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(score, pairs)


def _prediction_of(case: Case, folder: Path) -> Path | None:
    for name in (f"{case.id}-voxmmsd.nii.gz", f"{case.id}.nii.gz", f"{case.id}.nii"):
        if (folder / name).is_file():
            return folder / name
    return None


def _scored_or_why_not(pair: tuple[Case, Path], protocol: str, task: str) -> ScoredCase | VoxMMSDError:
    try:
        return _score(pair, protocol, task)
    except Exception as error:
        return failure_of_case(error)


def _score(pair: tuple[Case, Path], protocol: str, task: str) -> ScoredCase:
    case, file = pair
    assert case.label is not None
    if case.schema is None:
        read_values(case.label)  # a file that is not a label map is reported as such
        raise InputError(f"{case.label.path}: its label schema cannot be determined", "name it with --schema")
    schema = schema_named(case.schema)
    label = read_label(case.label, schema)
    reference, grid = label.array, label.grid
    predicted = prediction_on(grid, file, schema)
    scores = score_case(case.id, reference, predicted, schema, grid)
    rules = rules_of(protocol, task, schema) if protocol else {}
    lesions = score_lesions(reference, predicted, schema, grid, rules) if rules else {}
    probabilities = _probabilities_of(file, schema, grid)
    calibration = None if probabilities is None else calibrate(probabilities, reference, grid)
    return ScoredCase(case, file, schema, scores, lesions, calibration)


def _probabilities_of(file: Path, schema: LabelSchema, grid: Grid) -> np.ndarray | None:
    """``(class, z, y, x)`` on ``grid`` from the maps beside a prediction; None where there are none."""
    stem = file.name.removesuffix(".nii.gz")
    maps = [file.with_name(f"{stem}-probability-{label.key}.nii.gz") for label in schema.labels]
    if not all(each.is_file() for each in maps):
        return None
    labels = np.stack([resample(read_volume(Source(each)), grid).array for each in maps])
    return np.concatenate([np.clip(1 - labels.sum(axis=0, keepdims=True), 0, 1), labels])


def prediction_on(grid: Grid, file: Path, schema: LabelSchema) -> np.ndarray:
    """The prediction as class indices of ``schema`` on the label's grid."""
    own = recorded_schema(file) or schema
    return labels_on(grid, read_label(Source(file), own), own, schema, str(file))


def labels_on(grid: Grid, indices: Volume, own: LabelSchema, schema: LabelSchema, where: str) -> np.ndarray:
    """Class indices of ``own`` as ``(z, y, x)`` on the grid of labels in ``schema``; axes may be in another order.

    Raises:
        InputError: the schemas have other tissues, or the grids other voxels.
    """
    if not have_same_tissues(own, schema):
        raise InputError(
            f"{where}: is in schema {own.name}, the expert's labels in {schema.name}, which has other tissues",
            "if the labels are in another schema, name it with --schema, else score a model of theirs",
        )
    if (found := on_same_voxels(indices, grid)) is not None:
        return converted_indices(found.array, own, schema, where)
    raise InputError(
        f"{where}: is on a different grid ({indices.grid.shape_zyx}) than the expert's label ({grid.shape_zyx})",
        "segment with --reference set to the image that the label was drawn on",
    )


def recorded_schema(file: Path) -> LabelSchema | None:
    """The schema in the record beside a result of ``segment``; None if there is no record."""
    record = file.with_name(file.name.removesuffix(".nii.gz") + ".json")
    try:
        return schema_named(read_result_record(record, "remove it or segment again").schema)
    except FileNotFoundError:
        return None
