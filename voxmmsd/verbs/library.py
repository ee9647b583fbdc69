"""``voxmmsd library``: the training library of cases and corrected labels."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from voxmmsd.config import ANSWERS, Affects, flag_of, option
from voxmmsd.errors import ConfigError, LibraryError
from voxmmsd.verbs.verb import Verb, VerbGroup, existing, failure_line, require

if TYPE_CHECKING:
    from voxmmsd.library import Library

ORIGINS = "who decided each voxel of the label, ID-voxmmsd_origin.nii.gz of refine"
DRAWN_OVER = "id of the model that the label was drawn on top of (default: those that predicted since the last label)"

OF_A_LABEL = ("origins", "drawn_over", "from_scratch")
OF_IMAGES = ("case", "brain_mask", "result", "label", *OF_A_LABEL)


@dataclass(frozen=True)
class LibraryConfig:
    """What every action asks for."""

    library: str = option("", "folder of the training library", affects=Affects.PLACE, positional=True)


@dataclass(frozen=True)
class LibraryAddConfig(LibraryConfig):
    folder: str = option("", "folder of cases, or of results of segment", affects=Affects.INPUT, positional=True)
    schema: str = option("", "label schema, if it cannot be determined")
    part: str = option("", "use of new patients (default: drawn at random)", choices=("training", "hold-out"))
    hold_out: float = option(0.2, "for a new library: fraction of the patients that are held out")
    prefix: str = option("", "rename the cases to PREFIX-001, PREFIX-002, ... if their names are not codes")
    case: str = option("", "id of a case that is given image by image")
    t1n: str = option("", "T1 image, instead of a folder", affects=Affects.INPUT)
    t1c: str = option("", "contrast-enhanced T1 image", affects=Affects.INPUT)
    t2w: str = option("", "T2 image", affects=Affects.INPUT)
    t2f: str = option("", "FLAIR image", affects=Affects.INPUT)
    brain_mask: str = option("", "brain mask, for images with a skull", affects=Affects.INPUT)
    result: str = option("", "record of the segment result for these images (ID-voxmmsd.json)", affects=Affects.INPUT)
    label: str = option("", "file of the corrected label", affects=Affects.INPUT)
    origins: str = option("", ORIGINS, affects=Affects.INPUT)
    drawn_over: str = option("", DRAWN_OVER)
    from_scratch: bool = option(False, "the label was drawn from scratch, not on top of a model's output")


@dataclass(frozen=True)
class LibraryAcceptConfig(LibraryConfig):
    case: str = option("", "case id")
    label: str = option("", "file of the corrected label (default: the unchanged prediction)", affects=Affects.INPUT)
    origins: str = option("", ORIGINS, affects=Affects.INPUT)
    schema: str = option("", "label schema, if it cannot be determined")
    drawn_over: str = option("", DRAWN_OVER)
    from_scratch: bool = option(False, "the label was drawn from scratch, not on top of a model's output")


@dataclass(frozen=True)
class LibraryNextConfig(LibraryConfig):
    count: int = option(3, "number of cases to suggest", range=(1, math.inf))


@dataclass(frozen=True)
class LibraryBlindConfig(LibraryConfig):
    case: str = option("", "case id (default: the first that was not compared yet)")
    old: str = option("", "one model")
    new: str = option("", "the other model")


@dataclass(frozen=True)
class LibraryChooseConfig(LibraryConfig):
    pair: str = option("", "number of the pair")
    better: str = option("", "which of the two is better", choices=ANSWERS)


def _add(config: LibraryAddConfig) -> int:
    from voxmmsd.labels import MODALITIES
    from voxmmsd.library import create_library, is_library, open_library
    from voxmmsd.library.adding import CaseFiles, add_folder, add_one

    place = require(config.library, "LIBRARY")
    images = {name: Path(file) for name in MODALITIES if (file := getattr(config, name))}
    if images:
        _refuse(config, ("folder", "prefix"), "is for a folder of cases, not for images", "leave it out, or the images")
        if not config.label:
            _refuse(config, OF_A_LABEL, "is of a label, and none is given", "give --label FILE")
    else:
        _refuse(config, OF_IMAGES, "is for a case that is given image by image", "give --t1c FILE and its other images")
    if not is_library(place):
        if not images:
            existing(config.folder)
        try:
            create_library(place, config.hold_out)
        except LibraryError:
            if not is_library(place):  # else another process made it just now
                raise
    library = open_library(place)
    if config.hold_out not in (LibraryAddConfig.hold_out, library.hold_out_share):
        raise ConfigError(
            f"--hold-out {config.hold_out:g}: {place} is there already and holds out {library.hold_out_share:g}",
            "leave it out, or say with --part where these patients belong",
        )
    if images:
        files = CaseFiles(
            images,
            brain_mask=Path(config.brain_mask) if config.brain_mask else None,
            result=Path(config.result) if config.result else None,
            label=Path(config.label) if config.label else None,
            origins=Path(config.origins) if config.origins else None,
            drawn_over=_models_below(config),
        )
        print("\n".join(add_one(library, config.case, files, part=config.part, schema=config.schema)))
        return 0
    added = add_folder(library, existing(config.folder), schema=config.schema, part=config.part, prefix=config.prefix)
    print("\n".join(added.lines or ["nothing new"]))
    for case_id, error in added.failures:
        print(failure_line(case_id, error), file=sys.stderr)
    return 2 if added.failures else 0


def _list(config: LibraryConfig) -> None:
    from voxmmsd.corrections.usage import learned_in
    from voxmmsd.library.report import cases_report
    from voxmmsd.models.registry import list_models
    from voxmmsd.runs import list_runs

    library = _opened(config)
    print(cases_report(library, learned_in(library, list_models(), [run.folder for run in list_runs()])))


def _accept(config: LibraryAcceptConfig) -> None:
    from voxmmsd.library.adding import accept_prediction

    library = _opened(config)
    case_id = str(require(config.case, "--case ID"))
    if config.label:
        origins, over = Path(config.origins) if config.origins else None, _models_below(config)
        version = library.accept_file(case_id, Path(config.label), config.schema, drawn_over=over, origins=origins)
    else:
        _refuse(config, ("schema", *OF_A_LABEL), "is of a label, and none is given", "give --label FILE")
        version = accept_prediction(library, case_id)
    print(f"{case_id}: accepted {version.stem}, {version.changed_voxel_count} voxels changed")


def _refuse(config: LibraryConfig, names: Sequence[str], why: str, remedy: str) -> None:
    """Raises ConfigError: one of these options is given, which would be passed over."""
    for item in fields(config):
        if item.name in names and (value := getattr(config, item.name)):
            named = value if item.metadata["positional"] else f"--{flag_of(item)}"
            raise ConfigError(f"{named}: {why}", remedy)


def _models_below(config: LibraryAddConfig | LibraryAcceptConfig) -> tuple[str, ...] | None:
    """The models that the label was drawn over; None where the library is to tell."""
    if config.from_scratch and config.drawn_over:
        raise ConfigError(f"--from-scratch contradicts --drawn-over {config.drawn_over}", "give one of them")
    return () if config.from_scratch else (config.drawn_over,) if config.drawn_over else None


def _next(config: LibraryNextConfig) -> None:
    from voxmmsd.library import next_to_label
    from voxmmsd.library.report import suggestions_report

    print(suggestions_report(next_to_label(_opened(config).cases()), config.count))


def _blind(config: LibraryBlindConfig) -> None:
    from voxmmsd.corrections.blinded import tally
    from voxmmsd.corrections.side_by_side import side_by_side
    from voxmmsd.models.registry import resolve_model

    library = _opened(config)
    old, new = (resolve_model(str(require(getattr(config, name), f"--{name} MODEL"))) for name in ("old", "new"))
    pair = side_by_side(library, old, new, config.case)
    print(f"pair {pair.number}, case {pair.case_id}: look at {pair.first} and {pair.second}, then")
    print(f"  voxmmsd library choose {library.folder} --pair {pair.number} --better first|second|equal")
    print(tally(library, old.info.id, new.info.id).text)


def _choose(config: LibraryChooseConfig) -> None:
    from voxmmsd.corrections.blinded import choose

    number, answer = require(config.pair, "--pair NUMBER"), require(config.better, "--better ANSWER")
    pair = choose(_opened(config), str(number), str(answer))
    print(f"pair {pair.number}: {pair.chosen or 'neither'} is better")


def _opened(config: LibraryConfig) -> Library:
    from voxmmsd.library import open_library

    return open_library(require(config.library, "LIBRARY"))


VERB = VerbGroup(
    "library",
    "manage the training library of cases and corrected labels",
    (
        Verb("list", "list the cases, their labels and which models were trained on them", LibraryConfig, _list),
        Verb("add", "add cases, expert labels, results of segment and corrections", LibraryAddConfig, _add),
        Verb("accept", "accept the corrected label of a case", LibraryAcceptConfig, _accept),
        Verb("next", "suggest which cases to label next", LibraryNextConfig, _next),
        Verb("blind", "segment a case with two models for a blinded comparison", LibraryBlindConfig, _blind),
        Verb("choose", "record which result of a pair is better", LibraryChooseConfig, _choose),
    ),
)
