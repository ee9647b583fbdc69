import os
import zipfile

import pytest
from toy_models import relabelled_package, toy_package

from voxmmsd.errors import ModelError
from voxmmsd.home import home
from voxmmsd.models import registry


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
    with pytest.raises(ModelError, match="unknown: is no model"):
        registry.resolve_model("unknown")


def test_two_models_of_one_id_are_told_apart(packages, tmp_path):
    registry.import_model(packages[0].folder)
    assert registry.import_model(packages[0].folder).info.id == "one-1"
    twin = toy_package(tmp_path / "twin", seed=5, id="one-1")
    with pytest.raises(ModelError, match="another model of the id one-1"):
        registry.import_model(twin.folder)


def test_a_broken_package_in_the_registry_is_no_choice(packages):
    registry.accept(packages[0])
    taken = registry.accept(packages[1])
    (taken.folder / "model.onnx").write_bytes(b"")
    assert [p.info.id for p in registry.list_models()] == ["one-1"]
    assert registry.resolve_model().info.id == "one-1"


def use(package):
    return registry.accept(package).info.id


def test_rolling_back_goes_from_acceptance_to_acceptance_until_none_is_left(packages):
    for package in packages:
        use(package)
    assert registry.rollback()[1].info.id == "one-1"
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
        with pytest.raises(ModelError, match="has no model of the id"):
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
    worse = relabelled_package(packages[0], tmp_path / "m", training=training)
    with pytest.raises(ModelError, match="worse on 4 of 5"):
        registry.accept(worse)
    assert registry.list_models() == []
    assert registry.accept(worse, force=True).info.id == registry.resolve_model().info.id


def test_the_table_shows_state_size_parent_and_scores(packages, tmp_path):
    use(packages[0])
    child = relabelled_package(packages[1], tmp_path / "c", id="child-1", parent="one-1")
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
    with pytest.raises(ModelError, match="comes along"):
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
