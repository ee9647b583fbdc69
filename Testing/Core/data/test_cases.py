"""Finding cases in folders of every layout, and reading them onto one grid."""

import json
import os
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from dicom_files import write_series

from voxmmsd.data.cases import case_from_files, find_cases, read_case
from voxmmsd.data.finding.dicom_cases import modality_of
from voxmmsd.data.finding.listing import write_list
from voxmmsd.data.finding.walk import IMAGES_BESIDE_RESULTS
from voxmmsd.data.formats.dicom import Series
from voxmmsd.data.formats.sources import Source
from voxmmsd.errors import ConfigError, InputError
from voxmmsd.labels import MODALITIES

BRATS21 = ("t1", "t1ce", "t2", "flair", "seg")
BRATS23 = ("t1n", "t1c", "t2w", "t2f", "seg")


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def brats(folder: Path, *ids: str, flat: bool = False) -> None:
    for id_ in ids:
        mark, kinds = ("-", BRATS23) if "-" in id_ else ("_", BRATS21)
        touch(folder if flat else folder / id_, *(f"{id_}{mark}{kind}.nii.gz" for kind in kinds))


def names_of(case):
    return {name: source.path.name for name, source in case.modalities.items()}


def only(folder, **options):
    (case,) = find_cases(folder, **options).cases
    return case


# ------------------------------------------------------------------------------------------------------------ finding


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize(
    ("ids", "schema"),
    [
        (("BraTS2021_00002", "BraTS2021_00010"), "brats-2021"),
        (("BraTS20_Training_001", "BraTS20_Training_002"), "brats-2021"),
        (("Brats18_CBICA_AAB_1", "Brats18_TCIA01_101_1"), "brats-2021"),
        (("BraTS-GLI-00002-000", "BraTS-GLI-00002-001"), "brats-gli-2023"),
        (("BraTS-GLI-00005-100", "BraTS-GLI-00005-101"), "brats-gli-2024"),
        (("BraTS-SSA-00002-000", "BraTS-SSA-00010-000"), "brats-gli-2023"),
        (("BraTS-PED-00002-000", "BraTS-PED-00010-000"), "brats-ped-2024"),
    ],
)
def test_brats_names_of_all_years_are_understood(tmp_path, ids, schema, flat):
    brats(tmp_path, *ids, flat=flat)
    found = find_cases(tmp_path)
    assert tuple(case.id for case in found.cases) == ids and not found.unplaced
    for case in found.cases:
        assert case.schema == schema and not case.missing
        assert case.label.path.name.startswith(case.id) and "seg" in case.label.path.name
        assert all(name.startswith(case.id) for name in names_of(case).values())
        assert case.modalities["t1c"].path.name.endswith(("t1ce.nii.gz", "t1c.nii.gz"))


def test_time_points_of_one_patient_share_their_patient_id(tmp_path):
    brats(tmp_path, "BraTS-GLI-00005-100", "BraTS-GLI-00005-101", "BraTS-GLI-00006-100")
    patients = [case.patient_id for case in find_cases(tmp_path).cases]
    assert patients == ["BraTS-GLI-00005", "BraTS-GLI-00005", "BraTS-GLI-00006"]


def test_the_schema_is_decided_per_data_set_not_per_case(tmp_path):
    brats(tmp_path / "mixed", "BraTS-GLI-00001-000", "BraTS-GLI-00002-100")
    brats(tmp_path / "old", "BraTS-GLI-00003-000")
    schemas = {case.id: case.schema for case in find_cases(tmp_path).cases}
    assert schemas["BraTS-GLI-00001-000"] == schemas["BraTS-GLI-00002-100"] == "brats-gli-2024"
    assert schemas["BraTS-GLI-00003-000"] == "brats-gli-2023"
    assert "pre- and post-treatment" in find_cases(tmp_path / "mixed").cases[0].notes[0]


def test_cases_sort_as_people_count(tmp_path):
    for number in (10, 9, 2, 1):
        touch(tmp_path / f"patient{number}", "T1.nii.gz")
    assert [case.id for case in find_cases(tmp_path).cases] == ["patient1", "patient2", "patient9", "patient10"]


def test_a_case_per_folder_with_names_that_merely_contain_the_sequence(tmp_path):
    touch(tmp_path / "TCGA-1", "AX_T1_SE_fs.nii.gz", "AX_T1_post_longTR.nii.gz", "T2_haste.nii", "my_flair.nii.gz")
    touch(tmp_path / "TCGA-1", "tumor_seg.nii.gz", "brain_mask.nii.gz", "ADC.nii.gz")
    found = find_cases(tmp_path)
    (case,) = found.cases
    assert names_of(case) == {
        "t1n": "AX_T1_SE_fs.nii.gz",
        "t1c": "AX_T1_post_longTR.nii.gz",
        "t2w": "T2_haste.nii",
        "t2f": "my_flair.nii.gz",
    }
    assert (case.id, case.label.path.name, case.brain_mask.path.name) == (
        "TCGA-1",
        "tumor_seg.nii.gz",
        "brain_mask.nii.gz",
    )
    assert case.schema is None and any("--schema" in note for note in case.notes)
    assert [path.name for path, _ in found.unplaced] == ["ADC.nii.gz"]


def test_a_folder_may_itself_be_the_case(tmp_path, monkeypatch):
    folder = tmp_path / "TCGA-FG-6692"
    touch(folder, "T1.nii.gz", "T1_post.nii.gz")
    monkeypatch.chdir(folder)
    for given in (folder, Path(), "."):
        case = only(given)
        assert case.id == "TCGA-FG-6692" and case.missing == ("t2w", "t2f")


def test_series_numbers_before_the_sequences_do_not_split_a_case(tmp_path):
    touch(tmp_path / "p1", "003_T1.nii.gz", "007_T2.nii.gz", "008_FLAIR.nii.gz")
    case = only(tmp_path)
    assert case.id == "p1" and len(case.modalities) == 3 and "differently" in case.notes[0]


def test_two_patients_in_one_folder_are_never_merged(tmp_path):
    touch(tmp_path, "BraTS2021_00001_t1.nii.gz", "BraTS2021_00002_t2.nii.gz", "pat3_flair.nii.gz")
    assert [len(case.modalities) for case in find_cases(tmp_path).cases] == [1, 1, 1]


