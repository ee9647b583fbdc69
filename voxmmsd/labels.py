"""Label schemas: which integer means which tissue, and which tissues make which region.

The schema is a property of a data set (its naming, its ``dataset.json``, or ``--schema``), never of the values in one
file: a file with 1, 2 and 4 may be BraTS 2021, or BraTS 2024 without enhancing tumor (``docs/method.md``, section 10).

A network works on *class indices*: 0 is background and class ``i`` is ``schema.labels[i - 1]``; a file holds the
schema's *values*. ``indices_from_values`` and ``values_from_indices`` are the only bridge between the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from voxmmsd.colors import BLUE, GREEN, ORANGE, PINK, REGION_COLORS, YELLOW
from voxmmsd.errors import ConfigError, InputError

if TYPE_CHECKING:
    import numpy as np

MODALITIES = ("t1n", "t1c", "t2w", "t2f")
"""Channel order everywhere. A missing modality is a zero channel."""

MODALITY_NAMES = {"t1n": "T1", "t1c": "T1 post-contrast", "t2w": "T2", "t2f": "FLAIR"}


PRECEDENCE = ("ET", "CC", "NCR", "NETC", "NET", "RC", "ED", "SNFH", "WT")
"""Label keys from the strongest to the weakest: where labels overlap, the one named first here has the voxel.

Inner tissues cover those around them: whole tumor, core and enhancing tumor are nested. A network's labels never
overlap: each voxel has its most probable class (of equally probable ones that with the lower index).
"""

PREDICTED, EDITED, CARRIED = 0, 1, 2
"""Who decided a voxel of a label, in maps of origins: the model, a person, or ``refine`` from that person's edits."""


@dataclass(frozen=True)
class Terminology:
    """A coded concept: coding scheme, code value, code meaning (as in DICOM SEG)."""

    scheme: str
    code: str
    meaning: str


@dataclass(frozen=True)
class Label:
    """One tissue: the value in files, a short key, a readable name, an sRGB color and its code."""

    value: int
    key: str
    name: str
    color: tuple[int, int, int]
    terminology: Terminology


@dataclass(frozen=True)
class Region:
    """A union of tissues that is scored as one, such as the whole tumor."""

    key: str
    name: str
    values: tuple[int, ...]


@dataclass(frozen=True)
class LabelSchema:
    """The labels and regions of a data set. Schemas of the same ``family`` have the same tissues."""

    name: str
    labels: tuple[Label, ...]
    regions: tuple[Region, ...]

    @property
    def class_count(self) -> int:
        """Number of classes of the network: background and the labels."""
        return len(self.labels) + 1

    @property
    def values(self) -> tuple[int, ...]:
        return tuple(label.value for label in self.labels)

    @property
    def precedence(self) -> tuple[str, ...]:
        """Keys of the labels from highest to lowest precedence, as in PRECEDENCE."""
        return tuple(sorted((label.key for label in self.labels), key=PRECEDENCE.index))

    def label(self, key: str) -> Label:
        for label in self.labels:
            if label.key == key:
                return label
        raise KeyError(f"schema {self.name} has no label {key!r}; it has {', '.join(lb.key for lb in self.labels)}")

    def region_indices(self, region: Region) -> tuple[int, ...]:
        """Class indices of the tissues of a region."""
        return tuple(self.values.index(value) + 1 for value in region.values)

    @property
    def unions(self) -> dict[int, tuple[int, ...]]:
        """Codes above the class indices -> the possible class indices of a voxel.

        Partially labeled data sets, such as those with the whole tumor only, are mapped to this schema by these codes.
        There is one for each region of several tissues.
        """
        regions = [self.region_indices(region) for region in self.regions]
        return {self.class_count + number: indices for number, indices in enumerate(regions) if len(indices) > 1}


MORPHOLOGICALLY_ALTERED = Terminology("SCT", "49755003", "Morphologically Altered Structure")
"""The category of every label."""
BRAIN = Terminology("SCT", "12738006", "Brain")
"""Where every label is."""

_EDEMA = Terminology("SCT", "79654002", "Edema")
_NECROSIS = Terminology("SCT", "6574001", "Necrosis")
_ENHANCING = Terminology("NCIt", "C113842", "Enhancing Lesion")
_NON_ENHANCING = Terminology("NCIt", "C81175", "Non-Enhancing Lesion")
_NEOPLASM = Terminology("SCT", "108369006", "Neoplasm")
_CAVITY = Terminology("99VOXMMSD", "RC", "Resection Cavity")
_CYST = Terminology("99VOXMMSD", "CC", "Cystic Component")


def _edema(value: int) -> Label:
    return Label(value, "ED", "Edema", GREEN, _EDEMA)


def _necrosis(value: int, key: str = "NCR", name: str = "Necrotic core") -> Label:
    return Label(value, key, name, BLUE, _NECROSIS)


