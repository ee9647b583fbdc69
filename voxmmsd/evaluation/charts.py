"""Charts of the reports: agreement of volumes, calibration, and Dice by the number of labeled cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from voxmmsd.evaluation.agreement import limits_of_agreement
from voxmmsd.evaluation.calibration import COVERAGES, Calibration
from voxmmsd.evaluation.pictures import LINES, save_figure


def agreement_chart(volumes: Mapping[str, np.ndarray], file: Path) -> Path:
    """Bland-Altman plots: structure -> ``(case, 2)`` ml, expert's first."""
    figure = Figure((3.6 * len(volumes), 3.2), layout="constrained")
    for panel, (key, pairs) in zip(_panels(figure, len(volumes)), volumes.items(), strict=True):
        found = limits_of_agreement(pairs)
        panel.scatter(pairs.mean(axis=1), pairs[:, 1] - pairs[:, 0], color=LINES[0], s=22)
        for level, style in ((found.bias_ml, "-"), (found.low_ml, "--"), (found.high_ml, "--")):
            if np.isfinite(level):
                panel.axhline(level, color="#555555", linestyle=style, linewidth=1)
        panel.set(title=key, xlabel="mean of expert and model, ml", ylabel="model - expert, ml")
    return save_figure(figure, file)


def calibration_chart(models: Mapping[str, Calibration], file: Path) -> Path:
    """Accuracy over confidence, and the share of wrong voxels among the surest: name of a model -> its calibration."""
    figure = Figure((9.4, 4.0), layout="constrained")
    left, right = _panels(figure, 2)
    left.plot([0, 1], [0, 1], color="#999999", linewidth=1)
    for (name, found), color in zip(models.items(), _cycled(len(models)), strict=True):
        voxels, sums, correct = (np.array(values) for values in (found.voxels, found.confidence, found.correct))
        there = voxels > 0
        label = f"{name} (error {found.error:.3f})"
        left.plot(sums[there] / voxels[there], correct[there] / voxels[there], "o-", color=color, label=label)
        right.plot(COVERAGES, found.risk, color=color, label=f"{name} (area {found.mean_risk:.3f})")
    left.set(title="Calibration near the tumor", xlabel="confidence", ylabel="share of right voxels", xlim=(0.2, 1.02))
    right.set(title="Risk and coverage", xlabel="share of voxels, the surest first", ylabel="share of wrong voxels")
    for panel in (left, right):
        panel.legend(frameon=False, fontsize=8)
    return save_figure(figure, file)


def efficiency_chart(dice: Mapping[str, Mapping[int, Sequence[float]]], file: Path) -> Path:
    """Mean Dice by the number of labeled cases: method -> number -> a value per draw, each shown."""
    figure = Figure((7.2, 4.2), layout="constrained")
    (panel,) = _panels(figure, 1)
    numbers = sorted({number for values in dice.values() for number in values})
    for place, ((method, values), color) in enumerate(zip(dice.items(), _cycled(len(dice)), strict=True)):
        shift = 0.06 * (place - (len(dice) - 1) / 2)
        at = [numbers.index(number) + shift for number in sorted(values)]
        panel.plot(at, [np.mean(values[number]) for number in sorted(values)], "o-", color=color, label=method)
        for x, number in zip(at, sorted(values), strict=True):
            panel.scatter([x] * len(values[number]), values[number], color=color, s=12, alpha=0.5)
    panel.set(
        xticks=range(len(numbers)), xticklabels=numbers, xlabel="labeled cases", ylabel="mean Dice of the regions"
    )
    panel.legend(frameon=False, fontsize=8)
    return save_figure(figure, file)


def gains_chart(gains: Mapping[str, tuple[float, float, float]], baseline: str, file: Path) -> Path:
    """What each method gains over the baseline, with its interval: name -> (effect, low, high) in Dice points."""
    figure = Figure((7.2, 0.9 + 0.38 * len(gains)), layout="constrained")
    (panel,) = _panels(figure, 1)
    panel.axvline(0, color="#555555", linewidth=1)
    for row, (effect, low, high) in enumerate(gains.values()):
        panel.plot([low, high], [row, row], color=LINES[0], linewidth=2)
        panel.plot([effect], [row], "o", color=LINES[0])
    panel.set(yticks=range(len(gains)), yticklabels=list(gains), xlabel=f"Dice points over {baseline}, 95 % interval")
    panel.set_ylim(len(gains) - 0.5, -0.5)  # the first on top, and room at both ends
    return save_figure(figure, file)


def _panels(figure: Figure, count: int) -> list[Any]:
    panels = list(figure.subplots(1, count, squeeze=False)[0])
    for panel in panels:
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(alpha=0.3)
    return panels


def _cycled(count: int) -> list[tuple[float, float, float]]:
    return [LINES[number % len(LINES)] for number in range(count)]
