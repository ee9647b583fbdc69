"""Initialization from an earlier model: which tensors are transferred and which are new."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from voxmmsd.data.splits import Splits
from voxmmsd.data.store import PreparedCase
from voxmmsd.errors import ConfigError
from voxmmsd.labels import LabelSchema, index_of_tissue, schema_named
from voxmmsd.models.learned import NOTHING, Learned, learned_by
from voxmmsd.models.registry import resolve_model
from voxmmsd.models.weights import load_tensors
from voxmmsd.networks.heads import SegmentationNetwork
from voxmmsd.runs import RunLog

UNKNOWN_CLASS_LOGIT = -4.0  # logit of a class that the start does not know
_COUNT = "num_batches_tracked"  # of BatchNorm: one number in any network, which says nothing of its weights


@dataclass(frozen=True)
class WeightTransfer:
    """Names of tensors that were transferred from ``model``, that are new, and that were not used.

    ``learned``: the patients that the model and its ancestors were trained on.
    """

    model: str
    transferred: tuple[str, ...]
    fresh: tuple[str, ...]
    unused: tuple[str, ...]
    learned: Learned = NOTHING

    def report(self) -> str:
        """A line, such as ``took 64 tensors from glioma-1; fresh: head.weight, head.bias``."""
        parts = [f"took {len(self.transferred)} tensors from {self.model}"]
        parts += [f"fresh: {_listed(self.fresh)}"] if self.fresh else []
        parts += [f"not used: {_listed(self.unused)}"] if self.unused else []
        return "; ".join(parts)


def start_from(network: SegmentationNetwork, model: str, schema: LabelSchema, run: RunLog) -> WeightTransfer:
    """Copy matching tensors from a model (package, run or registry name) and report which.

    The head is mapped tissue by tissue; a tissue unknown to the model starts with a low probability.

    Raises:
        ConfigError: the model has other channels than the network.
        ModelError: no such model, or it is damaged.
    """
    package = resolve_model(model)
    if network.unet.config.channels != package.info.network.channels:
        own, known = (" ".join(map(str, one.channels)) for one in (network.unet.config, package.info.network))
        raise ConfigError(
            f"--channels {own}: {package.info.id} has the channels {known}, so that its weights do not fit",
            f"give --channels {known}",
        )
    weights = load_tensors(package)
    unknown: tuple[str, ...] = ()
    if package.info.segments:
        theirs = schema_named(package.info.schema)
        weights |= mapped_head(weights["head.weight"], weights["head.bias"], theirs, schema)
        unknown = tuple(label.key for label in schema.labels if index_of_tissue(label, theirs) is None)
    transfer = transfer_weights(network, package.info.id, weights)
    fresh = (*transfer.fresh, *(f"the head of {key}" for key in unknown))
    transfer = replace(transfer, fresh=fresh, learned=learned_by(package.info))
    run.say(transfer.report())
    return transfer


def warn_of_known_patients(
    model: str, learned: Learned, entries: Sequence[PreparedCase], splits: Splits, run: RunLog
) -> None:
    """Warn of patients used for scoring that the initial model was trained on; whether to go on is up to the user."""
    scored = {*splits.validation, *splits.test}
    if known := [entry.id for entry in entries if entry.id in scored and learned.holds(entry)]:
        run.warn(
            f"{model}, or a model before it, was trained on validation or test patients ({', '.join(known[:5])}"
            f"{' ...' if len(known) > 5 else ''}): their scores will be too good; leave these patients out of the "
            "splits, or start from another model"
        )


def mapped_head(weight: Tensor, bias: Tensor, theirs: LabelSchema, ours: LabelSchema) -> dict[str, Tensor]:
    """Map the head of a model with schema ``theirs`` to ``ours``: rows by tissue, background first.

    A tissue that ``theirs`` lacks gets zero weights and a low bias: it is never the most probable at first, so the
    known tissues are predicted as before, but its gradient is not zero.
    """
    rows = torch.zeros(ours.class_count, *weight.shape[1:])
    biases = torch.full((ours.class_count,), UNKNOWN_CLASS_LOGIT)
    rows[0], biases[0] = weight[0], bias[0]
    for index, label in enumerate(ours.labels, start=1):
        there = index_of_tissue(label, theirs)
        if there is not None:
            rows[index], biases[index] = weight[there], bias[there]
    return {"head.weight": rows, "head.bias": biases}


def transfer_weights(network: nn.Module, model: str, weights: dict[str, Tensor]) -> WeightTransfer:
    """Copy each tensor with matching name and shape into ``network``; the others keep their random initialization."""
    own = network.state_dict()
    fits = {name: tensor for name, tensor in weights.items() if name in own and own[name].shape == tensor.shape}
    network.load_state_dict({**own, **fits})
    taken = tuple(name for name in fits if not name.endswith(_COUNT))
    fresh = tuple(name for name in own if name not in fits)
    return WeightTransfer(model, taken, fresh, tuple(sorted(name for name in weights if name not in fits)))


def _listed(names: tuple[str, ...], most: int = 6) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
