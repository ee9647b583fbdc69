"""The cases of a training: prepared, with one label schema if labels are used, split by patient once."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from voxmmsd.data.cases import find_cases
from voxmmsd.data.splits import PARTS, Splits, check_splits, make_splits, read_splits
from voxmmsd.data.store import PreparedCase, check_arrays, is_store, open_store, prepare_cases
from voxmmsd.data.tumor_bank import TumorBank, read_tumor_bank, refuse_held_out
from voxmmsd.errors import InputError
from voxmmsd.labels import LabelSchema, schema_named
from voxmmsd.model_config import PreprocessConfig
from voxmmsd.models.registry import resolve_model
from voxmmsd.runs import RunLog
from voxmmsd.terminal import progress_bar
from voxmmsd.training_config import FinetuneConfig, PretrainConfig

LEARNED_FROM = ("train",)  # by a pre-training: patients of other parts may well be elsewhere


def labeled_entries(config: FinetuneConfig, run: RunLog) -> tuple[PreparedCase, ...]:
    """All prepared, labeled cases of the given folders; folders of images are first prepared into the store.

    They are prepared like the cases of the initial model, if there is one, and their labels are mapped to the model's
    schema (see ``model_schema``): ``config.target_schema``, else their common one, else that of the initial model.

    Raises:
        ConfigError: ``config.target_schema`` does not exist.
        InputError: no labeled case, a case that cannot be read, a duplicate id, stores of different voxel sizes,
            several label schemas without one to map them to, or a tissue that it does not know.
    """
    found = tuple(entry for entry in _entries(config, run, config.schema, labeled=True) if entry.has_label)
    if not found:
        raise InputError(
            f"{', '.join(config.folders)}: no labeled case, and fine-tuning learns from expert labels",
            "add some, or pretrain on these",
        )
    target = model_schema(found, target_schema(config, [entry.label_schema().name for entry in found]))
    labeled = tuple(entry.mapped_onto(target) for entry in found)
    seen, known = labeled[0].preprocess.spacing_mm, preprocess_of(config).spacing_mm
    if config.start and seen != known:
        run.warn(f"the cases are prepared at {seen:g} mm, {config.start} learned at {known:g} mm")
    return labeled


def unlabeled_entries(config: PretrainConfig, run: RunLog) -> tuple[tuple[PreparedCase, ...], tuple[PreparedCase, ...]]:
    """All prepared cases for pre-training, and those for validation; both are listed in ``splits.json`` of the run.

    With ``config.splits``, its training and unlabeled patients are used for training (any labels are ignored), and its
    validation patients for validation. Without it, all cases are used for training.

    Raises:
        InputError: no case, a case that cannot be read, a duplicate id, or splits that leave no case.
    """
    entries = _entries(config, run, "", labeled=False)
    kept = run.folder / "splits.json"
    if _are_in_use(kept):
        splits = read_splits(kept, entries, run.say, LEARNED_FROM)
        named = {*splits.train, *splits.validation, *splits.test, *splits.unlabeled}
        if later := [entry.id for entry in entries if entry.id not in named]:
            run.warn(f"{len(later)} cases came after the run's start and are left out: {', '.join(later[:5])}")
    elif config.splits:
        splits = read_splits(Path(config.splits), entries, run.say, LEARNED_FROM)
    else:
        splits = Splits((), (), unlabeled=tuple(entry.id for entry in entries))
    used = {*splits.train, *splits.unlabeled}
    chosen = tuple(entry for entry in entries if entry.id in used)
    held = tuple(entry for entry in entries if entry.id in splits.validation)
    if not chosen:
        raise InputError(
            f"{config.splits or ', '.join(config.folders)}: no case is left to pre-train on",
            "name some in --splits or add cases",
        )
    if run.writes:
        splits.write(kept)
    run.say(f"cases: {len(chosen)} of {len(entries)} to pre-train on")
    return chosen, held


@dataclass(frozen=True)
class ListedCase:
    """A case of a folder that need not be prepared yet: what splits ask of it. ``image_hash``: its id where that of its
    images is not known."""

    id: str
    patient_id: str
    image_hash: str


def listed_cases(folders: Sequence[str]) -> list[ListedCase]:
    """All cases of folders of cases and of prepared stores, labeled or not, each once.

    Raises:
        InputError: a folder or store that cannot be read.
    """
    found: dict[str, ListedCase] = {}
    for folder in map(Path, folders):
        for one in open_store(folder) if is_store(folder) else find_cases(folder).cases:
            content = one.image_hash if isinstance(one, PreparedCase) else one.id
            found.setdefault(one.id, ListedCase(one.id, one.patient_id, content))
    return list(found.values())


def model_schema(entries: Sequence[PreparedCase], target: str = "") -> LabelSchema:
    """The label schema of a model trained on ``entries``: ``target``, or their common one.

    Raises:
        ConfigError: no schema is named ``target``.
        InputError: no target is given and there are several.
    """
    if target:
        return schema_named(target)
    names = sorted({entry.label_schema().name for entry in entries})
    if len(names) > 1:
        raise InputError(
            f"the cases' labels follow different schemas ({', '.join(names)})",
            "name the model's with --target-schema, and all are mapped onto it tissue by tissue",
        )
    return entries[0].label_schema()


def target_schema(config: FinetuneConfig, schemas: Collection[str]) -> str:
    """Name of the schema that labels of these ``schemas`` are mapped to; empty: cases of one schema keep it.

    Of several, without ``config.target_schema``, it is that of the initial model.
    """
    if config.target_schema or not config.start or len(set(schemas)) == 1:
        return config.target_schema
    return resolve_model(config.start).info.schema


def open_bank(file: str, schema: LabelSchema, entries: Sequence[PreparedCase], splits: Splits) -> TumorBank | None:
    """The tumor bank of a fine-tuning, its labels mapped onto ``schema``; None without a file.

    Raises:
        InputError: it is damaged, of other tissues, or has tumors of validation or test patients.
    """
    if not file:
        return None
    bank = read_tumor_bank(Path(file), schema)
    refuse_held_out(bank, [entry for entry in entries if entry.id in {*splits.validation, *splits.test}])
    return bank


def fixed_splits(config: FinetuneConfig, run: RunLog, entries: tuple[PreparedCase, ...]) -> Splits:
    """The ``splits.json`` of a resumed run, else the given file, else splits drawn at random; written to the run.

    Raises:
        InputError: no training or no validation case.
    """
    kept = run.folder / "splits.json"
    if _are_in_use(kept):
        splits = read_splits(kept, entries, run.say)
    elif config.splits:
        splits = read_splits(Path(config.splits), entries, run.say)
    else:
        splits = make_splits(entries, config.seed)
    check_splits(splits, entries, config.splits or "splits")
    where = config.splits or ", ".join(config.folders)
    for part in ("train", "validation"):
        if not getattr(splits, part):
            raise InputError(f"{where}: no labeled case is left to {part}", "name some in --splits or add cases")
    if run.writes:
        splits.write(kept)
    run.say("cases: " + ", ".join(f"{len(getattr(splits, part))} {part}" for part in PARTS[:3]))
    return splits


def _are_in_use(splits: Path) -> bool:
    """Whether a network was trained with these splits; those of a run that trained nothing are redrawn."""
    return splits.is_file() and (splits.parent / "checkpoints").is_dir()


def _entries(
    config: FinetuneConfig | PretrainConfig, run: RunLog, schema: str, labeled: bool
) -> tuple[PreparedCase, ...]:
    cohorts = _cohorts(config.folders)
    entries = tuple(
        replace(entry, cohort=cohort)
        for folder, cohort in zip(config.folders, cohorts, strict=True)
        for entry in _entries_of(Path(folder), config, run, schema, labeled)
    )
    ids = [entry.id for entry in entries]
    if duplicates := sorted({id_ for id_ in ids if ids.count(id_) > 1}):
        raise InputError(f"case {', '.join(duplicates)} comes from two folders", "give each case once")
    check_preprocess(entries)
    return entries


def _cohorts(folders: Sequence[str]) -> list[str]:
    """A name for each folder: its own, or its path if two folders have the same name."""
    names = [Path(folder).absolute().name for folder in folders]
    return [name if names.count(name) == 1 else str(folder) for name, folder in zip(names, folders, strict=True)]


def check_preprocess(entries: Sequence[PreparedCase]) -> None:
    """Check that all entries were prepared in the same way: a network is trained for one voxel size.

    Raises:
        InputError: they differ.
    """
    first = next(iter(entries), None)
    if other := next((entry for entry in entries if first and entry.preprocess != first.preprocess), None):
        assert first is not None
        raise InputError(
            f"{other.array_file}: was prepared at {other.preprocess.spacing_mm:g} mm, {first.array_file} at "
            f"{first.preprocess.spacing_mm:g} mm",
            "prepare all cases alike (`voxmmsd prepare --spacing`)",
        )


def preprocess_of(config: FinetuneConfig | PretrainConfig) -> PreprocessConfig:
    """Preprocessing for a training: that of the initial model, if any."""
    start = config.start if isinstance(config, FinetuneConfig) else ""
    return resolve_model(start).info.preprocess if start else PreprocessConfig()


def _entries_of(
    folder: Path, config: FinetuneConfig | PretrainConfig, run: RunLog, schema: str, labeled: bool
) -> tuple[PreparedCase, ...]:
    if is_store(folder):
        entries = open_store(folder)
        if run.writes and not (run.folder / "checkpoints").is_dir():  # once a run, by the first of several processes
            check_arrays(entries)
        return entries
    placed = find_cases(folder, schema or None)
    if placed.unread:
        run.say(placed.unread_remark)
    found = placed.cases
    # Pre-training leaves labels unread: an unknown schema is then no obstacle.
    cases = [case for case in found if case.label is not None] if labeled else [replace(c, label=None) for c in found]
    store = Path(config.store) if config.store else run.folder / "store"
    with progress_bar(total=len(cases), desc="prepare", unit="case") as bar:

        def on_case(_: str) -> None:
            bar.update()
            run.stage(f"preparing, {bar.n} of {len(cases)} cases")
            run.stop_if_asked()

        run.stage(f"preparing {len(cases)} cases")

        result = prepare_cases(cases, store, preprocess_of(config), workers=config.workers, on_case=on_case)
    result.refuse_failures()
    return result.entries
