"""A hold-out case in the scene with what the old and the new model made of it."""

from __future__ import annotations

from pathlib import Path

import slicer
from slicer.i18n import tr as _

from voxmmsd.errors import InputError
from voxmmsd.labels import schema_named
from VoxMMSDLib.volumes import remove_whole
from VoxMMSDTrainLib.comparison import Comparison
from VoxMMSDTrainLib.library_case import open_case, segmentation_of


def open_both(comparison: Comparison, library_folder: Path, case_id: str) -> list:
    """The segmentation nodes of the old and of the new model, over the case's images and the expert's labels.

    Raises:
        InputError: the run has no segmentations of the case.
        LibraryError: the library or its case is not there.
    """
    from voxmmsd.library import open_library

    files = {
        name: comparison.folder / "comparison" / f"{case_id}-{key}.nii.gz"
        for name, key in ((_("old model"), "old"), (_("new model"), "new"))
    }
    if missing := [file for file in files.values() if not file.is_file()]:
        raise InputError(f"{missing[0]}: is not there; compare the models again by a new run")
    library = open_library(library_folder)
    open_case(library, library.case(case_id))
    schema = schema_named(comparison.schema)
    return [_loaded(file, f"{case_id} {name}", schema) for name, file in files.items()]


def _loaded(file: Path, name: str, schema):
    labelmap = slicer.util.loadLabelVolume(str(file), {"name": name, "show": False})
    try:
        return segmentation_of(labelmap, slicer.util.arrayFromVolume(labelmap), schema, name)
    finally:
        remove_whole(labelmap)
