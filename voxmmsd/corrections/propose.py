"""Fine-tune on a training library and propose the result: with the gentle recipe if a model is corrected, with the
standard one if there is none to correct. Held-out patients are used for comparison, never for model selection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from voxmmsd.compute.processes import Processes
from voxmmsd.config import make_config
from voxmmsd.corrections.holdout import compare_on_hold_out
from voxmmsd.corrections.labels import (
    Corrections,
    corrected_entries,
    corrected_splits,
    fixed_corrections,
    held_out_for,
    mixed,
    start_of,
)
from voxmmsd.corrections.verdict import COMPARISON, ComparisonRecord, Verdict, judge
from voxmmsd.data.splits import Splits
from voxmmsd.data.store import PreparedCase
from voxmmsd.errors import ConfigError
from voxmmsd.files import without_nan
from voxmmsd.library import Library
from voxmmsd.models.learned import NOTHING
from voxmmsd.models.package import ModelPackage
from voxmmsd.models.registry import model_in_use
from voxmmsd.runs import RunLog
from voxmmsd.training.finetune import FineTuning
from voxmmsd.training.loop import run_training
from voxmmsd.training.packing import RecordExtras
from voxmmsd.training.recipe import Keep, gentle, standard
from voxmmsd.training_config import FinetuneConfig


def retune(config: FinetuneConfig, library: Library) -> Path:
    """Run or resume the fine-tuning on a library in ``config.run``; returns the folder of the proposed package.

    The network architecture is that of the initial model, whatever ``config.channels`` says. Without a segmentation
    model to start from, a first one is trained and compared with the model in use, if there is one.

    Raises: as ``run_training``.
    """
    config.check_for_library()
    start = start_of(config)
    parent = start if start is not None and start.info.segments else None
    if parent is not None:
        _refuse_unused(config)
    if start is not None:
        config = replace(config, channels=start.info.network.channels)
    config.check_patch()
    used: list[Corrections] = []

    def make(config: FinetuneConfig, run: RunLog, processes: Processes) -> FineTuning:
        if processes.is_distributed:
            raise ConfigError("fine-tuning on a training library is a small job of one process", "leave out torchrun")
        corrections = fixed_corrections(config, run, library, parent)
        entries = corrected_entries(config, run, library, corrections, start)
        splits = corrected_splits(run, library, corrections, entries)
        used.append(corrections)
        return correcting(config, run, entries, splits, corrections.new if parent else None)

    def pack(training: FineTuning) -> ModelPackage:
        return propose(training, library, used[0], parent or model_in_use())

    return run_training(config, make, FineTuning.verb, pack)


def _refuse_unused(config: FinetuneConfig) -> None:
    """Raise ConfigError for options of the standard recipe that differ from the preset's: ``gentle`` has none of
    them."""
    preset = make_config(FinetuneConfig, {"preset": config.preset})
    for name in ("class_balancing", "freeze_batchnorm_after"):
        if (value := getattr(config, name)) != getattr(preset, name):
            raise ConfigError(
                f"--{name.replace('_', '-')} {value:g}: does not apply to a correction, which balances no classes and "
                "freezes BatchNorm from the start",
                "leave it out",
            )


def correcting(
    config: FinetuneConfig, run: RunLog, entries: Sequence[PreparedCase], splits: Splits, new: Sequence[str] | None
) -> FineTuning:
    """The fine-tuning of a model on corrections; ``new``: ids of those it has not learned, None for a first model.

    The network of the last step is used, not the best one on the held-out patients: these are used to compare this and
    later models, and a model selected on them could not be compared on them.
    """
    if new is None:
        return FineTuning(config, run, entries, splits, recipe=standard(config, Keep.LAST))
    by_id = {entry.id: entry for entry in entries}
    drawn = mixed([by_id[id_] for id_ in splits.train], new)
    return FineTuning(config, run, entries, splits, recipe=gentle(config), drawn=drawn)


def propose(
    training: FineTuning, library: Library, corrections: Corrections, baseline: ModelPackage | None
) -> ModelPackage:
    """Compare a finished training with ``baseline`` on the held-out patients, say the verdict, and pack the model.

    The record of the model names the labels used, the scores on the held-out patients, and the comparison.
    """
    training.restore_kept()
    learned = {"library": corrections.record()}
    if baseline is None:
        scores = {"cases": len(training.validation), "regions": without_nan(training.best.regions)}
        extras = RecordExtras(learned, {"hold-out": scores} if training.validation else {})
    else:
        extras = _compared(training, library, corrections, baseline, learned)
    training.run.say(f"the new model is only proposed: voxmmsd models accept {training.run.folder} (or reject)")
    return training.pack(extras)


def _compared(
    training: FineTuning,
    library: Library,
    corrections: Corrections,
    baseline: ModelPackage,
    learned: dict[str, Any],
) -> RecordExtras:
    training.run.progress(training.step, f"comparing with {baseline.info.id}")
    as_old: dict[str, PreparedCase] = {}
    if training.entries[0].preprocess != baseline.info.preprocess:  # a first model beside one of another voxel size
        as_old = held_out_for(training.config, training.run, library, corrections, baseline)
    cases = compare_on_hold_out(
        baseline, training.network, training.schema, training.validation, corrections.drawn_over, training.device,
        training.run.folder / "comparison", training.transfer.learned if training.transfer else NOTHING, as_old,
    )  # fmt: skip
    verdict = judge(cases)
    training.network.cpu()
    record = ComparisonRecord(baseline.info.id, verdict, tuple(cases))
    record.write(training.run.folder / COMPARISON)
    _say(training.run, verdict, baseline)
    fair = sum(not case.unfair for case in cases)
    regions = {key: new for key, (_, new) in verdict.regions.items()}
    return RecordExtras(
        {**learned, "comparison": record.summary()},
        {"hold-out": {"cases": fair, "regions": regions}} if fair else {},
    )


def _say(run: RunLog, verdict: Verdict, baseline: ModelPackage) -> None:
    for case_id, reason in verdict.unfair.items():
        run.say(f"does not count: {case_id}: {reason}")
    for key, (old, new) in verdict.regions.items():
        if old is not None and new is not None:
            run.say(f"hold-out Dice {key}: {old:.3f} -> {new:.3f}")
    run.say(f"verdict: {verdict.text}")
    if verdict.few:
        run.say(
            "too few fair cases to judge by: let an expert choose between unnamed segmentations of new cases "
            f"(voxmmsd library blind LIBRARY --old {baseline.info.id} --new {run.folder})"
        )