def test_the_id_may_stand_behind_the_sequence(tmp_path):
    touch(tmp_path, "T1_pat01.nii.gz", "T2_pat01.nii.gz", "T1_pat02.nii.gz", "T2_pat02.nii.gz", "seg_pat02.nii.gz")
    first, second = find_cases(tmp_path).cases
    assert (first.id, second.id) == ("pat01", "pat02")
    assert first.label is None and second.label.path.name == "seg_pat02.nii.gz"


def test_a_label_of_another_patient_is_not_taken(tmp_path):
    touch(tmp_path, "BraTS2021_00001_t1.nii.gz", "BraTS2021_00001_t2.nii.gz", "BraTS2021_00002_seg.nii.gz")
    found = find_cases(tmp_path)
    assert found.cases[0].label is None and found.unplaced[0][0].name == "BraTS2021_00002_seg.nii.gz"


def test_the_label_of_a_lone_case_may_be_named_freely(tmp_path):
    touch(tmp_path / "p1", "VSD.Brain.XX.O.MR_T1c.54513/VSD.Brain.XX.O.MR_T1c.54513.mha")
    touch(tmp_path / "p1", "VSD.Brain.XX.O.MR_Flair.54512/VSD.Brain.XX.O.MR_Flair.54512.mha")
    touch(tmp_path / "p1", "VSD.Brain_3more.XX.O.OT.54517/VSD.Brain_3more.XX.O.OT.54517.mha")
    case = only(tmp_path)
    assert sorted(case.modalities) == ["t1c", "t2f"] and "OT" in case.label.path.name


def test_labels_in_a_folder_beside_the_images(tmp_path):
    touch(tmp_path / "images", "pat1_T1.nii.gz", "pat1_T2.nii.gz", "pat2_T1.nii.gz")
    touch(tmp_path / "labels", "pat1.nii.gz", "pat2_seg.nii.gz", "pat3.nii.gz")
    found = find_cases(tmp_path)
    assert [case.label.path.name for case in found.cases] == ["pat1.nii.gz", "pat2_seg.nii.gz"]
    assert [path.name for path, _ in found.unplaced] == ["pat3.nii.gz"]


def test_a_folder_per_sequence(tmp_path):
    for kind in ("T1", "T1_post", "FLAIR", "labels"):
        touch(tmp_path / "all" / kind, "pat1.nii.gz", "pat2.nii.gz")
    touch(tmp_path / "other9" / "T2", "image.nii.gz")
    cases = find_cases(tmp_path).cases
    assert [(case.id, sorted(case.modalities), case.label is not None) for case in cases] == [
        ("other9", ["t2w"], False),
        ("pat1", ["t1c", "t1n", "t2f"], True),
        ("pat2", ["t1c", "t1n", "t2f"], True),
    ]


def test_visits_belong_to_the_patient_of_the_folder_above(tmp_path):
    for week in ("week-000", "week-044"):
        touch(tmp_path / "Patient-001" / week, "T1.nii.gz", "FLAIR.nii.gz")
    touch(tmp_path / "sub-02" / "ses-1" / "anat", "sub-02_ses-1_T1w.nii.gz", "sub-02_ses-1_ce-gd_T1w.nii.gz")
    cases = find_cases(tmp_path).cases
    assert [(case.id, case.patient_id) for case in cases] == [
        ("Patient-001-week-000", "Patient-001"),
        ("Patient-001-week-044", "Patient-001"),
        ("sub-02_ses-1", "sub-02"),
    ]
    assert set(cases[2].modalities) == {"t1n", "t1c"}


def test_cases_of_one_name_get_ids_of_their_own(tmp_path):
    for site in ("a", "b", "c"):
        brats(tmp_path / site, "BraTS2021_00001")
    found = find_cases(tmp_path)
    assert len({case.id.casefold() for case in found.cases}) == 3
    assert {case.patient_id for case in found.cases} == {"BraTS2021_00001"}
    assert sum("named BraTS2021_00001 as well" in note for case in found.cases for note in case.notes) == 2


def test_two_images_that_fit_one_slot_are_told_and_not_decided(tmp_path):
    touch(tmp_path / "p1", "T1_post_brain.nii.gz", "T1_post.nii.gz", "T2.nii.gz")
    case = only(tmp_path)
    assert [path.name for path in case.undecided["t1c"]] == ["T1_post.nii.gz", "T1_post_brain.nii.gz"]
    assert "2 images fit t1c" in case.notes[0] and "T1_post_brain.nii.gz" in case.notes[0]
    assert case.notes[0] in find_cases(tmp_path).report()


def test_an_image_registered_to_the_flair_is_not_the_flair(tmp_path):
    touch(tmp_path / "p1", *(f"{name}_N4_regtoFLAIR_brain.nii.gz" for name in ("T1", "T1POST", "T2", "FLAIR")))
    case = only(tmp_path)
    assert names_of(case) == {
        slot: f"{name}_N4_regtoFLAIR_brain.nii.gz"
        for slot, name in zip(MODALITIES, ("T1", "T1POST", "T2", "FLAIR"), strict=True)
    }
    assert not case.undecided


def test_an_image_brought_to_another_space_gives_way_to_the_scan(tmp_path):
    touch(tmp_path / "p1", "T1.nii.gz", "FLAIR.nii.gz", "T2.nii.gz", "T2_regtoFLAIR.nii.gz")
    case = only(tmp_path)
    assert names_of(case) == {"t1n": "T1.nii.gz", "t2w": "T2.nii.gz", "t2f": "FLAIR.nii.gz"}
    assert not case.undecided and "not T2_regtoFLAIR.nii.gz" in case.notes[0]


def test_where_only_the_registered_images_are_complete_the_scan_gives_way(tmp_path):
    touch(tmp_path / "p1", "T1.nii.gz", *(f"{name}_to_SRI_brain.nii.gz" for name in ("T1", "T1CE", "T2", "FL")))
    case = only(tmp_path)
    assert all(name.endswith("_to_SRI_brain.nii.gz") for name in names_of(case).values())
    assert len(case.modalities) == 4 and not case.undecided


