"""Which files are one case, and which image is which: folders, lists, names, DICOM tags."""
