"""``doctor``: what this machine has, and whether its 3-D convolution is right."""

from __future__ import annotations

import importlib.util
import os
import platform
import time
from importlib import metadata

import numpy as np
import psutil

import voxmmsd
from voxmmsd.errors import ConfigError
from voxmmsd.home import home

_PACKAGES = (
    "numpy",
    "scipy",
    "nibabel",
    "onnxruntime",
    "safetensors",
    "torch",
    "monai",
    "onnx",
    "SimpleITK",
    "openvino",
)
LARGEST_ERROR = 1e-4  # relative to the largest output; a wrong kernel is off by far more, float32 and TF32 by less


def examine(device: str) -> tuple[str, bool]:
    """A readable report, and whether everything that was checked is right.

    Raises:
        ConfigError: the device asked for is not there.
    """
    memory = psutil.virtual_memory()
    lines = [
        f"voxmmsd     {voxmmsd.__version__}   data folder {home()}",
        f"python      {platform.python_version()} on {platform.platform()}",
        f"processor   {platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        f"memory      {memory.available / 2**30:.1f} of {memory.total / 2**30:.1f} GiB free",
    ]
    lines += [f"{name.lower():<11} {_version(name)}" for name in _PACKAGES]
    checks = [_check_onnxruntime, lambda: _check_torch(device)]
    healthy = True
    for check in checks:
        line, good = check()
        healthy &= good
        lines.append(line)
    return "\n".join(lines), healthy


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def _check_onnxruntime() -> tuple[str, bool]:
    import onnxruntime

    return f"engines     ONNX Runtime: {', '.join(onnxruntime.get_available_providers())}", True


def _check_torch(name: str) -> tuple[str, bool]:
    """A 3-D convolution of the network's usual shape against the same in float64 on the CPU."""
    if importlib.util.find_spec("torch") is None:
        if name != "auto":
            raise ConfigError(f"--device {name}: torch is not installed; `pip install voxmmsd[train]`")
        return "device      no torch: segmenting works, training needs `pip install voxmmsd[train]`", True
    import torch
    import torch.nn.functional as F

    from voxmmsd.networks.devices import choose_device

    device = choose_device(name)
    rng = np.random.default_rng(0)
    image = torch.from_numpy(rng.standard_normal((1, 16, 32, 32, 32)))
    weight = torch.from_numpy(rng.standard_normal((16, 16, 3, 3, 3)))
    expected = F.conv3d(image, weight, padding=1)
    image, weight = image.float().to(device), weight.float().to(device)
    F.conv3d(image, weight, padding=1).cpu()  # the first call pays for setting up
    started = time.perf_counter()
    result = F.conv3d(image, weight, padding=1).cpu().double()
    milliseconds = 1000 * (time.perf_counter() - started)
    error = float((result - expected).abs().max() / expected.abs().max())
    good = error < LARGEST_ERROR
    verdict = "right" if good else f"WRONG: do not train or segment on this device (allowed {LARGEST_ERROR:.0e})"
    label = torch.cuda.get_device_name() if device.type == "cuda" else device.type
    return f"device      {label}: 3-D convolution error {error:.1e} in {milliseconds:.1f} ms: {verdict}", good
