import pytest

from voxmmsd.files import sha256_of, write_json_atomic, write_text_atomic, written_aside


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    file = tmp_path / "result.nii.gz"
    file.write_bytes(b"old")
    with pytest.raises(RuntimeError), written_aside(file) as aside:
        aside.write_bytes(b"half")
        raise RuntimeError("the disk is full")
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


def test_the_temporary_name_keeps_the_ending_that_libraries_look_at(tmp_path):
    with written_aside(tmp_path / "result.nii.gz") as aside:
        assert aside.name.endswith(".nii.gz")
        assert aside.parent == tmp_path
        aside.write_bytes(b"new")
    assert (tmp_path / "result.nii.gz").read_bytes() == b"new"


def test_a_name_of_240_characters_can_be_written(tmp_path):
    write_text_atomic(tmp_path / ("n" * 240 + ".json"), "x")
    assert len(list(tmp_path.iterdir())) == 1


def test_missing_folders_are_made_and_text_is_utf8(tmp_path):
    write_json_atomic(tmp_path / "a" / "b.json", {"name": "Müller 脑"})
    assert "Müller 脑" in (tmp_path / "a" / "b.json").read_text(encoding="utf-8")


def test_the_checksum_is_of_the_content(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_of(tmp_path / "a").startswith("ba7816bf")
