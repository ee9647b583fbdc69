"""What a fine-tuning uses from a training library: labels, schema, and held-out patients.

It is fixed in ``corrections.json`` when the training starts: labels accepted during a run are used by the next one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from voxmmsd.config import CORRECTIONS_RECORD
from voxmmsd.data.case import Case
from voxmmsd.data.formats.sources import Source
from voxmmsd.data.formats.writing import write_nifti
from voxmmsd.data.splits import Splits, check_splits
from voxmmsd.data.store import PreparedCase, prepare_cases
from voxmmsd.data.volume import Volume
from voxmmsd.errors import ConfigError, InputError, LibraryError, RunError
from voxmmsd.files import read_json, sha256_of, write_json_atomic
from voxmmsd.labels import converted_indices, index_of_tissue, schema_named, values_from_indices
from voxmmsd.library import HOLD_OUT, LabelVersion, Library, LibraryCase, is_library, open_library
from voxmmsd.model_config import PreprocessConfig
from voxmmsd.models.package import ModelPackage
from voxmmsd.models.registry import resolve_model
from voxmmsd.runs import RunLog
from voxmmsd.training.cases import check_preprocess, labeled_entries
from voxmmsd.training_config import FinetuneConfig

RECORD = CORRECTIONS_RECORD


@dataclass(frozen=True)
class Corrections:
    """``labels``: case id -> number of the label used for training or comparison. ``parent``: the model that is
    corrected, or empty. ``new``: training cases with a label that the parent was not trained on. ``drawn_over``: case
    id -> models whose output the label was drawn on. ``held``: held-out cases with a label."""

    library: str
    parent: str
    schema: str
    labels: dict[str, int]
    new: tuple[str, ...]
    drawn_over: dict[str, tuple[str, ...]]
    held: tuple[str, ...]

    def record(self) -> dict[str, Any]:
        """The entry in a model's record, without paths: ``labels`` for training, ``judged_by`` for comparison."""
        learned = {case_id: number for case_id, number in self.labels.items() if case_id not in self.held}
        judges = {case_id: self.labels[case_id] for case_id in self.held}
        return {"id": self.library, "labels": learned, "new": list(self.new), "judged_by": judges}


def library_of(config: FinetuneConfig) -> Library | None:
    """The training library among the given folders, or None.

    Raises:
        ConfigError: there are two.
    """
    folders = [Path(folder) for folder in config.folders if is_library(Path(folder))]
    if not folders:
        return None
    if len(folders) > 1:
        raise ConfigError(
            f"fine-tuning learns from one training library, {', '.join(map(str, folders))} are several",
            "name one of them",
        )
    return open_library(folders[0])


def start_of(config: FinetuneConfig) -> ModelPackage | None:
    """The model to correct, or the pre-trained network to start a first model from; None: from scratch.

    Raises:
        ModelError: there is no such model.
    """
    return resolve_model(config.start) if config.start else None


def fixed_corrections(
    config: FinetuneConfig, run: RunLog, library: Library, parent: ModelPackage | None
) -> Corrections:
    """What the run fixed when it started; for a run that trained nothing yet, the newest accepted label of each case.

    ``parent``: the model to correct; None if a first model is trained.

    Raises:
        InputError: no training case has an accepted label, or no schema covers all labels.
        RunError: the run was started on another library or model.
    """
    file = run.folder / RECORD
    if file.is_file() and (run.folder / "checkpoints").is_dir():
        return _read(file, library, parent)
    accepted = {case.id: (case, case.accepted) for case in library.cases() if case.accepted}
    training = [case_id for case_id, (case, _) in accepted.items() if case.part != HOLD_OUT]
    if not training:
        raise InputError(
            f"{library.folder}: no training case has an accepted label",
            f"correct one (`voxmmsd library next {library.folder}` says which) and accept it",
        )
    labels = {case_id: label for case_id, (_, label) in accepted.items() if label is not None}
    known = parent.info.provenance.learned_labels(library.id) if parent else {}
    corrections = Corrections(
        library=library.id,
        parent=_id_of(parent),
        schema=config.schema or _widest_schema([label.schema for label in labels.values()], parent, library),
        labels={case_id: label.number for case_id, label in labels.items()},
        new=tuple(case_id for case_id in training if known.get(case_id) != labels[case_id].number),
        drawn_over={case_id: label.drawn_over for case_id, label in labels.items()},
        held=tuple(case_id for case_id in labels if case_id not in training),
    )
    if run.writes:
        write_json_atomic(file, asdict(corrections))
    return corrections


