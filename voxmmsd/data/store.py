"""The prepared store: one memory-mapped uint8 array per case, rebuilt when outdated or damaged.

``ID.npy`` is ``(channel, z, y, x)``: the four modalities and, for a labeled case, the class indices as a fifth channel.
``ID.json`` beside it is written last and describes the array: its key (content of the sources, preprocessing, schema),
its checksum and its grid. ``prepare_cases`` rebuilds arrays that do not match their record; ``open_store`` refuses
them.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from voxmmsd.concurrency import process_count
from voxmmsd.data.case import Case
from voxmmsd.data.formats.sources import Source, read_volume, source_sha256
from voxmmsd.data.preprocess import Preprocess
from voxmmsd.data.reading import read_case
from voxmmsd.data.volume import Grid, canonical, resample
from voxmmsd.errors import InputError, VoxMMSDError
from voxmmsd.failures import failure_of_case
from voxmmsd.files import read_json, sha256_of, write_json_atomic, written_aside
from voxmmsd.labels import EDITED, MODALITIES, LabelSchema, code_of_tissue, schema_named, unknown_tissue
from voxmmsd.model_config import PreprocessConfig

# Raise it whenever other voxels come out of the same images: entries of earlier formats are then prepared again.
# Testing/Core/data/test_store_format.py fails until that is done.
FORMAT = 4
_OF_A_TRAINING = ("folder", "mapping", "cohort", "origins")  # fields of an entry that its record does not hold
_CHANNELS = len(MODALITIES)
_LABEL_IT = "put the expert's label beside its images and prepare it again, or leave the case out"


@dataclass(frozen=True)
class PreparedCase:
    """One prepared case. Arrays are opened on demand, so an entry is cheap to pass between processes."""

    folder: Path
    id: str
    patient_id: str
    key: str
    image_hash: str
    array_sha256: str
    shape_czyx: tuple[int, ...]
    grid: Grid
    present: tuple[bool, ...]
    schema: str | None
    preprocess: PreprocessConfig
    notes: tuple[str, ...] = ()
    mapping: tuple[int, ...] | None = None  # from the stored class indices to those of ``schema``; see ``mapped_onto``
    cohort: str = ""  # the data set that it came with, where a training reads several
    origins: Path | None = None  # file of who decided each voxel of the label, where a training reads it

    @property
    def has_label(self) -> bool:
        return self.shape_czyx[0] > _CHANNELS

    @property
    def array_file(self) -> Path:
        return self.folder / f"{self.id}.npy"

    def image(self) -> np.ndarray:
        """``(4, z, y, x)`` uint8, memory-mapped, read-only."""
        return self._array()[:_CHANNELS]

    def label(self) -> np.ndarray:
        """``(z, y, x)`` uint8 class indices of ``schema``, memory-mapped if stored in this form.

        Raises:
            InputError: the case has no labels.
        """
        if not self.has_label:
            raise InputError(f"{self.array_file}: case {self.id} has no labels", _LABEL_IT)
        stored = self._array()[_CHANNELS]
        return stored if self.mapping is None else np.array(self.mapping, np.uint8)[stored]

    def edited(self) -> np.ndarray | None:
        """Which voxels of the label a person edited, ``(z, y, x)`` bool; None where no file of origins is named."""
        if self.origins is None:
            return None
        who = canonical(read_volume(Source(self.origins)))
        return resample(who, self.grid, order=0).array == EDITED

    @property
    def leaves_tissues_open(self) -> bool:
        """Whether its labels contain codes of unions, that is, the case is partially labeled."""
        return self.mapping is not None and max(self.mapping) >= self.label_schema().class_count

    def mapped_onto(self, target: LabelSchema) -> PreparedCase:
        """The same case with its labels mapped to class indices of ``target``, tissue by tissue.

        A label that stands for several tissues of ``target`` (the whole tumor) gets the code of their union.

        Raises:
            InputError: it has no labels, or voxels of a tissue that ``target`` does not know.
        """
        assert self.mapping is None, "an entry is mapped once"
        source = self.label_schema()
        if source == target:
            return self
        codes = [code_of_tissue(label, target) for label in source.labels]
        present = np.bincount(self.label().ravel(), minlength=source.class_count)[1:]
        for label, code, voxels in zip(source.labels, codes, present.tolist(), strict=True):
            if code is None and voxels:
                raise unknown_tissue(label, voxels, source, target, f"{self.array_file}")
        table = (0, *(code or 0 for code in codes))
        same = table == tuple(range(len(table)))
        return replace(self, schema=target.name, mapping=None if same else table)

    def label_schema(self) -> LabelSchema:
        if self.schema is None:
            raise InputError(f"{self.array_file}: case {self.id} has no labels, hence no label schema", _LABEL_IT)
        return schema_named(self.schema)

    def _array(self) -> np.ndarray:
        return np.load(self.array_file, mmap_mode="r", allow_pickle=False)


@dataclass(frozen=True)
class StoreResult:
    """Entries in the order of the given cases, how many were built, and cases that could not be prepared."""

    entries: tuple[PreparedCase, ...]
    made: int
    failures: tuple[tuple[str, VoxMMSDError], ...]

    def refuse_failures(self) -> None:
        """Raise InputError where a case could not be prepared, with all of them."""
        if len(self.failures) == 1:
            ((case_id, error),) = self.failures
            raise InputError(f"case {case_id}: {error.problem}", error.remedy) from error
        if self.failures:
            listed = "; ".join(f"case {case_id}: {error}" for case_id, error in self.failures)
            raise InputError(listed, "correct these cases or leave them out")


def prepare_cases(
    cases: Sequence[Case],
    folder: Path,
    preprocess: PreprocessConfig | None = None,
    reference: str = "",
    workers: int = 0,
    on_case: Callable[[str], None] | None = None,
    *,
    align: bool = False,
    brain_mask: str = "",
) -> StoreResult:
    """Prepare cases into the store at ``folder``; those that are intact and up to date are kept.

    ``on_case`` is called with each finished case's id. A case that cannot be read is reported in ``failures`` and
    does not stop the others. ``workers`` 0 is one process per core. ``align``, with a picture ``ID-alignment.png``, and
    ``brain_mask``: see ``read_case``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    jobs = [_Job(case, folder, preprocess or PreprocessConfig(), reference, align, brain_mask) for case in cases]
    entries: list[PreparedCase] = []
    failures: list[tuple[str, VoxMMSDError]] = []
    made = 0
    for job, (outcome, fresh) in zip(jobs, _run_jobs(jobs, workers), strict=True):
        if isinstance(outcome, VoxMMSDError):
            failures.append((job.case.id, outcome))
        else:
            entries.append(outcome)
            made += fresh
        if on_case:
            on_case(job.case.id)
    return StoreResult(tuple(entries), made, tuple(failures))


