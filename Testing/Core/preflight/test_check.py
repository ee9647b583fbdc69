import json

import nibabel as nib
import numpy as np
import pytest
from patients import write_patient
from scipy import ndimage
from toy_models import toy_package

from voxmmsd.cli import main
from voxmmsd.data.cases import case_from_files, find_cases
from voxmmsd.data.reading import share_below_zero
from voxmmsd.data.volume import Grid, Volume
from voxmmsd.labels import MODALITIES, schema_named
from voxmmsd.phantom import write_phantoms
from voxmmsd.preflight import check
from voxmmsd.preflight.check import check_case
from voxmmsd.preflight.modality import Recognized
from voxmmsd.records.findings import BLOCKING, NOTE, WARNING


@pytest.fixture
def patient(tmp_path):
    """Slot -> file of a phantom of 64 voxels a side."""
    write_phantoms(tmp_path / "in", 1, seed=0, side=64)
    return {name: source.path for name, source in find_cases(tmp_path / "in").cases[0].modalities.items()}


def kinds(files, **given):
    found = check_case(case_from_files("p", **files), **given)
    assert [f.severity for f in found] == sorted((f.severity for f in found), key=(BLOCKING, WARNING, NOTE).index)
    return {finding.kind: finding for finding in found}


def change(file, edit):
    """Rewrite a NIfTI: ``edit(array, affine)`` gives the new ones."""
    image = nib.load(file)
    nib.save(nib.Nifti1Image(*edit(np.asarray(image.dataobj), image.affine.copy())), file)


def z_scored(image):
    brain = image[image > 0].astype(np.float32)
    return np.where(image > 0, (image - brain.mean()) / brain.std(), 0).astype(np.float32)


def test_what_resampling_by_splines_leaves_below_zero_is_no_finding(patient):
    moved = ndimage.shift(np.asarray(nib.load(patient["t2f"]).dataobj, np.float64), (0.5, 0.4, 0.3), order=3)
    assert share_below_zero(np.rint(moved).astype(np.int16)) > 0.01
    change(patient["t2f"], lambda a, m: (np.rint(moved).astype(np.int16), m))
    assert "negative" not in kinds(patient)


def test_of_an_image_below_zero_that_alone_is_said(patient):
    for name in ("t1n", "t2f"):
        change(patient[name], lambda a, m: (z_scored(a), m))
    assert not kinds(patient).keys() & {"not-aligned", "mirrored", "wrong-slot"}


def test_a_good_case_has_no_finding_that_blocks(patient):
    assert not [f for f in kinds(patient).values() if f.severity == BLOCKING]
    assert "not-aligned" not in kinds(patient)
    assert "skull" not in kinds(patient)


@pytest.mark.parametrize(
    ("edit", "kind", "severity"),
    [
        (lambda a, m: (np.zeros_like(a), m), "constant", BLOCKING),
        (lambda a, m: (np.full_like(a, 7), m), "constant", BLOCKING),
        (lambda a, m: (np.where(a > 0, np.float32(np.nan), 0).astype(np.float32), m), "unusable-image", BLOCKING),
        (lambda a, m: (np.stack([a, a, a], -1), m), "unusable-image", BLOCKING),
        (lambda a, m: ((a > np.median(a[a > 0])).astype(np.uint8) * 3, m), "label-map", BLOCKING),
        (lambda a, m: (z_scored(a), m), "negative", BLOCKING),
        (lambda a, m: (np.roll(a, 8, axis=0), m), "not-aligned", WARNING),
        (lambda a, m: (a[:, :, ::8], m @ np.diag([1, 1, 8, 1])), "thick-slices", WARNING),
        (lambda a, m: (a[:, :, ::4], m @ np.diag([1, 1, 4, 1])), "thick-slices", NOTE),
        (lambda a, m: (a[:, :, ::2], m @ np.diag([1, 1, 2, 1])), "different-grids", NOTE),
    ],
    ids=["zero", "one value", "NaN", "4-D", "label map", "z-scored", "shifted", "very thick", "thick", "other grid"],
)
def test_what_is_wrong_with_an_image_is_found_with_a_way_out(patient, edit, kind, severity):
    change(patient["t2f"], edit)
    finding = kinds(patient)[kind]
    assert finding.severity == severity
    assert "t2f" in finding.text + finding.modality
    assert finding.remedy
    assert kind not in kinds({name: patient[name] for name in ("t1n", "t1c", "t2w")})