def test_derivatives_give_way_and_their_labels_are_used(tmp_path):
    touch(tmp_path / "sub-01" / "anat", "sub-01_T1w.nii.gz", "sub-01_acq-iso_FLAIR.nii.gz")
    touch(tmp_path / "derivatives" / "prep" / "sub-01", "sub-01_space-MNI_desc-preproc_T1w.nii.gz")
    touch(tmp_path / "derivatives" / "experts" / "sub-01", "sub-01_label-lesion_mask.nii.gz")
    touch(tmp_path / "derivatives" / "prep" / "sub-01", "sub-01_desc-brain_mask.nii.gz")
    found = find_cases(tmp_path)
    (case,) = found.cases
    assert (case.id, names_of(case)) == ("sub-01", {"t1n": "sub-01_T1w.nii.gz", "t2f": "sub-01_acq-iso_FLAIR.nii.gz"})
    assert case.label.path.name == "sub-01_label-lesion_mask.nii.gz"
    assert case.brain_mask.path.name == "sub-01_desc-brain_mask.nii.gz"
    assert ["derivative" in why for _, why in found.unplaced] == [True]


def test_derivatives_alone_are_cases(tmp_path):
    touch(tmp_path / "derivatives" / "prep" / "sub-01", "sub-01_desc-preproc_T1w.nii.gz")
    assert names_of(only(tmp_path)) == {"t1n": "sub-01_desc-preproc_T1w.nii.gz"}


def test_images_of_formats_that_are_not_read_are_named(tmp_path):
    touch(tmp_path / "p1", "T1.nii.gz", "T2.nii.bz2", "FLAIR.nii.zst", "T1c.hdr", "T1c.img", "T1_post.nii.lz4")
    found = find_cases(tmp_path)
    assert len(found.unread) == 5 and "T2.nii.bz2" in found.unread_remark
    (tmp_path / "p1" / "T1.nii.gz").unlink()
    with pytest.raises(InputError, match=r"no case found, but 5 images.*T2\.nii\.bz2"):
        find_cases(tmp_path).refuse_none()


def test_a_link_to_a_folder_above_is_not_followed(tmp_path):
    brats(tmp_path, "BraTS2021_00001", "BraTS2021_00002")
    case = tmp_path / "BraTS2021_00001"
    (case / "up").symlink_to(tmp_path, target_is_directory=True)
    found = find_cases(case)
    assert [one.id for one in found.cases] == ["BraTS2021_00001"]
    assert [path.name for path, _ in found.unplaced] == ["up"]


def test_results_inside_the_folder_are_passed_over(tmp_path):
    brats(tmp_path, "BraTS2021_00001")
    touch(
        tmp_path / "results",
        ".run/config.json",
        "BraTS2021_00001-voxmmsd.nii.gz",
        "BraTS2021_00001-voxmmsd-t1c.nii.gz",
        "visit-1-t1c.nii.gz",
    )
    found = find_cases(tmp_path)
    assert len(found.cases) == 1 and not found.unplaced


def test_a_patient_whose_folder_got_results_is_not_passed_over_in_silence(tmp_path):
    brats(tmp_path, "BraTS2021_00001", "BraTS2021_00002")
    touch(tmp_path / "BraTS2021_00002", ".run/config.json", "BraTS2021_00002-voxmmsd.nii.gz")
    found = find_cases(tmp_path)
    assert [case.id for case in found.cases] == ["BraTS2021_00001"]
    assert [(path.name, why) for path, why in found.unplaced] == [("BraTS2021_00002", IMAGES_BESIDE_RESULTS)]
    assert [case.id for case in find_cases(tmp_path / "BraTS2021_00002").cases] == ["BraTS2021_00002"]


@pytest.mark.parametrize("slice_name", ["slice-1.dcm", "IM000001"])
def test_nor_is_a_folder_of_dicom_slices_that_got_results(tmp_path, slice_name):
    brats(tmp_path, "BraTS2021_00001")
    touch(tmp_path / "patient", ".run/config.json", "patient-voxmmsd-seg.dcm", "status.json")
    assert not find_cases(tmp_path).unplaced
    (tmp_path / "patient" / slice_name).write_bytes(bytes(128) + b"DICM")
    assert [(path.name, why) for path, why in find_cases(tmp_path).unplaced] == [("patient", IMAGES_BESIDE_RESULTS)]


def test_a_label_is_never_taken_from_a_prediction(tmp_path):
    brats(tmp_path, "BraTS2021_00001")
    folder = tmp_path / "BraTS2021_00001"
    (folder / "BraTS2021_00001_seg.nii.gz").unlink()
    touch(
        folder,
        "BraTS2021_00001-voxmmsd.nii.gz",
        "BraTS2021_00001_seg_pred.nii.gz",
        "BraTS2021_00001_prediction_seg.nii.gz",
        "BraTS2021_00001_seg_output.nii.gz",
    )
    touch(tmp_path / "predictions", "BraTS2021_00001_seg.nii.gz")
    found = find_cases(tmp_path)
    assert found.cases[0].label is None and len(found.cases) == 1
    assert len(found.unplaced) == 5 and all("result" in reason for _, reason in found.unplaced)


def test_images_are_not_taken_from_run_folders_and_hidden_ones(tmp_path):
    touch(tmp_path / "p1", "T1.nii.gz", "._T2.nii.gz")
    touch(tmp_path / "run", "status.json", "config.json", "previews/T1.nii.gz")
    touch(tmp_path / ".cache", "T1.nii.gz")
    touch(tmp_path / "__MACOSX", "T1.nii.gz")
    case = only(tmp_path)
    assert (case.id, list(case.modalities)) == ("p1", ["t1n"])


def test_a_loop_of_links_ends(tmp_path):
    touch(tmp_path / "p1", "T1.nii.gz")
    (tmp_path / "p1" / "again").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "p1" / "T2.nii.gz").symlink_to(tmp_path / "nowhere.nii.gz")
    found = find_cases(tmp_path)
    assert len(found.cases) == 1 and list(found.cases[0].modalities) == ["t1n"]
    assert "link to a file that is not there" in found.unplaced[1][1]