def open_store(folder: Path) -> tuple[PreparedCase, ...]:
    """The entries of a store, by id. Voxels are not verified: see ``check_arrays``.

    Raises:
        InputError: no prepared case, or one that is damaged, incomplete or of another format.
    """
    found = {name: _read_entry(folder / f"{name}.json") for name in names_in(folder)}
    if not found:
        raise InputError(
            f"{folder}: holds no prepared case", "make the store with `voxmmsd prepare FOLDER --store DIR`"
        )
    _refuse_unusable(folder, [f"{name}: {entry}" for name, entry in found.items() if isinstance(entry, str)])
    return tuple(entry for entry in found.values() if isinstance(entry, PreparedCase))


def check_arrays(entries: Sequence[PreparedCase]) -> None:
    """Compare every array with its checksum, which reads all of it: once at the start of a run.

    Raises:
        InputError: modified or damaged arrays, all of them named.
    """
    for folder in dict.fromkeys(entry.folder for entry in entries):
        spoiled = [entry.id for entry in entries if entry.folder == folder and not _fits(entry)]
        _refuse_unusable(folder, [f"{id_}: its voxels were changed or damaged" for id_ in spoiled])


def _refuse_unusable(folder: Path, problems: Sequence[str]) -> None:
    if problems:
        listed = "; ".join(problems[:5]) + (f"; and {len(problems) - 5} more" if len(problems) > 5 else "")
        raise InputError(
            f"{folder}: cannot be used as a prepared store: {listed}",
            f"prepare these cases again with `voxmmsd prepare FOLDER --store {folder}`, or remove their .npy and .json "
            "files",
        )


def _fits(entry: PreparedCase) -> bool:
    try:
        return sha256_of(entry.array_file) == entry.array_sha256
    except OSError:
        return False


def is_store(folder: Path) -> bool:
    """Whether the folder contains at least one prepared case, intact or not."""
    return folder.is_dir() and bool(names_in(folder))


def names_in(folder: Path) -> list[str]:
    """Names of all prepared cases with an array or a record; empty for any other folder."""
    arrays = {file.stem for file in folder.glob("[!.]*.npy")}
    known = {file.stem for file in folder.glob("[!.]*.json") if file.stem in arrays or _is_record(file)}
    return sorted(arrays | known) if known else []


