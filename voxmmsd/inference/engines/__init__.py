"""What computes, behind one small interface: ONNX Runtime and OpenVINO on CPUs, torch on GPUs and while training.

Reading order: ``engine`` (the interface), ``on_onnxruntime``, ``on_openvino``, ``on_torch`` (the only one that imports
torch), ``choice`` (which one, and which next where memory does not suffice).
"""

from voxmmsd.inference.engines.choice import Way, bounded_threads, choose_way, open_engine, open_way, ways_down
from voxmmsd.inference.engines.engine import HOST, Arrays, Engine, HostEngine
from voxmmsd.inference.engines.on_onnxruntime import OnnxEngine
from voxmmsd.inference.engines.on_openvino import OpenVinoEngine

__all__ = [
    "HOST",
    "Arrays",
    "Engine",
    "HostEngine",
    "OnnxEngine",
    "OpenVinoEngine",
    "Way",
    "bounded_threads",
    "choose_way",
    "open_engine",
    "open_way",
    "ways_down",
]
