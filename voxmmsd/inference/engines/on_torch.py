"""torch: on GPUs, where everything up to the labels stays on the device, and for a network that is being trained."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from voxmmsd.compute.devices import choose_device, is_out_of_memory
from voxmmsd.errors import MemoryBudgetError
from voxmmsd.inference.engines.engine import Arrays
from voxmmsd.inference.memory import free_bytes
from voxmmsd.models.package import ModelPackage
from voxmmsd.models.weights import load_network
from voxmmsd.networks.heads import SegmentationNetwork

_FEATURES_AT_PEAK = 6.0  # tensors as wide as the finest level; measured on the CPU, windows of 96 and 128


class TorchEngine:
    """A torch network on its device; its training or evaluation mode is restored after each call.

    ``half``: in bfloat16 or float16, as the device has it, by autocast.
    """

    def __init__(self, network: SegmentationNetwork, device: torch.device, half: bool | None = None) -> None:
        self._network, self._device = network, device
        self._half = device.type == "cuda" if half is None else half
        self.name = f"torch ({device.type}{', half precision' if self._half else ''})"
        self.divisor = network.unet.config.divisor
        self.bytes_fixed = self.bytes_kept = 0
        self.arrays: Arrays = TorchArrays(device)
        self.bytes_per_voxel = (2 if self._half else 4) * _FEATURES_AT_PEAK * network.unet.config.channels[0]

    def logits(self, image_bczyx: Tensor) -> Tensor:
        was_training = self._network.training
        self._network.eval()
        try:
            with torch.no_grad(), torch.autocast(self._device.type, dtype=self._half_type(), enabled=self._half):
                return self._network(image_bczyx.contiguous(memory_format=torch.channels_last_3d)).float()
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise MemoryError(str(error)) from error
            raise
        finally:
            self._network.train(was_training)

    def make_room(self, limit: int | None) -> int:
        if self._device.type != "cuda":
            return free_bytes(limit)
        torch.cuda.empty_cache()
        free = torch.cuda.mem_get_info(self._device)[0]
        return free if limit is None else min(free, limit - torch.cuda.memory_allocated(self._device))

    def _half_type(self) -> torch.dtype:
        bfloat = self._device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if bfloat or self._device.type == "cpu" else torch.float16


class TorchArrays:
    """torch's, on one device."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def place(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._device)

    def zeros(self, shape: tuple[int, ...]) -> Tensor:
        return torch.zeros(shape, device=self._device)

    def flip(self, array: Any, axes: tuple[int, ...]) -> Tensor:
        return torch.flip(array, axes) if axes else array

    def softmax(self, logits: Any) -> Tensor:
        return torch.softmax(logits, dim=0)

    def labels(self, probabilities: Any) -> np.ndarray:
        return probabilities.argmax(dim=0).to(torch.uint8).cpu().numpy()

    def fetch(self, array: Any) -> np.ndarray:
        if self._device.type == "cuda":
            array = array.half()  # probabilities to three digits in half the transfer
        return array.cpu().float().numpy()


def open_torch(package: ModelPackage, device: str, threads: int = 0, half: bool | None = None) -> TorchEngine:
    """The package's network with BatchNorm folded into its convolutions; ``half`` None: on CUDA.

    Raises:
        ConfigError: the device is not there.
        MemoryBudgetError: it has no room for the network.
    """
    if threads:
        torch.set_num_threads(min(threads, os.cpu_count() or 1))
    place = choose_device(device)
    try:
        network = fold_batchnorm(load_network(package)).to(place)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise MemoryBudgetError(
            f"no room for the model on {place.type}", "close other programs that use it, or choose --device cpu"
        ) from error
    return TorchEngine(network.to(memory_format=torch.channels_last_3d), place, half)


def fold_batchnorm(network: Any) -> Any:
    """Put each BatchNorm's scale and shift into the convolution in front of it; the network in evaluation mode."""
    for module in network.eval().modules():
        if isinstance(module, nn.Sequential):
            for before, norm in zip(list(module), list(module)[1:], strict=False):
                if isinstance(before, nn.Conv3d) and isinstance(norm, nn.BatchNorm3d):
                    module[_index(module, before)] = fuse_conv_bn_eval(before, norm)
                    module[_index(module, norm)] = nn.Identity()
    return network


def _index(modules: nn.Sequential, wanted: nn.Module) -> int:
    return next(index for index, module in enumerate(modules) if module is wanted)
