import pytest
from corrected_cases import library_of
from toy_models import toy_package

from voxmmsd.cli import main
from voxmmsd.errors import ModelError
from voxmmsd.models import registry
from voxmmsd.runs import open_run
from voxmmsd.verify import verify


def test_a_library_is_whole_until_a_file_changes(tmp_path, capsys):
    library, _ = library_of(tmp_path / "library", 1)
    assert verify(str(library.folder)) == (f"{library.folder}: a library of 1 case, intact", True)
    (library.folder / "cases" / "case-000" / "images" / "t1c.nii.gz").write_bytes(b"")
    assert main(["verify", str(library.folder)]) == 2
    assert "t1c.nii.gz: does not match its checksum" in capsys.readouterr().out


def test_models_are_whole_until_a_file_changes(tmp_path):
    package = registry.import_model(toy_package(tmp_path / "toy").folder)
    assert verify("toy-1")[1]
    assert verify("")[0].endswith("1 model, intact")
    package.onnx.write_bytes(b"")
    text, whole = verify("")
    assert not whole
    assert "model.onnx: does not match its checksum" in text


def test_a_run_with_a_damaged_checkpoint_is_not_whole(tmp_path):
    from voxmmsd.training.checkpoint import save_checkpoint

    with open_run(tmp_path / "run", "finetune", {}, 1) as run:
        run.progress(1)
    file = save_checkpoint(tmp_path / "run" / "checkpoints", 1, {"step": 1}, keep=2)
    assert verify(str(tmp_path / "run")) == (f"{tmp_path / 'run'}: a run with 1 checkpoint, intact", True)
    file.write_bytes(file.read_bytes()[:-1])
    assert "checkpoint is damaged" in verify(str(tmp_path / "run"))[0]


def test_what_is_none_of_these_is_refused(tmp_path):
    with pytest.raises(ModelError, match="is not a model package"):
        verify(str(tmp_path / "nothing"))
