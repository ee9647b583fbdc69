"""The mean of several models' weights, as a model: often better on new patients than any of them.

Source: Wortsman et al., ICML 2022 ("Model soups") and CVPR 2022 (a fine-tuned network and the one it started from).
Weights can be averaged only along one line of descent; networks trained from different random weights give noise.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any

import torch

import voxmmsd
from voxmmsd.clock import now
from voxmmsd.errors import ConfigError, ModelError
from voxmmsd.ids import safe_id
from voxmmsd.models.learned import Learned, learned_by
from voxmmsd.models.package import ModelInfo, refuse_existing, refuse_long_name, refuse_pretrained
from voxmmsd.models.provenance import INHERITED, LIBRARY
from voxmmsd.models.registry import resolve_model
from voxmmsd.models.weights import load_network, load_tensors, pack_network
from voxmmsd.runs import versions

AVERAGED = "averaged"  # the key of the models' ids in the training record
OF_THE_FIRST = ("start", "options", "hardware")  # how it was trained; the others' records tell it of them


def average_models(models: Sequence[str], out: Path, name: str = "") -> str:
    """Write the package ``out`` with the mean of the models' weights and BatchNorm statistics; returns text.

    ``name``: of the new model, by default that of the first. It has no scores and the temperature 1 until they are
    measured.

    Raises:
        ConfigError: fewer than two models, one twice, or a name that is too long.
        ModelError: no such model, one that cannot segment, models of different networks, labels or preprocessing, one
            that does not descend from the others or their parents, or ``out`` exists.
    """
    refuse_existing(out)
    packages = [resolve_model(model) for model in models]
    infos = [package.info for package in packages]
    if len(infos) < 2 or len({info.id for info in infos}) < len(infos):
        named = ", ".join(info.id for info in infos) or "none"
        raise ConfigError(
            f"models average: needs two or more different models, given: {named}", "name each of them once"
        )
    refuse_long_name(safe_id(name or infos[0].name))
    for package in packages:
        refuse_pretrained(package)
    _refuse_strangers(infos)
    network = load_network(packages[0])
    tensors = [load_tensors(package) for package in packages]
    mean = {
        key: torch.stack([one[key] for one in tensors]).mean(dim=0) if first.is_floating_point() else first
        for key, first in tensors[0].items()
    }
    network.load_state_dict(mean)
    written = pack_network(out, network, _averaged(infos, name))
    return (
        f"{out}: {written.info.id}, the mean of {' and '.join(info.id for info in infos)}; its probabilities are not "
        f"calibrated and its scores not measured: `voxmmsd models calibrate {out}`, `voxmmsd evaluate {out} --subsets`"
    )


def _refuse_strangers(infos: Sequence[ModelInfo]) -> None:
    first, *others = infos
    for other in others:
        for what in ("network", "schema", "preprocess"):
            if getattr(first, what) != getattr(other, what):
                raise ModelError(
                    f"{other.id}: has another {what} than {first.id}, so their weights have no mean",
                    "average a model with the one it was fine-tuned from",
                )
    family, rest = {first.id, first.parent} - {None}, others
    while near := [info for info in rest if {info.id, info.parent} & family]:
        family |= {name for info in near for name in (info.id, info.parent) if name}
        rest = [info for info in rest if info not in near]
    if rest:
        raise ModelError(
            f"{rest[0].id}: neither descends from one of the others nor shares a parent with it: their mean is noise",
            "average a model with the one it was fine-tuned from, or with another one fine-tuned from the same",
        )


def _averaged(infos: Sequence[ModelInfo], name: str) -> ModelInfo:
    first, created = infos[0], now()
    name = safe_id(name or first.name)
    training = {
        "verb": "average",
        AVERAGED: [info.id for info in infos],
        **{kind: _parts(infos, kind) for kind in ("cases", "patients")},
        INHERITED: _learned(infos).record(),
        **_library(infos),
        **{key: first.training[key] for key in OF_THE_FIRST if key in first.training},
        "sources": "; ".join(_distinct(str(info.training.get("sources", "not stated")) for info in infos)),
        "versions": versions(),
    }
    return replace(
        first,
        id=f"{name}-{created.replace(':', '').replace('-', '')[:15]}",
        name=name,
        version=voxmmsd.__version__,
        parent=first.id,
        created=created,
        window=min(info.window for info in infos),
        training=training,
        scores={},
        licence=" ".join(_distinct(info.licence for info in infos)),
        limits=" ".join(_distinct(info.limits for info in infos)),
        files={},
    )


def _learned(infos: Sequence[ModelInfo]) -> Learned:
    """What they and their ancestors learned from. A parent whose child records it is not asked: its own record may not
    be complete."""
    recorded = {info.parent for info in infos if info.provenance.inherited is not None}
    learned = reduce(or_, (learned_by(info) for info in infos if info.id not in recorded))
    known = {info.id for info in infos}
    return replace(learned, unknown=tuple(parent for parent in learned.unknown if parent not in known))


def _library(infos: Sequence[ModelInfo]) -> dict[str, Any]:
    """The record of the training library that the first of them learned from, with the newest labels that any of them
    learned of it: without one, its held-out patients would count as those that chose the model."""
    uses = [info.provenance.library for info in infos]
    found = [use for use in uses if use is not None]
    if not found:
        return {}
    labels: dict[str, int] = {}
    for use in found:
        if use.id == found[0].id:
            labels |= {case_id: max(number, labels.get(case_id, 0)) for case_id, number in use.labels.items()}
    return {LIBRARY: {"id": found[0].id, "labels": labels}}


def _parts(infos: Sequence[ModelInfo], kind: str) -> dict[str, list[str]]:
    """Ids by part; an id that one model learned from is in no later part, whatever part it had for another."""
    parts = _distinct(part for info in infos for part in getattr(info.provenance, kind))
    parts.sort(key=lambda part: (part == "test", part == "validation"))
    taken: set[str] = set()
    found: dict[str, list[str]] = {}
    for part in parts:
        named = _distinct(id_ for info in infos for id_ in info.provenance.ids(kind, (part,)))
        found[part] = [id_ for id_ in named if id_.casefold() not in taken]
        taken |= {id_.casefold() for id_ in found[part]}
    return found


def _distinct(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))
