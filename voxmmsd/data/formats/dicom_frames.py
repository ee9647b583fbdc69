"""Multi-frame (enhanced) MR: a whole series in one DICOM file, its frames in any order.

GDCM decodes the voxels, but takes the frames as they are stored: where they are not stored in order of position, or
hold several volumes, its grid is wrong without a word. So the grid comes from the functional groups (DICOM PS3.3,
C.7.6.16), which SimpleITK does not show.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from voxmmsd.errors import InputError, MissingDependencyError

# What pydicom raises, beside InvalidDicomError, where a header is damaged.
BROKEN = (ArithmeticError, AttributeError, EOFError, LookupError, NotImplementedError, OSError, TypeError, ValueError,
          struct.error)  # fmt: skip
_ONE_PLANE = 1e-3  # of a direction cosine
_TAGS = (
    "NumberOfFrames",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    "ContrastBolusAgentSequence",
)
# By the names of ``dicom.TAGS``: the group and the value in it that say what a plain MR image says in a tag.
_TIMES = {
    "repetition_ms": ("MRTimingAndRelatedParametersSequence", "RepetitionTime"),
    "echo_ms": ("MREchoSequence", "EffectiveEchoTime"),
    "inversion_ms": ("MRModifierSequence", "InversionTimes"),
}


@dataclass(frozen=True)
class Frames:
    """Where the frames of one file lie, in the order in which they are stored. ``positions_mm``: (frames, 3), the
    middle of each frame's first voxel in LPS; ``across``, ``down``: (3,), along a row and along a column;
    ``spacing_mm``: along a column and along a row; ``tags``: times and contrast by the names of ``dicom.TAGS``."""

    positions_mm: np.ndarray
    across: np.ndarray
    down: np.ndarray
    spacing_mm: tuple[float, float]
    tags: dict[str, str]

    @property
    def heights_mm(self) -> np.ndarray:
        """Of each frame, along the normal of its plane."""
        return self.positions_mm @ np.cross(self.across, self.down)

    def affine_lps(self, order: np.ndarray) -> np.ndarray:
        """(4, 4), mm from the indices of a column, a row and a frame; frames in this order, evenly spaced."""
        first, last = self.positions_mm[order[0]], self.positions_mm[order[-1]]
        affine = np.eye(4)
        affine[:3, 0] = self.across * self.spacing_mm[1]
        affine[:3, 1] = self.down * self.spacing_mm[0]
        affine[:3, 2] = (last - first) / max(len(order) - 1, 1)
        affine[:3, 3] = first
        return affine


def frames_of(file: Path) -> Frames:
    """The frames of a multi-frame file.

    Raises:
        InputError: its frames tell no position, lie in different planes, or are scaled differently.
        MissingDependencyError: pydicom is not installed.
    """
    try:
        import pydicom
    except ImportError as error:
        raise MissingDependencyError(
            f"{file}: multi-frame DICOM needs pydicom, which is not installed",
            "install it with pip install 'voxmmsd[formats]'",
        ) from error
    try:
        header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=list(_TAGS))
        return _frames(header, file)
    except (*BROKEN, pydicom.errors.InvalidDicomError) as error:
        raise InputError(
            f"{file}: is a multi-frame DICOM file whose frames have no position in the patient",
            "export it as a series of single slices",
        ) from error


def _frames(header: Any, file: Path) -> Frames:
    groups = [_Groups(header, index) for index in range(int(header.NumberOfFrames))]
    positions = np.array([g.value("PlanePositionSequence", "ImagePositionPatient") for g in groups], np.float64)
    planes = np.array([g.value("PlaneOrientationSequence", "ImageOrientationPatient") for g in groups], np.float64)
    spacings = np.array([g.value("PixelMeasuresSequence", "PixelSpacing") for g in groups], np.float64)
    scales = {(str(s), str(o)) for s, o in (g.scale() for g in groups)}
    if np.ptp(planes, axis=0).max() > _ONE_PLANE or np.ptp(spacings, axis=0).max() > _ONE_PLANE:
        raise InputError(f"{file}: its frames lie in different planes", "export each plane as a series of its own")
    if len(scales) > 1:
        raise InputError(f"{file}: its frames are scaled differently", "export it as a series of single slices")
    across, down = planes[0].reshape(2, 3)
    tags = {name: groups[0].text(*place) for name, place in _TIMES.items()}
    agents = [str(agent.get("CodeMeaning", "yes")) for agent in header.get("ContrastBolusAgentSequence") or ()]
    tags["contrast"] = " ".join(agents)
    return Frames(positions.reshape(-1, 3), across, down, (float(spacings[0][0]), float(spacings[0][1])), tags)


class _Groups:
    """What is said of one frame, else of all frames."""

    def __init__(self, header: Any, index: int) -> None:
        self._own = header.PerFrameFunctionalGroupsSequence[index]
        self._shared = header.get("SharedFunctionalGroupsSequence") or [{}]

    def value(self, group: str, name: str) -> Any:
        """Raises KeyError where it is not said."""
        for item in self._items(group):
            return item[name].value
        raise KeyError(group)

    def scale(self) -> tuple[Any, Any]:
        items = list(self._items("PixelValueTransformationSequence"))
        return (items[0].get("RescaleSlope", 1), items[0].get("RescaleIntercept", 0)) if items else (1, 0)

    def text(self, group: str, name: str) -> str:
        for item in self._items(group):
            value = item.get(name)  # one, or several (MultiValue)
            return "" if value is None else str(value if isinstance(value, (str, float)) else next(iter(value)))
        return ""

    def _items(self, group: str) -> Iterator[Any]:
        for place in (self._own, self._shared[0]):
            if len(place.get(group) or ()):
                yield place.get(group)[0]
