"""The ``segment`` verb: one case or many; a bad one is reported and does not stop the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voxmmsd.config import SAME_RESULT, config_to_record, options_that
from voxmmsd.data.brain_mask import WORDS
from voxmmsd.data.case import Case, case_from_files, with_brain_mask
from voxmmsd.data.cases import find_cases
from voxmmsd.data.formats.sources import Source
from voxmmsd.errors import ConfigError, InputError, ResultWithheldError, RunError, VoxMMSDError
from voxmmsd.inference.clean_up import parse_min_component
from voxmmsd.inference.config import ImagesConfig, SegmentConfig
from voxmmsd.inference.fallback import FallbackPredictor
from voxmmsd.inference.memory import parse_bytes
from voxmmsd.inference.outcomes import Outcome, outcome_of, write_volumes
from voxmmsd.inference.pipeline import pipelined
from voxmmsd.inference.results import finished_result, result_file, set_unfinished_aside, withheld_result
from voxmmsd.inference.stages import Stages
from voxmmsd.labels import MODALITIES, schema_named
from voxmmsd.models.package import ModelPackage, refuse_pretrained
from voxmmsd.models.registry import resolve_model
from voxmmsd.runs import Run, open_run, read_config, refuse_other_options

_ROOM_AHEAD = 2 * 2**30


@dataclass(frozen=True)
class SegmentResult:
    """Files written, ids with reasons of cases that could not be segmented or whose results are implausible, and the
    last lines."""

    written: tuple[Path, ...]
    failures: tuple[tuple[str, VoxMMSDError], ...]
    withheld: tuple[tuple[str, VoxMMSDError], ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    table: Path | None = None


def segment_cases(config: SegmentConfig) -> SegmentResult:
    """Segment what ``config`` names into ``config.out``; its run folder is ``OUT/.run``.

    Called again with the same options it does what is not there yet: cases that failed, were cut off or came later.

    Raises:
        InputError: no case, or results that already stand there.
        ModelError: no model, or one that cannot be used.
    """
    remarks: list[str] = []
    cases = cases_to_segment(config, remarks.append)
    out = Path(config.out)
    package = resolve_model(config.model)
    refuse_pretrained(package)
    record = {**config_to_record(config), "model_id": package.info.id}
    continues = _is_of_this_job(out / ".run", record)
    if not continues:
        _refuse_overwriting(cases, out)
    parse_min_component(config.min_component, schema_named(package.info.schema))
    results = _standing(cases, out) if continues else {}
    todo = [case for case in cases if case.id not in results]
    call = config_to_record(config)
    with open_run(out / ".run", "segment", record, len(cases), continues=False, call=call) as run:
        for remark in remarks:
            run.say(remark)
        if results:
            run.say(f"{len(results)} of {len(cases)} cases are already done")
        for case in todo:
            set_unfinished_aside(out, case.id)
        if todo:
            _segment_all(todo, config, package, out, run, results)
        run.progress(len(cases))
    found = [(case.id, results[case.id]) for case in cases]
    errors = [(case_id, error) for case_id, error in found if isinstance(error, VoxMMSDError)]
    outcomes = tuple(outcome_of(out, case_id, result) for case_id, result in found)
    return SegmentResult(
        written=tuple(file for _, file in found if isinstance(file, Path)),
        failures=tuple((case_id, error) for case_id, error in errors if not isinstance(error, ResultWithheldError)),
        withheld=tuple((case_id, error) for case_id, error in errors if isinstance(error, ResultWithheldError)),
        outcomes=outcomes,
        table=write_volumes(out, outcomes) if len(cases) > 1 else None,
    )


def _segment_all(
    cases: Sequence[Case],
    config: SegmentConfig,
    package: ModelPackage,
    out: Path,
    run: Run,
    results: dict[str, Path | VoxMMSDError],
) -> None:
    """Put each case's result into ``results``."""
    predictor = FallbackPredictor(package, config, run.say)
    if config.memory:  # what the engine takes is known before a case is read
        predictor.open()
    room = _has_room_ahead(config)
    stages = Stages(config, package, predictor, out, run, len(results), at_once=room and config.threads != 1)
    for case, result in pipelined(cases, stages.read, stages.compute, stages.write, room, stages.open):
        results[case.id] = result
        if isinstance(result, VoxMMSDError):
            run.events.write("warning", case=case.id, text=str(result))
            run.note(f"case {case.id}: {result}")


def cases_to_segment(config: ImagesConfig, say: Callable[[str], object] = print) -> Sequence[Case]:
    """The case of the single images given, or all cases of the folder; ``say`` is told of images that are not read.

    Raises:
        ConfigError: neither or both are given.
        InputError: the folder holds no case.
    """
    files: dict[str, Any] = {key: value for key in MODALITIES if (value := getattr(config, key))}
    mask = Path(config.brain_mask) if config.brain_mask not in ("", *WORDS) else None
    if bool(files) == bool(config.case):
        raise ConfigError(
            f"{'both a folder and single images are' if files else 'no case is'} given",
            "give either a case's folder or its images (--t1n, --t1c, --t2w, --t2f)",
        )
    if files:
        return [case_from_files(config.id or "case", **files, brain_mask=mask)]
    folder = Path(config.case)
    if not folder.exists():
        raise InputError(f"{folder}: no such file or folder", "check the path")
    found = find_cases(folder)
    found.refuse_none()
    if found.unread:
        say(found.unread_remark)
    cases = found.cases
    if mask is not None:
        if len(cases) > 1:
            raise ConfigError(
                f"--brain-mask FILE belongs to one case, {folder} holds {len(cases)}",
                "segment that case by itself, or put each case's mask beside its images, named brain_mask",
            )
        return [with_brain_mask(cases[0], Source(mask))]
    return [with_brain_mask(case, None) for case in cases] if config.brain_mask else cases


def _refuse_overwriting(cases: Sequence[Case], out: Path) -> None:
    standing = [case.id for case in cases if result_file(out, case.id).exists()]
    if standing:
        listed = ", ".join(standing[:5]) + (" ..." if len(standing) > 5 else "")
        raise InputError(
            f"{out}: already holds results of {listed}, by another call (other options or model)",
            "nothing is overwritten: name another --out, or call as before to go on",
        )


def _standing(cases: Sequence[Case], out: Path) -> dict[str, Path | VoxMMSDError]:
    """By case id the result that is there, or why it must not be taken for the case's."""
    standing: dict[str, Path | VoxMMSDError] = {}
    for case in cases:
        try:
            if done := finished_result(out, case) or withheld_result(out, case):
                standing[case.id] = done
        except InputError as error:
            standing[case.id] = error
    return standing


def _is_of_this_job(folder: Path, record: dict[str, Any]) -> bool:
    """Whether the run in ``folder`` had the same options and model."""
    if read_config(folder) is None:
        return False
    try:
        may_differ, defaults = options_that(SegmentConfig, SAME_RESULT), config_to_record(SegmentConfig())
        refuse_other_options(folder, "segment", record, may_differ, defaults)
    except RunError:
        return False
    return True


def _has_room_ahead(config: SegmentConfig) -> bool:
    """Whether the budget holds the next case too, or two steps of one case side by side."""
    memory = parse_bytes(config.memory)
    return memory is None or memory >= _ROOM_AHEAD