def test_ten_thousand_unrelated_files_do_not_hurt(tmp_path):
    brats(tmp_path, "BraTS2021_00001")
    (tmp_path / "other").mkdir()
    for number in range(10_000):
        (tmp_path / "other" / f"{number}{('.nii.gz', '.txt', '', '.png')[number % 4]}").touch()
    started = time.perf_counter()
    found = find_cases(tmp_path)
    assert time.perf_counter() - started < 10
    assert [case.id for case in found.cases] == ["BraTS2021_00001"] and len(found.unplaced) == 2500
    assert len(found.report().splitlines()) < 30 and "2,480 more" in found.report()


def test_a_folder_that_cannot_be_read_is_told(tmp_path, monkeypatch):
    touch(tmp_path / "p1", "T1.nii.gz")
    touch(tmp_path / "locked", "T1.nii.gz")
    real = os.scandir

    def scandir(folder):
        if Path(folder).name == "locked":
            raise PermissionError(13, "Permission denied")
        return real(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    found = find_cases(tmp_path)
    assert len(found.cases) == 1 and found.unplaced == ((tmp_path / "locked", "cannot be read (Permission denied)"),)


def test_the_report_says_what_is_there_missing_and_without_a_place(tmp_path):
    brats(tmp_path, "BraTS2021_00001")
    (tmp_path / "BraTS2021_00001" / "BraTS2021_00001_t2.nii.gz").unlink()
    touch(tmp_path / "BraTS2021_00001", "mask.nii.gz", "old.mgz")
    report = find_cases(tmp_path).report()
    assert "1 case, 1 with a label" in report
    row = next(line for line in report.splitlines() if line.startswith("  BraTS2021_00001")).split()
    assert row[2:7] == ["yes", "yes", "-", "yes", "brats-2021"] and row[-1] == "t2w"
    assert "a mask of what?" in report and "convert it to .nii.gz" in report


def test_an_empty_folder_gives_no_case_and_a_missing_one_an_error(tmp_path):
    assert find_cases(tmp_path).cases == () and "no case" in find_cases(tmp_path).report()
    with pytest.raises(InputError, match="no such folder"):
        find_cases(tmp_path / "none")
    touch(tmp_path, "x.nii.gz", "notes.txt")
    with pytest.raises(InputError, match="--t1c"):
        find_cases(tmp_path / "x.nii.gz")
    with pytest.raises(InputError, match="neither a folder nor a list"):
        find_cases(tmp_path / "notes.txt")


# ------------------------------------------------------------------------------------------------------------- schema


def test_where_dataset_json_is_damaged_no_other_rule_decides_what_the_labels_mean(tmp_path):
    brats(tmp_path, "BraTS-GLI-00001-000")
    (tmp_path / "dataset.json").write_text('{"schema": "brats-gli-2024"')
    case = only(tmp_path)
    assert case.schema is None
    assert "dataset.json: cannot be read" in case.notes[0]
    assert "--schema" in case.notes[0]
    assert only(tmp_path, schema="brats-gli-2024").schema == "brats-gli-2024"


def test_a_dataset_json_beside_the_cases_names_the_schema(tmp_path):
    touch(tmp_path / "set" / "p1", "T1.nii.gz", "seg.nii.gz")
    (tmp_path / "set" / "dataset.json").write_text('{"schema": "brats-ped-2024"}')
    for folder in (tmp_path, tmp_path / "set", tmp_path / "set" / "p1"):
        assert only(folder).schema == "brats-ped-2024" and not only(folder).notes
    assert only(tmp_path, schema="brats-2021").schema == "brats-2021"


def test_a_schema_that_does_not_exist_is_refused(tmp_path):
    touch(tmp_path / "p1", "T1.nii.gz", "seg.nii.gz")
    with pytest.raises(ConfigError, match="brats-1999"):
        find_cases(tmp_path, schema="brats-1999")
    (tmp_path / "dataset.json").write_text('{"schema": "brats-1999"}')
    with pytest.raises(InputError, match="brats-1999"):
        find_cases(tmp_path)


def test_a_schema_with_a_resection_cavity_is_one_by_option_and_by_dataset_json(tmp_path):
    touch(tmp_path / "p1", "T1.nii.gz", "seg.nii.gz")
    assert only(tmp_path, schema="brats-2021+RC").schema == "brats-2021+RC"
    (tmp_path / "dataset.json").write_text('{"schema": "brats-gli-2023+RC"}')
    assert only(tmp_path).schema == "brats-gli-2023+RC"
    with pytest.raises(InputError, match=r"brats-ped-2024\+RC.*does not exist"):
        (tmp_path / "dataset.json").write_text('{"schema": "brats-ped-2024+RC"}')
        find_cases(tmp_path)


# --------------------------------------------------------------------------------------------------- lists, MSD, DICOM


def test_a_csv_list_names_files_relative_to_itself(tmp_path):
    touch(tmp_path / "images", "a.nii.gz", "b_pred.nii.gz")
    (tmp_path / "list.csv").write_text(
        "ID;Patient;T1;FLAIR;Seg;schema;age\nvisit1;p;images/a.nii.gz;;images/b_pred.nii.gz;brats-2021;61\n"
        "visit2;p;;images/none.nii.gz;;;\n",
        encoding="utf-8-sig",
    )
    first, second = find_cases(tmp_path / "list.csv").cases
    assert (first.id, first.patient_id, first.schema) == ("visit1", "p", "brats-2021")
    assert first.modalities == {"t1n": Source(tmp_path / "images" / "a.nii.gz")}
    assert first.label == Source(tmp_path / "images" / "b_pred.nii.gz")
    assert list(second.modalities) == ["t2f"] and "no such file" in second.notes[0]


def test_a_json_list_may_name_channels(tmp_path):
    touch(tmp_path, "four.nii.gz")
    record = {"schema": "msd-task01", "cases": [{"id": "c1", "t1c": {"path": "four.nii.gz", "channel": 2}}]}
    (tmp_path / "list.json").write_text(json.dumps(record))
    case = only(tmp_path / "list.json")
    assert case.modalities["t1c"] == Source(tmp_path / "four.nii.gz", channel=2) and case.schema == "msd-task01"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.json", "{", "cannot be read as a list"),
        ("a.json", "[1]", "list of objects"),
        ("a.json", '[{"id": "a", "t1": 5}]', "is not an image"),
        ("a.csv", "id,t1\na,x.nii\na,y.nii", "twice"),
        ("a.csv", "id,t1\n../a,x.nii", "its id is"),
        ("a.csv", "id,t1\n,x.nii", "its id is"),
        ("a.csv", "id,age\na,5", "no modality"),
    ],
)
def test_a_broken_list_is_refused_in_one_sentence(tmp_path, name, content, words):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=words) as caught:
        find_cases(tmp_path / name)
    assert name in str(caught.value)


