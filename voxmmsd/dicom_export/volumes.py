"""Volumes of the segments as a DICOM structured report: Measurement Report (PS3.16, TID 1500)."""

from __future__ import annotations

from typing import Any

from voxmmsd.dicom_export.package import highdicom
from voxmmsd.dicom_export.segmentation import SOFTWARE, Contents, algorithm_of, code, set_created
from voxmmsd.labels import BRAIN, Terminology

_BRAIN_MRI = Terminology("LN", "24590-2", "Brain MRI")
_VOLUME = Terminology("SCT", "118565006", "Volume")
_MM3 = Terminology("UCUM", "mm3", "cubic millimeter")
_FROM_VOXELS = Terminology("DCM", "126030", "Sum of segmented voxel method for volume")
_REPORT = Terminology("DCM", "126000", "Imaging Measurement Report")
_ENGLISH = Terminology("RFC5646", "en-US", "English (United States)")


def report_of(contents: Contents, segmentation: Any) -> Any:
    """The DICOM instance, a ``highdicom.sr.EnhancedSR``: the volume of each segment of ``segmentation`` in mm3.

    Raises:
        ValueError, TypeError, AttributeError: the header of the source has values that DICOM does not allow.
    """
    hd = highdicom(str(contents.series.folder))
    name, version, _ = algorithm_of(contents)
    observer = hd.sr.ObserverContext(
        observer_type=hd.sr.CodedConcept("121007", "DCM", "Device"),
        observer_identifying_attributes=hd.sr.DeviceObserverIdentifyingAttributes(
            uid=contents.uid("observer"), name=SOFTWARE, manufacturer_name=SOFTWARE, model_name="Vox-MMSD"
        ),
    )
    groups = [
        hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
            tracking_identifier=hd.sr.TrackingIdentifier(uid=segment.uid, identifier=segment.label.name),
            referenced_segment=hd.sr.ReferencedSegment(
                segmentation.SOPClassUID,
                segmentation.SOPInstanceUID,
                segment.number,
                source_series=hd.sr.SourceSeriesForSegmentation(contents.series.uid),
            ),
            finding_type=code(segment.label.terminology),
            finding_sites=[hd.sr.FindingSite(code(BRAIN))],
            algorithm_id=hd.sr.AlgorithmIdentification(name, version),
            measurements=[
                hd.sr.Measurement(
                    name=code(_VOLUME), value=round(segment.volume_mm3, 3), unit=code(_MM3), method=code(_FROM_VOXELS)
                )
            ],
        )
        for segment in contents.segments
    ]
    report = hd.sr.MeasurementReport(
        observation_context=hd.sr.ObservationContext(observer_device_context=observer),
        procedure_reported=code(_BRAIN_MRI),
        imaging_measurements=groups,
        title=code(_REPORT),
        language_of_content_item_and_descendants=hd.sr.LanguageOfContentItemAndDescendants(code(_ENGLISH)),
        referenced_images=_library(contents),
    )
    dataset = hd.sr.EnhancedSR(
        evidence=[segmentation, *contents.series.headers],
        content=report,
        is_complete=True,
        specific_character_set=contents.series.headers[0].get("SpecificCharacterSet"),
        **contents.general("SR"),
    )
    set_created(dataset, contents)
    return dataset


def _library(contents: Contents) -> list[Any] | None:
    """The images of the library; highdicom describes those of single frames only."""
    headers = contents.series.headers
    return list(headers) if len(headers) > 1 else None
