"""Segment from Python, in one call: ``voxmmsd.segment``, ``voxmmsd.Segmenter`` for many cases, ``voxmmsd.score``.

The examples of this module run as tests. They take the first patient of ``voxmmsd phantom new --count 1 --shape 48``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from voxmmsd.concurrency import both
from voxmmsd.data.brain_mask import WORDS
from voxmmsd.data.case import Case, PathLike, case_from_files, with_brain_mask
from voxmmsd.data.cases import find_cases
from voxmmsd.data.finding.naming import read_name
from voxmmsd.data.formats.nifti import image_of
from voxmmsd.data.formats.sources import Source, read_volume, stem_of
from voxmmsd.data.formats.writing import write_nifti
from voxmmsd.data.reading import read_case, reading_options
from voxmmsd.data.volume import Volume
from voxmmsd.errors import ConfigError, InputError
from voxmmsd.evaluation.evaluate import labels_on, recorded_schema
from voxmmsd.evaluation.scores import Scores, score_case
from voxmmsd.inference.engines import open_engine
from voxmmsd.inference.plausibility import check_result
from voxmmsd.inference.predict import Prediction, predict
from voxmmsd.inference.results import withheld_error
from voxmmsd.inference.stages import look_first, prepare
from voxmmsd.inference.uncertainty import UncertainRegion
from voxmmsd.labels import MODALITIES, LabelSchema, indices_from_values, schema_named, values_from_indices
from voxmmsd.models.registry import resolve_model
from voxmmsd.records.findings import Finding, blocking, in_order

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Image
    from nibabel.spatialimages import SpatialImage


@dataclass(frozen=True)
class Segmentation:
    """Labels of one case on the grid of its reference image (T1c where there is one), and what is known of them.

    ``findings``: what the checks of the images and of the result found, most severe first. ``prediction``: everything
    else that was computed, such as probabilities.
    """

    prediction: Prediction
    findings: tuple[Finding, ...] = ()

    @property
    def case_id(self) -> str:
        """Id of the case."""
        return self.prediction.case_id

    @property
    def schema(self) -> LabelSchema:
        """Names, values, colors and codes of the labels, and the regions made of them."""
        return self.prediction.schema

    @property
    def affine_xyz(self) -> np.ndarray:
        """``(4, 4)`` float64: indices (x, y, z) to RAS millimeters."""
        return self.prediction.grid.affine_xyz

    @property
    def values_zyx(self) -> np.ndarray:
        """``(z, y, x)`` uint8: the values of the schema, as written to files; 0 is background."""
        return values_from_indices(self.prediction.label_zyx, self.schema)

    @property
    def volumes_ml(self) -> Mapping[str, float]:
        """Volume in ml by key of each label and region, such as ``ET`` and ``WT``."""
        return self.prediction.volumes_ml

    @property
    def uncertainty_zyx(self) -> np.ndarray | None:
        """``(z, y, x)`` float32 in [0, 1], the entropy of the classes; None unless ``uncertainty`` was asked for."""
        return self.prediction.uncertainty_zyx

    @property
    def uncertain_regions(self) -> tuple[UncertainRegion, ...]:
        """Where the model is uncertain, first what would change a volume most."""
        return self.prediction.review

    def mask_zyx(self, key: str) -> np.ndarray:
        """``(z, y, x)`` bool: the voxels of a label or region.

        Raises:
            ConfigError: the schema has no such label or region.
        """
        classes = {region.key: self.schema.region_indices(region) for region in self.schema.regions}
        for index, label in enumerate(self.schema.labels, start=1):
            classes.setdefault(label.key, (index,))
        if key not in classes:
            raise ConfigError(
                f"{key}: no label or region of schema {self.schema.name}", f"name one of {', '.join(classes)}"
            )
        return np.isin(self.prediction.label_zyx, classes[key])

    def to_nibabel(self) -> Nifti1Image:
        """The values of the schema as a nibabel image (axes x, y, z)."""
        from nibabel.nifti1 import Nifti1Image

        return Nifti1Image(self.values_zyx.T, self.affine_xyz)

    def save(self, file: PathLike) -> Path:
        """Write the values of the schema as NIfTI; returns the file.

        Raises:
            InputError: the file exists, or its name does not end in ``.nii.gz`` or ``.nii``.
        """
        file = Path(file)
        if not file.name.lower().endswith((".nii.gz", ".nii")):
            raise InputError(f"{file}: labels are written as NIfTI", "give a name that ends in .nii.gz")
        if file.exists():
            raise InputError(f"{file}: exists already", "nothing is overwritten, name another file")
        write_nifti(file, self.values_zyx, self.prediction.grid)
        return file

    def save_picture(self, file: PathLike) -> Path:
        """Write a PNG with axial, coronal and sagittal slices through the tumor; returns the file."""
        from voxmmsd.evaluation.pictures import overlay_picture

        shown = self.prediction.prepared
        label = self.prediction.prepared_label_zyx
        return overlay_picture(
            shown.image_czyx, shown.present, label, self.schema, shown.grid, Path(file), self.case_id
        )


class Segmenter:
    """A model opened once, to segment many cases.

    ``model``: a folder or zip of a model package, a run folder, or an id or name in the registry; empty: the model in
    use, which is the starter model until another one was accepted. ``device``: cpu, cuda, mps or auto. ``threads``: 0
    for all cores. ``memory``: limit for the whole process in bytes.

    >>> segmenter = voxmmsd.Segmenter("runs/first")
    >>> for case in voxmmsd.find_cases("new").cases:
    ...     print(case.id, segmenter(case).values_zyx.shape)
    phantom-007-000 (48, 48, 48)

    Raises:
        ModelError: no such model, or one that cannot segment.
        ConfigError: the device is not available.
        MissingDependencyError: the device needs torch, which is not installed.
    """

    def __init__(
        self, model: PathLike | None = None, *, device: str = "auto", threads: int = 0, memory: int | None = None
    ) -> None:
        self.package = resolve_model(str(model or ""))
        self._engine = open_engine(self.package, device=device, threads=threads)
        self._memory, self._threads = memory, threads

    def __call__(
        self,
        images: PathLike | Case | Mapping[str, PathLike | SpatialImage],
        *,
        reference: str | None = None,
        from_scanner: bool = False,
        align: bool = False,
        n4: bool = False,
        brain_mask: PathLike | None = None,
        probabilities: bool = False,
        uncertainty: bool = False,
        tta: bool = False,
        force: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> Segmentation:
        """Segment one case; arguments and errors are those of ``segment``."""
        case = _with_mask(_case(images), brain_mask)
        how = reading_options(align=align, brain_mask=str(brain_mask or ""), from_scanner=from_scanner, n4=n4)
        at_once = self._memory is None and self._threads != 1
        volumes = read_case(case, reference, with_label=False, at_once=at_once, **how)
        look = partial(look_first, volumes, self.package, force=force)
        findings, prepared = both(look, partial(prepare, volumes, self.package), at_once)
        prediction = predict(
            volumes,
            self.package,
            self._engine,
            probabilities=probabilities,
            progress=progress,
            tta=tta,
            uncertainty=uncertainty,
            memory=self._memory,
            prepared=prepared,
        )
        of_result = check_result(prediction, findings)
        if wrong := blocking(of_result) if not force else ():
            raise withheld_error(case.id, [finding.line() for finding in wrong])
        return Segmentation(prediction, in_order((*findings, *of_result)))


def segment(
    images: PathLike | Case | Mapping[str, PathLike | SpatialImage],
    model: PathLike | None = None,
    *,
    reference: str | None = None,
    from_scanner: bool = False,
    align: bool = False,
    n4: bool = False,
    brain_mask: PathLike | None = None,
    probabilities: bool = False,
    uncertainty: bool = False,
    tta: bool = False,
    force: bool = False,
    device: str = "auto",
    threads: int = 0,
    memory: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Segmentation:
    """Segment one case.

    ``images``: the folder of one case, a case of ``find_cases``, or a mapping from ``t1n``, ``t1c``, ``t2w`` and
    ``t2f`` to a file, a DICOM folder or a nibabel image; models trained with modality dropout take any subset.
    ``reference``: the modality on whose grid the labels are computed (default: t1c, else the finest).
    ``from_scanner``: images as they come from a scanner: registered to the reference and stripped first. ``align``:
    only register them. ``n4``: remove bias fields inside the brain. ``brain_mask``: a file, a modality that is
    skull-stripped, or a tool (``voxmmsd``, ``hd-bet``, ``synthstrip``). ``probabilities``, ``uncertainty``: also
    compute them. ``tta``: mean over eight mirrored images. ``force``: segment in spite of blocking findings.
    ``progress``: called with windows done and their number. The rest is explained at ``Segmenter``, which saves opening
    the model again for each case.

    >>> found = voxmmsd.segment("new/phantom-007-000", model="runs/first")
    >>> found.case_id, found.schema.name, found.values_zyx.shape
    ('phantom-007-000', 'brats-gli-2023', (48, 48, 48))
    >>> sorted(found.volumes_ml)
    ['ED', 'ET', 'NCR', 'TC', 'WT']
    >>> found.save("labels.nii.gz").name
    'labels.nii.gz'

    Images in memory, and only some of them:

    >>> import nibabel
    >>> t1c = nibabel.load("new/phantom-007-000/phantom-007-000-t1c.nii.gz")
    >>> t2f = nibabel.load("new/phantom-007-000/phantom-007-000-t2f.nii.gz")
    >>> found = voxmmsd.segment({"t1c": t1c, "t2f": t2f}, model="runs/first")
    >>> found.prediction.volumes.case.missing
    ('t1n', 't2w')
    >>> found.to_nibabel().shape == t1c.shape
    True

    Raises:
        InputError: no case or several, an image or a mask that cannot be read, or a blocking finding, such as an image
            in the wrong slot.
        ModelError: no such model, or one that cannot segment.
        ConfigError: an unknown modality or device.
        ResultWithheldError: the result is implausible, such as of a head with its skull on (``force`` returns it).
        MissingDependencyError: a format, the alignment, the mask or the device needs a package that is not installed.
        MemoryBudgetError: even small windows do not fit.
    """
    return Segmenter(model, device=device, threads=threads, memory=memory)(
        images,
        reference=reference,
        from_scanner=from_scanner,
        align=align,
        n4=n4,
        brain_mask=brain_mask,
        probabilities=probabilities,
        uncertainty=uncertainty,
        tta=tta,
        force=force,
        progress=progress,
    )


def score(segmentation: Segmentation | PathLike, reference: PathLike, schema: str = "") -> dict[str, Scores]:
    """Compare a segmentation with an expert's labels: scores by key of each region and label.

    ``segmentation``: of ``segment``, or a label file. ``reference``: a label file on the same grid; axes may be in
    another order. ``schema`` says how the values of ``reference`` are read; the default is the schema of the
    segmentation, which a bare file does not tell.

    >>> found = voxmmsd.segment("new/phantom-007-000", model="runs/first")
    >>> scores = voxmmsd.score(found, "new/phantom-007-000/phantom-007-000-seg.nii.gz")
    >>> list(scores)
    ['WT', 'TC', 'ET', 'NCR', 'ED']
    >>> 0 <= scores["WT"].dice <= 1
    True

    Raises:
        InputError: a file that cannot be read, another grid, or values that the schema does not have.
        ConfigError: no such schema, or none is named for a bare file.
    """
    if isinstance(segmentation, Segmentation):
        own, where = segmentation.schema, segmentation.case_id
        predicted = Volume(segmentation.prediction.label_zyx, segmentation.prediction.grid)
    else:
        file = Path(segmentation)
        own, where = _schema_of(file, schema), str(file)
        volume = read_volume(Source(file))
        predicted = Volume(indices_from_values(volume.array, own, where), volume.grid)
    expected = schema_named(schema) if schema else own
    label = read_volume(Source(Path(reference)))
    indices = indices_from_values(label.array, expected, str(reference))
    found = labels_on(label.grid, predicted, own, expected, where)
    return score_case(where, indices, found, expected, label.grid).structures


def _schema_of(file: Path, schema: str) -> LabelSchema:
    own = recorded_schema(file) or (schema_named(schema) if schema else None)
    if own is None:
        raise ConfigError(f"{file}: its label schema cannot be determined", "name it with schema=...")
    return own


def _case(images: PathLike | Case | Mapping[str, PathLike | SpatialImage]) -> Case:
    """The one case that ``images`` names."""
    if isinstance(images, Case):
        return images
    if isinstance(images, Mapping):
        return _case_of_modalities(images)
    folder = Path(images)
    if not folder.exists():
        raise InputError(f"{folder}: no such folder", "check the path")
    cases = find_cases(folder).cases
    if len(cases) == 1:
        return cases[0]
    if not cases:
        raise InputError(f"{folder}: no case found", f"`voxmmsd cases {folder}` lists the files that were not assigned")
    raise InputError(
        f"{folder}: holds {len(cases)} cases",
        "call voxmmsd.Segmenter with each of voxmmsd.find_cases(folder).cases",
    )


def _with_mask(case: Case, brain_mask: PathLike | None) -> Case:
    """The case with the mask of a file; a word, which names no file, is for ``reading_options``."""
    if not brain_mask:
        return case
    if str(brain_mask) in WORDS:
        return with_brain_mask(case, None)
    file = Path(brain_mask).expanduser()
    if not file.exists():
        raise InputError(
            f"brain_mask {file}: no such file", f"check the path, or give one of {', '.join(WORDS)} instead of a file"
        )
    return with_brain_mask(case, Source(file))


def _case_of_modalities(images: Mapping[str, PathLike | SpatialImage]) -> Case:
    unknown = [name for name in images if name not in MODALITIES]
    if unknown:
        raise ConfigError(f"{unknown[0]}: no such modality", f"name the images {', '.join(MODALITIES)}")
    sources = {name: _source(name, image) for name, image in images.items()}
    return case_from_files(_id_of(images), **sources)  # type: ignore[arg-type]


def _source(name: str, image: PathLike | SpatialImage) -> Source:
    if isinstance(image, str | os.PathLike):
        return Source(Path(image).expanduser())
    return Source(Path(f"{name} in memory"), image=image_of(image, name))


def _id_of(images: Mapping[str, PathLike | SpatialImage]) -> str:
    """The id that all file names share, else ``case``."""
    ids = {
        read_name(stem_of(Path(each).name)).head.strip(" _-.")
        for each in images.values()
        if isinstance(each, str | os.PathLike)
    }
    return ids.pop() if len(ids) == 1 and all(ids) else "case"