def msd(folder: Path, shape=(6, 7, 8)) -> np.ndarray:
    touch(folder, "imagesTr/._BRATS_001.nii.gz")
    (folder / "labelsTr").mkdir()
    (folder / "imagesTs").mkdir()
    image = np.random.default_rng(0).uniform(1, 9, (*shape, 4)).astype(np.float32)
    label = np.random.default_rng(1).integers(0, 4, shape).astype(np.uint8)
    for name in ("imagesTr/BRATS_001", "imagesTs/BRATS_002"):
        nib.save(nib.Nifti1Image(image, np.eye(4)), folder / f"{name}.nii.gz")
    nib.save(nib.Nifti1Image(label, np.eye(4)), folder / "labelsTr" / "BRATS_001.nii.gz")
    record = {
        "name": "BRATS",
        "modality": {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"},
        "labels": {"0": "background", "1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumour"},
        "training": [
            {"image": "./imagesTr/BRATS_001.nii.gz", "label": "./labelsTr/BRATS_001.nii.gz"},
            {"image": "./imagesTr/BRATS_999.nii.gz", "label": "./labelsTr/BRATS_999.nii.gz"},
        ],
        "test": ["./imagesTs/BRATS_002.nii.gz"],
    }
    (folder / "dataset.json").write_text(json.dumps(record))
    return image


def test_msd_task01_is_read_in_our_channel_order(tmp_path):
    (tmp_path / "Task01_BrainTumour").mkdir()
    image = msd(tmp_path / "Task01_BrainTumour")
    found = find_cases(tmp_path)
    first, second = found.cases
    assert (first.id, first.schema, second.label) == ("BRATS_001", "msd-task01", None)
    assert len(found.unplaced) == 1 and "BRATS_999" in found.unplaced[0][1]
    volumes = read_case(first)
    for name, channel in {"t2f": 0, "t1n": 1, "t1c": 2, "t2w": 3}.items():
        assert np.array_equal(volumes.image.array[MODALITIES.index(name)], image[..., channel].T)
    assert volumes.schema.name == "msd-task01" and set(np.unique(volumes.label_zyx)) == {0, 1, 2, 3}
    assert [c.id for c in find_cases(tmp_path / "Task01_BrainTumour" / "dataset.json").cases] == [
        "BRATS_001",
        "BRATS_002",
    ]


def test_a_four_channel_file_is_decoded_once(tmp_path, monkeypatch):
    from voxmmsd.data import reading

    msd(tmp_path)
    calls = []
    real = reading.read_image
    monkeypatch.setattr(reading, "read_image", lambda source: calls.append(source) or real(source))
    read_case(find_cases(tmp_path).cases[0])
    assert len(calls) == 2  # image and label


def test_dicom_series_become_a_case(tmp_path):
    array = np.arange(5 * 6 * 7, dtype=np.int16).reshape(5, 6, 7)
    folder = tmp_path / "subject 12" / "dcm"
    write_series(folder, array, "1.2.3.1", "COR T1")
    write_series(folder / "2", array + 1, "1.2.3.2", "COR T1", **{"0018_0010": "Gadovist"})
    write_series(folder / "2b", array[:3] + 1, "1.2.3.3", "COR T1 post")
    write_series(folder / "3", array, "1.2.3.4", "ADC map")
    touch(folder, "DICOMDIR", "readme")
    (folder / "broken.dcm").write_text("no dicom")
    found = find_cases(tmp_path)
    (case,) = found.cases
    assert (case.id, case.patient_id, sorted(case.modalities)) == ("subject_12", "subject 12", ["t1c", "t1n"])
    assert case.modalities["t1c"] == Source(folder / "2", series_uid="1.2.3.2")
    assert "most slices" in case.notes[0]
    assert sorted(path.name for path, _ in found.unplaced) == ["3", "broken.dcm"]
    volumes = read_case(case)
    assert np.array_equal(volumes.image.array[0], array) and np.array_equal(volumes.image.array[1], array + 1)
    expected = np.array([[-1.5, 0, 0, 10], [0, 0, -3, 0], [0, -2, 0, 20], [0, 0, 0, 1]])
    assert np.allclose(volumes.image.grid.affine_xyz, expected)


def scanned(folder, uid, description, patient, study, names="IM"):
    tags = {"0010_0020": patient, "0020_000d": study}
    write_series(folder, np.ones((3, 4, 4), np.int16), uid, description, names=names, **tags)


def test_dicom_cases_are_called_after_folders_and_know_who_is_the_same_patient(tmp_path):
    scanned(tmp_path / "site1-07" / "first" / "T1", "1.1", "T1", "MRN4711", "2.1")
    scanned(tmp_path / "site1-07" / "second" / "T1", "1.2", "T1", "MRN4711", "2.2")
    scanned(tmp_path / "dump" / "a", "1.3", "T1", "MRN4712", "2.3")
    scanned(tmp_path / "dump" / "a", "1.4", "FLAIR", "MRN4712", "2.3")
    scanned(tmp_path / "dump" / "b", "1.5", "T1", "MRN4713", "2.4")
    cases = find_cases(tmp_path).cases
    assert {case.id: case.patient_id for case in cases} == {
        "a": "a", "b": "b", "first": "first", "second": "first"
    }  # fmt: skip


def test_dicom_studies_in_one_folder_are_numbered(tmp_path):
    for number, patient in enumerate(("MRN4711", "MRN4712", "MRN4711")):
        scanned(tmp_path / "site2" / str(number), f"1.{number}", "T1", patient, f"2.{number}")
        for file in list((tmp_path / "site2" / str(number)).iterdir()):
            file.rename(tmp_path / "site2" / f"{number}-{file.name}")
    cases = find_cases(tmp_path).cases
    assert {case.id: case.patient_id for case in cases} == {
        "site2-1": "site2", "site2-2": "site2-2", "site2-3": "site2"
    }  # fmt: skip


def test_series_that_each_have_a_study_of_their_own_are_matched_by_patient_and_date(tmp_path):
    for number, (sequence, patient) in enumerate((("T1", "A"), ("T2", "A"), ("FLAIR", "A"), ("T1", "B"), ("T1", "B"))):
        scanned(tmp_path / patient / f"{number}", f"1.{number}", sequence, f"MRN-{patient}", f"2.{number}")
    first, *others = find_cases(tmp_path).cases
    assert (first.id, sorted(first.modalities)) == ("A", ["t1n", "t2f", "t2w"])
    assert first.notes[0] == "each series has a study of its own: matched by patient and date"
    assert [sorted(case.modalities) for case in others] == [["t1n"], ["t1n"]], "two T1 of one day are two cases"


@pytest.mark.parametrize("date", ["", "20200103"])
def test_series_of_other_days_or_of_none_are_not_matched(tmp_path, date):
    tags = {"0010_0020": "MRN-A", "0008_0020": date}
    write_series(tmp_path / "A" / "1", np.ones((3, 4, 4), np.int16), "1.1", "FLAIR", **{**tags, "0020_000d": "2.1"})
    scanned(tmp_path / "A" / "2", "1.2", "T1", "MRN-A", "2.2")
    assert len(find_cases(tmp_path).cases) == 2


@pytest.mark.parametrize("number", ["ANONYMOUS", "Anonymized", "0000", "UNKNOWN", ""])
def test_a_patients_number_that_anonymizers_write_for_all_makes_no_two_patients_one(tmp_path, number):
    """One has a T1 only and the other a FLAIR, of one made-up date; a third has two visits, a fourth has no folders."""
    scanned(tmp_path / "P1" / "T1", "1.1", "T1", number, "2.1")
    scanned(tmp_path / "P2" / "FLAIR", "1.2", "FLAIR", number, "2.2")
    for visit in (1, 2):
        scanned(tmp_path / "P3" / f"ses-{visit}" / "T1", f"1.3{visit}", "T1", number, f"2.3{visit}")
        scanned(tmp_path / "P3" / f"ses-{visit}" / "FLAIR", f"1.4{visit}", "FLAIR", number, f"2.4{visit}")
    scanned(tmp_path / "P4", "1.5", "T1", number, "2.5")
    scanned(tmp_path / "P4", "1.6", "T2", number, "2.5", names="OTHER")
    found = {case.id: (case.patient_id, sorted(case.modalities)) for case in find_cases(tmp_path).cases}
    assert found == {
        "P1": ("P1", ["t1n"]),
        "P2": ("P2", ["t2f"]),
        "P3-ses-1": ("P3", ["t1n", "t2f"]),
        "P3-ses-2": ("P3", ["t1n", "t2f"]),
        "P4": ("P4", ["t1n", "t2w"]),
    }


def test_a_dicom_series_with_a_slice_missing_is_refused(tmp_path):
    array = np.ones((6, 5, 5), np.int16)
    write_series(tmp_path / "T1", array, "1.2.3.1", "T1", slices=[0, 1, 2, 4, 5])
    with pytest.raises(InputError, match="slices are missing"):
        read_case(find_cases(tmp_path).cases[0])


def test_without_simpleitk_dicom_files_are_told_not_lost(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "SimpleITK", None)
    touch(tmp_path, "a/1.dcm", "a/2.dcm", "p1/T1.nii.gz")
    found = find_cases(tmp_path)
    assert len(found.cases) == 1 and "2 DICOM files: needs SimpleITK" in found.unplaced[0][1]


def test_nrrd_files_are_found_like_nifti_files(tmp_path):
    touch(tmp_path / "p1", "T1.nrrd", "FLAIR.mha", "T1.seg.nrrd")
    case = only(tmp_path)
    assert names_of(case) == {"t1n": "T1.nrrd", "t2f": "FLAIR.mha"} and case.label.path.name == "T1.seg.nrrd"


# ------------------------------------------------------------------------------------------------------------ reading


def blob(shape=(10, 12, 14), value=100) -> np.ndarray:
    array = np.zeros(shape, np.int16)
    array[2:-2, 2:-2, 2:-2] = value
    return array


def save(file: Path, array: np.ndarray, affine=None) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, np.eye(4) if affine is None else affine), file)
    return file


