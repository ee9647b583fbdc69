"""The Medical Segmentation Decathlon's layout: 4-D images whose channels ``dataset.json`` names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from voxmmsd import files
from voxmmsd.data.finding.draft import CaseDraft
from voxmmsd.data.finding.naming import read_name
from voxmmsd.data.formats.sources import Source, ending_of, stem_of

_TASK01 = {"1": ("edema",), "2": ("non", "enhanc"), "3": ("enhanc",)}


def read_json(file: Path) -> Any:
    """The content of a JSON file, or None where it is missing or broken."""
    try:
        return files.read_json(file)
    except (OSError, ValueError):
        return None


def is_msd(file: Path) -> bool:
    """Whether a ``dataset.json`` describes a data set of the Decathlon."""
    record = read_json(file)
    return (
        isinstance(record, dict)
        and isinstance(record.get("modality"), dict)
        and isinstance(record.get("training"), list)
    )


def msd_cases(file: Path, unplaced: list[tuple[Path, str]]) -> list[CaseDraft]:
    """The cases of a Decathlon data set, training and test; what is listed but missing is added to ``unplaced``."""
    record = read_json(file)
    channels = _channels(record["modality"])
    if not channels:
        unplaced.append(
            (file, f"names no sequence that is used here: {', '.join(map(str, record['modality'].values()))}")
        )
        return []
    schema, notes = _schema(record.get("labels"))
    drafts, absent = [], []
    for image, label in _listed(record, file.parent):
        if not image.is_file():
            absent.append(image.name)
            continue
        id_ = stem_of(image.name) if ending_of(image.name) else image.name
        modalities = {name: Source(image, channel) for name, channel in channels.items()}
        draft = CaseDraft(id_, id_, file.parent, file.parent, modalities, schema=schema)
        if label is not None:
            _attach_label(draft, label, notes)
        drafts.append(draft)
    if absent:
        unplaced.append((file, f"lists {len(absent)} images that are not there, {absent[0]} first"))
    return drafts


def _attach_label(draft: CaseDraft, label: Path, notes: list[str]) -> None:
    if label.is_file():
        draft.label = Source(label)
        draft.notes += notes
    else:
        draft.notes.append(f"its label {label.name} is listed but not there")


def _channels(names: dict[str, Any]) -> dict[str, int]:
    found: dict[str, int] = {}
    for index, name in names.items():
        modality = read_name(str(name)).modality
        if modality and str(index).isdecimal():
            found.setdefault(modality, int(index))
    return found


def _schema(labels: Any) -> tuple[str | None, list[str]]:
    texts = {str(k): str(v).lower() for k, v in labels.items()} if isinstance(labels, dict) else {}
    values = set(texts) - {"0"}
    if values == set(_TASK01) and all(word in texts[key] for key, words in _TASK01.items() for word in words):
        return "msd-task01", []
    return None, ["its dataset.json names other labels than MSD Task01's: name the schema with --schema"]


def _listed(record: dict[str, Any], folder: Path) -> list[tuple[Path, Path | None]]:
    listed: list[tuple[Path, Path | None]] = []
    tests = record.get("test")
    for entry in [*record["training"], *(tests if isinstance(tests, list) else [])]:
        image, label = (entry.get("image"), entry.get("label")) if isinstance(entry, dict) else (entry, None)
        if isinstance(image, str):
            listed.append((folder / image, folder / label if isinstance(label, str) else None))
    return listed