def _enhancing(value: int) -> Label:
    return Label(value, "ET", "Enhancing tumor", ORANGE, _ENHANCING)


def _regions(whole: tuple[int, ...], core: tuple[int, ...], enhancing: int) -> tuple[Region, ...]:
    return (
        Region("WT", "Whole tumor", whole),
        Region("TC", "Tumor core", core),
        Region("ET", "Enhancing tumor", (enhancing,)),
    )


SCHEMAS: dict[str, LabelSchema] = {
    schema.name: schema
    for schema in (
        LabelSchema(
            "msd-task01",
            (_edema(1), _necrosis(2, "NCR", "Necrotic and non-enhancing core"), _enhancing(3)),
            _regions((1, 2, 3), (2, 3), 3),
        ),
        LabelSchema("brats-2021", (_necrosis(1), _edema(2), _enhancing(4)), _regions((1, 2, 4), (1, 4), 4)),
        LabelSchema("brats-gli-2023", (_necrosis(1), _edema(2), _enhancing(3)), _regions((1, 2, 3), (1, 3), 3)),
        LabelSchema(
            "brats-gli-2024",
            (
                Label(1, "NETC", "Non-enhancing tumor core", BLUE, _NON_ENHANCING),
                Label(2, "SNFH", "Surrounding non-enhancing FLAIR hyperintensity", GREEN, _EDEMA),
                _enhancing(3),
                Label(4, "RC", "Resection cavity", PINK, _CAVITY),
            ),
            (*_regions((1, 2, 3), (1, 3), 3), Region("RC", "Resection cavity", (4,))),
        ),
        LabelSchema(
            "brats-ped-2024",
            (
                _enhancing(1),
                Label(2, "NET", "Non-enhancing tumor", BLUE, _NON_ENHANCING),
                Label(3, "CC", "Cystic component", YELLOW, _CYST),
                _edema(4),
            ),
            (
                *_regions((1, 2, 3, 4), (1, 2, 3), 1),
                Region("NET", "Non-enhancing tumor", (2,)),
                Region("CC", "Cystic component", (3,)),
                Region("ED", "Edema", (4,)),
            ),
        ),
    )
}


SCHEMAS["whole-tumor"] = LabelSchema(
    "whole-tumor",
    (Label(1, "WT", "Whole tumor", REGION_COLORS["WT"], _NEOPLASM),),
    (Region("WT", "Whole tumor", (1,)),),
)

CAVITY = "RC"
WITH_CAVITY = f"+{CAVITY}"  # ends the name of a schema to which a resection cavity was added
_SAME_TISSUE = {"NETC": "NCR", "SNFH": "ED"}  # BraTS 2024's names of what 2023 calls NCR and ED


def index_of_tissue(label: Label, schema: LabelSchema) -> int | None:
    """Class index in ``schema`` of the tissue of ``label`` (of any schema), or None if it has none."""
    tissues = [_SAME_TISSUE.get(own.key, own.key) for own in schema.labels]
    tissue = _SAME_TISSUE.get(label.key, label.key)
    return tissues.index(tissue) + 1 if tissue in tissues else None


def have_same_tissues(one: LabelSchema, other: LabelSchema) -> bool:
    """Whether each tissue of one schema is in the other, whatever their order, values and names."""
    return covers_tissues_of(one, other) and covers_tissues_of(other, one)


def covers_tissues_of(schema: LabelSchema, other: LabelSchema) -> bool:
    """Whether ``schema`` has each tissue of ``other``, whatever their order, values and names."""
    return all(index_of_tissue(label, schema) is not None for label in other.labels)


def code_of_tissue(label: Label, schema: LabelSchema) -> int | None:
    """The class index of the tissue that ``label`` means in ``schema``, or the code of a union of its tissues.

    None if ``schema`` has neither.
    """
    index = index_of_tissue(label, schema)
    if index is not None:
        return index
    region = next((region for region in schema.regions if region.key == label.key), None)
    indices = schema.region_indices(region) if region else ()
    return next((code for code, union in schema.unions.items() if union == indices), None)


def converted_indices(indices: np.ndarray, source: LabelSchema, target: LabelSchema, where: str) -> np.ndarray:
    """Convert class indices of ``source`` to ``target``, tissue by tissue; ``where`` names the file in errors.

    Raises:
        InputError: voxels of a tissue that ``target`` does not have.
    """
    import numpy as np

    table = np.zeros(source.class_count, np.uint8)
    present = np.bincount(indices.ravel(), minlength=source.class_count)
    for index, label in enumerate(source.labels, start=1):
        there = index_of_tissue(label, target)
        if there is None and present[index]:
            raise unknown_tissue(label, int(present[index]), source, target, where)
        table[index] = there or 0
    return table[indices]


