"""OpenVINO on the CPU (extra ``openvino``): the fastest there, its 3-D convolutions are made for the vector units.

Its package brings one that reports usage to a server. It is never imported here: OpenVINO takes its own stand-in then.
"""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from typing import Any

import numpy as np

from voxmmsd.concurrency import usable_cores
from voxmmsd.errors import ConfigError, MissingDependencyError
from voxmmsd.inference.engines.engine import HostEngine, loading, refuse_other_network
from voxmmsd.models.package import ModelPackage

_FEATURES_AT_PEAK, _IN_HALF = 4.75, 2.75  # tensors as wide as the finest level; measured on windows of 96 and 128
_KERNELS_CODE = 48 * 2**20  # what it compiles: on a tiny network its peak is 43 MiB above ONNX Runtime's


def is_installed() -> bool:
    return importlib.util.find_spec("openvino") is not None


def half_precision_there() -> bool:
    """Whether this CPU calculates with bfloat16."""
    return is_installed() and "BF16" in _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def load_openvino() -> None:
    """Import it."""
    _core()


class OpenVinoEngine(HostEngine):
    """A package's ONNX file in OpenVINO; ``threads`` 0: all cores; ``half``: in bfloat16.

    Raises:
        MissingDependencyError: OpenVINO is not installed.
        ConfigError: half precision on a CPU that has none.
    """

    def __init__(self, package: ModelPackage, threads: int = 0, half: bool = False) -> None:
        if not is_installed():
            raise MissingDependencyError(
                "OpenVINO is not installed",
                "install it with `pip install 'voxmmsd[openvino]'`, or choose --engine onnx",
            )
        if half and not half_precision_there():
            raise ConfigError("--precision half: this CPU does not support bfloat16", "choose float32")
        with loading(package):
            self._model = _core().read_model(str(package.onnx))
            inputs = [item.any_name for item in self._model.inputs]
            output = self._model.outputs[0].partial_shape
        classes = output[1].get_length() if len(output) > 1 and output[1].is_static else None
        refuse_other_network(package, inputs, len(output), classes)
        self._options = {
            "INFERENCE_NUM_THREADS": threads or usable_cores(),
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "bf16" if half else "f32",  # its own choice would be bf16 where it can
        }
        self._compiled: tuple[tuple[int, ...], Any] | None = None
        self.name = f"OpenVINO (CPU{', bfloat16' if half else ''})"
        self.divisor = package.info.network.divisor
        self.bytes_kept = _KERNELS_CODE
        self.bytes_fixed = _KERNELS_CODE + 6 * package.onnx.stat().st_size  # weights as read, in float32, as computed
        self.bytes_per_voxel = 4 * (_IN_HALF if half else _FEATURES_AT_PEAK) * package.info.network.channels[0]

    def logits(self, image_bczyx: np.ndarray) -> np.ndarray:
        try:
            request = self._request_for(image_bczyx.shape)
            return request.infer({0: np.ascontiguousarray(image_bczyx, np.float32)}, share_inputs=True)[0].copy()
        except RuntimeError as error:
            if "alloc" in str(error).lower():
                raise MemoryError(str(error)) from error
            raise

    def make_room(self, limit: int | None) -> int:
        self._compiled = None
        return super().make_room(limit)

    def _request_for(self, shape: tuple[int, ...]) -> Any:
        """Compiled for one shape, which is faster than for any; the memory of the shape before is given back."""
        if self._compiled is None or self._compiled[0] != shape:
            self._compiled = None
            self._model.reshape({"image": list(shape)})
            compiled = _core().compile_model(self._model, "CPU", self._options)
            self._compiled = (tuple(shape), compiled.create_infer_request())
        return self._compiled[1]


@cache
def _core() -> Any:
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # importing it fails from now on
    import openvino

    return openvino.Core()
