"""The official lesion-wise rules of BraTS, year by year and task by task, as read in the organizers' published code.

Sources: github.com/rachitsaluja/BraTS-2023-Metrics and BraTS-2024-Metrics (Saluja et al.). What differs from year to
year is a ``Rule``; ``voxmmsd.evaluation.lesionwise`` applies it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from voxmmsd.errors import ConfigError
from voxmmsd.labels import LabelSchema

PROTOCOLS = ("brats2023", "brats2024")
TASKS = ("auto", "gli", "ssa", "men", "ped", "met")


@dataclass(frozen=True)
class Rule:
    """How a structure is scored.

    ``dilation``: steps (18 neighbors each) by which lesions are grown to see which belong together and which prediction
    meets them. ``least``: reference lesions of no more mm^3 are dropped, and where ``grows_predictions``, predicted
    ones of no more voxels. ``penalty_mm``: HD95 of a missed or false lesion; 0: the image's diagonal in voxels.
    ``grows_predictions``: predicted components that meet when grown are one lesion, too. ``joined_by``: tissues whose
    components join the lesions that touch them. ``surface_dice``: whether NSD is part of the protocol.
    """

    dilation: int
    least: float
    penalty_mm: float = 374.0
    grows_predictions: bool = False
    joined_by: tuple[str, ...] = ()
    surface_dice: bool = False


TOLERANCES_MM = (0.5, 1.0)  # of NSD
_MAIN = ("WT", "TC", "ET")
# The same tissue under the names of different years.
_NAMES = {"NETC": ("NETC", "NCR", "NET"), "SNFH": ("SNFH", "ED")}


def _rules_2023(task: str) -> dict[str, Rule]:
    rule = {"men": Rule(1, 50), "met": Rule(1, 2)}.get(task, Rule(3, 50))
    return dict.fromkeys(_MAIN, rule)


def _rules_2024(task: str) -> dict[str, Rule]:
    if task == "gli":
        rule = Rule(3, 20, 337.0, grows_predictions=True, surface_dice=True)
        wide = replace(rule, dilation=5)  # not SNFH, which the organizers' code spells otherwise and so leaves at 3
        return {
            "WT": rule,
            "TC": rule,
            "NETC": replace(wide, joined_by=("ET", "RC")),
            "SNFH": replace(rule, joined_by=("ET", "RC", "NETC")),
            "ET": replace(rule, least=10, joined_by=("NETC", "RC")),
            "RC": replace(wide, joined_by=("ET", "NETC")),
        }
    if task == "ped":
        return dict.fromkeys((*_MAIN, "NETC", "CC", "ED"), Rule(5, 10, grows_predictions=True, surface_dice=True))
    if task == "men":
        return dict.fromkeys(_MAIN, Rule(1, 50, surface_dice=True))
    rule = Rule(3, 50, grows_predictions=True, surface_dice=True)
    if task == "met":
        rule = replace(rule, dilation=1, least=2, penalty_mm=0.0)
    rules = {"WT": rule, "TC": rule, "ET": replace(rule, joined_by=("NETC",))}
    return {**rules, "RC": rule} if task == "met" else rules


def rules_of(protocol: str, task: str, schema: LabelSchema) -> dict[str, Rule]:
    """Structure (key of a label or region) -> its rule, of those the schema has; tissues by the schema's names.

    Raises:
        ConfigError: no such protocol or task.
    """
    if protocol not in PROTOCOLS or task not in TASKS:
        raise ConfigError(
            f"no protocol {protocol!r} for the task {task!r}",
            f"choose one of the protocols {', '.join(PROTOCOLS)} and of the tasks {', '.join(TASKS)}",
        )
    if task == "auto":
        task = "ped" if schema.name.startswith("brats-ped") else "gli"
    rules = _rules_2023(task) if protocol == "brats2023" else _rules_2024(task)
    keys = {label.key for label in schema.labels} | {region.key for region in schema.regions}
    named = {official: next((n for n in _NAMES.get(official, (official,)) if n in keys), "") for official in
             (*rules, "NETC", "ET", "RC")}  # fmt: skip
    return {
        named[official]: replace(rule, joined_by=tuple(named[t] for t in rule.joined_by if named[t]))
        for official, rule in rules.items()
        if named[official]
    }
