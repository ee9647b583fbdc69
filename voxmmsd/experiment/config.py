"""The experiment file of ``compare``: methods, numbers of labeled cases, draws.

folders = ["store"]
splits = "splits.json"
methods = ["scratch", "vox-mmsd", "restoration-only", "probe"]
cases = [1, 3]
draws = 3
[pretrain]                                # options of ``voxmmsd pretrain``, for all methods
[finetune]                                # options of ``voxmmsd finetune``, for all methods
[variants.restoration-only]               # what differs for one method
cases = [3]
[variants.probe]
finetune.linear_probe = true
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from voxmmsd.config import Affects, config_from_record, option, options_that
from voxmmsd.errors import ConfigError
from voxmmsd.training_config import METHODS, FinetuneConfig, PretrainConfig

SCRATCH = "scratch"  # the method of no pre-training
ABLATIONS: dict[str, dict[str, Any]] = {
    "restoration-only": {"distillation": False},
    "distillation-only": {"restoration": False},
    "single-scale": {"single_scale": True},
    "same-mask-in-both-views": {"same_mask_for_views": True},
    "one-mask-for-all-modalities": {"same_mask_for_modalities": True},
    "pairs-in-one-modality": {"pairs_within_modality": True},
}
"""Ablations of Vox-MMSD by name, as options of ``pretrain`` (``docs/method.md``, section 9)."""


# Options that the experiment itself decides on: all paths, and what tells its arms apart.
_PATHS = (Affects.INPUT, Affects.PLACE)
_OURS = {"seed", "name"} | options_that(PretrainConfig, _PATHS) | options_that(FinetuneConfig, _PATHS)


@dataclass(frozen=True)
class Variant:
    """Settings of one method that differ from those of the others.

    ``pretrain`` and ``finetune``: options of these verbs. ``start``: a model or run to start from, instead of a
    pre-training within the experiment. ``cases``: for which of the experiment's numbers of cases; all if empty.
    """

    start: str = ""
    cases: tuple[int, ...] = ()
    pretrain: dict[str, Any] = field(default_factory=dict)
    finetune: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _refuse_ours(self.pretrain, self.finetune)


def _refuse_ours(*tables: dict[str, Any]) -> None:
    if ours := sorted(_OURS & {key for table in tables for key in table}):
        raise ConfigError(f"compare: the experiment itself decides on {', '.join(ours)}", "remove it from the table")


@dataclass(frozen=True)
class Arm:
    """One fine-tuning: a method, the number of labeled cases, and the draw."""

    method: str
    cases: int
    draw: int

    @property
    def name(self) -> str:
        return f"{self.method}-{self.cases}-cases-draw-{self.draw}"


@dataclass(frozen=True)
class ExperimentConfig:
    """``every_label``: the cases of each draw together contain every label, like cases an expert would choose to label.

    ``pretrain_splits``: patients for pre-training, if these are more than those for fine-tuning, such as patients of
    another hospital (default: those of ``splits``).
    """

    folders: tuple[str, ...] = ()
    splits: str = ""
    pretrain_splits: str = ""
    methods: tuple[str, ...] = (SCRATCH, METHODS[0])
    cases: tuple[int, ...] = (3,)
    draws: int = 3
    every_label: bool = False
    seed: int = option(0, range=(0, math.inf))
    pretrain: dict[str, Any] = field(default_factory=dict)
    finetune: dict[str, Any] = field(default_factory=dict)
    variants: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.folders or not self.splits:
            raise ConfigError("compare: the experiment's file names no folders or no splits", "give it both")
        if not self.methods or self.draws < 1 or not self.cases or min(self.cases) < 1:
            raise ConfigError("compare: needs at least one method, one draw and one labeled case", "give each of them")
        _refuse_ours(self.pretrain, self.finetune)
        known = (SCRATCH, *METHODS, *ABLATIONS)
        if unknown := sorted(set(self.methods) - {*known, *self.variants}):
            raise ConfigError(
                f"compare: unknown method {', '.join(unknown)}",
                f"known are {', '.join(known)}, and those that a table [variants.NAME] describes",
            )
        if unused := sorted(set(self.variants) - set(self.methods)):
            raise ConfigError(
                f"compare: [variants.{unused[0]}] is not among the methods {', '.join(self.methods)}",
                "add it to them, or remove its table",
            )
        for method in self.methods:
            if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", method):
                raise ConfigError(
                    f"compare: no method can be called {method!r}", "give it a name of small letters, digits and dashes"
                )
            self._check(method)

    def _check(self, method: str) -> None:
        variant = self.variant(method)
        if strange := sorted(set(variant.cases) - set(self.cases)):
            raise ConfigError(
                f"compare: [variants.{method}] asks for {strange[0]} cases, the experiment for {self.cases}",
                "add that number to the experiment's cases, or remove it from the table",
            )
        if self.baseline != method and (late := set(self.cases_of(method)) - set(self.cases_of(self.baseline))):
            raise ConfigError(
                f"compare: {method} at {min(late)} cases has no {self.baseline} to be compared with",
                "run both with the same numbers of cases",
            )

    @property
    def baseline(self) -> str:
        """The method that the others are compared with."""
        return self.methods[0]

    def variant(self, method: str) -> Variant:
        """Settings of a method, from its name and from its table; the table takes precedence.

        Raises:
            ConfigError: the table has keys that no variant has.
        """
        by_name = {"method": method} if method in METHODS else ABLATIONS.get(method, {})
        try:
            stated = config_from_record(Variant, self.variants.get(method, {}))
        except ConfigError as error:
            raise ConfigError(f"compare: [variants.{method}]: {error.problem}", error.remedy) from error
        return Variant(stated.start, stated.cases, {**by_name, **stated.pretrain}, stated.finetune)

    def cases_of(self, method: str) -> tuple[int, ...]:
        """The numbers of labeled cases that a method is run with."""
        return self.variant(method).cases or self.cases

    def arms(self) -> Iterator[Arm]:
        """All methods of one draw before the next draw, so that an interrupted experiment is paired so far."""
        for cases in self.cases:
            for draw in range(self.draws):
                yield from (Arm(method, cases, draw) for method in self.methods if cases in self.cases_of(method))
