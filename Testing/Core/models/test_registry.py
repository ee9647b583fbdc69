import os
import shutil
import zipfile

import pytest
from patients import write_patient
from toy_models import relabeled_package, toy_package

from voxmmsd.cli import main
from voxmmsd.errors import ModelError
from voxmmsd.home import home
from voxmmsd.models import registry
from voxmmsd.verify import verify


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packages")
    return [
        toy_package(folder / "one", id="one-1", name="glioma", created="2026-01-01T00:00:00+00:00"),
        toy_package(folder / "two", seed=1, id="two-1", name="glioma", created="2026-02-01T00:00:00+00:00"),
    ]


def zipped(package, file, prefix=""):
    with zipfile.ZipFile(file, "w") as archive:
        for part in package.folder.iterdir():
            archive.write(part, prefix + part.name)
    return file


def test_without_any_model_the_way_to_one_is_named():
    with pytest.raises(ModelError, match="voxmmsd finetune"):
        registry.resolve_model()
    assert "no model" in registry.report()


def test_the_model_accepted_last_is_the_one_in_use(packages, monkeypatch):
    times = iter(["2026-03-01T00:00:00+00:00", "2026-03-02T00:00:00+00:00", "2026-03-03T00:00:00+00:00"])
    monkeypatch.setattr(registry, "now", lambda: next(times))
    registry.accept(packages[1])
    registry.accept(packages[0])
    assert registry.resolve_model().info.id == "one-1"
    registry.accept(packages[1])
    assert registry.resolve_model().info.id == "two-1"
    assert any(line.startswith("*") and "two-1" in line for line in registry.report().splitlines())


def test_an_imported_model_is_not_in_use_before_it_is_accepted(packages):
    registry.import_model(packages[0].folder)
    with pytest.raises(ModelError, match="no model is in use"):
        registry.resolve_model()
    assert registry.resolve_model("one-1").info.id == "one-1"


def test_a_model_is_found_by_folder_run_name_and_id(packages, tmp_path):
    assert registry.resolve_model(str(packages[0].folder)).info.id == "one-1"
    run = home() / "runs" / "night"
    run.mkdir(parents=True)
    (run / "model").symlink_to(packages[1].folder)
    assert registry.resolve_model("night").info.id == "two-1"
    assert registry.resolve_model(str(run)).info.id == "two-1"
    for package in packages:
        registry.import_model(package.folder)
    assert registry.resolve_model("glioma").info.id == "two-1"
    with pytest.raises(ModelError, match="unknown: is not a model"):
        registry.resolve_model("unknown")


def test_two_models_of_one_id_are_told_apart(packages, tmp_path):
    registry.import_model(packages[0].folder)
    assert registry.import_model(packages[0].folder).info.id == "one-1"
    twin = toy_package(tmp_path / "twin", seed=5, id="one-1")
    with pytest.raises(ModelError, match="another model with the id one-1"):
        registry.import_model(twin.folder)


