"""Networks into packages and out of them; the part of the room that needs torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from voxmmsd.errors import ModelError
from voxmmsd.labels import schema_named
from voxmmsd.models.card import card
from voxmmsd.models.export_onnx import export_onnx
from voxmmsd.models.package import CARD, ONNX, WEIGHTS, ModelInfo, ModelPackage, refuse_pretrained, write_package
from voxmmsd.networks.heads import SegmentationNetwork
from voxmmsd.networks.unet3d import UNet3d


def pack_network(folder: Path, network: SegmentationNetwork, info: ModelInfo) -> ModelPackage:
    """Write a package of ``network``: its weights, ONNX checked against torch, and the card.

    Kernels are kept in float16, in either file, which halves it; they are computed with in float32.

    Raises:
        ModelError: ``folder`` exists, or the export is wrong.
    """
    writers = {**_writers(network.state_dict(), info), ONNX: lambda file: export_onnx(network, file)}
    return write_package(folder, info, writers)


def pack_pretrained(folder: Path, unet: UNet3d, info: ModelInfo) -> ModelPackage:
    """Write a package of a pre-trained network without head, its tensors named as in a ``SegmentationNetwork``.

    Raises:
        ModelError: ``folder`` exists.
    """
    tensors = {f"unet.{name}": tensor for name, tensor in unet.state_dict().items()}
    return write_package(folder, info, _writers(tensors, info))


def _writers(state: Mapping[str, Tensor], info: ModelInfo) -> dict[str, Callable[[Path], object]]:
    tensors = {name: _as_kept(tensor.detach().cpu()).contiguous() for name, tensor in state.items()}
    return {
        WEIGHTS: lambda file: file.write_bytes(save(tensors)),  # its own way to a file leaves it to its owner alone
        CARD: lambda file: _write_text(file, card(info)),
    }


def _as_kept(tensor: Tensor) -> Tensor:
    """Kernels in float16; biases and norms, which are few and have any scale, as they are."""
    return tensor.half() if tensor.ndim > 1 and tensor.is_floating_point() else tensor


def load_network(package: ModelPackage) -> SegmentationNetwork:
    """The package's network on the CPU, in evaluation mode.

    Raises:
        ModelError: it was only pre-trained, or the weights do not fit the network that ``model.json`` describes.
    """
    refuse_pretrained(package)
    network = SegmentationNetwork(package.info.network, schema_named(package.info.schema).class_count)
    try:
        network.load_state_dict(load_tensors(package))
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ModelError(
            f"{package.weights}: does not match the network of model.json ({reason})", "import or train the model again"
        ) from error
    return network.eval()


def load_tensors(package: ModelPackage) -> dict[str, Tensor]:
    """The package's weights by name, on the CPU, in float32.

    Raises:
        ModelError: the file is not a complete safetensors file.
    """
    try:
        tensors = load_file(package.weights)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{package.weights}: cannot be read ({error})", "import or train the model again") from error
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}


def _write_text(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")