def test_a_colored_volume_is_found(patient):
    rgb = np.zeros((8, 8, 8), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    nib.save(nib.Nifti1Image(rgb, np.eye(4)), patient["t1n"])
    assert kinds(patient)["unusable-image"].modality == "t1n"


def test_one_volume_in_two_slots_is_found_under_whatever_name(patient, tmp_path):
    copy = tmp_path / "copy.nii.gz"
    copy.write_bytes(patient["t1n"].read_bytes())
    assert kinds({**patient, "t1c": copy})["same-volume"].severity == BLOCKING


def test_a_name_that_contradicts_its_slot_is_found(patient, tmp_path):
    wrong = tmp_path / "p_T2.nii.gz"
    wrong.write_bytes(patient["t1n"].read_bytes())
    found = kinds({**patient, "t1n": wrong})["wrong-slot"]
    assert (found.severity, found.modality) == (WARNING, "t1n")
    assert found.text == "what is given as t1n is named as t2w"


def test_a_skull_is_no_finding_where_a_mask_or_a_stripper_deals_with_it(patient, tmp_path, monkeypatch):
    monkeypatch.setattr("voxmmsd.data.brain_mask.MAX_BRAIN_ML", 1.0)
    assert "--from-scanner, which aligns and strips" in kinds(patient)["skull"].remedy
    image = nib.load(patient["t1c"])
    mask = np.zeros(image.shape, np.uint8)
    mask[30:36, 30:36, 30:36] = 1
    nib.save(nib.Nifti1Image(mask, image.affine), tmp_path / "brain_mask.nii.gz")
    assert "skull" not in kinds({**patient, "brain_mask": tmp_path / "brain_mask.nii.gz"})
    monkeypatch.setenv("PATH", str(tmp_path))
    missing = kinds(patient, brain_mask="hd-bet")
    assert "skull" not in missing
    assert missing["unusable-image"].severity == BLOCKING
    assert "HD-BET is not installed" in missing["unusable-image"].text
    assert kinds(patient, brain_mask="t2f")["skull"].severity == WARNING, "t2f has as much tissue as the others"


def test_segment_tells_the_spacing_that_an_image_had_before_it_was_resampled(patient, tmp_path, capsys):
    package = toy_package(tmp_path / "toy")
    change(patient["t2f"], lambda a, m: (a[:, :, ::8], m @ np.diag([1, 1, 8, 1])))
    options = ["--out", str(tmp_path / "out"), "--model", str(package.folder), "--engine", "onnx"]
    assert main(["segment", str(patient["t2f"].parent), *options]) == 0
    (record,) = (tmp_path / "out").glob("*-voxmmsd.json")
    assert any(
        "t2f: voxels of 8 mm along one axis" in finding
        for finding in json.loads(record.read_text(encoding="utf-8"))["findings"]
    )


def test_a_mask_that_is_named_settles_which_of_two_is_meant(tmp_path, capsys):
    write_patient(tmp_path, "P001")
    t1c = next((tmp_path / "P001").glob("*-t1c.nii.gz"))
    image = nib.load(t1c)
    mask = nib.Nifti1Image((np.asarray(image.dataobj) > 0).astype(np.uint8), image.affine)
    for name in ("P001_brain_mask", "P001_brain_mask_v2"):
        nib.save(mask, tmp_path / "P001" / f"{name}.nii.gz")
    case = str(tmp_path / "P001")
    assert main(["check", case]) != 0
    assert "fit brain_mask" in "".join(capsys.readouterr())
    for named in (str(tmp_path / "P001" / "P001_brain_mask_v2.nii.gz"), "t1c"):
        main(["check", case, "--brain-mask", named])
        assert "fit brain_mask" not in "".join(capsys.readouterr())


def test_images_of_two_patients_or_two_dates_block(tmp_path):
    for id_ in ("BraTS-GLI-00001-000", "BraTS-GLI-00001-001", "BraTS-GLI-00002-000"):
        write_patient(tmp_path, id_)
    file = {id_: {key: next(tmp_path.glob(f"{id_}/*-{key}.nii.gz")) for key in ("t1n", "t1c")}
            for id_ in ("BraTS-GLI-00001-000", "BraTS-GLI-00001-001", "BraTS-GLI-00002-000")}  # fmt: skip
    first = file["BraTS-GLI-00001-000"]
    found = kinds({"t1n": first["t1n"], "t1c": file["BraTS-GLI-00002-000"]["t1c"]})
    assert found["different-patients"].severity == BLOCKING
    assert found["different-patients"].text.endswith("different patients: t1n / t1c"), "and nothing of who they are"
    found = kinds({"t1n": first["t1n"], "t1c": file["BraTS-GLI-00001-001"]["t1c"]})
    assert found["different-dates"].severity == BLOCKING
    assert "different-patients" not in found
    assert not {"different-dates", "different-patients"} & set(kinds(first))


@pytest.mark.parametrize(
    ("names", "severity"),
    [
        (("401_T1.nii.gz", "5_FLAIR.nii.gz"), None),
        (("smith_T1.nii.gz", "Smith_FLAIR.nii.gz"), None),
        (("scan1_T1.nii.gz", "scan2_FLAIR.nii.gz"), WARNING),
        (("PAT001_T1.nii.gz", "PAT002_FLAIR.nii.gz"), BLOCKING),
    ],
)
def test_only_what_is_clearly_a_patients_code_blocks(patient, tmp_path, names, severity):
    files = {}
    for slot, name in zip(("t1n", "t2f"), names, strict=True):
        files[slot] = tmp_path / name
        files[slot].write_bytes(patient[slot].read_bytes())
    found = {kind: f for kind, f in kinds(files).items() if kind.startswith("different-")}
    assert {f.severity for f in found.values()} == ({severity} if severity else set())


def test_dicom_of_two_patients_blocks(tmp_path):
    sitk = pytest.importorskip("SimpleITK")
    rng = np.random.default_rng(0)
    for name, patient in (("t1n", "A"), ("t1c", "B")):
        (tmp_path / name).mkdir()
        for number in range(4):
            image = sitk.GetImageFromArray(rng.integers(0, 900, (1, 16, 16)).astype(np.int16))
            tags = {
                "0008|0060": "MR", "0010|0020": patient, "0008|0020": "20240102", "0020|000d": "1.2.3",
                "0020|000e": f"1.2.3.{ord(patient)}", "0020|0032": f"0\\0\\{number}",
                "0020|0037": "1\\0\\0\\0\\1\\0", "0008|0018": f"1.2.3.{ord(patient)}.{number}",
            }  # fmt: skip
            for key, value in tags.items():
                image.SetMetaData(key, value)
            writer = sitk.ImageFileWriter()
            writer.KeepOriginalImageUIDOn()
            writer.SetFileName(str(tmp_path / name / f"{number}.dcm"))
            writer.Execute(image)
    found = kinds({"t1n": tmp_path / "t1n", "t1c": tmp_path / "t1c"})
    assert found["different-patients"].severity == BLOCKING
    assert found["different-patients"].text.endswith("t1n / t1c")
    assert "different-dates" not in found


def test_series_numbers_in_names_are_no_patients_that_block(tmp_path):
    write_patient(tmp_path, "BraTS-GLI-00001-000")
    names = {"t1n": "PAT0123_5_T1", "t1c": "PAT0123_12_T1_Gd", "t2w": "PAT0123_s7_T2"}
    files = {key: next(tmp_path.glob(f"*/*-{key}.nii.gz")).rename(tmp_path / f"{names[key]}.nii.gz") for key in names}
    assert kinds(files)["different-patients"].severity == WARNING
    files["t2w"] = files["t2w"].rename(tmp_path / "PAT0124_7_T2.nii.gz")
    assert kinds(files)["different-patients"].severity == BLOCKING


SIDES = ("left and right", "front and back")


def test_the_image_that_is_flipped_against_the_others_is_named(patient, monkeypatch):
    """How it is seen has tests of its own: a phantom is nearly the same in a mirror."""
    all_alike = dict.fromkeys(("t1n", "t2w", "t2f"), SIDES[:1])
    for seen, named in (
        ({"t2f": SIDES[:1]}, ["t2f"]), (all_alike, ["t1c"]), ({**all_alike, "t2f": SIDES}, ["t1n", "t2w", "t2f"]),
        ({}, []),
    ):  # fmt: skip
        monkeypatch.setattr(check, "mirrored", lambda *_, found=seen: found)
        found = [f for f in check_case(case_from_files("p", **patient)) if f.kind == "mirrored"]
        assert sorted(f.modality for f in found) == sorted(named)
        assert all("left and right" in f.text and f.severity == WARNING for f in found)
    monkeypatch.setattr(check, "mirrored", lambda *_: {"t2f": SIDES})
    (finding,) = [f for f in check_case(case_from_files("p", **patient)) if f.kind == "mirrored"]
    assert "t2f seems to be flipped against t1c: left and right as well as front and back are exchanged" in finding.text


def test_to_register_a_flipped_image_is_not_advised_but_the_others_are_compared(patient, monkeypatch):
    for name in ("t2w", "t2f"):
        change(patient[name], lambda a, m: (np.roll(a, 8, axis=0), m))
    for seen, moved in (({}, {"t2w", "t2f"}), ({"t2f": SIDES}, {"t2w"})):
        monkeypatch.setattr(check, "mirrored", lambda *_, found=seen: found)
        found = check_case(case_from_files("p", **patient))
        assert {f.modality for f in found if f.kind == "not-aligned"} == moved


def test_an_operated_patient_needs_a_model_that_knows_cavities(patient):
    assert kinds(patient, postoperative=True, schema=schema_named("brats-gli-2023"))["operated"].severity == WARNING
    assert "operated" not in kinds(patient, postoperative=True, schema=schema_named("brats-gli-2024"))
    assert "operated" not in kinds(patient, schema=schema_named("brats-gli-2023"))


@pytest.mark.real
def test_a_real_head_with_its_skull_is_told_from_a_brain_and_a_shifted_brain_from_one_in_place(shared_data, tmp_path):
    (native,) = find_cases(shared_data / "native").cases
    found = {(finding.kind, finding.modality) for finding in check_case(native)}
    assert {("skull", ""), ("not-aligned", "t2w"), ("not-aligned", "t2f")} <= found
    case = next(case for case in find_cases(shared_data / "brats2021").cases if case.id == "BraTS2021_00003")
    assert check_case(case) == ()
    files = {name: source.path for name, source in case.modalities.items()}
    image = nib.load(files["t2w"])
    moved = image.affine.copy()
    moved[:3, 3] += (4, 0, 0)
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), moved), tmp_path / "BraTS2021_00003_t2.nii.gz")
    found = {
        f.kind: f for f in check_case(case_from_files("p", **{**files, "t2w": tmp_path / "BraTS2021_00003_t2.nii.gz"}))
    }
    assert "t2w" in found["not-aligned"].text
    swapped = {**files, "t1n": files["t2f"], "t2f": files["t1n"]}
    found = [f for f in check_case(case_from_files("p", **swapped)) if f.kind == "wrong-slot"]
    assert {f.modality for f in found} == {"t1n", "t2f"}


