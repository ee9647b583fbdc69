"""The less important options of a verb as a form: names, kinds and help are those of its configuration."""

from __future__ import annotations

import dataclasses
from typing import Any

import qt

from voxmmsd.config import FinetuneConfig, PretrainConfig, flag_of

# What a person who trains may want to change; the rest has one good value, or is for ablations.
SHOWN = {
    FinetuneConfig: (
        "learning_rate",
        "modality_dropout",
        "foreground",
        "augment",
        "validate_every",
        "checkpoint_every",
        "seed",
        "threads",
    ),
    PretrainConfig: (
        "learning_rate",
        "masked",
        "cell",
        "pairs",
        "preview_every",
        "checkpoint_every",
        "seed",
        "threads",
    ),
}
_LARGEST = 1_000_000


class OptionsForm:
    """Widgets for the fields of ``kind`` as a page of a stack; ``show`` fills them, ``values`` reads them."""

    def __init__(self, stack, kind: type) -> None:
        self._widgets: dict[str, Any] = {}
        page = qt.QWidget()
        form = qt.QFormLayout(page)
        form.setContentsMargins(0, 0, 0, 0)
        fields = {item.name: item for item in dataclasses.fields(kind)}
        for name in SHOWN[kind]:
            widget = _widget(fields[name].default)
            widget.toolTip = fields[name].metadata["help"]
            label = qt.QLabel(flag_of(fields[name]).replace("-", " ").capitalize() + ":")
            label.toolTip = widget.toolTip
            label.setBuddy(widget)
            form.addRow(label, widget)
            self._widgets[name] = widget
        stack.addWidget(page)

    def show(self, config: Any) -> None:
        for name, widget in self._widgets.items():
            value = getattr(config, name)
            if isinstance(value, bool):
                widget.checked = value
            else:
                widget.setValue(value)

    def values(self) -> dict[str, Any]:
        return {
            name: widget.checked if isinstance(widget, qt.QCheckBox) else widget.value
            for name, widget in self._widgets.items()
        }


def _widget(default: Any):
    if isinstance(default, bool):
        return qt.QCheckBox()
    if isinstance(default, float):
        box = qt.QDoubleSpinBox()
        box.setDecimals(5)
        box.setSingleStep(0.01 if default > 0.01 else 0.0001)
    else:
        box = qt.QSpinBox()
    box.setRange(0, _LARGEST)
    return box
