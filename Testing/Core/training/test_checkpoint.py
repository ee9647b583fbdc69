from pathlib import Path

import pytest
import torch

from voxmmsd.errors import RunError
from voxmmsd.training.checkpoint import load_state, newest_checkpoint, save_checkpoint, save_state


def state(step):
    return {"step": step, "network": {"w": torch.full((3,), float(step))}, "best": {"dice": 0.5}}


def test_the_newest_checkpoint_comes_back_and_old_ones_are_dropped(tmp_path):
    for step in (10, 20, 30, 100):
        save_checkpoint(tmp_path, step, state(step), keep=2)
    found, problems = newest_checkpoint(tmp_path)
    assert found["step"] == 100
    assert problems == []
    assert torch.equal(found["network"]["w"], torch.full((3,), 100.0))
    assert sorted(p.name for p in tmp_path.glob("*.pt")) == ["step-00000030.pt", "step-00000100.pt"]


def test_an_old_checkpoint_that_another_program_reads_waits_for_the_next(tmp_path, monkeypatch):
    def locked(file, **_):
        raise PermissionError(13, "is used by another process", str(file))

    with monkeypatch.context() as windows:
        windows.setattr(Path, "unlink", locked)
        for step in (1, 2):
            save_checkpoint(tmp_path, step, {"step": step}, keep=1)
    assert len(list(tmp_path.glob("step-*.pt"))) == 2
    save_checkpoint(tmp_path, 3, {"step": 3}, keep=1)
    assert [file.name for file in tmp_path.iterdir()] == ["step-00000003.pt"]


@pytest.mark.parametrize("harm", ["truncate", "flip", "cut off at the checksum", "empty"])
def test_a_damaged_newest_checkpoint_is_reported_and_the_one_before_is_used(tmp_path, harm):
    save_checkpoint(tmp_path, 10, state(10), keep=2)
    newest = save_checkpoint(tmp_path, 20, state(20), keep=2)
    content = bytearray(newest.read_bytes())
    if harm == "truncate":
        newest.write_bytes(content[:-20])
    elif harm == "flip":
        content[len(content) // 2] ^= 1
        newest.write_bytes(content)
    elif harm == "empty":
        newest.write_bytes(b"")
    else:
        newest.write_bytes(content[: content.rindex(b"sha256")])
    found, problems = newest_checkpoint(tmp_path)
    assert found["step"] == 10
    assert len(problems) == 1
    assert "step-00000020.pt" in problems[0]


def test_an_empty_folder_has_no_checkpoint(tmp_path):
    assert newest_checkpoint(tmp_path) == (None, [])


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path):
    class Canary:
        def __reduce__(self):
            return (open, (str(tmp_path / "canary"), "w"))

    save_state(tmp_path / "evil.pt", {"network": Canary()})
    with pytest.raises(RunError, match="could run code"):
        load_state(tmp_path / "evil.pt")
    assert not (tmp_path / "canary").exists()


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(RunError, match=r"best\.pt"):
        load_state(tmp_path / "best.pt")
