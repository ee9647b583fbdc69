import json
import shutil
import subprocess
import sys
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from patients import reorient, write_patient
from scipy.spatial.transform import Rotation
from toy_models import toy_package

from voxmmsd.cli import main
from voxmmsd.data.cases import find_cases, read_case
from voxmmsd.data.formats.sources import Source
from voxmmsd.data.preprocess import Preprocess
from voxmmsd.data.volume import Volume, canonical
from voxmmsd.errors import Canceled, ConfigError, InputError
from voxmmsd.inference.config import SegmentConfig
from voxmmsd.inference.engines import HostEngine, OnnxEngine, OpenVinoEngine, open_engine
from voxmmsd.inference.engines.on_torch import TorchEngine
from voxmmsd.inference.predict import predict
from voxmmsd.inference.results import finished_result, write_prediction
from voxmmsd.inference.segment import segment_cases
from voxmmsd.model_config import PreprocessConfig
from voxmmsd.models.weights import load_network
from voxmmsd.runs import Request, Run, view_run
from voxmmsd.runs.events import read_events


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return toy_package(tmp_path_factory.mktemp("models") / "toy")


class Brightness(HostEngine):
    """An engine that can be checked by hand: bright in FLAIR is enhancing tumor, all else background."""

    name, divisor = "brightness", 4

    def __init__(self, threshold):
        self.threshold = threshold  # where the median is 0.5

    def logits(self, image):
        flair = image[:, 3]
        out = np.zeros((len(image), 4, *flair.shape[1:]), np.float32)
        out[:, 1:3] = -100
        out[:, 3] = 40 * (flair - self.threshold)
        return out


def volumes_of(folder, **changes):
    (case,) = find_cases(folder).cases
    return read_case(replace(case, **changes), with_label=False)


def test_engines_agree(package, tmp_path):
    import torch

    write_patient(tmp_path)
    volumes = volumes_of(tmp_path)
    onnx = predict(volumes, package, OnnxEngine(package), probabilities=True)
    torch_ = predict(volumes, package, TorchEngine(load_network(package), torch.device("cpu")), probabilities=True)
    np.testing.assert_allclose(onnx.probabilities_czyx, torch_.probabilities_czyx, atol=1e-4)
    assert (onnx.label_zyx == torch_.label_zyx).mean() > 0.999


def test_windows_and_the_whole_volume_agree(package, tmp_path):
    write_patient(tmp_path, shape_xyz=(40, 44, 36))
    volumes = volumes_of(tmp_path)
    whole = predict(volumes, package, OnnxEngine(package), window=64)
    tiles = predict(volumes, package, OnnxEngine(package), window=32)
    assert (whole.label_zyx == tiles.label_zyx).mean() > 0.97


@pytest.mark.parametrize("codes", ["RAS", "ASL", "PIR"])
def test_the_order_of_axes_on_disk_does_not_change_the_segmentation_in_the_world(package, tmp_path, codes):
    place = write_patient(tmp_path / "a")
    reorient(place, tmp_path / "b", codes)
    found = []
    for name in "ab":
        prediction = predict(volumes_of(tmp_path / name), package, OnnxEngine(package))
        found.append(canonical(Volume(prediction.label_zyx, prediction.grid)))
    assert found[0].grid.same_as(found[1].grid)
    np.testing.assert_array_equal(found[0].array, found[1].array)


def test_a_thick_oblique_left_handed_case_gets_its_labels_on_the_right_voxels(package, tmp_path):
    affine = np.eye(4)
    turn = Rotation.from_euler("xyz", [12, -7, 5], degrees=True).as_matrix()
    affine[:3, :3] = turn @ np.diag([-0.9, 0.9, 5.5])
    place = write_patient(tmp_path, affine=affine, shape_xyz=(40, 44, 12))
    file = next(place.glob("*-t2f.nii.gz"))
    image = nib.load(file)
    bright = np.asarray(image.dataobj).astype(np.int16)
    bright[bright > 0] = 300
    bright[14:24, 18:26, 4:8] = 1500
    nib.save(nib.Nifti1Image(bright, affine), file)
    prediction = predict(volumes_of(tmp_path), package, Brightness(1.5))  # half way from 300, the median, to 1500
    expected = (bright == 1500).T
    got = prediction.label_zyx == 3
    assert 2 * (got & expected).sum() / (got.sum() + expected.sum()) > 0.93
    np.testing.assert_allclose(np.argwhere(got).mean(axis=0), np.argwhere(expected).mean(axis=0), atol=0.5)
    assert prediction.volumes_ml["WT"] == pytest.approx(got.sum() * 0.9 * 0.9 * 5.5 / 1000)


