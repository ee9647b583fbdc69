"""A bundle of handmade wheels: what it holds, and that nothing of a damaged or foreign one is installed."""

import json
import shutil
import subprocess
import sys
import zipfile

import pytest
from handmade_wheels import write_wheel
from toy_models import toy_package

from voxmmsd.errors import BundleError
from voxmmsd.offline.bundle import PLATFORM_TAGS, make_bundle, this_platform
from voxmmsd.offline.contents import RECORD, this_python
from voxmmsd.offline.install import install_bundle


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """A folder of wheels as the only place that pip looks at."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "shelf"))
    write_wheel(tmp_path / "shelf", "colorama")
    for tag in ("linux", "windows", "macos"):
        shown = next(tags for name, tags in PLATFORM_TAGS.items() if name.startswith(tag))[0]
        write_wheel(tmp_path / "shelf", "needed", tag=f"cp311-cp311-{shown}")
    return tmp_path / "shelf"


@pytest.fixture
def own(tmp_path):
    return write_wheel(tmp_path, "voxmmsd", requires="needed")


@pytest.fixture
def bundle(shelf, own, tmp_path):
    make_bundle(tmp_path / "hospital.zip", [], target="linux-x86_64", python="3.11", package=own)
    return tmp_path / "hospital.zip"


def test_a_bundle_holds_wheels_models_a_program_and_the_checksums_of_all(shelf, own, tmp_path):
    model = toy_package(tmp_path / "model")
    out = tmp_path / "hospital.zip"
    contents = make_bundle(out, [model], target="linux-x86_64", python="3.11", package=own)
    assert contents.models == (model.info.id,)
    with zipfile.ZipFile(out) as archive:
        names = set(archive.namelist())
        assert json.loads(archive.read(RECORD))["files"].keys() == names - {RECORD}
    tag = PLATFORM_TAGS["linux-x86_64"][0]
    wheels = {f"wheels/needed-1.0-cp311-cp311-{tag}.whl", "wheels/voxmmsd-1.0-py3-none-any.whl"}
    assert names == {RECORD, "__main__.py", f"models/{model.info.id}.zip", *wheels}


def test_the_wheels_are_those_of_the_platform_that_was_named(shelf, own, tmp_path):
    contents = make_bundle(tmp_path / "windows.zip", [], target="windows-x86_64", python="3.11", package=own)
    assert "wheels/needed-1.0-cp311-cp311-win_amd64.whl" in contents.files
    assert "wheels/colorama-1.0-py3-none-any.whl" in contents.files


def test_a_wheel_that_is_not_to_be_had_is_an_error_in_pips_words_and_leaves_no_bundle(shelf, own, tmp_path):
    with pytest.raises(BundleError, match=r"pip download failed: .*needed"):
        make_bundle(tmp_path / "hospital.zip", [], target="linux-x86_64", python="3.12", package=own)
    assert not (tmp_path / "hospital.zip").exists()


def test_what_cannot_become_a_bundle_is_refused_before_anything_is_fetched(tmp_path):
    with pytest.raises(BundleError, match=r"unknown platform; known are linux-x86_64"):
        make_bundle(tmp_path / "a.zip", [], target="amiga")
    with pytest.raises(BundleError, match=r"name of a \.zip"):
        make_bundle(tmp_path / "a.tar", [])
    (tmp_path / "nothing").mkdir()
    with pytest.raises(BundleError, match="--package"):
        make_bundle(tmp_path / "a.zip", [], target="linux-x86_64", package=tmp_path / "nothing")


def test_this_machine_is_one_of_the_platforms():
    assert this_platform() in PLATFORM_TAGS


def changed(bundle, change):
    """A copy of the bundle whose files went through ``change``, a function of {name: content}."""
    with zipfile.ZipFile(bundle) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    change(files)
    copy = bundle.with_name("copy.zip")
    with zipfile.ZipFile(copy, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return copy


def test_a_damaged_file_is_named_and_nothing_is_installed(bundle):
    copy = changed(bundle, lambda files: files.update({"__main__.py": b"print('other')"}))
    with pytest.raises(BundleError, match=r"__main__\.py is damaged; copy the bundle again"):
        install_bundle(copy)


def test_a_file_that_is_missing_or_in_no_list_is_named(bundle):
    with pytest.raises(BundleError, match=r"evil\.whl is missing or in no list"):
        install_bundle(changed(bundle, lambda files: files.update({"wheels/evil.whl": b""})))
    with pytest.raises(BundleError, match=r"__main__\.py is missing or in no list"):
        install_bundle(changed(bundle, lambda files: files.pop("__main__.py")))


def test_a_path_that_leads_outside_is_refused_although_the_record_lists_it(bundle):
    def change(files):
        record = json.loads(files[RECORD])
        record["files"]["../outside"] = "0" * 64
        files.update({"../outside": b"", RECORD: json.dumps(record).encode()})

    with pytest.raises(BundleError, match="leads outside"):
        install_bundle(changed(bundle, change))


def test_no_zip_and_a_zip_of_something_else_are_told_from_a_bundle(tmp_path):
    (tmp_path / "text.zip").write_text("no zip", encoding="utf-8")
    with pytest.raises(BundleError, match="cannot be read as a bundle"):
        install_bundle(tmp_path / "text.zip")
    shutil.make_archive(str(tmp_path / "other"), "zip", tmp_path, "text.zip")
    with pytest.raises(BundleError, match="is not a bundle"):
        install_bundle(tmp_path / "other.zip")


@pytest.mark.parametrize(
    ("at", "value"), [(10, b"\x63\0"), (8, b"\1\0")], ids=["packed in a way that is not known", "encrypted"]
)
def test_a_zip_that_cannot_be_unpacked_is_refused(bundle, at, value):
    content = bytearray(bundle.read_bytes())
    entry = content.rindex(b"PK\x01\x02")  # of the zip's directory, for the record, which is written last
    content[entry + at : entry + at + 2] = value
    copy = bundle.with_name("odd.zip")
    copy.write_bytes(content)
    with pytest.raises(BundleError, match=r"cannot be read as a bundle .* copy the bundle again"):
        install_bundle(copy)


def test_a_bundle_for_another_python_says_how_to_make_the_right_one(bundle):
    def change(files):
        files[RECORD] = json.dumps({**json.loads(files[RECORD]), "python": "3.8"}).encode()

    with pytest.raises(BundleError, match=f"for Python 3.8, this is {this_python()}"):
        install_bundle(changed(bundle, change))


@pytest.mark.parametrize(
    "said", ["python3: No module named pip", "error: externally-managed-environment\n\n× This ..."]
)
def test_a_python_that_takes_no_packages_is_told_from_a_broken_bundle_with_the_way_out(bundle, monkeypatch, said):
    monkeypatch.setattr(subprocess, "run", lambda words, **options: subprocess.CompletedProcess(words, 1, said))
    with pytest.raises(BundleError, match="python3 -m venv"):
        install_bundle(bundle)


def test_the_installer_runs_from_the_wheel_with_the_standard_library_alone():
    code = (
        "import sys; sys.path[:] = [p for p in sys.path if 'site-packages' not in p]; sys.path.insert(0, sys.argv[1]); "
    )
    code += "import voxmmsd.cli, voxmmsd.offline.install"
    from conftest import REPOSITORY

    done = subprocess.run([sys.executable, "-S", "-c", code, str(REPOSITORY)], capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
