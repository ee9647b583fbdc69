"""What computes, behind one small interface: ONNX Runtime and OpenVINO on CPUs, torch on GPUs and while training.

Reading order: ``engine`` (the interface), ``on_onnxruntime``, ``on_openvino``, ``on_torch`` (the only one that imports
torch), ``choice`` (which one, and which next where memory does not suffice).
"""

from voxmmsd.inference.engines.choice import (
    Backend,
    bounded_threads,
    choose_backend,
    fallback_backends,
    load_libraries,
    open_backend,
    open_engine,
)
from voxmmsd.inference.engines.engine import HOST, Arrays, Engine, HostEngine
from voxmmsd.inference.engines.on_onnxruntime import OnnxEngine
from voxmmsd.inference.engines.on_openvino import OpenVinoEngine

__all__ = [
    "HOST",
    "Arrays",
    "Backend",
    "Engine",
    "HostEngine",
    "OnnxEngine",
    "OpenVinoEngine",
    "bounded_threads",
    "choose_backend",
    "fallback_backends",
    "load_libraries",
    "open_backend",
    "open_engine",
]
