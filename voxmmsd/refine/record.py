"""The result that was edited: its labels, its record, what earlier rounds left, and the images and model behind it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from voxmmsd.config import Affects, config_from_record, options_that
from voxmmsd.data.brain_mask import WORDS
from voxmmsd.data.case import Case
from voxmmsd.data.formats.sources import Source, has_sha256, read_volume, source_sha256
from voxmmsd.data.label_maps import on_same_voxels, read_label
from voxmmsd.data.volume import Grid, Volume
from voxmmsd.errors import ConfigError, InputError, ModelError
from voxmmsd.files import sha256_of
from voxmmsd.inference.config import ReadingConfig, SegmentConfig
from voxmmsd.inference.segment import cases_to_segment
from voxmmsd.labels import CARRIED, MODALITIES, LabelSchema, indices_from_values, schema_named, schema_with_cavity
from voxmmsd.models.package import WEIGHTS, ModelPackage
from voxmmsd.models.registry import resolve_model
from voxmmsd.records.result import Refinement, ResultRecord, read_result_record
from voxmmsd.refine.config import RefineConfig
from voxmmsd.refine.evidence import Plane
from voxmmsd.runs import read_config

ENDING = "-voxmmsd.nii.gz"
_READING = tuple(item.name for item in fields(ReadingConfig))
_PATHS = options_that(ReadingConfig, (Affects.INPUT,))


@dataclass(frozen=True)
class Edited:
    """A result of ``segment`` or ``refine`` as it lies on disk.

    ``label``: class indices. ``origin_zyx`` and ``planes``: of earlier rounds, None and none after ``segment``.
    ``segmented``: the options that its images were read with, and the directory they are relative to; None where its
    run is gone.
    """

    file: Path
    record: ResultRecord
    schema: LabelSchema
    label: Volume
    origin_zyx: np.ndarray | None
    planes: tuple[Plane, ...]
    segmented: Mapping[str, Any] | None

    @property
    def case_id(self) -> str:
        return self.record.case

    @property
    def round(self) -> int:
        """How often it was refined."""
        return self.record.refined.round if self.record.refined else 0


def origin_file(folder: Path, case_id: str) -> Path:
    """Where it is written who decided each voxel: 0 predicted, 1 edited by hand, 2 carried."""
    return folder / f"{case_id}-voxmmsd_origin.nii.gz"


def record_file(file: Path) -> Path:
    """The record of the labels in ``file``, which is written after them."""
    return file.with_name(file.name.removesuffix(".nii.gz") + ".json")


def read_result(file: Path) -> Edited:
    """A result and its record beside it.

    Raises:
        InputError: no result, no record, or a file that has changed since it was written.
    """
    if not file.name.endswith(ENDING) or not file.is_file():
        raise InputError(f"{file}: is not a result of `voxmmsd segment`", f"give its CASEID{ENDING}")
    beside = record_file(file)
    remedy = "segment the case again, and edit that result"
    try:
        record = read_result_record(beside, remedy)
        schema = schema_named(record.schema)
    except (FileNotFoundError, ConfigError) as error:
        raise InputError(f"{beside}: is not a result's record ({error!r:.200})", remedy) from error
    known = {"inputs": record.inputs, "model": record.model.id, "weights": record.model.weights_sha256}
    if missing := [name for name, value in known.items() if not value]:
        raise InputError(f"{beside}: is not a result's record (it has no {', '.join(missing)})", remedy)
    if file.name != f"{record.case}{ENDING}":
        raise InputError(f"{beside}: is not a result's record (it is of the case {record.case!r:.80})", remedy)
    if record.sha256 != sha256_of(file):
        raise InputError(
            f"{file}: has changed since it was written",
            "keep the result as it was and give the edited labels in a file of their own with --edited",
        )
    label = read_label(Source(file), schema)
    planes = tuple(Plane(axis, index) for axis, index in (record.refined.planes if record.refined else ()))
    if any(plane.axis not in (0, 1, 2) or not 0 <= plane.index < label.array.shape[plane.axis] for plane in planes):
        raise InputError(f"{beside}: names planes outside the image", "refine the result of segment")
    origin = _read_origin(origin_file(file.parent, record.case), label.grid, record.refined) if record.refined else None
    return Edited(file, record, schema, label, origin, planes, _segmented(file.parent / ".run"))


def _read_origin(file: Path, grid: Grid, refined: Refinement) -> np.ndarray:
    if not file.is_file() or sha256_of(file) != refined.origin_sha256:
        raise InputError(
            f"{file}: is missing or has changed",
            "it says which voxels earlier rounds edited: restore it, or refine the result of segment",
        )
    volume = read_volume(Source(file))
    if not volume.grid.same_as(grid) or volume.array.max() > CARRIED:
        raise InputError(f"{file}: does not match the labels beside it", "refine the result of segment")
    return volume.array.astype(np.uint8)


def _segmented(run: Path) -> Mapping[str, Any] | None:
    """What the run beside a result says of its images: that of segment itself, of refine as it was told."""
    found = read_config(run)
    if found is None:
        return None
    if found.get("verb") == "refine":
        return found.get("options", {}).get("segmented")
    if found.get("verb") != "segment":
        return None
    return {"options": found.get("call", {}), "directory": found.get("directory", ".")}


@dataclass(frozen=True)
class NewLabel:
    """A tissue that the model does not know: its value in edited labels, and the schema that has it besides theirs."""

    value: int
    schema: LabelSchema


def parse_new_label(text: str, schema: LabelSchema) -> NewLabel | None:
    """``RC=5`` for a result of ``schema``; None where nothing is said.

    Raises:
        ConfigError: no such text, a value that has a meaning already, or a tissue that cannot be added.
    """
    if not text:
        return None
    match = re.fullmatch(r"([A-Z]+)=(\d{1,3})", text)
    if not match:
        raise ConfigError(f"--new-label {text}: names no label", "give its key and its value, such as RC=5")
    key, value = match[1], int(match[2])
    if key in {label.key for label in schema.labels}:
        raise ConfigError(f"--new-label {text}: the result has that label already", "edit it, without the option")
    if value in (0, *schema.values):
        raise ConfigError(
            f"--new-label {text}: the value {value} has a meaning already ({_known(schema)})",
            "give these voxels a value of their own",
        )
    wider = schema_with_cavity(schema)
    if wider is None or wider.labels[-1].key != key:
        raise ConfigError(
            f"--new-label {text}: {key} cannot be added to the labels of {schema.name}",
            "only a resection cavity, RC, can be added, and to the labels of adult glioma",
        )
    return NewLabel(value, wider)


def widened(result: Edited, new: NewLabel | None) -> Edited:
    """The result with its labels in the schema that has the new one, too; its class indices are the same."""
    if new is None:
        return result
    labels = {label.key: label.value for label in new.schema.labels}
    return replace(result, schema=new.schema, record=replace(result.record, schema=new.schema.name, labels=labels))


def _known(schema: LabelSchema) -> str:
    return "0, " + ", ".join(f"{label.value} {label.key}" for label in schema.labels)


def read_edits(file: Path, result: Edited, new: NewLabel | None = None) -> np.ndarray:
    """Edited labels as class indices on the result's grid; the same voxels in another order of axes are turned.

    ``new``: a label of theirs that the result does not have, which gets the next class index.

    Raises:
        InputError: another grid, or labels that the model does not know.
    """
    volume = read_volume(Source(file))
    grid, schema = result.label.grid, result.schema
    whole = np.rint(volume.array)
    added = (whole == new.value) if new else np.zeros(whole.shape, bool)
    known = np.where(added, 0, volume.array)
    unknown = sorted(set(np.unique(whole[np.isfinite(whole) & ~added]).astype(int).tolist()) - {0, *schema.values})
    if unknown:
        raise InputError(
            f"{file}: holds the labels {', '.join(map(str, unknown[:10]))}, which the model does not know "
            f"({_known(schema)})",
            f"give these voxels one of its labels, or, if they are a resection cavity, --new-label RC={unknown[0]}",
        )
    indices = indices_from_values(known, schema, str(file))
    label = Volume(np.where(added, schema.class_count, indices).astype(np.uint8), volume.grid)
    if (turned := on_same_voxels(label, grid)) is not None:
        if (turned.array == result.label.array).all():
            raise InputError(
                f"{file}: holds no edit, its labels are those of {result.file}", "save a correction there first"
            )
        return turned.array
    raise InputError(
        f"{file}: is on a different grid than {result.file} ({_sides(label.grid)} voxels against {_sides(grid)})",
        "export the edited labels on the grid of the result",
    )


def _sides(grid: Grid) -> str:
    return " x ".join(map(str, grid.shape_zyx[::-1]))


def find_images(result: Edited, config: RefineConfig) -> tuple[Case, SegmentConfig]:
    """The case that a result is of, and how its images were read.

    Raises:
        InputError: its images are not to be found, or are others than the result's.
    """
    how = _how_read(result, config)
    try:
        chosen = _find_case(result, how)
    except InputError as error:
        raise InputError(
            f"the images of {result.case_id} are not where they were ({error})", "name them with --case"
        ) from None
    if chosen is None:
        raise InputError(f"{how.case}: holds no case {result.case_id}", "name its folder with --case")
    case = replace(chosen, id=result.case_id)
    for name, expected in result.record.inputs.items():
        if name not in case.modalities:
            raise InputError(f"case {case.id}: its {name} is missing, which the result was made from", "restore it")
        if not has_sha256(case.modalities[name], expected):
            if chosen.id != result.case_id and not config.case:
                raise InputError(
                    f"{result.file}: the run beside it is of other images", "name the folder of its images with --case"
                )
            raise InputError(
                f"{case.modalities[name].path}: has changed since {result.file.name} was made from it",
                "give the images as they were with --case, or segment the case again",
            )
    modalities = {name: case.modalities[name] for name in result.record.inputs}
    return replace(_with_its_mask(case, result, config), modalities=modalities), how


def _with_its_mask(case: Case, result: Edited, config: RefineConfig) -> Case:
    """The case with the brain mask that the result was made with: none where one was put beside the images later."""
    mask = str(result.record.reading.get("brain_mask", ""))
    if not result.record.reading or mask in WORDS or config.brain_mask:
        return case
    if not mask:
        return replace(case, brain_mask=None)
    if case.brain_mask is None or not has_sha256(case.brain_mask, mask):
        raise InputError(
            f"{result.file}: the brain mask that it was made with is not there any more, or has changed",
            "name it with --brain-mask",
        )
    return case


def _find_case(result: Edited, how: SegmentConfig) -> Case | None:
    cases = cases_to_segment(how)
    return next((case for case in cases if case.id == result.case_id), cases[0] if len(cases) == 1 else None)


def known_reading(result: Edited, config: RefineConfig) -> dict[str, str]:
    """How the images of a result are read: option -> value, for the brain mask its word or the SHA-256 of its file.

    What nothing tells is left out: all but a named mask where no run and no option says where the images are, and a
    mask that is gone.

    Raises:
        InputError: the mask that ``config`` names is not there.
    """
    known = _known_options(result, config)
    mask, recorded = str(known.get("brain_mask", "")), result.record.reading
    found: dict[str, str] = {}
    if _names_images(known):
        how = _how_read(result, config)
        found = {name: str(getattr(how, name)) for name in ("reference", "from_scanner", "align", "n4")}
        if not mask and not recorded:
            try:
                case = _find_case(result, how)
            except InputError:
                case = None
            if case is not None:
                found["brain_mask"] = source_sha256(case.brain_mask) if case.brain_mask else ""
    if recorded and not config.brain_mask:
        found["brain_mask"] = str(recorded.get("brain_mask", ""))
    elif mask in WORDS:
        found["brain_mask"] = mask
    elif mask and (config.brain_mask or Path(mask).exists()):
        found["brain_mask"] = source_sha256(Source(Path(mask)))
    return found


def _how_read(result: Edited, config: RefineConfig) -> SegmentConfig:
    known = _known_options(result, config)
    if not _names_images(known):
        raise InputError(
            f"{result.file}: no run lies beside it that says where its images are", "name the case's folder with --case"
        )
    names = {item.name for item in fields(SegmentConfig)}
    return config_from_record(SegmentConfig, {name: value for name, value in known.items() if name in names})


def _names_images(known: Mapping[str, Any]) -> bool:
    return any(known.get(name) for name in ("case", *MODALITIES))


def _known_options(result: Edited, config: RefineConfig) -> dict[str, Any]:
    known: dict[str, Any] = {"reference": result.record.reference}
    if result.segmented:
        given, directory = result.segmented["options"], Path(result.segmented["directory"])
        known |= {name: given[name] for name in _READING if given.get(name)}
        known |= {n: str(directory / known[n]) for n in _PATHS if n in known and known[n] not in WORDS}
    if result.record.alignment:
        known["align"] = True
    if result.record.reading:  # the run may be of a later call, of other images
        known |= {name: bool(result.record.reading.get(name)) for name in ("align", "from_scanner", "n4")}
        known["brain_mask"] = _mask_to_use(str(result.record.reading.get("brain_mask", "")), known.get("brain_mask"))
    if config.case:
        known = {name: value for name, value in known.items() if name not in (*MODALITIES, "id")}
        known["case"] = config.case
    if config.brain_mask:
        known["brain_mask"] = config.brain_mask
    return known


def _mask_to_use(recorded: str, named: object) -> str:
    """The word of the mask that a result was made with, or the file that the run names, where that is still the one;
    empty where a mask lies beside the images, or none was there."""
    if recorded in WORDS:
        return recorded
    file = Path(str(named or "\0"))
    is_it = bool(recorded) and "\0" not in str(file) and file.exists() and source_sha256(Source(file)) == recorded
    return str(file) if is_it else ""


def with_named_mask(result: Edited, config: RefineConfig) -> Edited:
    """The result with the mask that ``config`` names in its record, so that further rounds read the images alike."""
    if not (config.brain_mask and result.record.reading):
        return result
    word = config.brain_mask in WORDS
    mask = config.brain_mask if word else source_sha256(Source(Path(config.brain_mask)))
    return replace(result, record=replace(result.record, reading={**result.record.reading, "brain_mask": mask}))


def find_model(result: Edited, config: RefineConfig) -> ModelPackage:
    """The model that a result was made by.

    Raises:
        ModelError: it is not to be found, or the named one is another.
    """
    wanted = result.record.model
    package = resolve_model(config.model or _model_named(result) or wanted.id)
    if package.info.files[WEIGHTS] != wanted.weights_sha256:
        raise ModelError(
            f"{package.info.id}: has weights that differ from those of the model that made "
            f"{result.file.name} ({wanted.id})",
            "name that one with --model, or segment the case again",
        )
    return package


def _model_named(result: Edited) -> str:
    """The model's folder, where the run beside the result names one that is still there."""
    if not result.segmented:
        return ""
    folder = Path(result.segmented["directory"]) / str(result.segmented["options"].get("model") or "\0")
    return str(folder) if "\0" not in str(folder) and folder.exists() else ""
