"""Export a segmentation network to ONNX, with BatchNorm folded and any window size, and check it against torch."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch

from voxmmsd.errors import ModelError
from voxmmsd.networks.heads import SegmentationNetwork

OPSET = 17
MAX_DIFFERENCE = 1e-4  # of the largest logit, in float32: sums in another order differ by 1e-6
MAX_ROUNDING = 2e-2  # and by kernels in float16: 2e-4 as a rule, 3e-3 was met after a short training


def export_onnx(network: SegmentationNetwork, file: Path) -> None:
    """Write ``file``: input ``image`` (batch, 4, z, y, x) float32, output ``logits`` (batch, class, z, y, x).

    Kernels are kept in float16; the graph brings them to float32, which a runtime does once, as it loads.

    Raises:
        ModelError: ONNX Runtime does not give torch's result on the exported file.
    """
    network = network.eval().cpu()
    side = 2 * network.unet.config.divisor
    image = torch.zeros(1, network.unet.config.in_channels, side, side, side)
    sizes = {0: "batch", 2: "z", 3: "y", 4: "x"}
    with warnings.catch_warnings():
        # torch's newer exporter needs one more package (onnxscript) and gives the same graph for this network.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            network,
            (image,),
            str(file),
            input_names=["image"],
            output_names=["logits"],
            dynamic_axes={"image": sizes, "logits": sizes},
            opset_version=OPSET,
            dynamo=False,
        )
    _check(network, file, MAX_DIFFERENCE)
    _keep_kernels_in_half(file)
    _check(network, file, MAX_ROUNDING)


def _check(network: SegmentationNetwork, file: Path, allowed: float) -> None:
    difference = onnx_difference(network, file)
    if not difference <= allowed:
        raise ModelError(
            f"{file}: the exported network differs from torch's by {difference:.1e} of its output's range (allowed "
            f"{allowed:.0e})",
            "update torch and onnxruntime",
        )


def _keep_kernels_in_half(file: Path) -> None:
    import onnx

    model = onnx.load(file)
    graph = model.graph
    for kernel in [
        each for each in graph.initializer if each.data_type == onnx.TensorProto.FLOAT and len(each.dims) > 1
    ]:
        half = onnx.numpy_helper.from_array(
            onnx.numpy_helper.to_array(kernel).astype(np.float16), f"{kernel.name}_half"
        )
        name = kernel.name
        graph.initializer.remove(kernel)
        graph.initializer.append(half)
        graph.node.insert(
            0, onnx.helper.make_node("Cast", [half.name], [name], f"{name}_cast", to=onnx.TensorProto.FLOAT)
        )
    onnx.save(model, file)


def onnx_difference(network: SegmentationNetwork, file: Path) -> float:
    """Largest difference of ONNX Runtime's logits from torch's, relative to the largest logit, on two window shapes."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    divisor, channels = network.unet.config.divisor, network.unet.config.in_channels
    generator = torch.Generator().manual_seed(0)
    worst = 0.0
    for shape in (
        (1, channels, 2 * divisor, 2 * divisor, 2 * divisor),
        (2, channels, divisor, 2 * divisor, 3 * divisor),
    ):
        image = torch.rand(shape, generator=generator)
        with torch.inference_mode():
            expected = network.eval()(image).numpy()
        (got,) = session.run(None, {"image": image.numpy()})
        worst = max(worst, float(np.abs(got - expected).max() / np.abs(expected).max()))
    return worst
