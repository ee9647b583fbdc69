"""The Python calls: examples of their docstrings, and what they refuse."""

import doctest
import re

import nibabel
import numpy as np
import pytest
from conftest import REPOSITORY
from toy_models import toy_package

import voxmmsd
import voxmmsd.segmenting
from voxmmsd.cli import main
from voxmmsd.data.cases import read_case
from voxmmsd.errors import ConfigError, InputError
from voxmmsd.inference.engines import open_engine
from voxmmsd.inference.predict import predict

CASE = "new/phantom-007-000"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A patient in ``new``, a model in ``runs/first``."""
    folder = tmp_path_factory.mktemp("api")
    assert main(["phantom", str(folder / "new"), "--count", "1", "--shape", "48", "--seed", "7"]) == 0
    toy_package(folder / "runs" / "first")
    return folder


@pytest.fixture
def here(folder, monkeypatch):
    monkeypatch.chdir(folder)
    yield folder
    (folder / "labels.nii.gz").unlink(missing_ok=True)


EXAMPLES = [
    test for test in doctest.DocTestFinder().find(voxmmsd.segmenting, globs={"voxmmsd": voxmmsd}) if test.examples
]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda test: test.name)
def test_the_examples_give_what_they_say(example, here):
    assert doctest.DocTestRunner().run(example).failed == 0


def test_every_public_call_has_an_example():
    assert {test.name.rpartition(".")[2] for test in EXAMPLES} == {"segment", "Segmenter", "score"}


def test_one_call_gives_the_labels_of_the_pieces(here):
    found = voxmmsd.segment(CASE, "runs/first")
    segmenter = voxmmsd.Segmenter("runs/first")
    case = voxmmsd.find_cases(CASE).cases[0]
    known = predict(read_case(case, with_label=False), segmenter.package, open_engine(segmenter.package))
    assert known.label_zyx.any() and np.array_equal(found.prediction.label_zyx, known.label_zyx)


def test_images_in_memory_give_what_their_files_give(here):
    files = {name: f"{CASE}/phantom-007-000-{name}.nii.gz" for name in ("t1n", "t1c", "t2w", "t2f")}
    segmenter = voxmmsd.Segmenter("runs/first")
    from_files = segmenter(files)
    in_memory = segmenter({name: nibabel.load(file) for name, file in files.items()})
    assert (from_files.case_id, in_memory.case_id) == ("phantom-007-000", "case")
    assert from_files.values_zyx.any() and np.array_equal(from_files.values_zyx, in_memory.values_zyx)


def test_a_mask_holds_the_volume_that_is_said(here):
    found = voxmmsd.segment(CASE, "runs/first")
    for key, volume in found.volumes_ml.items():
        assert found.mask_zyx(key).sum() * found.prediction.grid.voxel_volume_ml == pytest.approx(volume)
    with pytest.raises(ConfigError, match="name one of WT, TC, ET, NCR, ED"):
        found.mask_zyx("RC")


def test_what_is_saved_is_read_back_and_scores_as_the_segmentation_itself(here):
    found = voxmmsd.segment(CASE, "runs/first")
    saved = found.save("labels.nii.gz")
    image = nibabel.load(saved)
    assert np.array_equal(np.asarray(image.dataobj).T, found.values_zyx)
    assert np.allclose(image.affine, found.affine_xyz) and np.allclose(found.to_nibabel().affine, found.affine_xyz)
    expert = f"{CASE}/phantom-007-000-seg.nii.gz"
    own = voxmmsd.score(saved, expert, schema="brats-gli-2023")
    assert str(own) == str(voxmmsd.score(found, expert))
    perfect = voxmmsd.score(expert, expert, schema="brats-gli-2023")
    assert [perfect[key].dice for key in ("WT", "TC", "ET")] == [1, 1, 1]
    with pytest.raises(InputError, match="exists already; nothing is overwritten"):
        found.save("labels.nii.gz")
    with pytest.raises(InputError, match=r"written as NIfTI; give a name that ends in \.nii\.gz"):
        found.save("labels.nrrd")
    with pytest.raises(ConfigError, match="its label schema cannot be determined; name it"):
        voxmmsd.score(saved, expert)


@pytest.mark.parametrize(
    ("images", "said"),
    [
        ("nowhere", "nowhere: no such folder"),
        ({}, "no modality given"),
        ({"flair": "x.nii.gz"}, "flair: no such modality; name the images t1n, t1c, t2w, t2f"),
        ({"t1c": "x.nii.gz"}, "no such file"),
        ({"t1c": nibabel.Nifti1Image(np.ones((4, 4), np.uint8), np.eye(4))}, "not a 3-D volume"),
        ({"t1c": nibabel.Nifti1Image(np.full((8, 8, 8), np.nan), np.eye(4))}, "t1c: holds 512 NaN"),
        ({"t1c": nibabel.Nifti1Image(np.ones((8, 8, 8), np.uint8), np.diag([1e3, 1, 1, 1]))}, "is implausible"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_images_that_are_none_are_refused(images, said, here):
    with pytest.raises((InputError, ConfigError), match=said):
        voxmmsd.segment(images, "runs/first")


def test_a_mask_that_is_not_there_is_refused_and_one_at_home_is_found(here, monkeypatch):
    for mask in ("brian_mask.nii.gz", "hd_bet", "~/nowhere.nii.gz"):
        for from_scanner in (False, True):
            with pytest.raises(InputError, match=r"brain_mask .*: no such file; check the path, or give one of t1n, "):
                voxmmsd.segment(CASE, "runs/first", brain_mask=mask, from_scanner=from_scanner)
    monkeypatch.setenv("HOME", str(here))
    monkeypatch.setenv("USERPROFILE", str(here))
    image = nibabel.load(f"{CASE}/phantom-007-000-t1c.nii.gz")
    inside = (np.asarray(image.dataobj) > 0).astype(np.uint8)
    inside[:20] = 0
    nibabel.save(nibabel.Nifti1Image(inside, image.affine), here / "mask.nii.gz")
    found = voxmmsd.segment(CASE, "runs/first", brain_mask="~/mask.nii.gz", force=True)
    assert np.array_equal(found.prediction.volumes.brain_mask_zyx, inside.T > 0)


def test_a_folder_of_several_cases_is_refused_with_what_to_call(here, tmp_path):
    assert main(["phantom", str(tmp_path / "two"), "--count", "2", "--shape", "24"]) == 0
    with pytest.raises(InputError, match=r"holds 2 cases; call voxmmsd\.Segmenter with each"):
        voxmmsd.segment(tmp_path / "two", "runs/first")


def test_a_name_that_is_not_public_is_an_attribute_error():
    assert {"segment", "score"} <= set(dir(voxmmsd))
    with pytest.raises(AttributeError, match="no attribute 'train'"):
        _ = voxmmsd.train


def test_the_code_of_the_page_runs(here):
    page = (REPOSITORY / "docs" / "api.md").read_text(encoding="utf-8")
    names = {}
    for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(code, names)
    assert (here / "labels.png").stat().st_size > 10_000
    assert names["problem"] == "missing.nii.gz: no such file, given for t1c"
