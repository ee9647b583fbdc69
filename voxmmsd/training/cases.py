"""The labelled cases of a training: prepared, of one schema, split by patient once and for all."""

from __future__ import annotations

from pathlib import Path

from tqdm import tqdm

from voxmmsd.config import FinetuneConfig
from voxmmsd.data.cases import find_cases
from voxmmsd.data.splits import PARTS, Splits, check_splits, make_splits, read_splits
from voxmmsd.data.store import Entry, is_store, open_store, prepare_cases
from voxmmsd.errors import InputError
from voxmmsd.labels import LabelSchema
from voxmmsd.runs import Run


def labelled_entries(config: FinetuneConfig, run: Run) -> tuple[Entry, ...]:
    """All prepared, labelled cases of the folders asked for; folders of images are prepared into the store first.

    Raises:
        InputError: no labelled case, a case that cannot be read, one id twice.
    """
    entries = [entry for folder in config.folders for entry in _entries_of(Path(folder), config, run)]
    labelled = tuple(entry for entry in entries if entry.has_label)
    if not labelled:
        raise InputError(f"{', '.join(config.folders)}: no labelled case; fine-tuning learns from expert labels")
    ids = [entry.id for entry in labelled]
    if doubled := sorted({id_ for id_ in ids if ids.count(id_) > 1}):
        raise InputError(f"case {', '.join(doubled)} comes from two folders; give each case once")
    return labelled


def one_schema(entries: tuple[Entry, ...]) -> LabelSchema:
    """The label schema that all entries share.

    Raises:
        InputError: there are several.
    """
    names = sorted({entry.label_schema().name for entry in entries})
    if len(names) > 1:
        raise InputError(f"the cases' labels follow different schemas ({', '.join(names)}); train on one at a time")
    return entries[0].label_schema()


def fixed_splits(config: FinetuneConfig, run: Run, entries: tuple[Entry, ...]) -> Splits:
    """The run's own ``splits.json`` if it was started before, else the file asked for, else drawn; then written.

    Raises:
        InputError: nothing trains or validates.
    """
    kept = run.folder / "splits.json"
    if kept.is_file():
        splits = read_splits(kept, entries)
    elif config.splits:
        splits = read_splits(Path(config.splits), entries)
    else:
        splits = make_splits(entries, config.seed)
    check_splits(splits, entries, config.splits or "splits")
    where = config.splits or ", ".join(config.folders)
    for part in ("train", "validation"):
        if not getattr(splits, part):
            raise InputError(f"{where}: no labelled case is left to {part}; name some in --splits or add cases")
    splits.write(kept)
    run.say("cases: " + ", ".join(f"{len(getattr(splits, part))} {part}" for part in PARTS))
    return splits


def _entries_of(folder: Path, config: FinetuneConfig, run: Run) -> tuple[Entry, ...]:
    if is_store(folder):
        return open_store(folder)
    cases = [case for case in find_cases(folder, config.schema or None).cases if case.label is not None]
    store = Path(config.store) if config.store else run.folder / "store"
    with tqdm(total=len(cases), desc="prepare", unit="case", dynamic_ncols=True) as bar:
        result = prepare_cases(cases, store, workers=config.workers, on_case=lambda _: bar.update() and None)
    if result.failures:
        raise InputError("; ".join(f"case {id_}: {reason}" for id_, reason in result.failures))
    return result.entries
