import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from voxmmsd.config import config_to_record, make_config
from voxmmsd.data.cases import find_cases
from voxmmsd.data.store import prepare_cases
from voxmmsd.phantom import write_phantoms
from voxmmsd.runs import view_run
from voxmmsd.runs.curves import read_curves
from voxmmsd.training.checkpoint import newest_checkpoint
from voxmmsd.training.pretrain import pretrain
from voxmmsd.training_config import PretrainConfig

PROGRAM = Path(__file__).with_name("killed_again_and_again.py")
KILLS = 25


@pytest.mark.long
def test_after_twenty_five_kills_weights_teacher_center_momenta_losses_and_metrics_are_those_of_an_undisturbed_run(
    tmp_path,
):
    write_phantoms(tmp_path / "in", 3, seed=0, side=32)
    prepare_cases(find_cases(tmp_path / "in").cases, tmp_path / "store", workers=1)
    given = {
        "folders": (str(tmp_path / "store"),), "preset": "tiny", "channels": (4, 6, 8), "block": 16, "mask_size": 4,
        "mask_ratio": 0.5, "pairs": 64, "candidates": 4096, "steps": 60, "checkpoint_every": 1, "keep_checkpoints": 3,
        "preview_every": 7, "device": "cpu", "threads": 1,
    }  # fmt: skip
    killed = make_config(PretrainConfig, {**given, "run": str(tmp_path / "killed")})
    (tmp_path / "options.json").write_text(json.dumps(config_to_record(killed)))
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(tmp_path / "options.json"), str(KILLS)],
        check=True, capture_output=True, encoding="utf-8", errors="replace", timeout=900,
    )  # fmt: skip
    story = json.loads(done.stdout.splitlines()[-1])
    assert story["exit"] == 0, done.stderr[-2000:]
    assert story["kills"] == KILLS
    assert story["in_writing"] >= 3, "some kills must meet a checkpoint half written"
    assert len(view_run(tmp_path / "killed").starts) >= KILLS // 2

    pretrain(make_config(PretrainConfig, {**given, "run": str(tmp_path / "straight")}))
    one, two = (newest_checkpoint(tmp_path / name / "checkpoints")[0] for name in ("straight", "killed"))
    assert one["step"] == two["step"] == 60
    for name, tensor in one["method"].items():
        assert torch.equal(tensor, two["method"][name]), name
    for place, state in one["optimizer"]["state"].items():
        assert torch.equal(state["momentum_buffer"], two["optimizer"]["state"][place]["momentum_buffer"])
    assert read_curves(tmp_path / "straight") == read_curves(tmp_path / "killed")
    assert not list((tmp_path / "killed" / "checkpoints").glob(".*"))
