"""``doctor``: versions and devices of this machine, and whether 3-D convolution computes correctly."""

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
    "pydicom",
    "highdicom",
    "openvino",
)
# Relative to the largest output: a wrong kernel is off by far more, float32 by 1e-6, TF32 on an H200 by 3e-4.
MAX_ERROR = 1e-3
MAX_ERROR_IN_HALF = 2e-2  # bfloat16 has 8 bits: off by 3e-3 on an AMD EPYC


def examine(device: str) -> tuple[str, bool]:
    """A text report, and whether all checks passed.

    Raises:
        ConfigError: the requested device is not available.
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


def known_faults(torch_version: str, cudnn_version: int | None) -> list[str]:
    """Known defects of a build of torch (``2.9.0+cu128``) and cuDNN (``90801`` is 9.8.1; None: no CUDA).

    Sources: pytorch/pytorch issues 166122 and 166643 (3-D convolutions of torch 2.9 leave cuDNN unless it is 9.15 or
    later, which 2.9.1 looks for) and 163539 (cuDNN 9.8 to 9.10 computes some bfloat16 3-D convolutions wrongly).
    """
    faults = []
    release = torch_version.split("+", maxsplit=1)[0]
    if cudnn_version is not None and (release == "2.9.0" or (release.startswith("2.9.") and cudnn_version < 91500)):
        faults.append(
            f"torch {release} computes 3-D convolutions several times too slowly on this GPU: take 2.10 or later"
        )
    if cudnn_version is not None and 90800 <= cudnn_version < 91100:
        faults.append("cuDNN 9.8 to 9.10 may compute bfloat16 3-D convolutions wrongly: take 9.15 or later")
    return faults


def _version(name: str) -> str:
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
    if name != "torch":
        return version
    import torch

    return torch.__version__  # names the build, +cpu or +cu130, which the wheel's own record may leave out


def _check_onnxruntime() -> tuple[str, bool]:
    import onnxruntime

    return f"engines     ONNX Runtime: {', '.join(onnxruntime.get_available_providers())}", True


def _check_torch(name: str) -> tuple[str, bool]:
    """A 3-D convolution of the network's usual shape against the same in float64 on the CPU."""
    if importlib.util.find_spec("torch") is None:
        if name != "auto":
            raise ConfigError(
                f"--device {name}: torch is not installed", "install it with `pip install 'voxmmsd[train]'`"
            )
        return "device      no torch: segmenting works, training needs `pip install 'voxmmsd[train]'`", True
    import torch
    import torch.nn.functional as F

    from voxmmsd.compute.devices import Precision, choose_device, cpu_has_bfloat16

    device = choose_device(name)
    rng = np.random.default_rng(0)
    image = torch.from_numpy(rng.standard_normal((1, 16, 32, 32, 32)))
    weight = torch.from_numpy(rng.standard_normal((16, 16, 3, 3, 3)))
    expected = F.conv3d(image, weight, padding=1)
    image, weight = image.float().to(device), weight.float().to(device)

    def convolution(precision: Precision, allowed: float, advice: str) -> tuple[str, bool]:
        with precision.autocast():
            F.conv3d(image, weight, padding=1).cpu()  # the first call pays for setting up
            started = time.perf_counter()
            result = F.conv3d(image, weight, padding=1).cpu().double()
        milliseconds = 1000 * (time.perf_counter() - started)
        error = float((result - expected).abs().max() / expected.abs().max())
        good = error < allowed
        verdict = "correct" if good else f"WRONG: {advice} (allowed {allowed:.0e})"
        return f"3-D convolution error {error:.1e} in {milliseconds:.1f} ms: {verdict}", good

    cudnn = torch.backends.cudnn.version() if device.type == "cuda" else None
    label = torch.cuda.get_device_name() if device.type == "cuda" else device.type
    usual = Precision(device)
    text, good = convolution(Precision(device, "float32"), MAX_ERROR, "do not train or segment on this device")
    lines = [f"device      {label}: {text}", f"training    in {usual.name}"]
    if device.type == "cuda" or (device.type == "cpu" and cpu_has_bfloat16()):
        half = Precision(device, "half")
        is_usual = half.name == usual.name
        advice = "train with --precision float32" if is_usual else "do not train with --precision half"
        text, half_is_good = convolution(half, MAX_ERROR_IN_HALF, advice)
        lines.append(f"half        {half.name}: {text}")
        good &= half_is_good or not is_usual  # what is not used unless it is asked for does not make a machine unsound
    lines += [f"warning     {fault}" for fault in known_faults(torch.__version__, cudnn)]
    return "\n".join(lines), good
