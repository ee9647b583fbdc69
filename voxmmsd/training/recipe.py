"""What a fine-tuning does at each step, as pure functions of the step (``docs/method.md``, section 8)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from voxmmsd.schedules import cosine, warmed_cosine
from voxmmsd.training_config import FinetuneConfig

LAST_RATE = 0.01  # share of the peak learning rate at the last step
DROPOUT_RISES = (0.25, 0.5)  # shares of the steps
HEAD_ALONE = 0.1  # of a correction: share of the steps in which the rest of the network is frozen
GENTLE = 0.3  # of a correction: share of the usual peak learning rate
FRESH_HEAD = 10.0  # learning rate of a new head, relative to that of the body

Schedule = Callable[[int], float]


class Keep(StrEnum):
    """Which network a fine-tuning results in."""

    BEST = "best"  # that with the best validation Dice
    LAST = "last"  # that of the last step


@dataclass(frozen=True)
class Recipe:
    """How a network is fine-tuned.

    ``head_lr_scale``: learning rate of the head relative to that of the body. ``class_balance``: 1 weights the classes
    of the cross-entropy by their inverse frequency, 0 not at all. ``dropout_share``: fraction of the modality dropout
    that is in effect. ``batchnorm_frozen_from``: the step from which BatchNorm uses its running averages.
    ``head_only_until``: the step from which the whole network is trained and not only its head.
    """

    learning_rate: Schedule
    head_lr_scale: float
    class_balance: Schedule
    dropout_share: Schedule
    batchnorm_frozen_from: float
    head_only_until: int = 0
    keep: Keep = Keep.BEST


def standard(config: FinetuneConfig, keep: Keep = Keep.BEST) -> Recipe:
    """From scratch and from pre-trained weights alike, since one is the baseline of the other."""
    warmup, peak = round(config.warmup * config.steps), config.learning_rate
    return Recipe(
        learning_rate=lambda step: warmed_cosine(step, config.steps, warmup, peak, LAST_RATE * peak),
        head_lr_scale=FRESH_HEAD,
        class_balance=falling_balance(round(config.class_balancing * config.steps)),
        dropout_share=rising_dropout(config.steps),
        batchnorm_frozen_from=config.freeze_batchnorm_after * config.steps,
        keep=keep,
    )


def gentle(config: FinetuneConfig) -> Recipe:
    """For a model that is corrected: differs where the standard recipe would destroy what it has learned.

    The head is warmed up alone, the learning rate is lower, and BatchNorm statistics are frozen. Classes are not
    balanced, since this would shift the probabilities of a trained head.
    """
    head_only = round(HEAD_ALONE * config.steps)
    warmup, peak = round(config.warmup * config.steps), GENTLE * config.learning_rate

    def learning_rate(step: int) -> float:
        if step < head_only:
            return peak
        return warmed_cosine(step - head_only, config.steps - head_only, warmup, peak, LAST_RATE * peak)

    return Recipe(
        learning_rate=learning_rate,
        head_lr_scale=1.0,  # the head has learned already
        class_balance=lambda step: 0.0,
        dropout_share=rising_dropout(config.steps),
        batchnorm_frozen_from=0,
        head_only_until=head_only,
        keep=Keep.LAST,
    )


def falling_balance(steps: int) -> Schedule:
    """Full class balance at first, decreasing to none over ``steps``.

    Without it, background voxels dominate the early loss, and a saturated softmax gets almost no gradient: on real
    cases enhancing tumor is then missed for hundreds of steps. A permanent balance would bias the probabilities.
    """
    end = max(1, steps)
    return lambda step: cosine(min(step, end), end, 1.0, 0.0)


def rising_dropout(steps: int) -> Schedule:
    """Training starts with all modalities, then drops some."""
    start, end = DROPOUT_RISES
    return lambda step: float(np.clip((step / steps - start) / (end - start), 0.0, 1.0))
