"""ONNX Runtime on the CPU: there wherever the package is installed, and needs no torch."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait

import numpy as np

from voxmmsd.concurrency import usable_cores
from voxmmsd.errors import Canceled
from voxmmsd.inference.engines.engine import HostEngine, loading, refuse_other_network
from voxmmsd.models.package import ModelPackage

_LOOKS_EVERY = 0.2  # seconds, for a wish to stop
_FEATURES_AT_PEAK = 5.25  # tensors as wide as the finest level, float32; measured on windows of 96 and 128


class OnnxEngine(HostEngine):
    """A package's ONNX file in ONNX Runtime; ``threads`` 0: all cores."""

    def __init__(self, package: ModelPackage, threads: int = 0) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or usable_cores()
        options.log_severity_level = 3
        # Windows of one size reuse memory; the arena would keep the largest window's for good.
        options.enable_cpu_mem_arena = False
        with loading(package):
            self._session = onnxruntime.InferenceSession(str(package.onnx), options, providers=["CPUExecutionProvider"])
        output = self._session.get_outputs()[0].shape
        classes = output[1] if len(output) > 1 and isinstance(output[1], int) else None
        refuse_other_network(package, [item.name for item in self._session.get_inputs()], len(output), classes)
        self.name = "ONNX Runtime (CPU)"
        self.divisor = package.info.network.divisor
        self.bytes_per_voxel = 4 * _FEATURES_AT_PEAK * package.info.network.channels[0]

    def _interruptible(self, feed: dict[str, np.ndarray], stop_if_asked: Callable[[], None]) -> np.ndarray:
        """As ``run``, in another thread, so that a wish to stop is heard in the middle of a window."""
        import onnxruntime

        options = onnxruntime.RunOptions()
        with ThreadPoolExecutor(1, "window") as pool:
            computing = pool.submit(self._session.run, None, feed, options)
            while not computing.done():
                try:
                    wait([computing], timeout=_LOOKS_EVERY)
                    stop_if_asked()
                except BaseException:
                    options.terminate = True
                    raise
            return computing.result()[0]

    def logits(self, image_bczyx: np.ndarray) -> np.ndarray:
        feed = {"image": np.ascontiguousarray(image_bczyx, np.float32)}
        try:
            if self.stop_if_asked is not None:
                return self._interruptible(feed, self.stop_if_asked)
            return self._session.run(None, feed)[0]
        except Canceled:
            raise
        except Exception as error:  # ONNX Runtime's exceptions have no base of their own
            if "alloc" in str(error).lower():
                raise MemoryError(str(error)) from error
            raise
