"""Vox-MMSD Brain Tumor Training: the title page; the work is in ``VoxMMSDTrainLib``."""

import sys
from pathlib import Path

from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import ScriptedLoadableModule

# The core lies beside the modules when installed, one level up in a source checkout.
_HERE = Path(__file__).resolve().parent
_ROOT = next(place for place in (_HERE, _HERE.parent) if (place / "voxmmsd" / "__init__.py").is_file())
if str(_ROOT) not in sys.path[:1]:
    sys.path.insert(0, str(_ROOT))

from VoxMMSDTrainLib.logic import VoxMMSDTrainLogic  # noqa: E402
from VoxMMSDTrainLib.self_test import VoxMMSDTrainTest  # noqa: E402
from VoxMMSDTrainLib.widget import VoxMMSDTrainWidget  # noqa: E402

__all__ = ["VoxMMSDTrain", "VoxMMSDTrainLogic", "VoxMMSDTrainTest", "VoxMMSDTrainWidget"]


class VoxMMSDTrain(ScriptedLoadableModule):
    """What Slicer shows of the module before it is opened."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("Vox-MMSD Brain Tumor Training")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        self.parent.dependencies = []
        self.parent.contributors = ["The SlicerVoxMMSD developers"]
        self.parent.helpText = _(
            "Trains the segmentation model: pre-training on scans without labels, fine-tuning on corrected cases. "
            "Not a medical device; research use only."
        )
        self.parent.acknowledgementText = _(
            "Method: Zhou et al., Vox-MMSD, IEEE JBHI 2025, doi 10.1109/JBHI.2025.3592116."
        )
