"""How this computer computes: the widgets under *Options* that are kept in Slicer's settings, not in the scene."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from voxmmsd.config import DEVICES, PRECISIONS
from voxmmsd.data.strippers import STRIPPERS, installed
from VoxMMSDLib import settings
from VoxMMSDLib.pages import Page

_DEVICE_NAMES = {"auto": "automatic", "cpu": "CPU", "cuda": "CUDA (NVIDIA)", "mps": "MPS (Apple)"}


class ComputerOptions:
    """Fills the widgets, shows what was kept and keeps every change."""

    def __init__(self, ui: Page) -> None:
        self._ui = ui
        for device in DEVICES:
            ui.deviceCombo.addItem(_DEVICE_NAMES.get(device, device), device)
        for precision in PRECISIONS:
            ui.precisionCombo.addItem(precision, precision)
        self.fill_strippers()
        self._read()
        for combo in (ui.deviceCombo, ui.precisionCombo):
            combo.connect("activated(int)", self.keep)
        for edit in (ui.smallestEdit, ui.memoryEdit):
            edit.connect("editingFinished()", self.keep)
        for check in (ui.uncertaintyCheck, ui.ttaCheck):
            check.connect("toggled(bool)", self.keep)

    def fill_strippers(self) -> None:
        """Offer the programs that strip a skull and are installed now."""
        combo, chosen = self._ui.stripCombo, self._ui.stripCombo.currentData
        combo.clear()
        combo.addItem(_("do not strip"), "")
        for word in installed():
            combo.addItem(_("strip by {name}").format(name=STRIPPERS[word].title), word)
        combo.setCurrentIndex(max(0, combo.findData(chosen)))

    def keep(self, *_: Any) -> None:
        """Write what is chosen into Slicer's settings."""
        ui = self._ui
        settings.write("device", ui.deviceCombo.currentData or DEVICES[0])
        settings.write("precision", ui.precisionCombo.currentData or PRECISIONS[0])
        settings.write("memory", ui.memoryEdit.text.strip())
        settings.write("smallest", ui.smallestEdit.text.strip())
        settings.write("uncertainty", ui.uncertaintyCheck.checked)
        settings.write("tta", ui.ttaCheck.checked)

    def _read(self) -> None:
        ui = self._ui
        ui.deviceCombo.setCurrentIndex(max(0, ui.deviceCombo.findData(settings.read("device", DEVICES[0]))))
        ui.precisionCombo.setCurrentIndex(max(0, ui.precisionCombo.findData(settings.read("precision", PRECISIONS[0]))))
        ui.memoryEdit.setText(settings.read("memory", ""))
        ui.smallestEdit.setText(settings.read("smallest", ""))
        ui.uncertaintyCheck.setChecked(settings.read_bool("uncertainty", True))
        ui.ttaCheck.setChecked(settings.read_bool("tta", False))
