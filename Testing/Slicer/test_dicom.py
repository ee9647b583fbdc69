"""*Export to DICOM...*: the labels as they are corrected become DICOM SEG and SR of the series that Slicer loaded."""

import dataclasses
import importlib.util
import unittest
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import slicer
import slicer_case
from phantom_case import add_result, add_volumes, phantom
from slicer_case import wait_until

from VoxMMSDLib.segments import set_mask
from VoxMMSDSegmentLib import dicom_box
from VoxMMSDSegmentLib.rounds import PREDICTED_LABELS
from VoxMMSDSegmentLib.to_dicom import PACKAGES, free_stem

HAS_PACKAGES = all(importlib.util.find_spec(name) for name in PACKAGES)
UID = "1.2.826.0.1.99"


def write_slices(folder, image_zyx):
    """One file per axial slice, from the feet up; the paths by SOPInstanceUID."""
    import SimpleITK

    folder.mkdir()
    writer = SimpleITK.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    files = {}
    for index, voxels in enumerate(image_zyx):
        image = SimpleITK.GetImageFromArray(np.round(voxels / image_zyx.max() * 1000).astype(np.uint16))
        tags = {"0008|0060": "MR", "0010|0020": "PAT-7", "0020|000d": UID, "0020|0052": f"{UID}.9",
                "0020|000e": f"{UID}.1", "0020|0037": "1\\0\\0\\0\\1\\0", "0020|0032": f"-20\\-30\\{index - 10}",
                "0008|0018": f"{UID}.1.{index + 1}"}  # fmt: skip
        for key, value in tags.items():
            image.SetMetaData(key, value)
        files[tags["0008|0018"]] = folder / f"{index:03}.dcm"
        writer.SetFileName(str(files[tags["0008|0018"]]))
        writer.Execute(image)
    return files


