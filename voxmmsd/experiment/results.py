"""The tables of an experiment: all cases of all arms, the mean of each arm, and the gain of each method."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from voxmmsd.evaluation.scores import METRICS, MIN_ML, falsely_found, nan_mean
from voxmmsd.evaluation.statistics import Paired, means_over_regions, paired
from voxmmsd.experiment.config import Arm
from voxmmsd.experiment.scoring import LESION_RULES, Scored
from voxmmsd.labels import LabelSchema
from voxmmsd.wording import text_table


@dataclass(frozen=True)
class Comparison:
    """Scores of the same cases in every arm; the method of the first arm is the baseline."""

    schema: LabelSchema
    found: Mapping[Arm, Scored]

    @property
    def regions(self) -> tuple[str, ...]:
        return tuple(region.key for region in self.schema.regions)

    @property
    def baseline(self) -> str:
        return next(iter(self.found)).method

    @property
    def numbers(self) -> tuple[int, ...]:
        """Numbers of labeled cases."""
        return tuple(dict.fromkeys(arm.cases for arm in self.found))

    def methods(self, cases: int) -> tuple[str, ...]:
        return tuple(dict.fromkeys(arm.method for arm in self.found if arm.cases == cases))

    @property
    def patients(self) -> tuple[str, ...]:
        """Whose each case is."""
        return next(iter(self.found.values())).patients

    def dice(self, method: str, cases: int) -> np.ndarray:
        """``(draw, case, region)``."""
        arms = sorted((a for a in self.found if (a.method, a.cases) == (method, cases)), key=lambda arm: arm.draw)
        return np.stack([self.found[arm].dice(self.regions) for arm in arms])

    def mean(self, arm: Arm) -> float:
        """Mean over the regions of the mean over the patients."""
        return float(_by_draw(self.found[arm].dice(self.regions)[None])[0])

    def gain(self, method: str, cases: int) -> Paired:
        """Gain of a method over the baseline, paired by draw and patient."""
        theirs, ours = self.dice(self.baseline, cases), self.dice(method, cases)
        draws = min(len(theirs), len(ours))
        return paired(ours[:draws] - theirs[:draws], self.patients)

    def lesion_dice(self, method: str, cases: int) -> np.ndarray:
        """``(draw, case, region)`` by the official lesion-wise rules."""
        arms = sorted((a for a in self.found if (a.method, a.cases) == (method, cases)), key=lambda arm: arm.draw)
        return np.stack([self.found[arm].lesion_dice(self.regions) for arm in arms])

    def lesion_gain(self, method: str, cases: int) -> Paired:
        """As ``gain``, of the lesion-wise Dice."""
        theirs, ours = self.lesion_dice(self.baseline, cases), self.lesion_dice(method, cases)
        draws = min(len(theirs), len(ours))
        return paired(ours[:draws] - theirs[:draws], self.patients)

    def text(self, what: str) -> str:
        """The table as text, with an explanation of its columns."""
        return "\n".join([what, "", text_table(self.rows()), "", *self.notes()])

    def rows(self) -> list[list[str]]:
        """A header row, and a row per number of cases and method."""
        rows = [["cases", "method", "Dice", *self.regions, "false ET", "gain", "95 % interval", "draws", "patients",
                 "lesion-wise", "its gain"]]  # fmt: skip
        for cases in self.numbers:
            for method in self.methods(cases):
                dice = self.dice(method, cases)
                by_draw = _by_draw(dice)
                spread = f" ± {by_draw.std(ddof=1):.3f}" if len(by_draw) > 1 else ""
                regions = [shown(nan_mean(dice[..., number].ravel())) for number in range(len(self.regions))]
                rows.append([str(cases), method, f"{by_draw.mean():.3f}{spread}", *regions, self._false(method, cases),
                             *self._gain_cells(method, cases), *self._lesion_cells(method, cases)])  # fmt: skip
        return rows

    def notes(self) -> list[str]:
        """An explanation of the columns of ``rows``."""
        least = ", ".join(f"{key} above {ml:g} ml" for key, ml in MIN_ML.items())
        return [
            f"Dice: mean of the regions ± sd over the draws; a region counts in the patients whose expert drew it "
            f"({least}).",
            "false ET: enhancing tumor found, above that volume, in patients without it, per draw.",
            f"gain: over {self.baseline}, paired by draw and patient, in Dice points (hundredths), with the "
            "bootstrap's interval over both; then in how many draws and patients it is above 0 : below 0.",
            f"lesion-wise: mean Dice of the regions by the official rules of {LESION_RULES}, in which missed and false "
            "lesions count 0.",
        ]

    def _lesion_cells(self, method: str, cases: int) -> list[str]:
        dice = self.lesion_dice(method, cases)
        if not dice.size or np.isnan(dice).all():
            return ["-", ""]
        mean = shown(float(_by_draw(dice).mean()))
        if method == self.baseline:
            return [mean, ""]
        gain = self.lesion_gain(method, cases)
        return [mean, f"{100 * gain.effect:+.1f} ({_interval(gain)})"]

    def _gain_cells(self, method: str, cases: int) -> list[str]:
        if method == self.baseline:
            return [""] * 4
        gain = self.gain(method, cases)
        signs = [f"{better}:{worse}" for better, worse in (gain.draws, gain.patients)]
        return [f"{100 * gain.effect:+.1f}", _interval(gain), *signs]

    def _false(self, method: str, cases: int) -> str:
        counts = [
            len(falsely_found(scored.cases, "ET"))
            for arm, scored in self.found.items()
            if (arm.method, arm.cases) == (method, cases) and "ET" in self.regions
        ]
        return f"{np.mean(counts):.1f}" if counts else "-"

    def arms_csv(self) -> str:
        """CSV with a line per arm: mean Dice, overall and per region."""
        lines = []
        for arm, scored in self.found.items():
            dice = scored.dice(self.regions)
            means = [nan_mean(dice[:, number]) for number in range(len(self.regions))]
            lesion = float(nan_mean(scored.lesion_dice(self.regions).ravel()))
            numbers = (self.mean(arm), *means, lesion)
            lines.append([arm.method, arm.cases, arm.draw, *(f"{value:.4f}" for value in numbers)])
        return _csv(["method", "cases", "draw", "dice", *self.regions, "lesionwise"], lines)

    def cases_csv(self) -> str:
        """CSV with a line per arm, case and structure, with all metrics; NaN is empty."""
        lines = []
        for arm, scored in self.found.items():
            for case, lesions in zip(scored.cases, scored.lesionwise, strict=True):
                for key, scores in case.structures.items():
                    numbers = [*(getattr(scores, metric) for metric in METRICS), lesions.get(key, np.nan)]
                    cells = ["" if np.isnan(number) else f"{number:.5f}" for number in numbers]
                    lines.append([arm.method, arm.cases, arm.draw, case.case_id, key, *cells, scores.status])
        return _csv(["method", "cases", "draw", "case", "structure", *METRICS, "lesionwise", "status"], lines)


def shown(dice: float) -> str:
    """Three digits, or a dash if no patient has the region."""
    return "-" if np.isnan(dice) else f"{dice:.3f}"


def _interval(gain: Paired) -> str:
    """In Dice points, or a dash if there is none."""
    return "-" if np.isnan(gain.low) else f"{100 * gain.low:+.1f} to {100 * gain.high:+.1f}"


def _by_draw(dice: np.ndarray) -> np.ndarray:
    """``(draw,)`` means of ``(draw, case, region)``."""
    draws, cases, _ = dice.shape
    return means_over_regions(dice, np.eye(draws), np.ones((draws, cases)))


def _csv(heading: Sequence[str], lines: Sequence[Sequence[object]]) -> str:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows([heading, *lines])
    return stream.getvalue()