def test_segment_refuses_what_blocks_unless_told_to_and_keeps_what_it_found(patient, tmp_path, capsys):
    package = toy_package(tmp_path / "toy")
    change(patient["t2f"], lambda a, m: ((a > 0).astype(np.uint8), m))
    case = str(patient["t2f"].parent)
    options = ["--model", str(package.folder), "--engine", "onnx"]
    assert main(["check", case]) == 2
    assert "blocking: t2f: holds 2 different whole numbers: a label map" in capsys.readouterr().out
    assert main(["segment", case, "--out", str(tmp_path / "out"), *options]) == 2
    assert "label map, not an image; give the image" in capsys.readouterr().err
    assert not list((tmp_path / "out").glob("*.nii.gz"))
    assert main(["segment", case, "--out", str(tmp_path / "forced"), "--force", *options]) == 0
    (record,) = (tmp_path / "forced").glob("*-voxmmsd.json")
    assert any("label map" in finding for finding in json.loads(record.read_text(encoding="utf-8"))["findings"])


@pytest.mark.parametrize("odd", ["t1n", "t1c", "t2w", "t2f"])
def test_the_one_image_that_lies_elsewhere_is_named_and_none_of_the_others(patient, odd):
    change(patient[odd], lambda a, m: (np.roll(a, 8, axis=0), m))
    (found,) = [f for f in check_case(case_from_files("p", **patient)) if f.kind == "not-aligned"]
    assert found.modality == odd
    assert found.text.startswith(f"{odd} is not aligned with ")
    if odd == "t1c":  # the reference of the comparison
        assert "aligned with the others (t1n, t2w, t2f)" in found.text