def test_a_case_is_prepared_as_the_cases_that_the_model_learned_from(package, tmp_path):
    write_patient(tmp_path)
    learned = PreprocessConfig(spacing_mm=2.0, margin_voxels=1, percentile=90.0)
    coarse = replace(package, info=replace(package.info, preprocess=learned))
    prediction = predict(volumes_of(tmp_path), coarse, Brightness(0.5))
    assert prediction.prepared.grid.spacing_mm_zyx == pytest.approx((2, 2, 2))
    expected = Preprocess(learned).apply(prediction.volumes)
    np.testing.assert_array_equal(prediction.prepared.image_czyx, expected.image_czyx)
    assert prediction.label_zyx.shape == prediction.volumes.image.grid.shape_zyx


def test_a_missing_modality_is_a_zero_channel_and_is_named(package, tmp_path):
    place = write_patient(tmp_path)
    next(place.glob("*-t2w.nii.gz")).unlink()
    prediction = predict(volumes_of(tmp_path), package, OnnxEngine(package))
    assert prediction.prepared.image_czyx[2].max() == 0
    assert any("without t2w" in note for note in prediction.notes)


def test_the_result_has_the_references_grid_the_schemas_values_and_a_clean_header(tmp_path):
    package = toy_package(tmp_path / "toy", schema="brats-2021", preprocess=PreprocessConfig())
    place = write_patient(
        tmp_path / "in", affine=np.array([[0, -1, 0, 9], [0, 0, 1, -3], [-1, 0, 0, 4], [0, 0, 0, 1.0]])
    )
    t1c = next(place.glob("*-t1c.nii.gz"))
    image = nib.load(t1c)
    image.header["descrip"] = b"Jane Doe 1970"
    nib.save(image, t1c)
    prediction = predict(volumes_of(tmp_path / "in"), package, Brightness(0.6), probabilities=True)
    file = write_prediction(prediction, tmp_path / "out", seconds=1.0)
    written = nib.load(file)
    assert file.name == "BraTS-GLI-00001-000-voxmmsd.nii.gz"
    np.testing.assert_allclose(written.affine, nib.load(t1c).affine)
    assert written.shape == nib.load(t1c).shape
    assert written.get_data_dtype() == np.uint8
    assert set(np.unique(np.asarray(written.dataobj))) == {0, 4}
    assert (int(written.header["sform_code"]), int(written.header["qform_code"])) == (1, 1)
    np.testing.assert_allclose(written.get_qform(), written.get_sform(), atol=1e-5)
    everything = b"".join(f.read_bytes() for f in (tmp_path / "out").iterdir())
    assert b"Jane" not in everything
    assert str(tmp_path).encode() not in everything
    probability = nib.load(tmp_path / "out" / "BraTS-GLI-00001-000-voxmmsd-probability-ET.nii.gz").get_fdata()
    np.testing.assert_allclose(probability.T, prediction.probabilities_czyx[3], atol=0.5 / 255 + 1e-6)


def test_the_record_says_which_model_saw_which_images(package, tmp_path):
    write_patient(tmp_path / "in")
    prediction = predict(volumes_of(tmp_path / "in"), package, OnnxEngine(package))
    file = write_prediction(prediction, tmp_path / "out", seconds=2.0)
    record = json.loads(file.with_name(file.name.replace(".nii.gz", ".json")).read_text(encoding="utf-8"))
    assert record["model"]["weights_sha256"] == package.info.files["weights.safetensors"]
    assert set(record["inputs"]) == {"t1n", "t1c", "t2w", "t2f"}
    assert record["volumes_ml"]["WT"] == pytest.approx(prediction.volumes_ml["WT"], abs=1e-3)
    assert record["reference"] == "t1c"