def case_of(folder: Path, **images):
    """A case of arrays or (array, affine) pairs, schema brats-2021."""
    files = {}
    for name, image in images.items():
        array, affine = image if isinstance(image, tuple) else (image, None)
        files[name] = save(folder / f"{name}.nii.gz", array, affine)
    return case_from_files("c1", schema="brats-2021", **files)


def test_a_case_is_stacked_in_order_with_absent_modalities_zero(tmp_path):
    volumes = read_case(case_of(tmp_path, t1c=blob(value=2), t2f=blob(value=4)))
    assert volumes.image.array.dtype == np.float32 and volumes.image.array.shape == (4, 14, 12, 10)
    assert volumes.image.array.max(axis=(1, 2, 3)).tolist() == [0, 2, 0, 4]
    assert volumes.present == (False, True, False, True)
    assert volumes.reference == "t1c" and volumes.notes == () and volumes.label_zyx is None


def test_the_reference_is_the_one_asked_for_else_t1c_else_the_finest(tmp_path):
    coarse = np.diag([2.0, 2, 2, 1])
    case = case_of(tmp_path, t1n=(blob((5, 6, 7)), coarse), t2w=blob())
    assert read_case(case).reference == "t2w"
    assert read_case(case, reference="t1n").image.grid.shape_zyx == (7, 6, 5)
    with pytest.raises(InputError, match="no t2f to be the reference"):
        read_case(case, reference="t2f")


def test_another_grid_is_brought_over_in_world_space_not_by_shape(tmp_path):
    moved = np.eye(4)
    moved[:3, 3] = 3, 0, 0
    flipped = np.diag([-1.0, 1, 1, 1])
    flipped[0, 3] = 9
    ramp = blob() * np.arange(10, dtype=np.int16)[:, None, None]
    volumes = read_case(case_of(tmp_path, t1c=ramp, t1n=(ramp, moved), t2w=(ramp[::-1], flipped)))
    t1n, t1c, t2w, _ = volumes.image.array
    assert np.array_equal(t2w, t1c)
    assert np.array_equal(t1n[:, :, 3:], t1c[:, :, :-3]) and not t1n[:, :, :3].any()
    assert [note.split(" from")[0] for note in volumes.notes] == ["t1n resampled", "t2w resampled"]


