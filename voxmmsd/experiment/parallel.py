"""Run several trainings, or their scoring, in parallel: for a GPU that one training does not fill, or many cores.

Each training is a separate detached run. Trainings that are still active after an earlier call was killed are awaited
and not started again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path

import torch

from voxmmsd.concurrency import process_count
from voxmmsd.config import config_to_record
from voxmmsd.data.store import PreparedCase
from voxmmsd.errors import Canceled, RunError
from voxmmsd.experiment.scoring import score_model
from voxmmsd.files import write_json_atomic
from voxmmsd.labels import LabelSchema
from voxmmsd.runs import Request, Run, RunState, is_finished, view_run
from voxmmsd.runs.control import ask
from voxmmsd.runs.launch import start_detached
from voxmmsd.runs.status import read_status
from voxmmsd.training_config import FinetuneConfig, PretrainConfig

LOOK_SECONDS = 0.5


def train_at_once(trainings: Sequence[PretrainConfig | FinetuneConfig], jobs: int, run: Run) -> None:
    """Run all ``trainings``, ``jobs`` at a time; one that starts from the run of another waits for it.

    Raises:
        Canceled: ``run`` or one of the trainings was asked to pause or cancel, and so were all trainings.
        RunError: a training did not finish; the others were paused.
    """
    left = [each for each in trainings if not is_finished(Path(each.run))]
    working: dict[str, Future[None]] = {}
    stop: list[Request] = []  # what is asked of all that are at work, if anything is
    with ThreadPoolExecutor(jobs, "training") as pool:
        try:
            while left or working:
                run.stop_if_asked()
                unfinished = {*working, *(each.run for each in left)}
                ready = [each for each in left if getattr(each, "start", "") not in unfinished]
                for training in ready[: jobs - len(working)]:
                    left.remove(training)
                    working[training.run] = pool.submit(_train, training, stop)
                done, _ = wait(working.values(), LOOK_SECONDS, FIRST_COMPLETED)
                for name in [name for name, future in working.items() if future in done]:
                    working.pop(name).result()
                run.stage(f"{len(working)} trainings at work, {len(left)} to come")
        except BaseException:
            stop.append(run.asked() or Request.PAUSE)
            raise


def score_at_once(
    files: Mapping[Path, Path],
    entries: Sequence[PreparedCase],
    schema: LabelSchema,
    device: torch.device,
    jobs: int,
    run: Run,
) -> None:
    """Score models on the same cases, ``jobs`` at a time; keys are the files of their scores.

    Raises:
        Canceled: ``run`` was asked to pause or cancel; finished scores are kept.
    """
    with ProcessPoolExecutor(process_count(jobs, len(files)), mp_context=get_context("spawn")) as pool:
        scores = [pool.submit(_score, model, entries, schema, device, file) for file, model in files.items()]
        try:
            for number, score in enumerate(scores):
                run.stop_if_asked()
                run.stage(f"{number} of {len(scores)} models are scored")
                score.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _score(model: Path, entries: Sequence[PreparedCase], schema: LabelSchema, device: torch.device, file: Path) -> None:
    torch.set_num_threads(1)
    score_model(model, entries, schema, device, file)


def _train(config: PretrainConfig | FinetuneConfig, stop: list[Request]) -> None:
    """Start the training, unless it is active, and wait until it ends; ``stop`` ends it early.

    Raises:
        Canceled: it was asked to pause or cancel on its own.
        RunError: it failed.
    """
    if stop:
        return
    folder = Path(config.run)
    status = read_status(folder)
    if not (status and status.is_alive()):
        options = folder.with_name(f"{folder.name}.json")
        folder.parent.mkdir(parents=True, exist_ok=True)
        write_json_atomic(options, config_to_record(config))
        start_detached([config.VERB, "--config", str(options)], folder)
    has_asked = False
    while not (view := view_run(folder)).is_over:
        if stop and not has_asked:
            with suppress(RunError):  # it has just ended
                ask(folder, stop[0])
            has_asked = True
        time.sleep(LOOK_SECONDS)
    if view.state in (RunState.PAUSED, RunState.CANCELED) and not stop:
        raise Canceled(view.state)
    if view.state not in (RunState.FINISHED, RunState.PAUSED, RunState.CANCELED):
        raise RunError(f"{folder}: {view.line()}", "its log.txt says more; call again to continue where all stopped")
