"""Whether the two networks of a package are one: its ONNX file and its weights give the same on random windows.

With 8 bits they give nearly the same. The starter's differ by 0.07 of the largest logit then, its weights from those of
the model that it was trained from by 0.38, and from a network that returns its input by 1.04.
"""

from __future__ import annotations

from importlib.util import find_spec

from voxmmsd.errors import ModelError
from voxmmsd.models.package import ModelPackage

QUANTIZED = "-int8"  # how the id of a package with 8 bits ends, whose two networks differ on purpose
LARGEST_OF_8_BITS = 0.2  # of the largest logit


def refuse_two_networks(package: ModelPackage) -> str:
    """Why the two were not compared, as text; empty where they were and agree, or where there is only one.

    Raises:
        ModelError: as ``compare_networks`` does.
    """
    if package.info.segments and compare_networks(package) is None:
        return "its ONNX file was not compared with its weights, which needs torch (pip install 'voxmmsd[train]')"
    return ""


def compare_networks(package: ModelPackage) -> float | None:
    """The largest difference of the two networks' logits, of the largest logit; None where torch is missing.

    Raises:
        ModelError: they give different results, or the ONNX file cannot be run.
    """
    if find_spec("torch") is None:
        return None
    from voxmmsd.models.export_onnx import onnx_difference
    from voxmmsd.models.weights import load_network

    try:
        difference = onnx_difference(load_network(package), package.onnx)
    except ModelError:
        raise
    except Exception as error:  # ONNX Runtime's exceptions have no base of their own
        raise ModelError(f"{package.onnx}: cannot be run ({error})", "export the model again") from error
    allowed = allowed_difference(package)
    if not difference <= allowed:
        raise ModelError(
            f"{package.folder}: its ONNX file and its weights are different networks (results differ by "
            f"{100 * difference:.0f} %, allowed are {100 * allowed:.0f} %)",
            "export the model again where it was trained",
        )
    return difference


def allowed_difference(package: ModelPackage) -> float:
    """Of the largest logit: what rounding to 16 bits makes, or to 8 where the package says that it has these."""
    from voxmmsd.models.export_onnx import MAX_ROUNDING

    return LARGEST_OF_8_BITS if package.info.id.endswith(QUANTIZED) else MAX_ROUNDING