def test_images_that_do_not_overlap_are_refused(tmp_path):
    far = np.eye(4)
    far[:3, 3] = 500
    with pytest.raises(InputError, match="lies elsewhere"):
        read_case(case_of(tmp_path, t1c=blob(), t2w=(blob(), far)))


def test_labels_become_class_indices_on_the_reference_grid(tmp_path):
    label = np.zeros((10, 12, 14), np.uint8)
    label[3:6, 3:6, 3:6], label[6, 6, 6] = 4, 1
    volumes = read_case(case_of(tmp_path, t1c=blob(), label=label))
    assert volumes.label_zyx.dtype == np.uint8
    assert np.array_equal(volumes.label_zyx, np.select([label == 4, label == 1], [3, 1]).T)
    assert read_case(volumes.case, with_label=False).label_zyx is None


def test_a_label_drawn_on_another_input_is_brought_over_and_told(tmp_path):
    fine, coarse = blob((20, 24, 28)), blob()
    label = np.zeros(coarse.shape, np.uint8)
    label[4:6, 4:6, 4:6] = 2
    affine = np.diag([2.0, 2, 2, 1])
    volumes = read_case(case_of(tmp_path, t1c=fine, t2f=(coarse, affine), label=(label, affine)))
    assert volumes.label_zyx.shape == (28, 24, 20) and set(np.unique(volumes.label_zyx)) == {0, 2}
    assert any("label brought from the grid of t2f to that of t1c" in note for note in volumes.notes)


def test_a_label_stored_in_another_order_of_axes_fits(tmp_path):
    label = np.zeros((10, 12, 14), np.uint8)
    label[3:5, 6:7, 2:3] = 2
    flipped = np.diag([-1.0, -1, 1, 1])
    flipped[:2, 3] = 9, 11
    volumes = read_case(case_of(tmp_path, t1c=blob(), label=(label[::-1, ::-1], flipped)))
    assert np.array_equal(volumes.label_zyx == 2, (label == 2).T) and not volumes.notes


def test_a_label_on_a_foreign_grid_is_refused(tmp_path):
    moved = np.eye(4)
    moved[0, 3] = 0.5
    with pytest.raises(InputError, match="none of the case's images"):
        read_case(case_of(tmp_path, t1c=blob(), label=(np.ones((10, 12, 14), np.uint8), moved)))


def test_unknown_label_values_are_named(tmp_path):
    with pytest.raises(InputError, match=r"\[7\].*--schema"):
        read_case(case_of(tmp_path, t1c=blob(), label=blob(value=7)))


def test_a_label_without_a_schema_asks_for_it(tmp_path):
    case = case_of(tmp_path, t1c=blob(), label=blob(value=1))
    without = case_from_files("c1", t1c=case.modalities["t1c"], label=case.label)
    with pytest.raises(InputError, match="--schema"):
        read_case(without)
    assert read_case(without, with_label=False).schema is None


def test_a_brain_mask_of_any_grid_is_brought_over(tmp_path):
    mask = blob((5, 6, 7), value=1)
    affine = np.diag([2.0, 2, 2, 1])
    volumes = read_case(case_of(tmp_path, t1c=blob(), brain_mask=(mask, affine)))
    assert volumes.brain_mask_zyx.dtype == bool and volumes.brain_mask_zyx.shape == (14, 12, 10)
    assert volumes.brain_mask_zyx[6, 5, 4] and not volumes.brain_mask_zyx[0, 0, 0]
    same = read_case(case_of(tmp_path, t1c=blob(), brain_mask=blob(value=1)))
    assert np.array_equal(same.brain_mask_zyx, blob().T > 0) and not same.notes
    with pytest.raises(InputError, match="mask is empty"):
        read_case(case_of(tmp_path, t1c=blob(), brain_mask=blob(value=0)))


def test_an_empty_modality_is_refused(tmp_path):
    with pytest.raises(InputError, match="every voxel of t2w is 0"):
        read_case(case_of(tmp_path, t1c=blob(), t2w=blob(value=0)))


def test_a_doubtful_header_is_noted(tmp_path):
    image = nib.Nifti1Image(blob(), None)
    image.set_sform(np.eye(4), 1)
    image.set_qform(np.diag([1.0, 1, 1, 1]) + np.array([[0, 0, 0, 40.0]] + [[0] * 4] * 3), 1)
    nib.save(image, tmp_path / "a.nii.gz")
    nib.save(nib.Nifti1Image(blob(), None), tmp_path / "b.nii.gz")
    assert "differ by up to 40.0 mm" in read_case(case_from_files("c", t1c=tmp_path / "a.nii.gz")).notes[0]
    assert "no orientation" in read_case(case_from_files("c", t1c=tmp_path / "b.nii.gz")).notes[0]


def test_files_named_one_by_one_are_checked(tmp_path):
    file = save(tmp_path / "a.nii.gz", blob())
    with pytest.raises(InputError, match="no modality given"):
        case_from_files("c")
    with pytest.raises(InputError, match="given for t2w"):
        case_from_files("c", t1c=file, t2w=tmp_path / "none.nii.gz")
    with pytest.raises(InputError, match="both t1n and t1c"):
        case_from_files("c", t1c=str(file), t1n=file)
    with pytest.raises(ConfigError):
        case_from_files("c", t1c=file, schema="nonsense")


def test_a_case_travels_between_processes(tmp_path):
    import pickle

    brats(tmp_path, "BraTS2021_00001")
    case = only(tmp_path)
    assert pickle.loads(pickle.dumps(case)) == case


@pytest.mark.real
def test_every_folder_of_the_real_cases_is_a_whole_case_and_every_split_names_some(shared_data):
    ids = set()
    for folder in (shared_data / name for name in ("brats2021", "gli", "ssa", "unlabelled")):
        found = find_cases(folder)
        assert {case.id for case in found.cases} == {place.name for place in folder.iterdir() if place.is_dir()}
        assert all(not case.missing and (case.label is None) == (folder.name == "unlabelled") for case in found.cases)
        ids |= {case.id for case in found.cases}
    splits = json.loads((shared_data / "splits.json").read_text(encoding="utf-8"))
    assert {id_ for ids in splits.values() if isinstance(ids, list) for id_ in ids} <= ids