@unittest.skipUnless(HAS_PACKAGES, f"needs {' and '.join(PACKAGES)}")
class DicomExportTest(slicer_case.ModuleTest):
    def setUp(self):
        super().setUp()
        made = phantom(side=24)
        self.files = write_slices(self.folder / "scan", made.image_czyx[1])
        affine = np.diag([-1.0, -1.0, 1.0, 1.0])
        affine[:3, 3] = 20, 30, -10
        self.made = dataclasses.replace(made, grid=type(made.grid)(made.grid.shape_zyx, affine))
        self.volumes = add_volumes(self.made)
        self.volumes["t1c"].SetAttribute("DICOM.instanceUIDs", " ".join(self.files))
        database = SimpleNamespace(
            isOpen=True, fileForInstance=lambda uid: str(self.files.get(uid, "")), instanceValue=lambda uid, tag: ""
        )
        patched = mock.patch.object(slicer, "dicomDatabase", database, create=True)
        patched.start()
        self.addCleanup(patched.stop)
        self.panel = self.open_panel("VoxMMSDSegment")
        self.ui, self.box = self.panel.ui, self.panel.review_tab.dicom
        self.result = add_result(self.made, self.volumes, self.folder)
        self.panel.parameters.result = self.result
        self.out = self.folder / "out"
        self.out.mkdir()

    def export(self):
        """Press the button, and wait; what the panel said."""
        with (
            mock.patch("qt.QFileDialog.getExistingDirectory", return_value=str(self.out)),
            mock.patch.object(dicom_box, "ensure"),
        ):
            self.ui.dicomButton.click()
        wait_until(lambda: self.box.job is None)
        return self.ui.acceptedLabel.text

    def test_the_corrected_labels_are_written_slice_by_slice_and_called_edited(self):
        import pydicom

        mask = np.zeros(self.made.label_zyx.shape, bool)
        mask[10:14, 5:9, 6:12] = True
        set_mask(self.result, "ET", mask, self.volumes["t1c"])
        self.assertIn("research use only", self.export())
        written = {file.name.rpartition("-voxmmsd")[2]: file for file in self.out.iterdir()}
        self.assertEqual(set(written), {"-seg.dcm", "-volumes-sr.dcm"})
        segmentation = pydicom.dcmread(written["-seg.dcm"])
        self.assertEqual((segmentation.StudyInstanceUID, segmentation.PatientID), (UID, "PAT-7"))
        numbers = {one.SegmentLabel: one.SegmentNumber for one in segmentation.SegmentSequence}
        self.assertEqual(segmentation.SegmentSequence[0].SegmentAlgorithmType, "SEMIAUTOMATIC")
        found = np.zeros_like(mask)
        frames = segmentation.PerFrameFunctionalGroupsSequence
        for frame, pixels in zip(frames, segmentation.pixel_array, strict=True):
            if frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber == numbers["Enhancing tumor"]:
                found[round(frame.PlanePositionSequence[0].ImagePositionPatient[2]) + 10] = pixels
        self.assertTrue(np.array_equal(found, mask))
        left = [file for folder in Path(slicer.app.temporaryPath).glob("voxmmsd-*") for file in folder.rglob("*")]
        self.assertEqual(left, [])

    def test_an_export_goes_on_while_another_result_is_chosen_or_the_scene_closes_and_names_its_own(self):
        name = self.result.GetName()
        other = add_result(self.made, self.volumes, self.folder)
        for leave in (lambda: setattr(self.panel.parameters, "result", other), slicer.mrmlScene.Clear):
            self.panel.parameters.result = self.result
            with (
                mock.patch("qt.QFileDialog.getExistingDirectory", return_value=str(self.out)),
                mock.patch.object(dicom_box, "ensure"),
            ):
                self.ui.dicomButton.click()
            leave()
            self.assertIsNotNone(self.box.job)
            wait_until(lambda: self.box.job is None)
            self.assertIn(f"{name} was written as", self.ui.acceptedLabel.text)
        self.assertEqual(len(list(self.out.iterdir())), 4)

    def test_an_image_that_is_no_dicom_cannot_be_exported_and_the_button_says_why(self):
        self.volumes["t1c"].RemoveAttribute("DICOM.instanceUIDs")
        self.panel.parameters.result = None
        self.assertIn("no result", self.ui.dicomButton.toolTip)
        self.panel.parameters.result = self.result
        self.assertFalse(self.ui.dicomButton.enabled)
        self.assertIn("not loaded from DICOM", self.ui.dicomButton.toolTip)

    def test_files_that_are_gone_and_a_transform_are_said_in_a_sentence(self):
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        self.volumes["t1c"].SetAndObserveTransformNodeID(node.GetID())
        self.assertIn("moved by a transform", self.export())
        self.volumes["t1c"].SetAndObserveTransformNodeID(None)
        next(iter(self.files.values())).unlink()
        self.assertIn("1 of 24 files", self.export())
        self.assertEqual(list(self.out.iterdir()), [])

    def test_what_the_core_refuses_is_said_and_nothing_is_written(self):
        for key in ("NCR", "ED", "ET"):
            set_mask(self.result, key, np.zeros(self.made.label_zyx.shape, bool), self.volumes["t1c"])
        self.assertIn("needs a segment", self.export())
        self.assertEqual(list(self.out.iterdir()), [])
        self.assertTrue(self.ui.dicomButton.enabled)

    def test_a_result_whose_predicted_labels_have_lost_their_file_is_exported_as_edited(self):
        import pydicom

        self.result.GetNodeReference(PREDICTED_LABELS).SetAndObserveImageData(None)
        self.assertIn("research use only", self.export())
        written = next(self.out.glob("*-seg.dcm"))
        self.assertEqual(pydicom.dcmread(written).SegmentSequence[0].SegmentAlgorithmType, "SEMIAUTOMATIC")

    def test_a_second_export_takes_a_name_of_its_own(self):
        (self.out / "P-voxmmsd-seg.dcm").write_bytes(b"")
        self.assertEqual(free_stem(self.out, "P"), "P-2")
        self.assertEqual(free_stem(self.out, "Q"), "Q")

    def test_packages_that_are_declined_are_said_and_nothing_starts(self):
        from voxmmsd.errors import MissingDependencyError

        declined = MissingDependencyError("not installed: highdicom>=0.28", "press the button again to install them")
        with (
            mock.patch("qt.QFileDialog.getExistingDirectory", return_value=str(self.out)),
            mock.patch.object(dicom_box, "ensure", side_effect=declined),
        ):
            self.ui.dicomButton.click()
        self.assertIn("press the button again", self.ui.acceptedLabel.text)
        self.assertIsNone(self.box.job)