def test_of_two_pairs_that_contradict_each_other_the_reference_is_believed(patient):
    for name in ("t1c", "t1n"):
        change(patient[name], lambda a, m: (np.roll(a, 8, axis=0), m))
    found = [f.modality for f in check_case(case_from_files("p", **patient)) if f.kind == "not-aligned"]
    assert found == ["t2w", "t2f"]


def test_a_reference_of_a_part_of_the_brain_is_named_and_not_the_whole_ones(patient):
    change(patient["t1c"], lambda a, m: (np.where(np.arange(a.shape[2]) < a.shape[2] * 0.55, a, 0), m))
    found = [f for f in check_case(case_from_files("p", **patient)) if f.kind in ("not-aligned", "part-of-brain")]
    assert {(f.modality, f.kind) for f in found} == {("t1c", "part-of-brain")}


def test_an_image_of_a_part_of_the_brain_is_said_to_be_that_and_not_misaligned(patient):
    change(patient["t2f"], lambda a, m: (np.where(np.arange(a.shape[2]) < a.shape[2] * 0.55, a, 0), m))
    found = kinds(patient)
    assert "not-aligned" not in found or found["not-aligned"].modality != "t2f"
    assert found["part-of-brain"].modality == "t2f" and "covers only" in found["part-of-brain"].text


