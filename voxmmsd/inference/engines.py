"""What computes: ONNX Runtime on CPUs, torch on GPUs and while training. One small interface."""

from __future__ import annotations

import importlib.util
import os
from typing import TYPE_CHECKING, Protocol

import numpy as np

from voxmmsd.errors import ConfigError, MissingDependencyError
from voxmmsd.models.package import ModelPackage, refuse_pretrained

if TYPE_CHECKING:
    import torch

    from voxmmsd.networks.heads import SegmentationNetwork


class Engine(Protocol):
    """A network ready to compute; ``divisor``: sides of windows must be its multiples."""

    name: str
    divisor: int

    def logits(self, image_bczyx: np.ndarray) -> np.ndarray:
        """``(batch, 4, z, y, x)`` float32, tissue about 0.5, to ``(batch, class, z, y, x)`` float32."""
        ...


class OnnxEngine:
    """ONNX Runtime on the CPU."""

    def __init__(self, package: ModelPackage, threads: int = 0) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or os.cpu_count() or 1
        options.log_severity_level = 3
        # Windows of one size reuse memory; the arena would keep the largest window's for good.
        options.enable_cpu_mem_arena = False
        self._session = onnxruntime.InferenceSession(str(package.onnx), options, providers=["CPUExecutionProvider"])
        self.name = "ONNX Runtime (CPU)"
        self.divisor = package.info.network.divisor

    def logits(self, image_bczyx: np.ndarray) -> np.ndarray:
        return self._session.run(None, {"image": np.ascontiguousarray(image_bczyx, np.float32)})[0]


class TorchEngine:
    """A torch network on its device; its training or evaluation mode is restored after each call."""

    def __init__(self, network: SegmentationNetwork, device: torch.device) -> None:
        self._network, self._device = network, device
        self.name = f"torch ({device.type})"
        self.divisor = network.unet.config.divisor

    def logits(self, image_bczyx: np.ndarray) -> np.ndarray:
        import torch

        from voxmmsd.networks.devices import Precision

        image = torch.from_numpy(np.ascontiguousarray(image_bczyx, np.float32)).to(self._device)
        image = image.contiguous(memory_format=torch.channels_last_3d)
        was_training = self._network.training
        self._network.eval()
        with torch.inference_mode(), Precision(self._device).autocast():
            logits = self._network(image)
        self._network.train(was_training)
        return logits.float().cpu().numpy()


def open_engine(package: ModelPackage, engine: str = "auto", device: str = "auto", threads: int = 0) -> Engine:
    """The engine asked for; ``auto``: torch where a GPU is asked for or found, else ONNX Runtime.

    Raises:
        ModelError: the model was only pre-trained.
        ConfigError: ONNX Runtime asked for on a GPU, or a device that is not there.
        MissingDependencyError: torch is needed and not installed.
    """
    refuse_pretrained(package)
    wants_gpu = device in ("cuda", "mps")
    if engine == "onnx" and wants_gpu:
        raise ConfigError(f"--engine onnx computes on the CPU, not on {device}; choose --engine torch")
    if engine == "onnx" or (engine == "auto" and not wants_gpu and (device == "cpu" or not _cuda_is_there())):
        return OnnxEngine(package, threads)
    if importlib.util.find_spec("torch") is None:
        raise MissingDependencyError("torch is not installed: `pip install 'voxmmsd[train]'`, or choose --engine onnx")
    import torch

    from voxmmsd.models.weights import load_network
    from voxmmsd.networks.devices import choose_device

    if threads:
        torch.set_num_threads(threads)
    place = choose_device(device)
    network = load_network(package).to(place).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    return TorchEngine(network, place)


def _cuda_is_there() -> bool:
    if importlib.util.find_spec("torch") is None:
        return False
    import torch

    return torch.cuda.is_available()
