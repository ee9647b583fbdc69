"""Starting from an earlier model: which tensors are taken and which start anew."""

from __future__ import annotations

from dataclasses import dataclass

from safetensors.torch import load_file
from torch import Tensor, nn

from voxmmsd.labels import LabelSchema, schema_named
from voxmmsd.models.registry import resolve_model
from voxmmsd.runs import Run


@dataclass(frozen=True)
class Taken:
    """Names of tensors that were taken from ``model``, that start anew, and that it had without use here."""

    model: str
    taken: tuple[str, ...]
    fresh: tuple[str, ...]
    unused: tuple[str, ...]

    def report(self) -> str:
        """A line, such as ``took 64 tensors from glioma-1; fresh: head.weight, head.bias``."""
        parts = [f"took {len(self.taken)} tensors from {self.model}"]
        parts += [f"fresh: {_listed(self.fresh)}"] if self.fresh else []
        parts += [f"not used: {_listed(self.unused)}"] if self.unused else []
        return "; ".join(parts)


def start_from(network: nn.Module, model: str, schema: LabelSchema, run: Run) -> Taken:
    """Copy what fits from a model (package, run or registry name) and say what was taken.

    The head is taken only where its classes mean the same tissues in the same order.
    """
    package = resolve_model(model)
    weights = load_file(package.weights)
    theirs = schema_named(package.info.schema).labels if package.info.segments else ()
    if [label.key for label in theirs] != [label.key for label in schema.labels]:
        weights = {name: tensor for name, tensor in weights.items() if not name.startswith("head.")}
    taken = take_weights(network, package.info.id, weights)
    run.say(taken.report())
    return taken


def take_weights(network: nn.Module, model: str, weights: dict[str, Tensor]) -> Taken:
    """Copy each tensor whose name and shape fit into ``network``; the others stay at their random start."""
    own = network.state_dict()
    fits = {name: tensor for name, tensor in weights.items() if name in own and own[name].shape == tensor.shape}
    network.load_state_dict({**own, **fits})
    fresh = tuple(name for name in own if name not in fits)
    return Taken(model, tuple(fits), fresh, tuple(name for name in weights if name not in fits))


def _listed(names: tuple[str, ...], most: int = 6) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
