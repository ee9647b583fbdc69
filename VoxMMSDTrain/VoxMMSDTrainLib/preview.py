"""Pictures that a run makes on its way, the newest shown; arrows go back and forth."""

from __future__ import annotations

from collections.abc import Sequence

import qt
from slicer.i18n import tr as _

from voxmmsd.runs.following import Preview
from VoxMMSDLib.pages import Page

WIDTH = 320  # what the frame leaves of a panel of 400 pixels


def fitted(picture, ratio: float):
    """As wide as the panel has room for, and as sharp as its screen, which has ``ratio`` pixels for one of a widget."""
    found = picture.scaledToWidth(round(WIDTH * ratio), qt.Qt.SmoothTransformation)
    found.setDevicePixelRatio(ratio)
    return found


class Previews:
    """Follows the newest picture until the user goes back to an earlier one."""

    def __init__(self, ui: Page) -> None:
        self._ui = ui
        self._previews: Sequence[Preview] = ()
        self._number = -1
        ui.earlierButton.connect("clicked()", lambda: self._go(-1))
        ui.laterButton.connect("clicked()", lambda: self._go(1))
        self.clear()

    def clear(self) -> None:
        self._previews, self._number = (), -1
        self._ui.previewBox.setVisible(False)

    def show(self, previews: Sequence[Preview]) -> None:
        follows = self._number == len(self._previews) - 1
        self._previews = tuple(previews)
        if follows:
            self._number = len(self._previews) - 1
        self._draw()

    def _go(self, steps: int) -> None:
        self._number += steps
        self._draw()

    def _draw(self) -> None:
        ui, count = self._ui, len(self._previews)
        self._number = min(max(self._number, 0), count - 1)
        ui.previewBox.setVisible(count > 0)
        if not count:
            return
        preview = self._previews[self._number]
        picture = qt.QPixmap(str(preview.file))
        if picture.isNull():  # not on this share yet, or removed
            ui.previewImage.setMinimumHeight(0)
            ui.previewImage.setText(_("{file} cannot be read").format(file=preview.file.name))
        else:
            ratio = ui.previewImage.devicePixelRatioF()
            shown = fitted(picture, ratio)
            ui.previewImage.setPixmap(shown)
            ui.previewImage.setMinimumHeight(round(shown.height() / ratio))  # else a long page would cut it off
            ui.previewImage.setToolTip(str(preview.file))
        ui.previewCaption.setText(
            _("step {step} ({number} of {count})").format(step=preview.step, number=self._number + 1, count=count)
        )
        ui.earlierButton.setEnabled(self._number > 0)
        ui.laterButton.setEnabled(self._number < count - 1)
