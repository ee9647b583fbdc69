"""A result as DICOM, for a department's archive: the labels as a segmentation, their volumes as a structured report."""
