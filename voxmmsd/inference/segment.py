"""The ``segment`` verb: one case or many; a bad one is reported and does not stop the rest."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from voxmmsd.config import SegmentConfig, config_to_record
from voxmmsd.data.cases import Case, case_from_files, find_cases, read_case
from voxmmsd.data.sources import Source
from voxmmsd.errors import Cancelled, ConfigError, InputError, VoxMMSDError
from voxmmsd.inference.engines import Engine, open_engine
from voxmmsd.inference.predict import Prediction, predict
from voxmmsd.inference.results import result_file, write_prediction
from voxmmsd.labels import MODALITIES
from voxmmsd.models.package import ModelPackage
from voxmmsd.models.registry import resolve_model
from voxmmsd.runs import Run, open_run


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
    _refuse_overwriting(cases, out)
    package = resolve_model(config.model)
    engine = open_engine(package, config.engine, config.device, config.threads)
    written, failures = [], []
    with open_run(out / ".run", "segment", config_to_record(config), len(cases), continues=False) as run:
        run.say(f"model {package.info.id} on {engine.name}")
        for number, case in enumerate(cases):
            if run.asked():
                raise Cancelled("cancelled")
            run.progress(number, case.id)
            try:
                written.append(_segment_one(case, config, package, engine, out, run))
            except VoxMMSDError as error:
                run.events.write("warning", case=case.id, text=str(error))
                run.note(f"case {case.id}: {error}")
                failures.append((case.id, str(error)))
        run.progress(len(cases))
    return SegmentResult(tuple(written), tuple(failures))


def cases_to_segment(config: SegmentConfig) -> Sequence[Case]:
    """The case of the single images given, or all cases of the folder.

    Raises:
        ConfigError: neither or both are given.
        InputError: the folder holds no case.
    """
    files: dict[str, Any] = {key: value for key in MODALITIES if (value := getattr(config, key))}
    mask = Path(config.brain_mask) if config.brain_mask else None
    if bool(files) == bool(config.case):
        raise ConfigError("segment: give either a case's folder or its images (--t1n, --t1c, --t2w, --t2f)")
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


def _segment_one(case: Case, config: SegmentConfig, package: ModelPackage, engine: Engine, out: Path, run: Run) -> Path:
    started = time.monotonic()
    volumes = read_case(case, config.reference or None, with_label=False)
    with tqdm(desc=case.id, unit="window", dynamic_ncols=True, leave=False) as bar:

        def on_window(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        prediction = predict(volumes, package, engine, config.window, config.probabilities, on_window)
    for note in prediction.notes:
        run.say(f"{case.id}: {note}")
    file = write_prediction(prediction, out, seconds=time.monotonic() - started)
    if config.picture:
        _draw(prediction, out)
    return file


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
