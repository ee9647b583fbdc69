"""Networks into packages and out of them; the part of the room that needs torch."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file, save_file

from voxmmsd.errors import ModelError
from voxmmsd.labels import schema_named
from voxmmsd.models.card import card
from voxmmsd.models.export_onnx import export_onnx
from voxmmsd.models.package import CARD, ONNX, WEIGHTS, ModelInfo, ModelPackage, write_package
from voxmmsd.networks.heads import SegmentationNetwork


def pack_network(folder: Path, network: SegmentationNetwork, info: ModelInfo) -> ModelPackage:
    """Write a package of ``network``: weights in float32, ONNX checked against torch, and the card.

    Raises:
        ModelError: ``folder`` exists, or the export is wrong.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    return write_package(
        folder,
        info,
        {
            WEIGHTS: lambda file: save_file(tensors, file),
            ONNX: lambda file: export_onnx(network, file),
            CARD: lambda file: _write_text(file, card(info)),
        },
    )


def load_network(package: ModelPackage) -> SegmentationNetwork:
    """The package's network on the CPU, in evaluation mode.

    Raises:
        ModelError: the weights do not fit the network that ``model.json`` describes.
    """
    network = SegmentationNetwork(package.info.network, schema_named(package.info.schema).class_count)
    try:
        network.load_state_dict(load_file(package.weights))
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ModelError(f"{package.weights}: does not fit the network of model.json ({reason})") from error
    return network.eval()


def _write_text(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")