def flip_a_byte(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def row_of(model_id):
    return next(line for line in registry.report().splitlines() if f"  {model_id}  " in f" {line} ")


def test_one_flipped_byte_in_the_accepted_model_is_an_error_and_no_other_model_takes_its_place(packages):
    registry.accept(packages[0])
    flip_a_byte(registry.accept(packages[1]).onnx)
    with pytest.raises(ModelError, match=r"two-1: is the accepted model, but its package is damaged.*models rollback"):
        registry.resolve_model()
    with pytest.raises(ModelError, match="does not match its checksum"):
        registry.resolve_model("two-1")
    assert [p.info.id for p in registry.list_models()] == ["one-1"]


def test_a_damaged_model_is_listed_as_damaged_and_marked_where_it_is_in_use(packages):
    registry.accept(packages[0])
    flip_a_byte(registry.accept(packages[1]).onnx)
    assert row_of("two-1").startswith("*")
    assert "damaged" in row_of("two-1")
    assert "damaged: " in registry.report()
    assert "does not match its checksum" in registry.report()


def test_a_name_does_not_fall_back_to_an_older_model_where_the_newest_of_it_is_damaged(packages):
    registry.import_model(packages[0].folder)
    flip_a_byte(registry.import_model(packages[1].folder).onnx)
    with pytest.raises(ModelError, match="does not match its checksum"):
        registry.resolve_model("glioma")


def test_a_damaged_model_in_use_is_left_by_rolling_back_or_made_whole_by_importing_it_again(packages):
    registry.accept(packages[0])
    flip_a_byte(registry.accept(packages[1]).onnx)
    registry.import_model(packages[1].folder)
    assert registry.resolve_model().info.id == "two-1"
    flip_a_byte(registry.resolve_model().onnx)
    assert registry.rollback() == ("two-1", "one-1")
    assert registry.resolve_model().info.id == "one-1"


def test_another_model_does_not_replace_a_damaged_one_of_its_id(packages, tmp_path):
    flip_a_byte(registry.import_model(packages[0].folder).onnx)
    with pytest.raises(ModelError, match="another model with the id one-1"):
        registry.import_model(toy_package(tmp_path / "twin", seed=5, id="one-1").folder)


def test_an_accepted_model_whose_folder_is_gone_is_an_error(packages):
    registry.accept(packages[0])
    shutil.rmtree(registry.accept(packages[1]).folder)
    with pytest.raises(ModelError, match="two-1: is the accepted model, but its package is damaged or gone"):
        registry.resolve_model()


def test_a_damaged_bundled_model_is_an_error_not_a_missing_one(tmp_path, monkeypatch):
    flip_a_byte(toy_package(tmp_path / "shared" / "toy").onnx)
    (tmp_path / "shared" / "notes").mkdir()
    monkeypatch.setenv("VOXMMSD_BUNDLED", str(tmp_path / "shared"))
    with pytest.raises(ModelError, match="does not match its checksum"):
        registry.resolve_model()
    assert "notes" not in registry.report()
    newer = toy_package(tmp_path / "shared" / "newer", id="newer-1", created="2026-06-01T00:00:00+00:00")
    assert registry.resolve_model().info.id == newer.info.id, "an older one that is damaged is not in the way"


def test_only_importing_a_zip_puts_it_into_the_registry(packages, tmp_path):
    file = zipped(packages[0], tmp_path / "one.zip")
    package = registry.resolve_model(str(file))
    assert package.info.id == "one-1"
    assert registry.resolve_model(str(file)).folder == package.folder
    assert registry.list_models() == []
    assert verify(str(file)) == (f"{file}: the model one-1, intact", True)
    assert registry.list_models() == []
    registry.import_model(registry.resolve_model(str(file)).folder)
    assert registry.model_states() == {"one-1": "proposed"}


@pytest.mark.parametrize("verb", ["check", "export", "models export", "segment"])
def test_no_verb_but_import_imports_a_zip(packages, tmp_path, verb):
    file = str(zipped(packages[0], tmp_path / "one.zip"))
    write_patient(tmp_path / "in", shape_xyz=(20, 22, 18))
    words = {
        "check": ["check", str(tmp_path / "in"), "--model", file],
        "export": ["export", file, "--out", str(tmp_path / "x.onnx")],
        "models export": ["models", "export", file, "--out", str(tmp_path / "x.zip")],
        "segment": ["segment", str(tmp_path / "in"), "--model", file, "--out", str(tmp_path / "out"), "--force"],
    }[verb]
    assert main(words) == 0
    assert not registry.registry_folder().exists()
    assert main(["models", "import", file]) == 0
    assert registry.model_states() == {"one-1": "proposed"}


def test_a_table_of_scores_is_not_written_into_a_zip_that_is_only_read(packages, tmp_path, capsys):
    file = str(zipped(packages[0], tmp_path / "one.zip"))
    write_patient(tmp_path / "in")
    assert main(["evaluate", file, str(tmp_path / "in"), "--subsets"]) == 2
    assert "voxmmsd models import" in capsys.readouterr().err


def use(package):
    return registry.accept(package).info.id


def test_rolling_back_goes_from_acceptance_to_acceptance_until_none_is_left(packages):
    for package in packages:
        use(package)
    assert registry.rollback() == ("two-1", "one-1")
    assert registry.resolve_model().info.id == "one-1"
    assert registry.model_states() == {"one-1": "accepted", "two-1": "rolled back"}
    assert registry.rollback()[1] is None
    with pytest.raises(ModelError, match="nothing to roll back"):
        registry.rollback()
    assert use(packages[1]) == registry.resolve_model().info.id == "two-1"


def test_a_rejected_model_is_not_in_use_and_stays(packages):
    use(packages[0])
    registry.import_model(packages[1].folder)
    assert registry.model_states() == {"one-1": "accepted", "two-1": "proposed"}
    registry.reject(packages[1])
    assert registry.model_states()["two-1"] == registry.state_of("two-1") == "rejected"
    use(packages[1])
    registry.reject(packages[1])
    assert registry.resolve_model().info.id == "one-1"
    assert len(registry.list_models()) == 2


def test_a_deleted_model_is_gone_from_disk_and_can_come_back(packages):
    use(packages[0])
    registry.import_model(packages[1].folder)
    with pytest.raises(ModelError, match="is in use"):
        registry.delete("one-1")
    for unknown in ("glioma", "../two-1", "", "two-1/"):
        with pytest.raises(ModelError, match="has no model with the id"):
            registry.delete(unknown)
    assert registry.delete("two-1") == packages[1].size_bytes
    assert [p.name for p in registry.registry_folder().iterdir() if p.is_dir()] == ["one-1"]
    registry.import_model(packages[1].folder)
    assert registry.model_states()["two-1"] == "proposed"


def test_what_killed_imports_and_deletions_left_goes_with_the_next_import_and_what_is_at_work_stays(packages):
    folders = [registry.registry_folder() / name for name in (".one-1.77.tmp", ".old-1.deleted", ".two-1.78.tmp")]
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "model.onnx").write_bytes(b"half")
    for folder in folders[:2]:
        os.utime(folder, (1e9, 1e9))
    registry.import_model(packages[0].folder)
    assert [folder.exists() for folder in folders] == [False, False, True]
    assert [package.info.id for package in registry.list_models()] == ["one-1"]


