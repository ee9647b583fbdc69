"""The ``segment`` verb: one case or many; a bad one is reported and does not stop the rest."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from voxmmsd.config import CheckConfig, SegmentConfig, config_to_record
from voxmmsd.data.brain_mask import WORDS
from voxmmsd.data.cases import Case, CaseVolumes, case_from_files, find_cases, read_case
from voxmmsd.data.sources import Source
from voxmmsd.data.volume import Volume
from voxmmsd.errors import ConfigError, InputError, RunError, VoxMMSDError
from voxmmsd.inference.clean_up import cleaned, parse_smallest
from voxmmsd.inference.engines import Engine, open_engine
from voxmmsd.inference.predict import Prediction, predict
from voxmmsd.inference.results import finished_result, result_file, write_prediction
from voxmmsd.labels import MODALITIES, schema_named
from voxmmsd.models.package import ModelPackage
from voxmmsd.models.registry import resolve_model
from voxmmsd.preflight.check import check_identity, check_operation, check_volumes, refuse
from voxmmsd.preflight.findings import Finding, in_order
from voxmmsd.runs import Run, is_finished, open_run, read_config, refuse_other_options


@dataclass(frozen=True)
class SegmentResult:
    """Files written, and ids with reasons of cases that could not be segmented."""

    written: tuple[Path, ...]
    failures: tuple[tuple[str, str], ...]


def segment_cases(config: SegmentConfig) -> SegmentResult:
    """Segment what ``config`` names into ``config.out``; its run folder is ``OUT/.run``.

    Raises:
        InputError: no case, or results that already stand there.
        ModelError: no model, or one that cannot be used.
    """
    cases = cases_to_segment(config)
    out = Path(config.out)
    package = resolve_model(config.model)
    record = {**config_to_record(config), "model_id": package.info.id}
    continues = _was_broken_off(out / ".run", record)
    if not continues:
        _refuse_overwriting(cases, out)
    parse_smallest(config.smallest, schema_named(package.info.schema))
    engine = open_engine(package, config.engine, config.device, config.threads)
    written, failures = [], []
    call = config_to_record(config)
    with open_run(out / ".run", "segment", record, len(cases), continues=False, call=call) as run:
        run.say(f"model {package.info.id} on {engine.name}")
        for number, case in enumerate(cases):
            run.stop_if_asked()
            run.progress(number, case.id)
            if continues and (done := finished_result(out, case.id)):
                written.append(done)
                continue
            try:
                written.append(_segment_one(case, config, package, engine, out, run))
            except VoxMMSDError as error:
                run.events.write("warning", case=case.id, text=str(error))
                run.note(f"case {case.id}: {error}")
                failures.append((case.id, str(error)))
        run.progress(len(cases))
    return SegmentResult(tuple(written), tuple(failures))


def cases_to_segment(config: SegmentConfig | CheckConfig) -> Sequence[Case]:
    """The case of the single images given, or all cases of the folder.

    Raises:
        ConfigError: neither or both are given.
        InputError: the folder holds no case.
    """
    files: dict[str, Any] = {key: value for key in MODALITIES if (value := getattr(config, key))}
    mask = Path(config.brain_mask) if config.brain_mask not in ("", *WORDS) else None
    if bool(files) == bool(config.case):
        raise ConfigError("give either a case's folder or its images (--t1n, --t1c, --t2w, --t2f)")
    if files:
        return [case_from_files(config.id or "case", **files, brain_mask=mask)]
    folder = Path(config.case)
    if not folder.exists():
        raise InputError(f"{folder}: no such file or folder")
    cases = find_cases(folder).cases
    if not cases:
        raise InputError(f"{folder}: no case found; `voxmmsd cases {folder}` says what could not be placed")
    if mask is not None:
        if len(cases) > 1:
            raise ConfigError(f"--brain-mask belongs to one case, {folder} holds {len(cases)}")
        return [replace(cases[0], brain_mask=Source(mask))]
    return cases


def _refuse_overwriting(cases: Sequence[Case], out: Path) -> None:
    standing = [case.id for case in cases if result_file(out, case.id).exists()]
    if standing:
        listed = ", ".join(standing[:5]) + (" ..." if len(standing) > 5 else "")
        raise InputError(f"{out}: already holds results of {listed}; nothing is overwritten: name another --out")


def _was_broken_off(folder: Path, record: dict[str, Any]) -> bool:
    """Whether ``folder`` is the run of this very job, stopped before its end."""
    if read_config(folder) is None or is_finished(folder):
        return False
    try:
        refuse_other_options(folder, "segment", record)
    except RunError:
        return False
    return True


def _segment_one(case: Case, config: SegmentConfig, package: ModelPackage, engine: Engine, out: Path, run: Run) -> Path:
    started = time.monotonic()
    volumes = read_case(
        case,
        config.reference or None,
        with_label=False,
        aligned=config.align,
        brain_mask=config.brain_mask if config.brain_mask in WORDS else "",
        picture=out / f"{case.id}-voxmmsd-alignment.png" if config.align else None,
    )
    findings = _look_first(volumes, package, config)
    for finding in findings:
        run.say(f"{case.id}: {finding.line()}")
    with tqdm(desc=case.id, unit="window", dynamic_ncols=True, leave=False) as bar:

        def on_window(done: int, total: int) -> None:
            run.stop_if_asked()
            bar.total = total
            bar.update(done - bar.n)

        prediction = predict(volumes, package, engine, config.window, config.probabilities, on_window,
                             tta=config.tta, uncertainty=config.uncertainty)  # fmt: skip
    prediction = cleaned(prediction, parse_smallest(config.smallest, prediction.schema))
    for note in prediction.notes:
        run.say(f"{case.id}: {note}")
    file = write_prediction(prediction, out, time.monotonic() - started, [finding.line() for finding in findings])
    if config.picture:
        _draw(prediction, out)
    return file


def _look_first(volumes: CaseVolumes, package: ModelPackage, config: SegmentConfig) -> tuple[Finding, ...]:
    """Raises InputError where a finding is blocking and not overruled."""
    grid, case = volumes.image.grid, volumes.case
    given = {
        name: Volume(array, grid)
        for name, array, there in zip(MODALITIES, volumes.image.array, volumes.present, strict=True)
        if there
    }
    findings = in_order(
        (
            *check_identity(case),
            *check_operation(config.operated, schema_named(package.info.schema)),
            *check_volumes(given, volumes.brain_mask_zyx is not None),
        )
    )
    if not config.force:
        refuse(findings, case.id)
    return findings


def _draw(prediction: Prediction, out: Path) -> None:
    from voxmmsd.evaluation.pictures import overlay_picture

    prepared = prediction.prepared
    overlay_picture(
        prepared.image_czyx,
        prepared.present,
        prediction.prepared_label_zyx,
        prediction.schema,
        prepared.grid,
        out / f"{prediction.case_id}-voxmmsd.png",
        title=prediction.case_id,
    )
