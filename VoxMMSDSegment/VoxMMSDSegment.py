"""Vox-MMSD Brain Tumor Segmentation: the title page; the work is in ``VoxMMSDSegmentLib``."""

import sys
from pathlib import Path

import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import ScriptedLoadableModule

# The core lies beside the modules when installed, one level up in a source checkout.
_HERE = Path(__file__).resolve().parent
_ROOT = next(place for place in (_HERE, _HERE.parent) if (place / "voxmmsd" / "__init__.py").is_file())
if str(_ROOT) not in sys.path[:1]:
    sys.path.insert(0, str(_ROOT))

from VoxMMSDSegmentLib import sample  # noqa: E402
from VoxMMSDSegmentLib.logic import VoxMMSDSegmentLogic  # noqa: E402
from VoxMMSDSegmentLib.self_test import VoxMMSDSegmentTest  # noqa: E402
from VoxMMSDSegmentLib.widget import VoxMMSDSegmentWidget  # noqa: E402

__all__ = ["VoxMMSDSegment", "VoxMMSDSegmentLogic", "VoxMMSDSegmentTest", "VoxMMSDSegmentWidget"]


class VoxMMSDSegment(ScriptedLoadableModule):
    """What Slicer shows of the module before it is opened."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("Vox-MMSD Brain Tumor Segmentation")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        self.parent.dependencies = []
        self.parent.contributors = ["The SlicerVoxMMSD developers"]
        self.parent.helpText = _(
            "Segments brain tumors on T1, contrast-enhanced T1, T2 and FLAIR images, in any combination; "
            "results can be reviewed, corrected and used to train the next model. Not a medical device; "
            "research use only."
        )
        slicer.app.connect("startupCompleted()", self._when_slicer_has_started)
        self.parent.acknowledgementText = _(
            "Method: Zhou et al., Vox-MMSD, IEEE JBHI 2025, doi 10.1109/JBHI.2025.3592116."
        )

    def _when_slicer_has_started(self):
        terms = _HERE / "Resources" / "Terminology" / "VoxMMSD.term.json"
        slicer.modules.terminologies.logic().LoadTerminologyFromFile(str(terms))
        sample.register(_HERE / "Resources" / "Icons" / "VoxMMSDSegment.png")
