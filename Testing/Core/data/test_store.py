import json
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from patients import write_patient

from voxmmsd.data.cases import find_cases
from voxmmsd.data.formats import sources
from voxmmsd.data.store import check_arrays, is_store, open_store, prepare_cases
from voxmmsd.errors import InputError
from voxmmsd.model_config import PreprocessConfig


def patients(folder, count=2, schema="brats-gli-2023"):
    for number in range(count):
        write_patient(folder, f"BraTS-GLI-0000{number}-000", seed=number)
    return find_cases(folder, schema).cases


def test_an_entry_holds_the_four_modalities_and_the_label_on_one_grid(tmp_path):
    result = prepare_cases(patients(tmp_path / "in"), tmp_path / "store", workers=1)
    entry = result.entries[0]
    assert (result.made, result.failures) == (2, ())
    assert entry.image().dtype == np.uint8
    assert isinstance(entry.image(), np.memmap)
    assert entry.image().shape == (4, *entry.grid.shape_zyx)
    assert set(np.unique(entry.label())) == {0, 1, 2, 3}
    assert entry.label_schema().name == "brats-gli-2023"
    assert entry.patient_id == "BraTS-GLI-00000"


def test_what_is_there_is_kept_and_opens_again_the_same(tmp_path):
    cases = patients(tmp_path / "in")
    first = prepare_cases(cases, tmp_path / "store", workers=1)
    second = prepare_cases(cases, tmp_path / "store", workers=1)
    assert second.made == 0
    assert open_store(tmp_path / "store") == first.entries == second.entries


@pytest.mark.parametrize("harm", ["truncate", "flip", "record", "array gone"])
def test_a_broken_entry_is_remade(tmp_path, harm):
    cases = patients(tmp_path / "in")
    first = prepare_cases(cases, tmp_path / "store", workers=1)
    array, record = first.entries[0].array_file, first.entries[0].array_file.with_suffix(".json")
    content = array.read_bytes()
    if harm == "truncate":
        array.write_bytes(content[:-100])
    elif harm == "flip":
        array.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif harm == "record":
        record.write_text(record.read_text(encoding="utf-8")[:50])
    else:
        array.unlink()
    second = prepare_cases(cases, tmp_path / "store", workers=1)
    assert second.made == 1
    assert array.read_bytes() == content


@pytest.mark.parametrize(
    ("harm", "problem"),
    [
        ("truncate", "its array is missing, truncated or of another size"),
        ("array gone", "its array is missing, truncated or of another size"),
        ("record", "its record is damaged"),
        ("record gone", "has no record; its preparation is under way or was interrupted"),
        ("old format", r"was prepared by another version of voxmmsd \(format 1, this version uses"),
    ],
)
def test_a_store_with_an_unusable_case_is_refused_and_the_case_named(tmp_path, harm, problem):
    cases = patients(tmp_path / "in")
    first = prepare_cases(cases, tmp_path / "store", workers=1)
    array, record = first.entries[0].array_file, first.entries[0].array_file.with_suffix(".json")
    text = record.read_text(encoding="utf-8")
    if harm == "truncate":
        array.write_bytes(array.read_bytes()[:-100])
    elif harm == "array gone":
        array.unlink()
    elif harm == "record":
        record.write_text(text[:50], encoding="utf-8")
    elif harm == "record gone":
        record.unlink()
    else:
        record.write_text(json.dumps({**json.loads(text), "format": 1}), encoding="utf-8")
    assert is_store(tmp_path / "store")
    with pytest.raises(InputError, match=rf"{cases[0].id}: {problem}.*voxmmsd prepare") as refused:
        open_store(tmp_path / "store")
    assert cases[1].id not in str(refused.value)
    assert prepare_cases(cases, tmp_path / "store", workers=1).made == 1
    assert len(open_store(tmp_path / "store")) == 2


def test_overwritten_voxels_are_found_by_their_checksum_and_the_case_is_named(tmp_path):
    entries = prepare_cases(patients(tmp_path / "in"), tmp_path / "store", workers=1).entries
    check_arrays(entries)
    content = entries[1].array_file.read_bytes()
    entries[1].array_file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(InputError, match=f"{entries[1].id}: its voxels were changed or damaged") as refused:
        check_arrays(open_store(tmp_path / "store"))
    assert entries[0].id not in str(refused.value)


def test_a_folder_with_arrays_and_records_of_others_is_no_store(tmp_path):
    np.save(tmp_path / "features.npy", np.zeros(3))
    (tmp_path / "table.json").write_text("[1, 2]")
    (tmp_path / "broken.json").write_text("[1, 2")
    assert not is_store(tmp_path)


def test_changed_sources_or_preprocessing_make_the_entry_anew(tmp_path):
    cases = patients(tmp_path / "in", 1)
    old = prepare_cases(cases, tmp_path / "store", workers=1).entries[0]
    again = prepare_cases(cases, tmp_path / "store", PreprocessConfig(percentile=95.0), workers=1)
    assert again.made == 1
    assert again.entries[0].key != old.key
    for file in (tmp_path / "in").rglob("*"):
        if file.is_file():
            file.unlink()
    (tmp_path / "in" / cases[0].id).rmdir()
    write_patient(tmp_path / "in", cases[0].id, seed=9)
    changed = prepare_cases(cases, tmp_path / "store", PreprocessConfig(percentile=95.0), workers=1)
    assert changed.made == 1


