"""Vox-MMSD: brain tumor segmentation from multi-modal MRI with few labels.

Reading order, which follows the data:
``labels`` -> ``data.cases`` -> ``data.volume`` -> ``data.preprocess`` -> ``data.store`` -> ``networks.unet3d``
-> ``training.finetune`` -> ``models.package`` -> ``inference.predict`` -> ``evaluation.scores``.
``config`` and ``runs`` define options and run folders of long jobs; ``cli`` provides a verb for each step.
"""

import os

# Builds of ONNX Runtime report their use to Microsoft, with a number for each machine, unless told before they load.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

__version__ = "0.1.0"
