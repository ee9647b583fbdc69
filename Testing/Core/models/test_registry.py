import zipfile

import pytest
from toy_models import toy_package

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


@pytest.mark.parametrize("prefix", ["", "folder/"])
def test_a_zip_is_imported(packages, tmp_path, prefix):
    file = zipped(packages[0], tmp_path / "model.zip", prefix)
    assert registry.resolve_model(str(file)).info == packages[0].info
    assert [p.info.id for p in registry.list_models()] == ["one-1"]


def test_a_hostile_zip_writes_nothing_outside(packages, tmp_path):
    file = zipped(packages[0], tmp_path / "model.zip", "../../escape/")
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("/absolute.txt", "x")
        archive.writestr("../up.txt", "x")
    registry.import_model(file)
    names = [path.name for path in tmp_path.parent.rglob("*")]
    assert "up.txt" not in names
    assert "escape" not in names


def test_a_zip_without_a_model_or_with_a_changed_one_is_refused(packages, tmp_path):
    (tmp_path / "no.zip").write_bytes(b"PK not a zip")
    with pytest.raises(ModelError, match="cannot be read as a zip"):
        registry.import_model(tmp_path / "no.zip")
    file = zipped(packages[0], tmp_path / "model.zip")
    with zipfile.ZipFile(tmp_path / "cut.zip", "w") as archive, zipfile.ZipFile(file) as whole:
        for name in whole.namelist():
            archive.writestr(name, whole.read(name)[:-1] if name == "model.onnx" else whole.read(name))
    with pytest.raises(ModelError, match="does not fit its checksum"):
        registry.import_model(tmp_path / "cut.zip")
    assert registry.list_models() == []


def test_a_zip_that_claims_too_much_is_refused_before_it_is_unpacked(packages, tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "LARGEST_PACKAGE_BYTES", 1000)
    with pytest.raises(ModelError, match="claims more than"):
        registry.import_model(zipped(packages[0], tmp_path / "model.zip"))


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
