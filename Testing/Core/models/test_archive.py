import json
import stat
import zipfile

import pytest
from toy_models import toy_package

from voxmmsd.errors import ModelError
from voxmmsd.models import archive, registry
from voxmmsd.models.archive import export_model
from voxmmsd.models.package import read_package


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return toy_package(tmp_path_factory.mktemp("packages") / "one", id="one-1")


def zipped(package, file, prefix="", **changed):
    """A zip as somebody else would make it; ``changed``: other contents of the record."""
    with zipfile.ZipFile(file, "w") as made:
        for part in package.folder.iterdir():
            content = part.read_bytes()
            if part.name == "model.json":
                content = json.dumps({**json.loads(content), **changed}).encode()
            made.writestr(prefix + part.name, content)
    return file


def test_a_model_survives_the_way_out_and_in(package, tmp_path):
    file = export_model(package, tmp_path / "one.zip")
    with zipfile.ZipFile(file) as made:
        assert {name.split("/")[0] for name in made.namelist()} == {"one-1"}
    again = registry.import_model(file)
    assert again.info == package.info
    assert again.weights.read_bytes() == package.weights.read_bytes()
    with pytest.raises(ModelError, match="exists already"):
        export_model(package, file)
    with pytest.raises(ModelError, match=r"ends in \.zip"):
        export_model(package, tmp_path / "one.tar")


@pytest.mark.parametrize("prefix", ["", "folder/"])
def test_a_zip_that_others_made_is_imported(package, tmp_path, prefix):
    file = zipped(package, tmp_path / "model.zip", prefix)
    assert registry.import_model(file).info == package.info
    assert [p.info.id for p in registry.list_models()] == ["one-1"]


@pytest.mark.parametrize("name", ["../up.txt", "/absolute.txt", "a/../../up.txt", "C:/windows.txt", "..\\up.txt"])
def test_a_path_that_leads_outside_is_refused_and_nothing_is_written(package, tmp_path, name):
    file = zipped(package, tmp_path / "model.zip")
    with zipfile.ZipFile(file, "a") as made:
        made.writestr(name, "x")
    with pytest.raises(ModelError, match="leads outside"):
        registry.import_model(file)
    assert registry.list_models() == []
    assert not list(tmp_path.parent.rglob("up.txt"))


@pytest.mark.parametrize("id_", ["../../escape", "a/b", "", ".", "x\x1b[31m", "a" * 300])
def test_an_id_that_is_a_path_or_worse_is_refused(package, tmp_path, id_):
    with pytest.raises(ModelError, match="ids and names are of letters"):
        registry.import_model(zipped(package, tmp_path / "model.zip", id=id_))
    with pytest.raises(ModelError, match="ids and names are of letters"):
        registry.import_model(zipped(package, tmp_path / "model.zip", name=id_))


def test_a_link_and_a_doubled_file_are_refused(package, tmp_path):
    file = zipped(package, tmp_path / "link.zip")
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(file, "a") as made:
        made.writestr(link, "/etc/passwd")
    with pytest.raises(ModelError, match="a link"):
        registry.import_model(file)
    file = zipped(package, tmp_path / "twice.zip")
    with zipfile.ZipFile(file, "a") as made, pytest.warns(UserWarning, match="Duplicate"):
        made.writestr("model.onnx", "x")
    with pytest.raises(ModelError, match="a file twice"):
        registry.import_model(file)


def test_what_is_no_zip_or_no_model_or_a_changed_one_is_refused(package, tmp_path):
    (tmp_path / "no.zip").write_bytes(b"PK not a zip")
    with pytest.raises(ModelError, match="cannot be read as a zip"):
        registry.import_model(tmp_path / "no.zip")
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    with pytest.raises(ModelError, match="holds 0 model packages"):
        registry.import_model(tmp_path / "empty.zip")
    file = zipped(package, tmp_path / "model.zip")
    with zipfile.ZipFile(tmp_path / "cut.zip", "w") as cut, zipfile.ZipFile(file) as whole:
        for name in whole.namelist():
            cut.writestr(name, whole.read(name)[:-1] if name == "model.onnx" else whole.read(name))
    with pytest.raises(ModelError, match="does not match its checksum"):
        registry.import_model(tmp_path / "cut.zip")
    assert registry.list_models() == []


def test_a_zip_with_a_damaged_byte_anywhere_is_refused_or_whole_in_spite_of_it(package, tmp_path):
    whole = export_model(read_package(package.folder), tmp_path / "whole.zip").read_bytes()
    refused = 0
    for place in range(10, len(whole), len(whole) // 40):
        damaged = bytearray(whole)
        damaged[place] ^= 0x41
        (tmp_path / "damaged.zip").write_bytes(damaged)
        try:
            again = registry.import_model(tmp_path / "damaged.zip")
        except ModelError:
            refused += 1
        else:
            assert again.info == package.info
            registry.delete("one-1")
    assert refused > 30


@pytest.mark.parametrize("limit", ["MAX_PACKAGE_BYTES", "MAX_TEXT_BYTES"])
def test_a_zip_that_claims_too_much_is_refused_before_it_is_unpacked(package, tmp_path, monkeypatch, limit):
    monkeypatch.setattr(archive, limit, 500)
    with pytest.raises(ModelError, match="claims more than"):
        registry.import_model(zipped(package, tmp_path / "model.zip"))


def test_a_bomb_that_lies_about_its_size_is_not_unpacked(package, tmp_path):
    file = tmp_path / "bomb.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        for part in package.folder.iterdir():
            made.writestr(part.name, b"\0" * 20_000_000 if part.name == "model.onnx" else part.read_bytes())
    small = (20_000_000).to_bytes(4, "little")
    content = file.read_bytes()
    assert content.count(small) == 2  # the local header and the directory claim the size
    file.write_bytes(content.replace(small, (1000).to_bytes(4, "little")))
    with pytest.raises(ModelError):
        registry.import_model(file)
