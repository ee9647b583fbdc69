"""The less important options of a verb as a form: names, kinds and help are those of its configuration."""

from __future__ import annotations

import dataclasses
from typing import Any

import qt

from voxmmsd.config import flag_of

_LARGEST = 1_000_000


class OptionsForm:
    """Widgets for the fields of ``kind`` as a page of a stack; ``show`` fills them, ``values`` reads them."""

    def __init__(self, stack, kind: type) -> None:
        self._widgets: dict[str, Any] = {}
        page = qt.QWidget()
        form = qt.QFormLayout(page)
        form.setContentsMargins(0, 0, 0, 0)
        for item in dataclasses.fields(kind):
            if not item.metadata["panel"]:  # the rest has one good value, or is for ablations
                continue
            widget = _widget(item)
            widget.setToolTip(item.metadata["help"])
            label = qt.QLabel(flag_of(item).replace("-", " ").capitalize() + ":")
            label.setToolTip(widget.toolTip)
            label.setBuddy(widget)
            form.addRow(label, widget)
            self._widgets[item.name] = widget
        stack.addWidget(page)

    def show(self, config: Any) -> None:
        for name, widget in self._widgets.items():
            value = getattr(config, name)
            if isinstance(value, bool):
                widget.setChecked(value)
            else:
                widget.setValue(value)

    def values(self) -> dict[str, Any]:
        return {
            name: widget.checked if isinstance(widget, qt.QCheckBox) else widget.value
            for name, widget in self._widgets.items()
        }


def _widget(item: dataclasses.Field):
    if isinstance(item.default, bool):
        return qt.QCheckBox()
    if isinstance(item.default, float):
        box = qt.QDoubleSpinBox()
        box.setDecimals(5)
        box.setSingleStep(0.01 if item.default > 0.01 else 0.0001)
    else:
        box = qt.QSpinBox()
    least, most = item.metadata["range"]
    box.setRange(least, min(most, _LARGEST))
    return box
