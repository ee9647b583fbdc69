"""Labels as a DICOM Segmentation (PS3.3, A.51): one binary segment for each label that is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np

from voxmmsd import __version__
from voxmmsd.data.grid import Grid
from voxmmsd.dicom_export.package import highdicom, uid_of
from voxmmsd.dicom_export.result import ExportedResult
from voxmmsd.dicom_export.series import SourceSeries
from voxmmsd.labels import BRAIN, MORPHOLOGICALLY_ALTERED, Label, Terminology

SOFTWARE = "SlicerVoxMMSD"
FOR_RESEARCH = "research use only"
_LONGEST = 64  # characters of a value representation LO
_SEG_NUMBER, _REPORT_NUMBER = 1000, 2000  # added to the number of the source series


@dataclass(frozen=True)
class Segment:
    """A label with voxels. ``number``: from 1 on, in the order of the schema. ``uid``: by which it is tracked."""

    number: int
    label: Label
    uid: str
    voxels: int
    volume_mm3: float


@dataclass(frozen=True)
class Contents:
    """What is exported: labels on the grid of a series, and all that identifies them.

    ``indices_zyx``: class indices of the result's schema, uint8. ``identity``: equal for equal contents only.
    """

    result: ExportedResult
    series: SourceSeries
    indices_zyx: np.ndarray
    segments: tuple[Segment, ...]
    identity: str

    def uid(self, *parts: str) -> str:
        return uid_of(self.identity, *parts)

    def general(self, modality: str) -> dict[str, Any]:
        """What the instance of a modality says of its series, its time and what made it."""
        made = self.result.made
        first = _SEG_NUMBER if modality == "SEG" else _REPORT_NUMBER
        what = "segmentation" if modality == "SEG" else "volumes"
        return {
            "series_instance_uid": self.uid(modality, "series"),
            "series_number": first + max(self.series.number, 0),
            "sop_instance_uid": self.uid(modality),
            "instance_number": 1,
            "series_description": f"Vox-MMSD {what}, {FOR_RESEARCH}",
            "manufacturer": SOFTWARE,
            "manufacturer_model_name": "Vox-MMSD",
            "software_versions": __version__,
            "device_serial_number": self.result.record.model.weights_sha256[:16] or "0",
            "content_date": made.date(),
            "content_time": made.time(),
            "series_date": made.date(),
            "series_time": made.time(),
        }


def contents_of(result: ExportedResult, series: SourceSeries, indices_zyx: np.ndarray) -> Contents:
    """``indices_zyx``: class indices on the grid of the series."""
    parts = (
        __version__,
        series.headers[0].StudyInstanceUID,
        series.uid,
        result.schema.name,
        result.record.model.id,
        result.record.model.version,
        result.record.model.weights_sha256,
        str(result.edited),
        result.made.isoformat(),
        sha256(np.ascontiguousarray(indices_zyx, np.uint8).tobytes()).hexdigest(),
    )
    identity = uid_of(*map(str, parts))
    counts = np.bincount(indices_zyx.ravel(), minlength=result.schema.class_count)
    there = [label for label, count in zip(result.schema.labels, counts[1:], strict=True) if count]
    voxel_mm3 = series.grid.voxel_volume_ml * 1000
    segments = tuple(
        Segment(number, label, uid_of(identity, label.key), voxels, voxels * voxel_mm3)
        for number, label in enumerate(there, start=1)
        for voxels in (int(counts[result.schema.labels.index(label) + 1]),)
    )
    return Contents(result, series, indices_zyx, segments, identity)


def code(term: Terminology) -> Any:
    """A concept as highdicom takes it."""
    from pydicom.sr.coding import Code

    return Code(term.code, term.scheme, term.meaning)


def algorithm_of(contents: Contents) -> tuple[str, str, dict[str, str]]:
    """Name, version and parameters of what made the labels."""
    model = contents.result.record.model
    name, version = (model.id or "unknown")[:_LONGEST], (model.version or "unknown")[:_LONGEST]
    return name, version, {"weights_sha256": model.weights_sha256, "voxmmsd": __version__}


def segmentation_of(contents: Contents) -> Any:
    """The DICOM instance, a ``highdicom.seg.Segmentation``; frames without a segment are left out.

    Raises:
        ValueError, TypeError, AttributeError: the header of the source has values that DICOM does not allow.
    """
    hd = highdicom(str(contents.series.folder))
    name, version, parameters = algorithm_of(contents)
    kinds = hd.seg.SegmentAlgorithmTypeValues
    family = Terminology("DCM", "123110", "Artificial Intelligence")
    model = hd.AlgorithmIdentificationSequence(name, code(family), version, SOFTWARE, parameters)
    described = [
        hd.seg.SegmentDescription(
            segment_number=segment.number,
            segment_label=segment.label.name[:_LONGEST],
            segmented_property_category=code(MORPHOLOGICALLY_ALTERED),
            segmented_property_type=code(segment.label.terminology),
            algorithm_type=kinds.SEMIAUTOMATIC if contents.result.edited else kinds.AUTOMATIC,
            algorithm_identification=model,
            tracking_uid=segment.uid,
            tracking_id=segment.label.name,
            anatomic_regions=[code(BRAIN)],
            display_color=hd.color.CIELabColor.from_rgb(*segment.label.color),
        )
        for segment in contents.segments
    ]
    dataset = hd.seg.Segmentation(
        source_images=list(contents.series.headers),
        pixel_array=_numbered(contents),
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=described,
        content_label="VOXMMSD",
        content_description=_described(contents, name),
        coding_schemes=_coding_schemes(contents.segments),
        **contents.general("SEG"),
    )
    dataset.ContentCreatorName = ""  # of type 2: nobody's name is known
    _set_identifiers(dataset, contents)
    _set_spacing(dataset, contents.series.grid)
    return dataset


def _described(contents: Contents, model: str) -> str:
    """A line of 64 characters at most; labels that were written despite blocking findings are called doubtful."""
    ending = f"{', doubtful' if contents.result.doubtful else ''}, {FOR_RESEARCH}"
    return f"Brain tumor by model {model}"[: _LONGEST - len(ending)] + ending


def _numbered(contents: Contents) -> np.ndarray:
    """Class indices as numbers of segments, frame by frame as the series has them."""
    schema = contents.result.schema
    numbers = np.zeros(schema.class_count, np.uint8)
    for segment in contents.segments:
        numbers[schema.labels.index(segment.label) + 1] = segment.number
    return numbers[contents.indices_zyx][contents.series.slices]


def _coding_schemes(segments: Sequence[Segment]) -> list[Any] | None:
    from highdicom.coding_schemes import CodingSchemeIdentificationItem

    own = {segment.label.terminology.scheme for segment in segments if segment.label.terminology.scheme[:2] == "99"}
    made = [
        CodingSchemeIdentificationItem(scheme, name="Vox-MMSD", responsible_organization=SOFTWARE) for scheme in own
    ]
    return made or None


def _set_identifiers(dataset: Any, contents: Contents) -> None:
    """highdicom draws the dimensions' UID and takes the clock's time: both follow from the contents instead."""
    dimensions = contents.uid("SEG", "dimensions")
    for item in (*dataset.DimensionOrganizationSequence, *dataset.DimensionIndexSequence):
        item.DimensionOrganizationUID = dimensions
    set_created(dataset, contents)


def set_created(dataset: Any, contents: Contents) -> None:
    """The time of an instance is that of the labels, so that a second export is the same instance, byte by byte."""
    made = contents.result.made
    dataset.InstanceCreationDate, dataset.InstanceCreationTime = made.strftime("%Y%m%d"), made.strftime("%H%M%S")
    for equipment in dataset.get("ContributingEquipmentSequence", ()):
        equipment.ContributionDateTime = made.strftime("%Y%m%d%H%M%S")


def _set_spacing(dataset: Any, grid: Grid) -> None:
    """The distance between slices, which a header of single slices tells nowhere or not well (it may tell the gap)."""
    shared = dataset.SharedFunctionalGroupsSequence[0]
    if "PixelMeasuresSequence" in shared:
        shared.PixelMeasuresSequence[0].SpacingBetweenSlices = float(f"{grid.spacing_mm_zyx[0]:.10g}")
