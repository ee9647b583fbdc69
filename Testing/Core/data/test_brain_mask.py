import os
import sys
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from patients import brain, write_patient

from voxmmsd.data import brain_mask, reading
from voxmmsd.data.bias_field import without_bias_field
from voxmmsd.data.cases import find_cases, read_case
from voxmmsd.data.reading import reading_options
from voxmmsd.data.strippers import STRIPPERS, installed
from voxmmsd.data.volume import Grid, Volume
from voxmmsd.errors import ConfigError, InputError, MissingDependencyError
from voxmmsd.preflight.check import check_stripping
from voxmmsd.records.findings import Severity
from voxmmsd.verbs.prepare import PrepareConfig, prepare_folder

FAKE = """#!{python}
import sys
import nibabel as nib, numpy as np
options = dict(zip(sys.argv[1::2], sys.argv[2::2]))
image = nib.load(options["-i"])
mask = (np.asarray(image.dataobj) > 400).astype(np.uint8)
{fails}
nib.save(nib.Nifti1Image(mask, image.affine), {out})
"""
HD_BET = 'options["-o"].replace(".nii.gz", "_bet.nii.gz")'


@pytest.fixture
def case(tmp_path):
    write_patient(tmp_path / "in")
    return find_cases(tmp_path / "in").cases[0]


