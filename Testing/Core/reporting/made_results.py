"""Results with known labels, as ``segment`` would have written them, in a moment and without a model."""

from pathlib import Path

import nibabel as nib
import numpy as np

from voxmmsd.data.formats.sources import Source, source_sha256
from voxmmsd.data.label_maps import volumes_ml
from voxmmsd.data.volume import Grid
from voxmmsd.files import sha256_of
from voxmmsd.labels import schema_named, values_from_indices
from voxmmsd.records.result import ModelUsed, ResultRecord

MODEL = ModelUsed("toy-1", "0.1.0", "0" * 64)


def write_image(file, array_zyx, grid):
    file.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(np.ascontiguousarray(array_zyx.T), grid.affine_xyz), file)
    return file


def write_result(
    root: Path,
    case_id: str,
    images,
    label_zyx,
    grid: Grid,
    schema="brats-gli-2023",
    model=MODEL,
    **record,
) -> Path:
    """``images``: modality -> ``(z, y, x)``, or -> a file that is there; written to ``root/cases/CASEID``. The result
    is ``root/results/CASEID-voxmmsd.nii.gz``; ``label_zyx`` are class indices."""
    meaning = schema_named(schema)
    files = {
        name: image
        if isinstance(image, Path)
        else write_image(root / "cases" / case_id / f"{case_id}-{name}.nii.gz", image, grid)
        for name, image in images.items()
    }
    folder = root / "results"
    result = write_image(folder / f"{case_id}-voxmmsd.nii.gz", values_from_indices(label_zyx, meaning), grid)
    ResultRecord(
        schema=schema,
        case=case_id,
        labels={label.key: label.value for label in meaning.labels},
        model=model,
        engine="none",
        reference=next(iter(images)),
        inputs={name: source_sha256(Source(file)) for name, file in files.items()},
        missing=tuple(name for name in ("t1n", "t1c", "t2w", "t2f") if name not in images),
        volumes_ml={key: round(ml, 4) for key, ml in volumes_ml(label_zyx, meaning, grid).items()},
        sha256=sha256_of(result),
        **record,
    ).write(folder / f"{case_id}-voxmmsd.json")
    return result
