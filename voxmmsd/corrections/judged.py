"""Fine-tuning on a training library: held-out patients are used for comparison, never for model selection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from voxmmsd.corrections.holdout import compare_on_hold_out
from voxmmsd.corrections.labels import Corrections
from voxmmsd.corrections.verdict import Verdict, judge
from voxmmsd.data.splits import Splits
from voxmmsd.data.store import Entry
from voxmmsd.files import without_nan, write_json_atomic
from voxmmsd.models.learned import NOTHING
from voxmmsd.models.package import ModelPackage
from voxmmsd.runs import Run
from voxmmsd.training.checkpoint import save_state
from voxmmsd.training.finetune import FineTuning
from voxmmsd.training.packing import Told
from voxmmsd.training_config import FinetuneConfig

COMPARISON = "comparison.json"  # in the run folder, once it is finished


class JudgedTraining(FineTuning):
    """The standard recipe. The network of the last step is used, not the best one on the held-out patients: these are
    used to compare this and later models, and a model selected on them could not be compared on them.

    ``rival``: the model to compare with; None if there is none.
    """

    def __init__(
        self,
        config: FinetuneConfig,
        run: Run,
        entries: Sequence[Entry],
        splits: Splits,
        corrections: Corrections,
        rival: ModelPackage | None,
    ) -> None:
        self.corrections, self.rival = corrections, rival
        super().__init__(config, run, entries, splits)

    def is_better(self, dice: float) -> bool:
        return True

    def after_step(self, is_last: bool) -> None:
        if self.validation:
            super().after_step(is_last)
        elif is_last:
            self.best = {"step": self.step, "dice": 0.0, "regions": {}}
            save_state(self.best_file, {"network": self.judged.state_dict(), "best": self.best})

    def tell(self) -> Told:
        """The labels used, the scores on the held-out patients, and the comparison with the rival."""
        learned = {"library": self.corrections.record()}
        if self.rival is None:
            scores = {"cases": len(self.validation), "regions": without_nan(self.best["regions"])}
            self._propose()
            return Told(training=learned, scores={"hold-out": scores} if self.validation else {})
        self.run.progress(self.step, f"comparing with {self.rival.info.id}")
        cases = compare_on_hold_out(
            self.rival, self.network, self.schema, self.validation, self.corrections.drawn_over, self.device,
            self.run.folder / "comparison", self.taken.learned if self.taken else NOTHING,
        )  # fmt: skip
        verdict = judge(cases)
        self.network.cpu()
        comparison = {"old": self.rival.info.id, **verdict.record()}
        record = {"format": 1, **comparison, "cases": [asdict(case) for case in cases]}
        write_json_atomic(self.run.folder / COMPARISON, without_nan(record))
        self._say(verdict)
        self._propose()
        fair = sum(not case.unfair for case in cases)
        regions = {key: new for key, (_, new) in verdict.regions.items()}
        return Told(
            training={**learned, "comparison": without_nan(comparison)},
            scores={"hold-out": {"cases": fair, "regions": regions}} if fair else {},
        )

    def _say(self, verdict: Verdict) -> None:
        for case_id, reason in verdict.unfair.items():
            self.run.say(f"does not count: {case_id}: {reason}")
        for key, (old, new) in verdict.regions.items():
            if old is not None and new is not None:
                self.run.say(f"hold-out Dice {key}: {old:.3f} -> {new:.3f}")
        self.run.say(f"verdict: {verdict.text}")
        if verdict.few and self.rival is not None:
            self.run.say(
                "too few fair cases to judge by: let an expert choose between unnamed segmentations of new cases "
                f"(voxmmsd library blind LIBRARY --old {self.rival.info.id} --new {self.run.folder})"
            )

    def _propose(self) -> None:
        self.run.say(f"the new model is only proposed: voxmmsd models accept {self.run.folder} (or reject)")