def test_another_frame_of_the_same_4d_file_makes_the_entry_anew(tmp_path):
    (case,) = patients(tmp_path / "in", 1)
    t2w, t2f = (nib.load(case.modalities[name].path) for name in ("t2w", "t2f"))
    both = np.stack([t2w.get_fdata(), t2f.get_fdata()[::-1]], axis=-1)
    nib.save(nib.Nifti1Image(both.astype(np.int16), t2w.affine), tmp_path / "both.nii.gz")

    def prepared_with(frame):
        one = replace(case.modalities["t2w"], path=tmp_path / "both.nii.gz", channel=frame)
        framed = replace(case, modalities={**case.modalities, "t2w": one})
        return prepare_cases([framed], tmp_path / "store", workers=1)

    images = []
    for frame in (0, 1):
        result = prepared_with(frame)
        assert result.made == 1
        images.append(np.array(result.entries[0].image()[2]))
    assert (images[0] != images[1]).any()
    assert prepared_with(1).made == 0


def test_a_bad_case_is_reported_and_the_others_are_made(tmp_path):
    cases = patients(tmp_path / "in", 3)
    cases[1].modalities["t1c"].path.write_bytes(b"")
    seen = []
    result = prepare_cases(cases, tmp_path / "store", workers=1, on_case=seen.append)
    assert [entry.id for entry in result.entries] == [cases[0].id, cases[2].id]
    ((case_id, reason),) = result.failures
    assert case_id == cases[1].id
    assert "t1c" in reason.problem
    assert seen == [case.id for case in cases]
    assert len(open_store(tmp_path / "store")) == 2


def test_a_case_that_may_not_be_read_does_not_stop_the_others(tmp_path, monkeypatch):
    cases = patients(tmp_path / "in")
    true, denied = sources.sha256_of, str(cases[0].modalities["t2w"].path)

    def hashed(file):
        if str(file) == denied:
            raise PermissionError(13, "Permission denied", denied)
        return true(file)

    monkeypatch.setattr(sources, "sha256_of", hashed)
    result = prepare_cases(cases, tmp_path / "store", workers=1)
    assert [entry.id for entry in result.entries] == [cases[1].id]
    ((case_id, error),) = result.failures
    assert (case_id, str(error)) == (
        cases[0].id, f"{denied}: cannot be read (Permission denied); check its permissions"
    )  # fmt: skip


def test_processes_give_what_one_gives(tmp_path):
    cases = patients(tmp_path / "in")
    one = prepare_cases(cases, tmp_path / "one", workers=1)
    two = prepare_cases(cases, tmp_path / "two", workers=2)
    assert [e.array_sha256 for e in one.entries] == [e.array_sha256 for e in two.entries]


def test_the_same_image_has_the_same_hash_under_another_name(tmp_path):
    write_patient(tmp_path / "in", "BraTS-GLI-00001-000", seed=4)
    write_patient(tmp_path / "in", "BraTS-GLI-00002-000", seed=4)
    cases = find_cases(tmp_path / "in", "brats-gli-2023").cases
    a, b = prepare_cases(cases, tmp_path / "store", workers=1).entries
    assert a.image_hash == b.image_hash
    assert a.key != b.key


def test_an_empty_folder_is_no_store(tmp_path):
    (tmp_path / "splits.json").write_text(json.dumps({"train": []}))
    assert not is_store(tmp_path)
    with pytest.raises(InputError, match="voxmmsd prepare"):
        open_store(tmp_path)


def test_an_unlabeled_case_has_no_label_to_give(tmp_path):
    write_patient(tmp_path / "in", label=False)
    (entry,) = prepare_cases(find_cases(tmp_path / "in").cases, tmp_path / "store", workers=1).entries
    assert not entry.has_label
    with pytest.raises(InputError, match="has no labels"):
        entry.label()


@pytest.mark.parametrize("spacing", [1.0, 1.5, 2.0])
def test_who_decided_each_voxel_goes_with_the_label_onto_the_prepared_grid(tmp_path, spacing):
    cases = patients(tmp_path / "in", count=1)
    image = nib.load(cases[0].label.path)
    who = (np.asarray(image.dataobj) == 2).astype(np.uint8)  # edema was edited
    who[np.asarray(image.dataobj) == 3] = 2  # enhancing tumor was carried
    nib.save(nib.Nifti1Image(who, image.affine), tmp_path / "case_origin.nii.gz")
    (entry,) = prepare_cases(cases, tmp_path / "store", PreprocessConfig(spacing_mm=spacing), workers=1).entries
    assert entry.edited() is None
    edited = replace(entry, origins=tmp_path / "case_origin.nii.gz").edited()
    np.testing.assert_array_equal(edited, np.asarray(entry.label()) == 2)
    assert edited.any()