def corrected_entries(
    config: FinetuneConfig, run: RunLog, library: Library, corrections: Corrections, start: ModelPackage | None
) -> list[PreparedCase]:
    """Prepared cases of the library with the fixed labels, followed by those of the other folders in the same schema.

    All are prepared like the cases of ``start``, if there is one, so that the voxel size is the same.

    Raises:
        LibraryError: a label, or who decided its voxels, is missing or was modified.
        InputError: a case cannot be read, or a label has a tissue that the schema lacks.
    """
    store = _store(config, run)
    cases, origins = [], {}
    for case_id, number in corrections.labels.items():
        case = library.case(case_id)
        label = next((label for label in case.labels if label.number == number), None)
        if label is None:
            raise LibraryError(f"{case.folder}: label {number} is gone", "restore it, or start a new run")
        cases.append(_labeled(library, case, label, corrections.schema, store))
        if config.edited_weight != 1 and case_id not in corrections.held:
            origins[case_id] = _origins(case, label)
    run.say(f"corrections: {len(corrections.new)} new, {len(cases)} labels in all, schema {corrections.schema}")
    preprocess = start.info.preprocess if start else PreprocessConfig()
    result = prepare_cases(cases, store, preprocess, workers=config.workers, on_case=lambda _: run.stop_if_asked())
    result.refuse_failures()
    ours = [replace(entry, origins=origins.get(entry.id)) for entry in result.entries]
    if config.edited_weight != 1:
        known = sum(file is not None for file in origins.values())
        say = run.say if known else run.warn
        say(f"--edited-weight {config.edited_weight:g}: {known} of {len(origins)} labels say what a person edited")
    others = tuple(folder for folder in config.folders if Path(folder).resolve() != library.folder.resolve())
    more = labeled_entries(replace(config, folders=others, target_schema=corrections.schema), run) if others else ()
    entries = [*ours, *more]
    check_preprocess(entries)
    return entries


def held_out_for(
    config: FinetuneConfig, run: RunLog, library: Library, corrections: Corrections, model: ModelPackage
) -> dict[str, PreparedCase]:
    """Case id -> the held-out case without its label, prepared as ``model`` knows cases.

    Raises:
        InputError: a case cannot be read.
    """
    cases = [library.as_case(library.case(case_id)) for case_id in corrections.held]
    store = _store(config, run) / "as-old-model"
    result = prepare_cases(
        cases, store, model.info.preprocess, workers=config.workers, on_case=lambda _: run.stop_if_asked()
    )
    result.refuse_failures()
    return {entry.id: entry for entry in result.entries}


def corrected_splits(
    run: RunLog, library: Library, corrections: Corrections, entries: Sequence[PreparedCase]
) -> Splits:
    """Splits with the training cases of the library and all cases of other folders for training, and the held-out ones
    for comparison. They are written to the run.

    Raises:
        InputError: a patient or an image in another folder is held out in the library.
    """
    held = set(corrections.held)
    train = tuple(entry.id for entry in entries if entry.id not in held)
    splits = Splits(train, tuple(entry.id for entry in entries if entry.id in held))
    check_splits(splits, entries, str(library.folder))
    if run.writes:
        splits.write(run.folder / "splits.json")
    return splits


def mixed(entries: Sequence[PreparedCase], new: Sequence[str]) -> list[PreparedCase]:
    """Entries to draw patches from: new corrections as often as all earlier cases together, to forget neither."""
    fresh = [entry for entry in entries if entry.id in set(new)]
    earlier = [entry for entry in entries if entry.id not in set(new)]
    return [*earlier, *fresh * max(1, round(len(earlier) / max(1, len(fresh))))]


def _store(config: FinetuneConfig, run: RunLog) -> Path:
    return Path(config.store) if config.store else run.folder / "store"


def _labeled(library: Library, case: LibraryCase, label: LabelVersion, schema: str, store: Path) -> Case:
    read = library.read_label(case, label)  # also where nothing is to be converted: it checks the file
    plain = library.as_case(case, label)
    if label.schema == schema:
        return plain
    ours = schema_named(schema)
    indices = converted_indices(read.array, schema_named(label.schema), ours, str(case.label_file(label)))
    file = store / "converted" / f"{case.id}-{label.number:04d}-{schema}.nii.gz"
    converted = Volume(values_from_indices(indices, ours), read.grid)
    write_nifti(file, converted.array, converted.grid)
    return replace(plain, label=Source(file), schema=schema)


def _origins(case: LibraryCase, label: LabelVersion) -> Path | None:
    """The file of who decided each voxel of a label; None where that is not known."""
    if label.origins is None:
        return None
    file = case.origins_file(label)
    if not file.is_file() or sha256_of(file) != label.origins.sha256:
        raise LibraryError(f"{file}: is missing or was changed after it was accepted", "restore it from a backup")
    return file


def _id_of(parent: ModelPackage | None) -> str:
    return parent.info.id if parent else ""


def _widest_schema(names: Sequence[str], parent: ModelPackage | None, library: Library) -> str:
    """The schema among ``names`` that includes the tissues of all; preferably that of the parent."""
    used = [schema_named(name) for name in dict.fromkeys(names)]
    wide = [one.name for one in used
            if all(index_of_tissue(label, one) is not None for other in used for label in other.labels)]  # fmt: skip
    if not wide:
        listed = ", ".join(schema.name for schema in used)
        raise InputError(
            f"{library.folder}: its labels follow the schemas {listed}, none of which covers the tissues of all",
            "name one that does with --schema",
        )
    return parent.info.schema if parent and parent.info.schema in wide else wide[0]


def _read(file: Path, library: Library, parent: ModelPackage | None) -> Corrections:
    try:
        record = read_json(file)
        record |= {key: tuple(record[key]) for key in ("new", "held")}
        record["drawn_over"] = {key: tuple(value) for key, value in record["drawn_over"].items()}
        corrections = Corrections(**record)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{file}: cannot be read ({error!r})", "start a new run") from error
    if (corrections.library, corrections.parent) != (library.id, _id_of(parent)):
        raise RunError(f"{file}: the run was started on another library or from another model", "start a new run")
    return corrections
