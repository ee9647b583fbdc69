"""Images out of files and into them: NIfTI, DICOM and what SimpleITK reads."""
