"""The ``refine`` verb: a result and its edited labels in, a result with the edits carried through out."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from voxmmsd.clock import now
from voxmmsd.config import config_to_record
from voxmmsd.data.brain_mask import WORDS
from voxmmsd.data.formats.writing import write_nifti
from voxmmsd.data.label_maps import volumes_ml
from voxmmsd.data.reading import read_case, reading_options
from voxmmsd.errors import InputError
from voxmmsd.files import sha256_of
from voxmmsd.inference.memory import parse_bytes
from voxmmsd.inference.results import result_file
from voxmmsd.labels import LabelSchema, values_from_indices
from voxmmsd.models.package import WEIGHTS
from voxmmsd.records.result import Refinement
from voxmmsd.refine.carry import Refined, locked_indices, refine
from voxmmsd.refine.config import RefineConfig
from voxmmsd.refine.evidence import find_evidence, parse_planes
from voxmmsd.refine.features import CaseFeatures, case_features
from voxmmsd.refine.kept import read_features, write_features
from voxmmsd.refine.record import (
    Edited,
    find_images,
    find_model,
    known_reading,
    origin_file,
    parse_new_label,
    read_edits,
    read_result,
    record_file,
    widened,
    with_named_mask,
)
from voxmmsd.runs import Run, open_run

LOW_AGREEMENT = 0.5  # corrected slices reach .6 to .8, random labels less than .1


def refine_result(config: RefineConfig) -> Path:
    """Carry the edits of a result through its volume into ``config.out``; the file of the new labels.

    Its run folder is ``OUT/.run``.

    Raises:
        InputError: no edit, labels or a grid that do not fit, images that are gone or have changed, a result there.
        ModelError: the model is gone, or another one.
        ConfigError: no such label, or no such plane.
    """
    started, out = time.monotonic(), Path(config.out)
    result = read_result(Path(config.result))
    if _is_complete(result_file(out, result.case_id)):
        raise InputError(
            f"{result_file(out, result.case_id)}: exists already", "nothing is overwritten, name another --out"
        )
    grid, new = result.label.grid, parse_new_label(config.new_label, result.schema)
    evidence = find_evidence(
        result.label.array,
        [read_edits(Path(file), result, new) for file in config.edited],
        grid,
        reviewed=parse_planes(config.reviewed, grid),
        origin_zyx=result.origin_zyx,
        earlier=result.planes,
    )
    result = widened(result, new)
    locked_indices(config.locked, result.schema)
    record = {**config_to_record(config), "segmented": _reading_call(result, config)}
    call = config_to_record(config)
    with open_run(out / ".run", "refine", record, 3, continues=False, call=call) as run:
        run.say(f"{result.case_id}: {evidence.text()}")
        if new:
            run.say(f"{result.case_id}: {_values(result.schema)} from now on, labels of {result.schema.name}")
        features = _features(result, config, run)
        _next(run, 1, result, "carrying")
        refined = refine(features, evidence, result.schema, locked=config.locked, at_once=config.threads != 1)
        run.say(f"{result.case_id}: {_said(refined)}")
        _next(run, 2, result, "writing")
        result = with_named_mask(result, config)
        file = write_refined(result, refined, out, time.monotonic() - started, config.edited, config.locked)
        run.progress(3)
    return file


def _values(schema: LabelSchema) -> str:
    return ", ".join(f"{label.value} is {label.key}" for label in schema.labels)


def _is_complete(file: Path) -> bool:
    """Whether labels are there that a call has finished. The record is written last: without one beside their origins,
    labels are of a call that was killed, which this one repeats."""
    origin = file.with_name(file.name.replace(".nii.gz", "_origin.nii.gz"))
    return file.exists() and (record_file(file).exists() or not origin.exists())


def _next(run: Run, step: int, result: Edited, stage: str) -> None:
    run.stop_if_asked()
    run.progress(step, stage)
    run.events.write("progress", case=result.case_id, stage=stage)


def _reading_call(result: Edited, config: RefineConfig) -> Mapping[str, Any] | None:
    """What the next round needs to find the images and the model, which lie elsewhere now where options said so."""
    before = result.segmented or {"options": {}, "directory": str(Path.cwd())}
    named = {"model": config.model, "case": config.case, "brain_mask": config.brain_mask}
    paths = {n: value if value in WORDS else str(Path(value).absolute()) for n, value in named.items() if value}
    kept = {
        name: value
        for name, value in before["options"].items()
        if not (config.case and name in ("t1n", "t1c", "t2w", "t2f", "id"))
    }
    return {"options": {**kept, **paths}, "directory": before["directory"]}


def _features(result: Edited, config: RefineConfig, run: Run) -> CaseFeatures:
    """Read from ``--features`` where they are there, else computed, and kept there."""
    package = find_model(result, config)
    file, inputs = Path(config.features) if config.features else None, result.record.inputs
    reading = known_reading(result, config) if file is not None else {}
    if file is not None and file.exists():
        kept = read_features(file, package.info.files[WEIGHTS], inputs, reading)
        if kept is not None:
            return kept
    case, how = find_images(result, config)
    _next(run, 0, result, "reading")
    volumes = read_case(
        case,
        how.reference or None,
        with_label=False,
        at_once=config.threads != 1 and not config.memory,
        **reading_options(align=how.align, brain_mask=how.brain_mask, from_scanner=how.from_scanner, n4=how.n4),
    )
    if not volumes.image.grid.same_as(result.label.grid):
        raise InputError(
            f"case {case.id}: its {volumes.reference} is on a different grid than {result.file}",
            "give the images as they were segmented with --case",
        )
    _next(run, 0, result, "features")

    def on_window(done: int, total: int) -> None:
        run.stop_if_asked()
        run.events.write("progress", case=case.id, stage="features", done=done, total=total)

    memory = parse_bytes(config.memory)
    features = case_features(volumes, package, threads=config.threads, memory=memory, progress=on_window)
    if file is not None:
        write_features(file, features, inputs, reading)
    return features


def _said(refined: Refined) -> str:
    text = f"carried to {refined.carried_voxels:,} voxels"
    if refined.agreement < LOW_AGREEMENT:
        text += (
            f"; what was learned explains {refined.agreement:.0%} of the edited voxels only: the images may not show "
            "what the edits follow, so look at the result slice by slice"
        )
    return text


def write_refined(
    result: Edited,
    refined: Refined,
    folder: Path,
    seconds: float,
    edited: Sequence[str] = (),
    locked: Sequence[str] = (),
) -> Path:
    """Write labels, who decided each voxel, and the record, last; the labels' file.

    The record is the one before with the new volumes and ``refined``: what was edited and what was carried.
    """
    grid, schema = result.label.grid, result.schema
    file, origin = result_file(folder, result.case_id), origin_file(folder, result.case_id)
    write_nifti(origin, refined.origin_zyx, grid)
    write_nifti(file, values_from_indices(refined.label_zyx, schema), grid)
    volumes = volumes_ml(refined.label_zyx, schema, grid)
    done = Refinement(
        round=result.round + 1,
        from_sha256=result.record.sha256 or "",
        edits_sha256=tuple(sha256_of(Path(one)) for one in edited),
        origin_sha256=sha256_of(origin),
        edited_voxels=refined.evidence.edited,
        carried_voxels=refined.carried_voxels,
        planes=tuple((plane.axis, plane.index) for plane in refined.evidence.planes),
        locked=tuple(locked),
        agreement=round(refined.agreement, 4),
        changed_ml=changed_ml(result.label.array, refined.label_zyx, schema, grid.voxel_volume_ml),
    )
    record = replace(
        result.record,
        volumes_ml={key: round(value, 4) for key, value in volumes.items()},
        seconds=round(seconds, 2),
        made=now(),
        sha256=sha256_of(file),
        refined=done,
    )
    record.write(record_file(file))
    return file


def changed_ml(
    before: np.ndarray, after: np.ndarray, schema: LabelSchema, voxel_ml: float
) -> dict[str, dict[str, float]]:
    """By key of each label the volume that was added and the one that was taken away, by hand or carried."""
    return {
        label.key: {
            "added": round(float(((after == index) & (before != index)).sum()) * voxel_ml, 4),
            "removed": round(float(((before == index) & (after != index)).sum()) * voxel_ml, 4),
        }
        for index, label in enumerate(schema.labels, start=1)
    }
