"""Vox-MMSD: brain tumor segmentation on multi-modal MRI from few labels.

Reading order, which is also the way of the data:
``labels`` -> ``data.cases`` -> ``data.volume`` -> ``data.preprocess`` -> ``data.store`` -> ``networks.unet3d``
-> ``training.finetune`` -> ``models.package`` -> ``inference.predict`` -> ``evaluation.scores``.
``config`` and ``runs`` say how a long job is asked for and watched; ``cli`` puts a verb in front of each step.
"""

import os

# Builds of ONNX Runtime report their use to Microsoft, with a number for each machine, unless told before they load.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

__version__ = "0.1.0"
