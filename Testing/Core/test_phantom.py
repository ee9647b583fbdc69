import nibabel as nib
import numpy as np
import pytest

from voxmmsd.data.cases import find_cases, read_case
from voxmmsd.data.volume import Volume, canonical
from voxmmsd.errors import ConfigError, InputError
from voxmmsd.phantom import make_phantom, write_phantoms

SMALL = (40, 40, 40)


def mean_in(phantom, modality, value):
    return phantom.image_czyx[modality][phantom.label_zyx == value].mean()


def test_a_seed_makes_the_same_patient_and_another_seed_another():
    one, two, other = make_phantom(3, SMALL), make_phantom(3, SMALL), make_phantom(4, SMALL)
    np.testing.assert_array_equal(one.image_czyx, two.image_czyx)
    assert (one.label_zyx != other.label_zyx).any()


@pytest.mark.parametrize("seed", range(5))
def test_every_patient_has_all_three_tissues_inside_the_brain_and_nothing_outside(seed):
    phantom = make_phantom(seed, SMALL)
    inside = phantom.image_czyx[0] > 0
    assert 0.2 < inside.mean() < 0.45
    for image in phantom.image_czyx:
        np.testing.assert_array_equal(image > 0, inside)
    assert set(np.unique(phantom.label_zyx)) == {0, 1, 2, 3}
    assert inside[phantom.label_zyx > 0].all()


def test_contrasts_are_those_of_the_sequences():
    phantom = make_phantom(1, (64, 64, 64))
    t1n, t1c, t2w, t2f = range(4)
    healthy = {
        m: phantom.image_czyx[m][(phantom.label_zyx == 0) & (phantom.image_czyx[m] > 0)].mean() for m in range(4)
    }
    assert mean_in(phantom, t1c, 3) > 1.2 * healthy[t1c]  # the rim enhances
    assert mean_in(phantom, t1n, 3) < 1.1 * healthy[t1n]  # and does not without contrast
    assert mean_in(phantom, t2f, 2) > 1.2 * healthy[t2f]  # edema is bright on FLAIR
    assert mean_in(phantom, t1n, 1) < 0.8 * healthy[t1n]  # necrosis is dark on T1
    assert mean_in(phantom, t2w, 1) > 1.2 * healthy[t2w]  # and bright on T2


def test_a_patient_without_tumor_is_the_same_brain_without_labels():
    healthy = make_phantom(2, SMALL, tumor=False)
    assert not healthy.label_zyx.any()
    np.testing.assert_array_equal(healthy.image_czyx[0] > 0, make_phantom(2, SMALL).image_czyx[0] > 0)


def test_orientation_and_spacing_change_the_grid_and_not_the_anatomy():
    base = make_phantom(5, (40, 44, 48), orientation="RAS")
    turned = make_phantom(5, (44, 48, 40), orientation="SLP")
    moved = canonical(Volume(turned.label_zyx, turned.grid))
    assert moved.grid.same_as(base.grid)
    assert (moved.array == base.label_zyx).mean() > 0.999
    thick = make_phantom(5, (8 * 2, 44, 48), spacing_mm_zyx=(2.5, 1, 1), orientation="RAS")
    share = [(p.label_zyx > 0).sum() * p.grid.voxel_volume_ml for p in (base, thick)]
    assert share[1] == pytest.approx(share[0], rel=0.1)


@pytest.mark.parametrize("seed", range(5))
def test_no_single_modality_gives_the_tumor_away_by_a_threshold(seed):
    phantom = make_phantom(seed, (48, 48, 48))
    truth = phantom.label_zyx > 0
    best = 0.0
    for image in phantom.image_czyx:
        inside = image > 0
        for level in np.percentile(image[inside], np.arange(5, 100, 5)):
            for guess in (image > level, (image <= level) & inside):
                best = max(best, 2 * (guess & truth).sum() / (guess.sum() + truth.sum()))
    assert best < 0.9


def test_written_patients_are_found_and_read_with_their_schema(tmp_path):
    written = write_phantoms(tmp_path, 2, seed=1, side=32)
    cases = find_cases(tmp_path).cases
    assert [case.id for case in cases] == [place.name for place in written] == ["phantom-001-000", "phantom-001-001"]
    assert {case.schema for case in cases} == {"brats-gli-2023"}
    assert len({case.patient_id for case in cases}) == 2
    volumes = read_case(cases[0])
    assert volumes.present == (True, True, True, True)
    assert set(np.unique(volumes.label_zyx)) == {0, 1, 2, 3}
    assert nib.load(written[0] / "phantom-001-000-t1c.nii.gz").get_data_dtype() == np.int16


def test_patients_do_not_depend_on_how_many_are_written(tmp_path):
    write_phantoms(tmp_path / "one", 1, seed=1, side=32)
    write_phantoms(tmp_path / "two", 2, seed=1, side=32)
    name = "phantom-001-000/phantom-001-000-t2w.nii.gz"
    one, two = (nib.load(tmp_path / folder / name).get_fdata() for folder in ("one", "two"))
    np.testing.assert_array_equal(one, two)


def test_nothing_is_overwritten_and_impossible_patients_are_refused(tmp_path):
    write_phantoms(tmp_path, 1, seed=1, side=32)
    with pytest.raises(InputError, match="exists already"):
        write_phantoms(tmp_path, 2, seed=1, side=40)
    assert not (tmp_path / "phantom-001-001").exists()
    with pytest.raises(ConfigError, match="no room for a brain"):
        make_phantom(0, (8, 40, 40))
    with pytest.raises(ConfigError, match="--count 0"):
        write_phantoms(tmp_path / "none", 0, seed=1)


def test_patients_that_a_killed_call_left_are_kept_and_the_others_written(tmp_path):
    first = write_phantoms(tmp_path, 1, seed=1, side=32)[0]
    before = {file: file.stat().st_mtime_ns for file in first.iterdir()}
    later = write_phantoms(tmp_path, 3, seed=1, side=32)
    assert [place.name for place in later] == ["phantom-001-001", "phantom-001-002"]
    assert {file: file.stat().st_mtime_ns for file in first.iterdir()} == before
    next(first.glob("*-t2w.nii.gz")).unlink()
    with pytest.raises(InputError, match="exists already"):
        write_phantoms(tmp_path, 3, seed=1, side=32)


@pytest.mark.parametrize("text", ['{"name": "mine", "schema": "brats-2021"}', "no JSON"])
def test_the_record_of_another_data_set_is_not_overwritten(tmp_path, text):
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(InputError, match="describes another data set"):
        write_phantoms(tmp_path, 1, seed=1, side=32)
    assert (tmp_path / "dataset.json").read_text() == text and len(list(tmp_path.iterdir())) == 1