def test_where_only_names_say_what_is_what_images_that_certainly_disagree_block(monkeypatch):
    brains = {name: Volume(np.ones((4, 4, 4)), Grid((4, 4, 4), np.eye(4))) for name in ("t1n", "t2f")}
    told = {name: name for name in brains}
    mixed_up = {"t1n": "t2f", "t2f": "t1n"}
    monkeypatch.setattr(check, "recognize_with_prior", lambda *_: Recognized(dict.fromkeys(MODALITIES, 0.9)))
    for certainty, is_by_name, severity in ((9.5, True, BLOCKING), (9.5, False, WARNING), (6.0, True, WARNING)):
        monkeypatch.setattr(check, "swapped_slots", lambda _, sure=certainty: (mixed_up, sure))
        found = list(check.check_slots(told, brains, is_by_name))
        assert [one.severity for one in found] == [severity] * 2


def test_an_image_that_only_the_others_push_into_a_slot_is_not_said_to_look_like_it(monkeypatch):
    brains = {name: Volume(np.ones((4, 4, 4)), Grid((4, 4, 4), np.eye(4))) for name in ("t1n", "t2f")}
    odd = {"t1n": 0.93, "t2f": 0.002}  # a t2f in the slot of t1n, and in that of t2f an image like no sequence
    monkeypatch.setattr(check, "swapped_slots", lambda _: ({"t1n": "t2f", "t2f": "t1n"}, 9.5))
    alike = iter(Recognized(dict.fromkeys(MODALITIES, odd[slot])) for slot in ("t1n", "t2f"))
    monkeypatch.setattr(check, "recognize_with_prior", lambda *_: next(alike))
    first, second = check.check_slots(dict.fromkeys(brains, ""), brains)
    assert first.text == "what is given as t1n looks like t2f (confidence 93 %)"
    assert second.text == "what is given as t2f fits t1n best, judged together with the others"