def test_nothing_is_overwritten(package, tmp_path):
    write_patient(tmp_path / "in")
    options = SegmentConfig(case=str(tmp_path / "in"), out=str(tmp_path / "out"), model=str(package.folder))
    (file,) = segment_cases(options).written
    before = file.read_bytes(), file.stat().st_mtime_ns
    with pytest.raises(InputError, match="already holds results of BraTS-GLI-00001-000, by another call"):
        segment_cases(replace(options, tta=True))
    assert segment_cases(options).written == (file,)
    assert (file.read_bytes(), file.stat().st_mtime_ns) == before


def test_a_rerun_does_what_failed_and_what_came_later_and_skips_the_rest(package, tmp_path, capsys):
    for number in range(2):
        write_patient(tmp_path / "in", f"BraTS-GLI-0000{number}-000", seed=number)
    file = next((tmp_path / "in" / "BraTS-GLI-00001-000").glob("*-t2w.nii.gz"))
    whole = file.read_bytes()
    file.write_bytes(b"junk")
    options = SegmentConfig(str(tmp_path / "in"), out=str(tmp_path / "out"), model=str(package.folder))
    first = segment_cases(options)
    assert [case_id for case_id, _ in first.failures] == ["BraTS-GLI-00001-000"]
    made = first.written[0].stat().st_mtime_ns
    file.write_bytes(whole)
    write_patient(tmp_path / "in", "BraTS-GLI-00002-000", seed=2)
    second = segment_cases(options)
    assert len(second.written) == 3
    assert second.written[0].stat().st_mtime_ns == made
    assert "1 of 3 cases are already done" in capsys.readouterr().err


def test_results_of_images_that_have_changed_since_are_neither_taken_nor_overwritten(package, tmp_path):
    place = write_patient(tmp_path / "in")
    options = SegmentConfig(str(tmp_path / "in"), out=str(tmp_path / "out"), model=str(package.folder))
    (made,) = segment_cases(options).written
    before = made.read_bytes()
    shutil.rmtree(place)
    write_patient(tmp_path / "in", seed=1)
    ((_, reason),) = segment_cases(options).failures
    assert "of other images than the case has now" in reason.problem
    assert made.read_bytes() == before


