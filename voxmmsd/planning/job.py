"""Pack a training as a self-contained folder: prepared cases, options, this package and one command.

It is copied to a GPU server and started there. The run is followed in a shared folder, or its model is copied back.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import voxmmsd
from voxmmsd.config import OF_THIS_MACHINE, config_to_record, options_that
from voxmmsd.errors import ConfigError, InputError
from voxmmsd.files import copy_folder, folder_written_aside, write_json_atomic, write_text_atomic
from voxmmsd.ids import safe_id
from voxmmsd.library import is_library
from voxmmsd.models.registry import resolve_model
from voxmmsd.runs import NullRun, RunLog, resolve_run
from voxmmsd.training.cases import labeled_entries, unlabeled_entries
from voxmmsd.training_config import FinetuneConfig, PretrainConfig

OPTIONS, RUN, STORE, LIBRARY, START, SPLITS = "job.json", "run", "store", "library", "start", "splits.json"
BANK = "tumor-bank.npz"
_CORE = Path(voxmmsd.__file__).parent


def export_job(config: FinetuneConfig | PretrainConfig, folder: Path, run: RunLog | None = None) -> Path:
    """Write the job of ``config`` into ``folder``; returns the folder.

    A training library is included unchanged, since the old and the new model are compared on its held-out cases; other
    cases are prepared, those of each folder into a store of its own. ``run`` receives the progress.

    Raises:
        ConfigError: the folder is not empty, or an option does not apply to a training library.
        InputError: cases cannot be used.
    """
    if folder.exists() and any(folder.iterdir()):
        raise ConfigError(f"{folder}: is not empty", "name a new folder for the job")
    with folder_written_aside(folder) as aside:
        _write_job(config, aside, run or NullRun(folder))
    return folder


def _write_job(config: FinetuneConfig | PretrainConfig, folder: Path, run: RunLog) -> None:
    here = options_that(config, OF_THIS_MACHINE)
    options = {key: value for key, value in config_to_record(config).items() if key not in here}
    options |= {"folders": _cases(config, folder, run), "run": RUN}
    options |= _start_and_splits(config, folder)
    if config.run and not config.name:  # else the model would be called after the job's own run folder
        options["name"] = safe_id(resolve_run(config.run).name)
    write_json_atomic(folder / OPTIONS, options)
    copy_folder(_CORE, folder / _CORE.name)
    several = options["folders"] != [LIBRARY]
    for name, text in _texts(config.VERB, several).items():
        write_text_atomic(folder / name, text)
        if name.endswith(".sh"):
            (folder / name).chmod(0o755)


def _cases(config: FinetuneConfig | PretrainConfig, folder: Path, run: RunLog) -> list[str]:
    libraries = [Path(name) for name in config.folders if is_library(Path(name))]
    if libraries and isinstance(config, FinetuneConfig):
        if len(config.folders) > 1:
            raise ConfigError("a job on a training library takes no other folders beside it", "name the library alone")
        config.check_for_library()
        copy_folder(libraries[0], folder / LIBRARY)
        return [LIBRARY]
    here = replace(config, store=str(folder / STORE))
    entries = labeled_entries(here, run) if isinstance(here, FinetuneConfig) else sum(unlabeled_entries(here, run), ())
    places = _places([entry.cohort for entry in entries])
    for entry in entries:
        place = folder / places[entry.cohort]
        place.mkdir(parents=True, exist_ok=True)
        for file in entry.array_file.parent.glob(f"{entry.array_file.stem}.*"):
            if file.stem != entry.array_file.stem or file.parent == place:
                continue
            if file.parent == folder / STORE:  # prepared just now
                shutil.move(file, place)
            else:
                shutil.copy2(file, place)
    return list(places.values())


def _places(cohorts: Sequence[str]) -> dict[str, str]:
    """A store for each cohort, by the name that is its cohort's in the job; one alone is the store itself."""
    names = list(dict.fromkeys(cohorts))
    if len(names) == 1:
        return {names[0]: STORE}
    places: dict[str, str] = {}
    for name in names:
        place = f"{STORE}/{safe_id(Path(name).name)}"
        taken = {one.casefold() for one in places.values()}
        number = next(n for n in count(1) if (place if n == 1 else f"{place}-{n}").casefold() not in taken)
        places[name] = place if number == 1 else f"{place}-{number}"
    return places