@pytest.mark.real
def test_the_schema_of_real_cases_is_told_by_their_names(shared_data):
    labeled = [case for case in find_cases(shared_data / "brats2021").cases if case.label]
    assert {case.schema for case in labeled} == {"brats-2021"}


@pytest.mark.real
def test_a_patient_as_scanned_is_brought_onto_one_grid(shared_data):
    volumes = read_case(find_cases(shared_data / "native").cases[0])
    assert volumes.reference == "t1c" and volumes.image.grid.shape_zyx == (26, 224, 256)
    assert [note[:3] for note in volumes.notes] == ["t2w", "t2f"]
    # Brought over in world space, T2 shows the head where T1c does.
    heads = volumes.image.array > np.percentile(volumes.image.array, 60, axis=(1, 2, 3), keepdims=True)
    assert (heads[1] & heads[2]).sum() / (heads[1] | heads[2]).sum() > 0.6


@pytest.mark.real
def test_the_labels_of_a_real_case_are_class_indices(shared_data):
    volumes = read_case(find_cases(shared_data / "brats2021").cases[0])
    assert set(np.unique(volumes.label_zyx)) == {0, 1, 2, 3} and volumes.notes == ()


def series_with(**tags):
    names = "modality series_uid study_uid patient_id study_date description protocol contrast repetition_ms echo_ms"
    empty = dict.fromkeys([*names.split(), "inversion_ms", "position", "orientation"], "")
    return Series(Path("/nowhere/series"), "1", {**empty, "modality": "MR", **tags}, (), tuple(range(20)))


@pytest.mark.parametrize(
    ("times", "contrast", "expected"),
    [
        (("500", "10", ""), "", "t1n"),
        (("500", "10", ""), "Gadovist", "t1c"),
        (("1900", "2.3", "900"), "", "t1n"),
        (("5000", "100", ""), "", "t2w"),
        (("9000", "120", "2500"), "Gadovist", "t2f"),
        (("2500", "30", ""), "", None),
        (("", "100", ""), "", None),
        (("a lot", "100", ""), "", None),
    ],
)
def test_a_dicom_series_that_is_not_described_is_told_by_its_times(times, contrast, expected):
    repetition, echo, inversion = times
    tags = {"repetition_ms": repetition, "echo_ms": echo, "inversion_ms": inversion, "contrast": contrast}
    assert modality_of(series_with(**tags))[0] == expected
    assert modality_of(series_with(**tags, description="t2_flair_tra"))[0] == "t2f", "what is written counts first"


@pytest.mark.parametrize(
    "description",
    [
        "T1 without contrast", "T1 pre", "T1w/o GAD", "t1_tra_nativ", "T1 ohne KM", "T1 vor KM", "T1 sans injection",
        "T1 avant gado", "AX T1 SIN CONTRASTE", "T1 basal", "T1 sem contraste", "T1 antes do contraste", "T1 senza mdc",
        "T1 prima del mdc", "T1 zonder contrast", "T1 blanco", "T1 voor contrast", "T1 utan kontrast",
        "T1 före kontrast",
    ],
)  # fmt: skip
def test_a_t1_that_is_said_to_be_without_contrast_is_so_though_the_examination_had_an_agent(description):
    assert modality_of(series_with(description=description, contrast="Gadovist"))[0] == "t1n"


def test_a_t1_of_which_nothing_is_said_has_contrast_where_an_agent_is_recorded():
    assert modality_of(series_with(description="t1_mprage_tra", contrast="Gadovist"))[0] == "t1c"
    assert modality_of(series_with(description="T1 mit KM", contrast=""))[0] == "t1c"


# --------------------------------------------------------------------------------------------------------- lists made


@pytest.mark.parametrize("ending", ["csv", "json"])
def test_a_list_of_any_folder_is_read_back(tmp_path, ending):
    brats(tmp_path / "set", "BraTS2021_00001", "BraTS2021_00002")
    found = find_cases(tmp_path / "set")
    write_list(tmp_path / f"list.{ending}", found.cases)
    listed = find_cases(tmp_path / f"list.{ending}").cases
    assert [case.id for case in listed] == [case.id for case in found.cases]
    assert [names_of(case) for case in listed] == [names_of(case) for case in found.cases]
    assert [case.schema for case in listed] == ["brats-2021"] * 2
    with pytest.raises(InputError, match="exists already"):
        write_list(tmp_path / f"list.{ending}", found.cases)


def test_a_list_on_another_drive_of_windows_names_whole_paths(tmp_path, monkeypatch):
    def relative(path, start):
        raise ValueError("path is on mount 'D:', start on mount 'C:'")

    brats(tmp_path / "set", "BraTS2021_00001")
    found = find_cases(tmp_path / "set")
    with monkeypatch.context() as windows:
        windows.setattr(os.path, "relpath", relative)
        write_list(tmp_path / "list.csv", found.cases)
    assert [names_of(case) for case in find_cases(tmp_path / "list.csv").cases] == [names_of(found.cases[0])]


def test_a_list_leaves_the_choice_between_two_images_to_its_reader(tmp_path):
    touch(tmp_path / "p1", "T1_post_brain.nii.gz", "T1_post.nii.gz", "T2.nii.gz")
    write_list(tmp_path / "list.csv", find_cases(tmp_path).cases)
    assert "p1/T1_post.nii.gz | p1/T1_post_brain.nii.gz" in (tmp_path / "list.csv").read_text()
    assert "no such file" in only(tmp_path / "list.csv").notes[0]


def test_a_csv_list_cannot_name_volumes_of_a_file(tmp_path):
    (tmp_path / "set").mkdir()
    msd(tmp_path / "set")
    cases = find_cases(tmp_path / "set").cases
    with pytest.raises(InputError, match="CSV list cannot say"):
        write_list(tmp_path / "list.csv", cases)
    write_list(tmp_path / "list.json", cases)
    assert find_cases(tmp_path / "list.json").cases[0].modalities["t1c"].channel == 2
