"""A light and a dark ground, as Slicer's two styles have them."""

from __future__ import annotations

from PySide6 import QtGui

_GROUNDS = {"light": ("#f0f0f0", "#ffffff", "#101010"), "dark": ("#2b2b2b", "#232323", "#f0f0f0")}


def palette(name: str) -> QtGui.QPalette:
    """``light`` or ``dark``."""
    ground, base, ink = (QtGui.QColor(color) for color in _GROUNDS[name])
    made, roles = QtGui.QPalette(ground), QtGui.QPalette.ColorRole
    for role in (roles.Window, roles.Button, roles.ToolTipBase):
        made.setColor(role, ground)
    for role in (roles.Base, roles.AlternateBase):
        made.setColor(role, base)
    for role in (roles.WindowText, roles.Text, roles.ButtonText, roles.BrightText, roles.ToolTipText):
        made.setColor(role, ink)
        made.setColor(QtGui.QPalette.ColorGroup.Disabled, role, QtGui.QColor("#808080"))
    return made