def test_a_result_with_a_brain_mask_that_has_changed_since_is_not_taken_for_done(package, tmp_path):
    place = write_patient(tmp_path / "in")
    image = nib.load(next(place.glob("*-t1n.nii.gz")))
    mask = np.asarray(image.dataobj) > 0
    nib.save(nib.Nifti1Image(mask.astype(np.uint8), image.affine), tmp_path / "mask.nii.gz")
    options = SegmentConfig(
        str(tmp_path / "in"),
        out=str(tmp_path / "out"),
        model=str(package.folder),
        brain_mask=str(tmp_path / "mask.nii.gz"),
    )
    (made,) = segment_cases(options).written
    assert segment_cases(options).written == (made,)
    mask[:, : mask.shape[1] // 2] = False
    nib.save(nib.Nifti1Image(mask.astype(np.uint8), image.affine), tmp_path / "mask.nii.gz")
    ((_, reason),) = segment_cases(options).failures
    assert "is of another brain mask than the case has now" in reason.problem


def test_a_result_is_not_of_a_mask_that_was_put_beside_the_images_later(package, tmp_path):
    place = write_patient(tmp_path / "in")
    options = SegmentConfig(str(tmp_path / "in"), out=str(tmp_path / "out"), model=str(package.folder))
    segment_cases(options)
    image = nib.load(next(place.glob("*-t1n.nii.gz")))
    mask = (np.asarray(image.dataobj) > 0).astype(np.uint8)
    nib.save(nib.Nifti1Image(mask, image.affine), place / "brain_mask.nii.gz")
    ((_, reason),) = segment_cases(options).failures
    assert "another brain mask" in reason.problem


def test_what_comes_from_the_scanner_and_is_taken_for_stripped_is_warned_of(package, tmp_path):
    """A small head in air of 0 has no more above 0 than a brain."""
    place = write_patient(tmp_path / "in")
    for name in ("t1n", "t2w", "t2f"):
        next(place.glob(f"*-{name}.nii.gz")).unlink()
    (made,) = segment_cases(
        SegmentConfig(
            str(tmp_path / "in"), out=str(tmp_path / "out"), model=str(package.folder), from_scanner=True, force=True
        )
    ).written
    record = json.loads(made.with_name(made.name.replace(".nii.gz", ".json")).read_text())
    assert "taken-for-stripped" in record["finding_kinds"]


def test_one_bad_case_of_many_is_named_and_the_others_are_segmented(package, tmp_path):
    for number in range(3):
        write_patient(tmp_path / "in", f"BraTS-GLI-0000{number}-000", seed=number)
    next((tmp_path / "in" / "BraTS-GLI-00001-000").glob("*-t2w.nii.gz")).write_bytes(b"junk")
    result = segment_cases(SegmentConfig(str(tmp_path / "in"), out=str(tmp_path / "out"), model=str(package.folder)))
    assert [file.name[:19] for file in result.written] == ["BraTS-GLI-00000-000", "BraTS-GLI-00002-000"]
    ((case_id, reason),) = result.failures
    assert case_id == "BraTS-GLI-00001-000"
    assert "t2w" in reason.problem
    events = (tmp_path / "out" / ".run" / "events.jsonl").read_text(encoding="utf-8")
    assert "BraTS-GLI-00001-000" in events


def test_a_case_may_be_given_image_by_image_with_a_mask_and_another_reference(package, tmp_path):
    place = write_patient(tmp_path / "in")
    files = {key: str(next(place.glob(f"*-{key}.nii.gz"))) for key in ("t1n", "t2f")}
    mask = nib.load(files["t2f"])
    half = np.zeros(mask.shape, np.uint8)
    half[:10] = 1
    nib.save(nib.Nifti1Image(half, mask.affine), tmp_path / "mask.nii.gz")
    options = SegmentConfig(
        out=str(tmp_path / "out"), model=str(package.folder), id="mine", brain_mask=str(tmp_path / "mask.nii.gz"),
        reference="t2f", picture=True, **files,
    )  # fmt: skip
    (file,) = segment_cases(options).written
    assert file.name == "mine-voxmmsd.nii.gz"
    assert not np.asarray(nib.load(file).dataobj)[12 + 8 :].any()
    assert (tmp_path / "out" / "mine-voxmmsd.png").stat().st_size > 10_000


def test_stages_are_told_and_what_was_made_of_the_images_is_written_when_asked_for(package, tmp_path):
    place = write_patient(tmp_path / "in")
    files = {key: next(place.glob(f"*-{key}.nii.gz")) for key in ("t1c", "t2f")}
    finer = nib.load(files["t2f"])
    nib.save(nib.Nifti1Image(np.asarray(finer.dataobj)[1:], finer.affine @ _shifted_by_a_voxel()), files["t2f"])
    options = SegmentConfig(
        out=str(tmp_path / "out"), model=str(package.folder), brain_mask="t1c", align=True, save_intermediates=True,
        id="a", **{key: str(file) for key, file in files.items()},
    )  # fmt: skip
    (file,) = segment_cases(options).written
    assert {one.name for one in file.parent.glob("a-voxmmsd-*.nii.gz")} == {
        "a-voxmmsd-t2f.nii.gz",
        "a-voxmmsd-brain-mask.nii.gz",
    }
    made = nib.load(tmp_path / "out" / "a-voxmmsd-t2f.nii.gz")
    assert made.shape == nib.load(file).shape and np.allclose(made.affine, nib.load(file).affine)
    stages = [event["stage"] for event in read_events(tmp_path / "out" / ".run" / "events.jsonl") if "stage" in event]
    assert list(dict.fromkeys(stages)) == ["reading", "aligning", "segmenting", "writing"]


def test_images_whose_bias_fields_were_removed_are_all_written_as_they_were_segmented(package, tmp_path):
    place = write_patient(tmp_path / "in")
    out = tmp_path / "out"
    options = SegmentConfig(
        out=str(out), model=str(package.folder), id="a", n4=True, save_intermediates=True,
        t1c=str(next(place.glob("*-t1c.nii.gz"))), t2f=str(next(place.glob("*-t2f.nii.gz"))),
    )  # fmt: skip
    segment_cases(options)
    assert {one.name for one in out.glob("a-voxmmsd-*.nii.gz")} == {"a-voxmmsd-t1c.nii.gz", "a-voxmmsd-t2f.nii.gz"}
    (given,) = find_cases(place).cases
    given = replace(given, modalities={name: given.modalities[name] for name in ("t1c", "t2f")})
    kept = replace(given, modalities={name: Source(out / f"a-voxmmsd-{name}.nii.gz") for name in ("t1c", "t2f")})
    segmented, read_again = (
        read_case(given, "t1c", with_label=False, n4=True),
        read_case(kept, "t1c", with_label=False),
    )
    assert np.allclose(read_again.image.array, segmented.image.array, rtol=1e-5)
    assert not np.allclose(read_case(given, "t1c", with_label=False).image.array, segmented.image.array, rtol=1e-2)


def _shifted_by_a_voxel():
    shift = np.eye(4)
    shift[0, 3] = 1
    return shift


def test_a_case_is_given_one_way_or_the_other(package):
    with pytest.raises(ConfigError, match="either a case's folder or its images"):
        segment_cases(SegmentConfig(out="x"))
    with pytest.raises(ConfigError, match="either a case's folder or its images"):
        segment_cases(SegmentConfig(case="a", t1c="b", out="x"))


def test_segmenting_works_with_torch_and_monai_blocked(package, tmp_path):
    write_patient(tmp_path / "in")
    code = (
        "import sys; sys.modules['torch'] = sys.modules['monai'] = None; from voxmmsd.cli import main; "
        f"sys.exit(main(['segment', {str(tmp_path / 'in')!r}, '--out', {str(tmp_path / 'out')!r}, "
        f"'--model', {str(package.folder)!r}, '--picture', '--probabilities']))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, encoding="utf-8", errors="replace", check=False
    )
    assert result.returncode == 0, result.stderr
    assert len(list((tmp_path / "out").glob("*-voxmmsd*"))) == 6


def test_the_engine_asked_for_is_the_one_opened(package):
    assert isinstance(open_engine(package, "onnx"), OnnxEngine)
    assert isinstance(open_engine(package, "openvino"), OpenVinoEngine)
    assert isinstance(open_engine(package, "torch", "cpu"), TorchEngine)
    with pytest.raises(ConfigError, match="--engine onnx computes on the CPU"):
        open_engine(package, "onnx", "cuda")


def test_a_source_that_is_not_there_is_named(tmp_path, package):
    place = write_patient(tmp_path)
    missing = Source(tmp_path / "gone.nii.gz")
    with pytest.raises(InputError, match=r"gone\.nii\.gz"):
        volumes_of(tmp_path, modalities={"t1c": missing})
    assert place.exists()


def test_a_broken_off_run_over_many_cases_continues_behind_its_last_whole_result(package, tmp_path, monkeypatch):
    for number in range(3):
        write_patient(tmp_path / "in", f"BraTS-GLI-0000{number}-000", seed=number)
    options = SegmentConfig(str(tmp_path / "in"), out=str(tmp_path / "out"), model=str(package.folder))
    monkeypatch.setattr(Run, "asked", lambda self: Request.PAUSE if self.step == 1 else None)
    with pytest.raises(Canceled, match="paused"):
        segment_cases(options)
    monkeypatch.undo()
    assert view_run(tmp_path / "out" / ".run").state == "paused"
    first = tmp_path / "out" / "BraTS-GLI-00000-000-voxmmsd.nii.gz"
    before = first.stat().st_mtime_ns
    # As a kill between the labels and their record leaves it:
    torn = tmp_path / "out" / "BraTS-GLI-00001-000-voxmmsd.nii.gz"
    torn.write_bytes(b"labels without a record")
    with pytest.raises(InputError, match="nothing is overwritten"):
        segment_cases(replace(options, probabilities=True))
    assert len(segment_cases(options).written) == 3
    assert first.stat().st_mtime_ns == before
    assert torn.with_name(torn.name + ".broken-off").read_bytes() == b"labels without a record"
    assert nib.load(torn).shape == (20, 22, 18)
    assert len(segment_cases(options).written) == 3


def test_looking_for_a_finished_result_renames_nothing(tmp_path):
    write_patient(tmp_path / "in", "BraTS-GLI-00000-000")
    (case,) = find_cases(tmp_path / "in").cases
    torn = tmp_path / "BraTS-GLI-00000-000-voxmmsd.nii.gz"
    torn.write_bytes(b"labels without a record")
    assert finished_result(tmp_path, case) is None
    assert torn.read_bytes() == b"labels without a record"


def test_a_pause_is_heard_in_the_middle_of_a_case(package, tmp_path, monkeypatch):
    write_patient(tmp_path / "in", "BraTS-GLI-00000-000", seed=0)
    options = SegmentConfig(str(tmp_path / "in"), out=str(tmp_path / "out"), model=str(package.folder))
    answers = iter([None, None, Request.PAUSE, Request.PAUSE])  # reading, beginning, the first window
    monkeypatch.setattr(Run, "asked", lambda self: next(answers))
    with pytest.raises(Canceled, match="paused"):
        segment_cases(options)
    monkeypatch.undo()
    assert main(["runs", "resume", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "BraTS-GLI-00000-000-voxmmsd.nii.gz").is_file()


class Unsure(HostEngine):
    """Knows nothing where FLAIR is bright, and is sure of background elsewhere."""

    name, divisor = "unsure", 4

    def logits(self, image):
        known = image[:, 3] < 1.5
        return np.stack([known * 20.0, 0 * known, 0 * known, 0 * known], axis=1).astype(np.float32)


def test_doubt_is_mapped_and_listed_in_the_inputs_world(package, tmp_path):
    affine = np.array([[-1.0, 0, 0, 80], [0, 1, 0, -40], [0, 0, 1, 7], [0, 0, 0, 1]])
    place = write_patient(tmp_path / "in", affine=affine)
    file = next(place.glob("*-t2f.nii.gz"))
    image = np.asarray(nib.load(file).dataobj)
    even = np.where(image > 0, 300, 0).astype(np.int16)
    even[6:12, 8:14, 5:11] = 1200
    nib.save(nib.Nifti1Image(even, affine), file)
    prediction = predict(volumes_of(tmp_path / "in"), package, Unsure(), uncertainty=True)
    expected = (even == 1200).T
    np.testing.assert_allclose(prediction.uncertainty_zyx, expected, atol=0.01)
    (doubtful,) = prediction.review
    assert doubtful.size_ml == pytest.approx(216 / 1000)
    index = np.linalg.inv(affine) @ [*doubtful.position_ras_mm, 1]
    assert even[tuple(np.rint(index[:3]).astype(int))] == 1200
    written = write_prediction(prediction, tmp_path / "out", 1.0)
    record = json.loads(written.with_name(written.name.replace(".nii.gz", ".json")).read_text(encoding="utf-8"))
    assert record["review"] == [json.loads(json.dumps(doubtful.record()))]
    mapped = nib.load(written.with_name(written.name.replace("-voxmmsd", "-voxmmsd-uncertainty")))
    np.testing.assert_allclose(mapped.get_fdata(), expected.T, atol=0.01)


def test_mirror_images_and_the_map_can_be_asked_for(package, tmp_path):
    write_patient(tmp_path / "in")
    options = SegmentConfig(str(tmp_path / "in"), out=str(tmp_path / "out"), model=str(package.folder))
    (file,) = segment_cases(replace(options, uncertainty=True, tta=True)).written
    (case,) = find_cases(tmp_path / "in").cases
    entropy = predict(read_case(case), package, OnnxEngine(package), tta=True, uncertainty=True).uncertainty_zyx
    kept = nib.load(file.with_name(file.name.replace("-voxmmsd", "-voxmmsd-uncertainty"))).get_fdata().T
    assert kept.max() > 0
    np.testing.assert_allclose(kept, entropy, atol=0.5 / 255 + 1e-3)
    events = read_events(tmp_path / "out" / ".run" / "events.jsonl")
    assert {event["total"] for event in events if event.get("stage") == "segmenting"} == {8}
