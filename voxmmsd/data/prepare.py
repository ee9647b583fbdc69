"""The ``prepare`` verb: find the cases in a folder and preprocess them into a store, with a run folder."""

from __future__ import annotations

from pathlib import Path

from tqdm import tqdm

from voxmmsd.config import PrepareConfig, PreprocessConfig, config_to_record
from voxmmsd.data.brain_mask import WORDS
from voxmmsd.data.cases import find_cases
from voxmmsd.data.store import StoreResult, prepare_cases
from voxmmsd.errors import ConfigError
from voxmmsd.runs import open_run


def prepare_folder(config: PrepareConfig) -> StoreResult:
    """Prepare all cases of ``config.folder`` into ``config.store``; its run folder is ``STORE/.run``.

    Raises:
        InputError: the folder holds no case.
    """
    found = find_cases(Path(config.folder), config.schema or None)
    found.refuse_none()
    if config.brain_mask and config.brain_mask not in WORDS:
        raise ConfigError(
            f"--brain-mask {config.brain_mask}: prepare takes one of {', '.join(WORDS)}",
            "a file belongs beside its case's images, named brain_mask",
        )
    store = Path(config.store)
    record = config_to_record(config)
    with open_run(store / ".run", "prepare", record, len(found.cases), continues=False) as run:
        if found.unread:
            run.say(found.unread_remark)
        with tqdm(total=len(found.cases), desc="prepare", unit="case", dynamic_ncols=True) as bar:

            def on_case(case_id: str) -> None:
                bar.update()
                run.progress(bar.n, case_id)
                run.stop_if_asked()

            preprocess = PreprocessConfig(spacing_mm=config.spacing)
            result = prepare_cases(
                found.cases, store, preprocess, config.reference, config.workers, on_case,
                align=config.align, brain_mask=config.brain_mask,
            )  # fmt: skip
        for case_id, error in result.failures:
            run.events.write("warning", case=case_id, text=str(error))
            run.note(f"case {case_id}: {error}")
    return result
