"""The Slurm template with a cluster of stand-ins: the job is warned, saves, goes back into the queue and continues."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from voxmmsd.config import config_to_record, make_config
from voxmmsd.data.cases import find_cases
from voxmmsd.data.store import prepare_cases
from voxmmsd.phantom import write_phantoms
from voxmmsd.runs import view_run
from voxmmsd.training_config import PretrainConfig

TEMPLATE = Path(__file__).parents[2] / "docs" / "slurm.sh"
STAND_INS = {
    "srun": 'exec "$@"',
    "scontrol": 'echo "$@" >> "$QUEUE"',
    "voxmmsd": f'exec {sys.executable} -m voxmmsd "$@"',
    # The words up to -m are torchrun's, those after the verb are replaced by a short training's.
    "torchrun": f'exec {sys.executable} "$PROGRAM"',
}
PROGRAM = """
import os, sys, time
from voxmmsd.cli import main
from voxmmsd.training.pretrain import PreTraining
step = PreTraining.train_step
PreTraining.train_step = lambda self: (time.sleep(0.3), step(self))[1]
sys.exit(main(["pretrain", "--config", os.environ["OPTIONS"]]))
"""


@pytest.fixture
def cluster(tmp_path):
    """Environment and options of jobs."""
    write_phantoms(tmp_path / "in", 2, seed=0, side=32)
    prepare_cases(find_cases(tmp_path / "in").cases, tmp_path / "store", workers=1)
    given = {
        "folders": (str(tmp_path / "store"),), "run": str(tmp_path / "run"), "preset": "tiny", "channels": (4, 6, 8),
        "block": 16, "mask_size": 4, "pairs": 64, "candidates": 4096, "steps": 12, "device": "cpu", "threads": 1,
    }  # fmt: skip
    (tmp_path / "options.json").write_text(json.dumps(config_to_record(make_config(PretrainConfig, given))))
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "bin").mkdir()
    for name, body in STAND_INS.items():
        file = tmp_path / "bin" / name
        file.write_text(f"#!/bin/sh\n{body}\n")
        file.chmod(0o755)
    return {
        **os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "SLURM_JOB_ID": "4711", "SLURM_NNODES": "1",
        "SLURM_CPUS_PER_TASK": "1", "QUEUE": str(tmp_path / "queue"), "PROGRAM": str(tmp_path / "program.py"),
        "OPTIONS": str(tmp_path / "options.json"),
    }  # fmt: skip


@pytest.mark.long
def test_a_job_at_the_end_of_its_time_saves_and_goes_back_into_the_queue_and_its_next_life_finishes(cluster, tmp_path):
    text = TEMPLATE.read_text(encoding="utf-8")
    script = tmp_path / "slurm.sh"
    script.write_text(text.replace("RUN=/SHARED/runs/glioma", f"RUN={tmp_path / 'run'}"))
    assert script.read_text(encoding="utf-8") != text
    with subprocess.Popen(["bash", str(script)], env=cluster, stderr=subprocess.DEVNULL, start_new_session=True) as job:
        try:
            end = time.monotonic() + 120
            while not (tmp_path / "run" / "status.json").is_file() or view_run(tmp_path / "run").step < 3:
                assert job.poll() is None
                assert time.monotonic() < end
                time.sleep(0.1)
            job.send_signal(signal.SIGUSR1)  # to the batch script alone, as --signal=B: does
            assert job.wait(timeout=120) == 0
        finally:
            if job.poll() is None:
                os.killpg(job.pid, signal.SIGKILL)
    paused = view_run(tmp_path / "run")
    assert paused.state == "paused"
    assert (tmp_path / "queue").read_text(encoding="utf-8") == "requeue 4711\n"

    subprocess.run(["bash", str(script)], env=cluster, check=True, timeout=200, stderr=subprocess.DEVNULL)
    finished = view_run(tmp_path / "run")
    assert (finished.state, finished.step, len(finished.starts)) == ("finished", 12, 2)
    assert f"continuing at step {paused.step} of 12" in (tmp_path / "run" / "log.txt").read_text(encoding="utf-8")
    assert (tmp_path / "queue").read_text(encoding="utf-8") == "requeue 4711\n", (
        "a job that ends by itself is not queued again"
    )
