"""A public case in Slicer with its expert's label, for scripts that take pictures or time."""

from pathlib import Path

import numpy as np
import slicer

from VoxMMSDLib.segments import label_array, mask_of, schema_of, segments_by_value, set_mask


def load_images(folder):
    """The case's volumes by modality, contrast-enhanced T1 in the views."""
    import VoxMMSDSegment  # noqa: F401  the core lies beside it
    from voxmmsd.data.cases import find_cases

    images, nodes = find_cases(Path(folder)).cases[0].modalities, {}
    for key in ("t2f", "t2w", "t1n", "t1c"):  # the last one loaded is in the views
        if key in images:
            nodes[key] = slicer.util.loadVolume(str(images[key].path))
    return nodes


def expert_label(folder, result):
    """The case's own label in the values of the result's schema."""
    from voxmmsd.data.cases import find_cases
    from voxmmsd.data.formats.sources import read_volume
    from voxmmsd.labels import converted_indices, indices_from_values, schema_named, values_from_indices

    case, ours = find_cases(Path(folder)).cases[0], schema_of(result)
    theirs = schema_named(case.schema)
    indices = indices_from_values(read_volume(case.label).array, theirs, case.id)
    return values_from_indices(converted_indices(indices, theirs, ours, case.id), ours)


def correct_worst_slice(panel, result, expert):
    """Paint the axial slice with the most wrong voxels as the expert has it, undoably; returns its number."""
    reference = panel.parameters.t1c
    number = int((label_array(result, reference) != expert).sum(axis=(1, 2)).argmax())
    inside = np.zeros(expert.shape, bool)
    inside[number] = True
    panel.ui.segmentEditor.saveStateForUndo()
    for value, (segment_id, *_others) in segments_by_value(result).items():
        mask = np.where(inside, expert == value, mask_of(result, [segment_id], reference))
        set_mask(result, segment_id, mask, reference)
    return number
