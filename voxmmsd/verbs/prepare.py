"""``voxmmsd prepare``: find the cases in a folder and preprocess them into a store, with a run folder."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from voxmmsd.config import SPACING_MM, Affects, config_to_record, option
from voxmmsd.errors import ConfigError
from voxmmsd.terminal import progress_bar
from voxmmsd.verbs.verb import Verb, existing, failure_line, placed_by, require
from voxmmsd.wording import counted

if TYPE_CHECKING:
    from voxmmsd.data.store import StoreResult

_MAX_LISTED = 10


@dataclass(frozen=True)
class PrepareConfig:
    folder: str = option("", "folder of cases", affects=Affects.INPUT, positional=True)
    store: str = option("", "folder of the prepared store", affects=Affects.PLACE)
    schema: str = option("", "label schema of the data set, if file names do not determine it")
    reference: str = option("", "modality whose grid the case is resampled to (default: t1c, else the finest)")
    align: bool = option(False, "first register each modality to the reference, with a picture (needs SimpleITK)")
    brain_mask: str = option(
        "", "a skull-stripped modality, or voxmmsd, hd-bet or synthstrip (default: masks in the folder)"
    )
    spacing: float = option(1.0, "voxel size of the prepared arrays in mm", range=SPACING_MM)
    workers: int = option(0, "parallel processes (0: one per core)", range=(0, math.inf), affects=Affects.SPEED)


def run(config: PrepareConfig) -> int:
    existing(config.folder)
    require(config.store, "--store DIR")
    result = prepare_folder(config)
    for case_id, error in result.failures:
        print(failure_line(case_id, error), file=sys.stderr)
    kept = len(result.entries) - result.made
    print(f"{config.store}: {counted(len(result.entries), 'case')} ready ({result.made} made, {kept} kept)")
    if remark := _others(result, Path(config.store)):
        print(remark)
    return 2 if result.failures else 0


def _others(result: StoreResult, store: Path) -> str:
    """What the store holds besides these cases, which a training takes as well: of other folders, or of cases that were
    removed, renamed or could not be prepared since."""
    from voxmmsd.data.store import names_in

    others = sorted(set(names_in(store)) - {entry.id for entry in result.entries})
    if not others:
        return ""
    listed = ", ".join(others[:_MAX_LISTED]) + (" ..." if len(others) > _MAX_LISTED else "")
    return (
        f"The store also holds {counted(len(others), 'case')} that this call did not prepare, and trainings use them: "
        f"{listed}. Delete their .npy and .json files if they should not be used."
    )


def prepare_folder(config: PrepareConfig) -> StoreResult:
    """Prepare all cases of ``config.folder`` into ``config.store``; its run folder is ``STORE/.run``.

    Raises:
        InputError: the folder holds no case.
    """

    from voxmmsd.data.brain_mask import WORDS
    from voxmmsd.data.cases import find_cases
    from voxmmsd.data.store import prepare_cases
    from voxmmsd.model_config import PreprocessConfig
    from voxmmsd.runs import open_run

    found = find_cases(Path(config.folder), config.schema or None)
    found.refuse_none()
    if config.brain_mask and config.brain_mask not in WORDS:
        raise ConfigError(
            f"--brain-mask {config.brain_mask}: prepare takes one of {', '.join(WORDS)}",
            "a file belongs beside its case's images, named brain_mask",
        )
    store = Path(config.store)
    record = config_to_record(config)
    with open_run(store / ".run", "prepare", record, len(found.cases), continues=False) as job:
        if found.unread:
            job.say(found.unread_remark)
        with progress_bar(total=len(found.cases), desc="prepare", unit="case") as bar:

            def on_case(case_id: str) -> None:
                bar.update()
                job.progress(bar.n, case_id)
                job.stop_if_asked()

            preprocess = PreprocessConfig(spacing_mm=config.spacing)
            result = prepare_cases(
                found.cases, store, preprocess, config.reference, config.workers, on_case,
                align=config.align, brain_mask=config.brain_mask,
            )  # fmt: skip
        for case_id, error in result.failures:
            job.events.write("warning", case=case_id, text=str(error))
            job.note(f"case {case_id}: {error}")
    return result


VERB = placed_by(Verb("prepare", "preprocess cases into a prepared store", PrepareConfig, run), "store")