def _start_and_splits(config: FinetuneConfig | PretrainConfig, folder: Path) -> dict[str, str]:
    options = {}
    if isinstance(config, FinetuneConfig) and config.start:
        copy_folder(resolve_model(config.start).folder, folder / START)
        options["start"] = START
    if isinstance(config, FinetuneConfig) and config.tumor_bank:
        if not Path(config.tumor_bank).is_file():
            raise InputError(f"{config.tumor_bank}: no such file", "check the path of --tumor-bank")
        shutil.copy2(config.tumor_bank, folder / BANK)
        options["tumor_bank"] = BANK
    if config.splits:
        shutil.copy2(config.splits, folder / SPLITS)
        options["splits"] = SPLITS
    return options


@dataclass(frozen=True)
class _Script:
    """A shell script that runs in the folder of the job."""

    body: str
    head: str = ""

    def text(self) -> str:
        place = 'cd "${SLURM_SUBMIT_DIR:-$(dirname "$0")}"' if self.head else 'cd "$(dirname "$0")"'
        return f"#!/bin/bash\n{self.head}set -e\n{place}\nmkdir -p {RUN}\n{self.body}"


def _texts(verb: str, several: bool) -> Mapping[str, str]:
    command = f"-m voxmmsd {verb} --config {OPTIONS}"
    torchrun = f'torchrun --nproc-per-node="${{GPUS:-$(nvidia-smi --list-gpus | wc -l)}}" --max-restarts=3 {command}'
    slurm_command = f"srun {torchrun}" if several else f"srun python {command}"
    found: dict[str, Any] = {
        "README.txt": _README.format(verb=verb, several=_SEVERAL if several else "", run=RUN),
        "requirements.txt": _requirements(),
        "start.sh": _Script(f"exec python {command}\n").text(),
        "slurm.sh": _Script(_SLURM.format(command=slurm_command, run=RUN), _SLURM_HEAD).text(),
    }
    if several:
        found["start-torchrun.sh"] = _Script(f"exec {torchrun}\n").text()
    return found


def _requirements() -> str:
    return "\n".join(
        ["numpy>=1.26", "scipy>=1.11", "nibabel>=5.2", "onnxruntime>=1.17", "safetensors>=0.4.3", "tqdm>=4.66",
         "psutil>=5.9", "matplotlib>=3.8", "torch>=2.4,!=2.9.*", "monai>=1.4", "onnx>=1.16", ""]
    )  # fmt: skip


_README = """A training job ({verb}), packed by Vox-MMSD. The folder is self-contained: copy it to the server.

    python3 -m venv env && . env/bin/activate && pip install -r requirements.txt
    ./start.sh                  one GPU, or the CPU
{several}    sbatch slurm.sh             a Slurm cluster: saves before its time limit and requeues itself

Run the same command again to resume. python -m voxmmsd runs watch {run} shows the progress. In a shared folder, the
panel of 3D Slicer shows it too: choose this folder under "Runs in". The result is {run}/model: import it in the panel,
or with voxmmsd models import.
"""
_SEVERAL = "    ./start-torchrun.sh         several GPUs of one machine (GPUS=4 sets their number)\n"
_SLURM_HEAD = """#SBATCH --job-name=voxmmsd
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --gres=gpu:1
#SBATCH --cpus-per-task=8
#SBATCH --time=04:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=voxmmsd-%j.log
#SBATCH --signal=B:USR1@180
"""
_SLURM = """export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK # not inherited by srun
{command} &
job=$!

# Three minutes before the time limit: ask the run to pause, then requeue; the newest checkpoint is used.
requeue() {{
    timeout 150 python -m voxmmsd runs pause {run} --wait 140 || true
    scontrol requeue "$SLURM_JOB_ID"
    exit 0
}}
trap requeue USR1
wait "$job"
"""
