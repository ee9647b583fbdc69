"""Fine-tuning on corrections: gently, from a model that has learned already, to a new model that is only proposed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from voxmmsd.config import FinetuneConfig
from voxmmsd.data.splits import Splits
from voxmmsd.data.store import Entry
from voxmmsd.errors import ConfigError
from voxmmsd.evaluation.verdict import Verdict, judge
from voxmmsd.files import write_json_atomic
from voxmmsd.library import Library
from voxmmsd.models.package import ModelPackage
from voxmmsd.networks.processes import Processes
from voxmmsd.runs import Run
from voxmmsd.schedules import warmed_cosine
from voxmmsd.training.checkpoint import save_state
from voxmmsd.training.corrections import (
    Corrections,
    corrected_entries,
    corrected_splits,
    fixed_corrections,
    mixed,
    start_of,
)
from voxmmsd.training.finetune import LAST_RATE, FineTuning
from voxmmsd.training.loop import run_training
from voxmmsd.training.old_and_new import compare_on_hold_out
from voxmmsd.training.packing import Told

COMPARISON = "comparison.json"  # in the run folder, once it is finished
HEAD_ALONE = 0.1  # share of the steps in which the rest of the network stands still
GENTLE = 0.3  # share of the usual peak learning rate


def retune(config: FinetuneConfig, library: Library) -> Path:
    """Run, or continue, the fine-tuning on a library in ``config.run``; the proposed model package's folder.

    The network is that of the model it starts from, whatever ``config.channels`` says.

    Raises: as ``run_training``.
    """
    parent = start_of(config)
    config = replace(config, channels=parent.info.network.channels)

    def make(config: FinetuneConfig, run: Run, processes: Processes) -> ReTuning:
        if processes.are_several:
            raise ConfigError("fine-tuning on a training library is a small job of one process; leave out torchrun")
        corrections = fixed_corrections(config, run, library, parent)
        entries = corrected_entries(config, run, library, corrections, parent)
        splits = corrected_splits(run, library, corrections, entries)
        return ReTuning(config, run, entries, splits, corrections, parent)

    return run_training(config, make, ReTuning.verb)


class ReTuning(FineTuning):
    """Differs from learning from scratch where that would undo what the model knows.

    The head warms up alone; the learning rate is lower; classes are not balanced, which would shift the probabilities
    of a trained head; BatchNorm's statistics stand still. The last network counts, not the best on the hold-out
    patients: they judge old against new, and who chooses by them may not be judged by them.
    """

    head_pace = 1.0  # the head has learned already

    def __init__(
        self,
        config: FinetuneConfig,
        run: Run,
        entries: Sequence[Entry],
        splits: Splits,
        corrections: Corrections,
        parent: ModelPackage,
    ) -> None:
        self.corrections, self.parent = corrections, parent
        super().__init__(config, run, entries, splits)

    @property
    def head_steps(self) -> int:
        return round(HEAD_ALONE * self.config.steps)

    def drawn_from(self, entries: Sequence[Entry]) -> list[Entry]:
        return mixed(entries, self.corrections.new)

    def logits(self, image: torch.Tensor) -> torch.Tensor:
        if self.step >= self.head_steps:
            return self.network(image)
        with torch.no_grad():
            finest = self.network.unet(image)[0]
        return self.network.head(finest)

    def learning_rate(self, step: int) -> float:
        peak = GENTLE * self.config.learning_rate
        if step < self.head_steps:
            return peak
        warmup = round(self.config.warmup * self.config.steps)
        return warmed_cosine(
            step - self.head_steps, self.config.steps - self.head_steps, warmup, peak, LAST_RATE * peak
        )

    def balance(self, step: int) -> float:
        return 0.0

    def set_batchnorm(self) -> None:
        self.network.train()
        for module in self.network.modules():
            if isinstance(module, nn.BatchNorm3d):
                module.eval()

    def is_better(self, dice: float) -> bool:
        return True

    def after_step(self, is_last: bool) -> None:
        if self.validation:
            super().after_step(is_last)
        elif is_last:
            self.best = {"step": self.step, "dice": 0.0, "regions": {}}
            save_state(self.best_file, {"network": self.network.state_dict(), "best": self.best})

    def tell(self) -> Told:
        """The comparison of old and new, and which labels were learned."""
        self.run.progress(self.step, "comparing with the old model")
        cases = compare_on_hold_out(
            self.parent, self.network, self.schema, self.validation, self.corrections.drawn_over, self.device,
            self.run.folder / "comparison",
        )  # fmt: skip
        verdict = judge(cases)
        self.network.cpu()
        comparison = {"old": self.parent.info.id, **verdict.record()}
        record = {"format": 1, **comparison, "cases": [asdict(case) for case in cases]}
        write_json_atomic(self.run.folder / COMPARISON, _plain(record))
        self._say(verdict)
        fair = sum(not case.unfair for case in cases)
        regions = {key: new for key, (_, new) in verdict.regions.items()}
        return Told(
            training={"library": self.corrections.record(), "comparison": _plain(comparison)},
            scores={"hold-out": {"cases": fair, "regions": regions}} if fair else {},
        )

    def _say(self, verdict: Verdict) -> None:
        for case_id, reason in verdict.unfair.items():
            self.run.say(f"does not count: {case_id}: {reason}")
        for key, (old, new) in verdict.regions.items():
            if old is not None and new is not None:
                self.run.say(f"hold-out Dice {key}: {old:.3f} -> {new:.3f}")
        self.run.say(f"verdict: {verdict.text}")
        if verdict.few:
            self.run.say(
                "too few fair cases to judge by: let an expert choose between unnamed segmentations of new cases "
                f"(voxmmsd library blind LIBRARY --old {self.parent.info.id} --new {self.run.folder})"
            )
        self.run.say(f"the new model is only proposed: voxmmsd models accept {self.run.folder} (or reject)")


def _plain(value: Any) -> Any:
    """For JSON, which has no not-a-number."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
