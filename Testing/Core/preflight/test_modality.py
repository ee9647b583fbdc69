from itertools import combinations

import numpy as np
import pytest

from voxmmsd.data.cases import find_cases
from voxmmsd.data.formats.sources import Source, read_volume
from voxmmsd.labels import MODALITIES
from voxmmsd.preflight.modality import (
    assign_modalities,
    modality_features,
    modality_from_name,
    recognize,
    recognize_with_prior,
    swapped_slots,
)


@pytest.fixture(scope="module")
def real(shared_data):
    """Two real cases that the recognizer was not fitted on."""
    cases = {case.id: case for case in find_cases(shared_data / "brats2021").cases}
    return [
        {name: read_volume(source).array for name, source in cases[id_].modalities.items()}
        for id_ in ("BraTS2021_00003", "BraTS2021_00006")
    ]


@pytest.mark.real
def test_every_swap_of_two_slots_of_real_cases_is_noticed_and_names_both(real):
    for case in real:
        assert swapped_slots(case)[0] == {}
        for one, other in combinations(MODALITIES, 2):
            assert swapped_slots({**case, one: case[other], other: case[one]})[0] == {one: other, other: one}


@pytest.mark.real
def test_with_a_modality_missing_the_others_are_still_told_apart(real):
    case = {name: real[0][name] for name in ("t1n", "t2f")}
    assert swapped_slots(case)[0] == {}
    assert swapped_slots({"t1n": case["t2f"], "t2f": case["t1n"]})[0] != {}


@pytest.mark.real
def test_axes_and_scale_do_not_matter(real):
    volume = real[0]["t2f"]
    first = recognize(volume)
    turned = recognize(volume.transpose(2, 0, 1)[::-1] * np.float32(0.037))
    assert first.modality == turned.modality == "t2f"
    assert turned.confidence == pytest.approx(first.confidence, abs=0.2)
    assert sum(first.probability.values()) == pytest.approx(1)


@pytest.mark.real
def test_nameless_volumes_of_a_case_are_dealt_out_together(real):
    for case in real:
        for given in (MODALITIES, ("t2f", "t1c"), ("t2w",)):
            told = assign_modalities([case[name] for name in given], MODALITIES)
            assert all(seems in ("", name) for name, seems in zip(given, told, strict=True))
    assert assign_modalities([real[0][name] for name in reversed(MODALITIES)], MODALITIES) == list(reversed(MODALITIES))


def test_more_volumes_than_places_are_not_dealt_out():
    assert assign_modalities([np.ones((8, 8, 8))] * 2, ("t1c",)) == ["", ""]
    assert assign_modalities([], MODALITIES) == []


def test_the_name_of_a_file_weighs_in(tmp_path):
    rng = np.random.default_rng(0)
    volume = rng.uniform(1, 100, (16, 16, 16)).astype(np.float32)
    seen = recognize(volume)
    told = {name: recognize_with_prior(name, volume) for name in MODALITIES}
    for name, both in told.items():
        assert both.probability[name] >= seen.probability[name]
        assert sum(both.probability.values()) == pytest.approx(1)
    assert recognize_with_prior("", volume).probability == pytest.approx(seen.probability)


def test_what_a_name_tells_is_read_as_the_finder_of_cases_reads_it(tmp_path):
    names = {"x_T1_post.nii.gz": "t1c", "x_flair.nrrd": "t2f", "sub-1_T2w.nii": "t2w", "t1.mha": "t1n", "x.nii.gz": ""}
    assert {name: modality_from_name(Source(tmp_path / name)) for name in names} == names


def test_a_volume_without_a_voxel_above_zero_is_refused():
    with pytest.raises(ValueError, match="no voxel above 0"):
        modality_features(np.zeros((8, 8, 8), np.float32))


def test_a_tiny_volume_has_features_too():
    assert np.isfinite(modality_features(np.arange(1, 28, dtype=np.float32).reshape(3, 3, 3))).all()
