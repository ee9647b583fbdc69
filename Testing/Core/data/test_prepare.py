import pytest

from voxmmsd.cli import main
from voxmmsd.errors import Canceled
from voxmmsd.phantom import write_phantoms
from voxmmsd.runs import Request, Run, view_run
from voxmmsd.verbs.prepare import PrepareConfig, prepare_folder


def test_a_paused_preparation_is_continued_by_its_store_and_keeps_what_is_made(tmp_path, monkeypatch, capsys):
    write_phantoms(tmp_path / "in", 3, seed=0, side=32)
    options = PrepareConfig(str(tmp_path / "in"), store=str(tmp_path / "store"), workers=1)
    monkeypatch.setattr(Run, "asked", lambda self: Request.PAUSE if self.step == 2 else None)
    with pytest.raises(Canceled, match="paused"):
        prepare_folder(options)
    monkeypatch.undo()
    assert view_run(tmp_path / "store" / ".run").line() == "paused; step 2 of 3"
    assert len(list((tmp_path / "store").glob("*.npy"))) == 2
    monkeypatch.chdir(tmp_path)
    assert main(["runs", "resume", str(tmp_path / "store")]) == 0
    assert "3 cases ready (1 made, 2 kept)" in capsys.readouterr().out
    assert view_run(tmp_path / "store" / ".run").state == "finished"


def test_cases_that_the_store_holds_from_before_are_named(tmp_path, capsys):
    write_phantoms(tmp_path / "in", 2, seed=0, side=32)
    call = ["prepare", str(tmp_path / "in"), "--store", str(tmp_path / "store"), "--workers", "1"]
    assert main(call) == 0
    assert "also holds" not in capsys.readouterr().out
    gone = min(folder.name for folder in (tmp_path / "in").iterdir() if folder.is_dir())
    (tmp_path / "in" / gone).rename(tmp_path / "withdrawn")
    assert main(call) == 0
    said = capsys.readouterr().out
    assert f"The store also holds 1 case that this call did not prepare, and trainings use them: {gone}." in said
