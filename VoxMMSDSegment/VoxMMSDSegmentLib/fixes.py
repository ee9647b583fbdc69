"""What one click does about a finding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import slicer
from slicer.i18n import tr as _

from voxmmsd.labels import MODALITY_NAMES
from VoxMMSDLib.volumes import hardened_copy
from VoxMMSDSegmentLib.findings import Suggestion

if TYPE_CHECKING:
    from voxmmsd.records.findings import Finding


class Fixes:
    """Buttons for findings; each changes what is chosen in ``parameters``."""

    def __init__(self, parameters) -> None:
        self._parameters = parameters

    def is_chosen(self, finding: Finding) -> bool:
        """Whether what is chosen takes care of it already."""
        scanner, resample = self._parameters.fromScanner, self._parameters.intermediates
        align = self._parameters.align or scanner
        return {"skull": scanner, "not-aligned": align, "different-grids": align or resample}.get(finding.kind, False)

    def suggestions(self, finding: Finding, before: Sequence[Finding]) -> list[Suggestion]:
        """``before``: the findings above it, which may offer the same already."""
        make = {
            "same-volume": self._leave_out,
            "constant": self._leave_out,
            "label-map": self._leave_out,
            "negative": self._leave_out,
            "wrong-slot": self._swap,
            "skull": self._from_scanner,
            "not-aligned": self._align,
            "different-grids": self._scanner_or_resample,
            "bent": self._harden,
        }.get(finding.kind)
        pair = {finding.modality, finding.seems}
        is_offered = bool(finding.seems) and any({one.modality, one.seems} == pair for one in before)
        return make(finding) if make and not is_offered else []

    def _choose(self, **values: Any) -> None:
        for slot, value in values.items():
            setattr(self._parameters, slot, value)

    def _leave_out(self, finding: Finding) -> list[Suggestion]:
        slot = finding.modality
        return [Suggestion(_("Leave out"), _("Leave this image out."), lambda: self._choose(**{slot: None}))]

    def _swap(self, finding: Finding) -> list[Suggestion]:
        one, other = finding.modality, finding.seems
        first, second = getattr(self._parameters, one), getattr(self._parameters, other)
        hint = _("Exchange the images of {one} and {other}.").format(
            one=MODALITY_NAMES[one], other=MODALITY_NAMES[other]
        )
        return [Suggestion(_("Swap"), hint, lambda: self._choose(**{one: second, other: first}))]

    def _from_scanner(self, _finding: Finding) -> list[Suggestion]:
        hint = _("Align the images and extract the brain first.")
        return [Suggestion(_("From the scanner"), hint, lambda: self._choose(fromScanner=True))]

    def _align(self, _finding: Finding) -> list[Suggestion]:
        return [Suggestion(_("Align"), _("Register the images first."), lambda: self._choose(align=True))]

    def _scanner_or_resample(self, finding: Finding) -> list[Suggestion]:
        hint = _("If they are already aligned: only resample them, and add the resampled images to the scene.")
        return [*self._from_scanner(finding), Suggestion(_("Resample"), hint, lambda: self._choose(intermediates=True))]

    def _harden(self, finding: Finding) -> list[Suggestion]:
        def act() -> None:
            with slicer.util.tryWithErrorDisplay(_("The image could not be hardened."), waitCursor=True):
                self._choose(**{finding.modality: hardened_copy(getattr(self._parameters, finding.modality))})

        hint = _("Use a copy with the transform applied; your image stays unchanged.")
        return [Suggestion(_("Harden a copy"), hint, act)]