def test_a_broken_model_can_be_deleted(packages):
    registry.import_model(packages[0].folder)
    (registry.registry_folder() / "one-1" / "model.onnx").write_bytes(b"")
    registry.delete("one-1")
    assert not (registry.registry_folder() / "one-1").exists()


def test_a_model_that_was_found_worse_is_accepted_only_by_force(packages, tmp_path):
    training = {"comparison": {"outcome": "worse", "text": "worse on 4 of 5"}}
    worse = relabeled_package(packages[0], tmp_path / "m", training=training)
    with pytest.raises(ModelError, match="worse on 4 of 5"):
        registry.accept(worse)
    assert registry.list_models() == []
    assert registry.accept(worse, force=True).info.id == registry.resolve_model().info.id


def test_a_model_that_was_compared_with_another_one_than_that_in_use_is_accepted_with_a_remark(
    packages, tmp_path, capsys
):
    registry.accept(packages[0])
    compared = {"old": "one-1", "outcome": "better", "text": "better on 4 of 5"}
    for name in ("left-1", "right-1"):
        child = relabeled_package(
            packages[1], tmp_path / name, id=name, parent="one-1", training={"comparison": compared}
        )
        assert main(["models", "accept", str(child.folder)]) == 0
    assert capsys.readouterr().err == "right-1 was compared with one-1, not with left-1, which is in use\n"
    assert registry.id_in_use() == "right-1"


def test_the_table_shows_state_size_parent_and_scores(packages, tmp_path):
    use(packages[0])
    child = relabeled_package(packages[1], tmp_path / "c", id="child-1", parent="one-1")
    registry.import_model(child.folder)
    text = registry.report()
    assert "proposed" in next(line for line in text.splitlines() if "child-1" in line)
    assert "one-1" in next(line for line in text.splitlines() if "child-1" in line).split("child-1")[1]
    assert "validation: WT 0.80, ET 0.25" in text
    assert text.splitlines()[-1].startswith("* is in use; ")
    assert text.splitlines()[-1].endswith(f"2 of 2 in {registry.registry_folder()}")


def test_a_bundled_model_that_was_accepted_is_listed_once_and_one_that_was_not_cannot_be_deleted(tmp_path, monkeypatch):
    package = toy_package(tmp_path / "shared" / "toy")
    monkeypatch.setenv("VOXMMSD_BUNDLED", str(tmp_path / "shared"))
    assert registry.report().endswith(f"0 of 1 in {registry.registry_folder()}")
    with pytest.raises(ModelError, match="is bundled with the package"):
        registry.delete(package.info.id)
    registry.accept(package)
    assert [found.folder.parent for found in registry.list_models()] == [registry.registry_folder()]
    assert registry.report().count(package.info.id) == 1
    registry.rollback()
    registry.delete(package.info.id)
    assert registry.resolve_model().folder == package.folder


def test_a_departments_models_are_those_of_all_users(tmp_path, monkeypatch):
    package = toy_package(tmp_path / "shared" / "toy")
    assert registry.list_models() == []
    monkeypatch.setenv("VOXMMSD_BUNDLED", str(tmp_path / "shared"))
    assert [found.info.id for found in registry.list_models()] == [package.info.id]
    assert registry.resolve_model().info.id == package.info.id
    assert "bundled" in registry.report()