def known_indices(indices: np.ndarray, source: LabelSchema, target: LabelSchema) -> np.ndarray:
    """Like ``converted_indices``, but a tissue that ``target`` does not have becomes background."""
    import numpy as np

    return np.array([0, *(index_of_tissue(label, target) or 0 for label in source.labels)], np.uint8)[indices]


def unknown_tissue(label: Label, voxels: int, source: LabelSchema, target: LabelSchema, where: str) -> InputError:
    """The error that ``where`` holds ``voxels`` of a tissue which ``target`` does not have."""
    return InputError(
        f"{where}: has {voxels:,} voxels of {label.name} ({label.key}), which schema {target.name} does not know",
        f"name a schema that does with --schema ({source.name})",
    )


def schema_named(name: str) -> LabelSchema:
    """The schema with this name; with ``+RC`` behind it, ``schema_with_cavity`` of it.

    Raises:
        ConfigError: unknown name; the message lists the known ones.
    """
    plain = SCHEMAS.get(name.removesuffix(WITH_CAVITY))
    schema = schema_with_cavity(plain) if plain and name != plain.name else plain
    if schema is None:
        raise ConfigError(f"unknown label schema {name!r}", f"choose one of {', '.join(SCHEMAS)}")
    return schema


def schema_with_cavity(schema: LabelSchema) -> LabelSchema | None:
    """The labels of an adult glioma, as they are, and a resection cavity with the next value; None for other schemas.

    Named ``brats-2021+RC``. Its class indices are those of ``schema`` and one more, so a network of ``schema`` knows
    all of them but the last.
    """
    if {label.key for label in schema.labels} != {"NCR", "ED", "ET"}:
        return None
    cavity = replace(SCHEMAS["brats-gli-2024"].label(CAVITY), value=max(schema.values) + 1)
    region = Region(cavity.key, cavity.name, (cavity.value,))
    return LabelSchema(schema.name + WITH_CAVITY, (*schema.labels, cavity), (*schema.regions, region))


def indices_from_values(labels: np.ndarray, schema: LabelSchema, where: str) -> np.ndarray:
    """Convert file values of a label map to class indices (uint8); ``where`` names the file in errors.

    Values stored as floats are accepted when they are within 1e-3 of a whole number.

    Raises:
        InputError: fractional values, or values that the schema does not have.
    """
    import numpy as np

    whole = labels if np.issubdtype(labels.dtype, np.integer) else whole_numbers(labels, where)
    unknown = sorted(_values_in(whole) - {0, *schema.values})
    if unknown:
        raise InputError(
            f"{where}: label values {unknown[:20]} are not in schema {schema.name} (0, "
            f"{', '.join(map(str, schema.values))})",
            f"name the right one with --schema ({', '.join(SCHEMAS)})",
        )
    table = np.zeros(max(schema.values) + 1, np.uint8)
    table[list(schema.values)] = np.arange(1, schema.class_count)
    return np.take(table, whole)


def indices_from_masks(masks: Mapping[str, np.ndarray], schema: LabelSchema) -> np.ndarray:
    """Class indices (uint8) of one bool mask per label's key, as a segmentation of overlapping segments has them.

    Raises:
        ConfigError: a key that the schema does not have.
        ValueError: no mask.
    """
    import numpy as np

    known = [label.key for label in schema.labels]
    if unknown := sorted(set(masks) - set(known)):
        raise ConfigError(f"schema {schema.name} has no label {', '.join(unknown)}", f"it has {', '.join(known)}")
    if not masks:
        raise ValueError("no mask")
    indices = np.zeros(next(iter(masks.values())).shape, np.uint8)
    for key in (key for key in reversed(schema.precedence) if key in masks):
        indices[np.asarray(masks[key], bool)] = known.index(key) + 1
    return indices


def _values_in(whole: np.ndarray) -> set[int]:
    """The values of an array of whole numbers; counting is three times as fast as sorting, where they are small."""
    import numpy as np

    if int(whole.min()) >= 0 and int(whole.max()) < 256:
        return set(np.flatnonzero(np.bincount(whole.ravel())).tolist())
    return set(np.unique(whole).tolist())


def whole_numbers(labels: np.ndarray, where: str) -> np.ndarray:
    """Floats as whole numbers. Raises InputError for fractional ones."""
    import numpy as np

    whole = np.rint(labels)
    off = ~(np.abs(labels - whole) <= 1e-3)
    if off.any():
        raise InputError(
            f"{where}: holds {labels[off].flat[0]!s}, not a whole number: it is not a label map (or was resampled with "
            "interpolation)",
            "give the original labels",
        )
    return whole.astype(np.int64)


def values_from_indices(indices: np.ndarray, schema: LabelSchema) -> np.ndarray:
    """Convert class indices to file values (uint8), any shape."""
    import numpy as np

    values = np.array(indices, np.uint8)
    for index, value in enumerate(schema.values, start=1):
        if value != index:
            values[indices == index] = value
    return values