def _is_record(file: Path) -> bool:
    """Whether a JSON file is that of a prepared case; other ones may lie beside them."""
    try:
        record = read_json(file)
    except (OSError, ValueError):
        return False  # where an array lies beside it, that one names the case
    return isinstance(record, dict) and {"array_sha256", "shape_czyx"} <= record.keys()


@dataclass(frozen=True)
class _Job:
    case: Case
    folder: Path
    preprocess: PreprocessConfig
    reference: str
    align: bool
    brain_mask: str


_Outcome = tuple[PreparedCase | VoxMMSDError, bool]  # and whether it was computed now


def _leave_signals() -> None:
    """A terminal's Ctrl-C reaches all processes; the parent decides what it means."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _run_jobs(jobs: Sequence[_Job], workers: int) -> Iterator[_Outcome]:
    count = process_count(workers, len(jobs))
    if count <= 1:
        yield from map(_prepare_one, jobs)
        return
    with ProcessPoolExecutor(
        count, mp_context=multiprocessing.get_context("spawn"), initializer=_leave_signals
    ) as pool:
        try:
            yield from pool.map(_prepare_one, jobs)
        finally:
            pool.shutdown(cancel_futures=True)  # of a stopped run


def _prepare_one(job: _Job) -> _Outcome:
    try:
        key = _key(job)
        kept = _read_entry(job.folder / f"{job.case.id}.json")
        if isinstance(kept, PreparedCase) and kept.key == key and _fits(kept):
            return kept, False
        return _make_entry(job, key), True
    except Exception as error:
        return failure_of_case(error), False


def _key(job: _Job) -> str:
    """Hash of everything that determines the array: content of the sources, schema, preprocessing."""
    case = job.case
    sources = {**case.modalities, "label": case.label, "brain_mask": case.brain_mask}
    content = {name: [source_sha256(s), s.channel, s.series_uid] for name, s in sources.items() if s is not None}
    record = [FORMAT, case.patient_id, case.schema, asdict(job.preprocess), job.reference, content]
    record += [["align", job.align, job.brain_mask]] if job.align or job.brain_mask else []
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def _make_entry(job: _Job, key: str) -> PreparedCase:
    case = job.case
    picture = job.folder / f"{case.id}-alignment.png" if job.align else None
    volumes = read_case(case, job.reference or None, aligned=job.align, brain_mask=job.brain_mask, picture=picture)
    prepared = Preprocess(job.preprocess).apply(volumes)
    label = prepared.label_zyx
    array = prepared.image_czyx if label is None else np.concatenate([prepared.image_czyx, label[None]])
    file = job.folder / f"{case.id}.npy"
    record_file = file.with_suffix(".json")
    record_file.unlink(missing_ok=True)  # between the two writes the entry does not exist
    with written_aside(file) as aside:
        np.save(aside, array, allow_pickle=False)
        checksum = sha256_of(aside)
    entry = PreparedCase(
        folder=job.folder,
        id=case.id,
        patient_id=case.patient_id,
        key=key,
        image_hash=hashlib.sha256(prepared.image_czyx.tobytes()).hexdigest(),
        array_sha256=checksum,
        shape_czyx=array.shape,
        grid=prepared.grid,
        present=prepared.present,
        schema=volumes.schema.name if volumes.schema and label is not None else None,
        preprocess=job.preprocess,
        notes=volumes.notes,
    )
    write_json_atomic(record_file, _record(entry))
    return entry


def _record(entry: PreparedCase) -> dict[str, object]:
    record = {name: getattr(entry, name) for name in PreparedCase.__dataclass_fields__ if name not in _OF_A_TRAINING}
    return {"format": FORMAT, **record, "grid": entry.grid.to_json(), "preprocess": asdict(entry.preprocess)}


def _read_entry(file: Path) -> PreparedCase | str:
    """The entry of a record, or the reason why there is none."""
    if not file.is_file():
        return "has no record; its preparation is under way or was interrupted"
    try:
        record = read_json(file)
        version = record.pop("format")
        if version != FORMAT:
            return f"was prepared by another version of voxmmsd (format {version}, this version uses {FORMAT})"
        for name in ("shape_czyx", "present", "notes"):
            record[name] = tuple(record[name])
        record["grid"] = Grid.from_json(record["grid"])
        record["preprocess"] = PreprocessConfig(**record["preprocess"])
        entry = PreparedCase(folder=file.parent, **record)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        return f"its record is damaged ({error!r:.80})"
    try:
        if entry._array().shape == entry.shape_czyx:
            return entry
    except (OSError, ValueError):
        pass
    return "its array is missing, truncated or of another size"