@pytest.fixture
def path(tmp_path, monkeypatch):
    """A folder of programs, and no other."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path / "bin"


def write_program(folder, name, out, fails=""):
    file = folder / name
    file.write_text(FAKE.format(python=sys.executable, out=out, fails=fails))
    file.chmod(0o755)


@pytest.mark.skipif(os.name == "nt", reason="the fake programs are scripts with a first line of #!")
@pytest.mark.parametrize(
    ("word", "program", "out", "title"),
    [
        ("hd-bet", "hd-bet", HD_BET, "HD-BET"),
        ("synthstrip", "mri_synthstrip", 'options["-m"]', "SynthStrip"),
        ("synthstrip", "synthstrip-docker", 'options["-m"]', "SynthStrip"),
    ],
)
def test_a_stripper_that_is_installed_makes_the_mask_from_the_reference(case, path, word, program, out, title):
    assert word not in installed()
    write_program(path, program, out)
    assert word in installed()
    volumes = read_case(case, brain_mask=word)
    np.testing.assert_array_equal(volumes.brain_mask_zyx, volumes.image.array[1] > 400)
    assert f"brain mask by {title} from t1c" in volumes.notes


def test_a_stripper_that_is_not_installed_is_named_with_the_way_to_it(case, path):
    with pytest.raises(MissingDependencyError, match=r"HD-BET is not installed.*voxmmsd\[hd-bet\].*--brain-mask FILE"):
        read_case(case, brain_mask="hd-bet")
    with pytest.raises(MissingDependencyError, match="FreeSurfer"):
        read_case(case, brain_mask="synthstrip")


@pytest.mark.skipif(os.name == "nt", reason="the fake programs are scripts with a first line of #!")
def test_a_stripper_that_fails_is_an_error_with_its_last_words(case, path):
    write_program(path, "hd-bet", HD_BET, fails="sys.exit('no weights')")
    with pytest.raises(InputError, match=r"HD-BET made no brain mask \(exit code 1: no weights\)"):
        read_case(case, brain_mask="hd-bet")
    write_program(path, "hd-bet", HD_BET, fails="mask[:] = 0")
    with pytest.raises(InputError, match="HD-BET found no brain"):
        read_case(case, brain_mask="hd-bet")


def test_only_heads_are_stripped_where_the_images_come_from_a_scanner(case, path, monkeypatch):
    write_program(path, "hd-bet", HD_BET)
    options = {"brain_mask": "hd-bet", "only_heads": True}
    volumes = read_case(case, **options)
    np.testing.assert_array_equal(volumes.brain_mask_zyx, (brain() > 0).T)
    assert "t1c seems to be stripped already: the brain is what is above 0 in it" in volumes.notes
    (finding,) = check_stripping(volumes)
    assert finding.severity == Severity.WARNING and "--brain-mask voxmmsd" in finding.remedy
    assert not list(check_stripping(read_case(case)))
    monkeypatch.setattr(reading, "MAX_BRAIN_ML", 0.001)
    np.testing.assert_array_equal(read_case(case, **options).brain_mask_zyx, volumes.image.array[1] > 400)
    mask = np.zeros(brain().shape, np.uint8)
    mask[10:20, 10:20, 10:20] = 1
    affine = nib.load(case.modalities["t1c"].path).affine
    nib.save(nib.Nifti1Image(mask, affine), case.modalities["t1c"].path.with_name("brain_mask.nii.gz"))
    (with_mask,) = find_cases(case.modalities["t1c"].path.parent).cases
    np.testing.assert_array_equal(read_case(with_mask, **options).brain_mask_zyx, mask.T > 0)


@pytest.mark.skipif(os.name == "nt", reason="the fake programs are scripts with a first line of #!")
def test_a_small_head_in_noisy_air_is_stripped(case, path, monkeypatch):
    """Its tissue is no more than a brain, but all that is above 0 is."""
    with_skull(case, "t1c")
    write_program(path, "hd-bet", HD_BET)
    largest = 1.2e-3 * float((brain() > 0).sum())
    monkeypatch.setattr(reading, "MAX_BRAIN_ML", largest)
    monkeypatch.setattr(brain_mask, "MAX_BRAIN_ML", largest)
    volumes = read_case(case, brain_mask="hd-bet", only_heads=True)
    assert brain_mask.tissue_ml(Volume(volumes.image.array[1], volumes.image.grid)) <= largest
    np.testing.assert_array_equal(volumes.brain_mask_zyx, volumes.image.array[1] > 400)


def test_from_the_scanner_is_aligning_and_stripping(path):
    assert reading_options(align=False, brain_mask="")["aligned"] is False
    plain = reading_options(align=False, brain_mask="", from_scanner=True)
    assert plain["aligned"] and plain["only_heads"] and plain["brain_mask"] in STRIPPERS
    named = reading_options(align=False, brain_mask="mask.nii.gz", from_scanner=True)
    assert named["aligned"] and not named["only_heads"] and named["brain_mask"] == ""


def test_a_bias_field_is_removed_inside_the_mask():
    pytest.importorskip("SimpleITK")
    z, y, x = np.indices((40, 44, 48)) - np.array([20, 22, 24]).reshape(3, 1, 1, 1)
    inside = z**2 + y**2 + x**2 < 18**2
    plain = np.where((z**2 + y**2 + x**2 < 12**2), 100.0, 60.0) * inside
    uneven = (plain * np.exp(x / 40)).astype(np.float32)
    even = without_bias_field(Volume(uneven, Grid(plain.shape, np.diag([4.0, 4.0, 4.0, 1]))), inside)
    off = [(image[inside] / plain[inside]).std() / (image[inside] / plain[inside]).mean() for image in (uneven, even)]
    assert off[1] < 0.3 * off[0]
    assert (even[~inside] == 0).all()


def test_reading_says_that_bias_fields_were_removed(case):
    pytest.importorskip("SimpleITK")
    stages = []
    assert "bias fields were removed (N4)" in read_case(case, n4=True, on_stage=stages.append).notes
    assert stages == ["correcting"]


def with_skull(case, *names):
    """The same patient, with something above 0 everywhere in these modalities."""
    for name in names:
        image = nib.load(case.modalities[name].path)
        head = np.asarray(image.dataobj) + 50
        nib.save(nib.Nifti1Image(head.astype(np.int16), image.affine), case.modalities[name].path)


def test_a_stripped_modality_gives_the_mask_of_the_others(case):
    with_skull(case, "t1n", "t1c", "t2w")
    volumes = read_case(case, brain_mask="t2f")
    np.testing.assert_array_equal(volumes.brain_mask_zyx, (brain() > 0).T)
    assert "brain mask from t2f, which is stripped" in volumes.notes


def test_a_head_is_no_brain_mask_and_an_absent_modality_none_either(case):
    big = np.full((140, 140, 140), 9, np.int16)
    nib.save(nib.Nifti1Image(big, np.eye(4)), case.modalities["t2f"].path)
    with pytest.raises(InputError, match=r"t2f is not a brain mask: 2,744 ml"):
        read_case(replace(case, modalities={"t2f": case.modalities["t2f"]}), with_label=False, brain_mask="t2f")
    with pytest.raises(InputError, match="has no t1n to take the brain mask from"):
        read_case(replace(case, modalities={"t2f": case.modalities["t2f"]}), brain_mask="t1n")


def test_preparing_takes_the_word_and_refuses_a_file(case, tmp_path):
    with_skull(case, "t1n", "t1c", "t2w")
    options = PrepareConfig(str(tmp_path / "in"), str(tmp_path / "store"), brain_mask="t2f", workers=1)
    (entry,) = prepare_folder(options).entries
    assert not entry.image()[:, (entry.image()[3] == 0)].any()
    with pytest.raises(ConfigError, match="belongs beside its case's images"):
        prepare_folder(replace(options, brain_mask="mask.nii.gz"))
