"""Whether the two networks of a package are one: its ONNX file and its weights give the same on random windows."""

from __future__ import annotations

from importlib.util import find_spec

from voxmmsd.errors import ModelError
from voxmmsd.models.package import ModelPackage

QUANTIZED = "-int8"  # how the id of a package with 8 bits ends, whose two networks differ on purpose


def refuse_two_networks(package: ModelPackage) -> str:
    """Why the two were not compared, as text; empty where they were and agree.

    Raises:
        ModelError: they give different results, or the ONNX file cannot be run.
    """
    if not package.info.segments:
        return ""
    if package.info.id.endswith(QUANTIZED):
        return "its ONNX file has 8 bits and was not compared with its weights"
    if find_spec("torch") is None:
        return "its ONNX file was not compared with its weights, which needs torch (pip install 'voxmmsd[train]')"
    from voxmmsd.models.export_onnx import LARGEST_ROUNDING, onnx_difference
    from voxmmsd.models.weights import load_network

    try:
        difference = onnx_difference(load_network(package), package.onnx)
    except ModelError:
        raise
    except Exception as error:  # ONNX Runtime's exceptions have no base of their own
        raise ModelError(f"{package.onnx}: cannot be run ({error})", "export the model again") from error
    if not difference <= LARGEST_ROUNDING:
        raise ModelError(
            f"{package.folder}: its ONNX file and its weights are different networks (results differ by "
            f"{100 * difference:.0f} %, allowed are {100 * LARGEST_ROUNDING:.0f} %)",
            "take the model from where it was trained, and export it again",
        )
    return ""
