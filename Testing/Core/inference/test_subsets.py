import numpy as np
import pytest
from patients import write_patient
from toy_models import relabeled_package, toy_package

from voxmmsd.cli import main
from voxmmsd.data.cases import find_cases, read_case
from voxmmsd.errors import ConfigError, InputError
from voxmmsd.inference.engines import HostEngine
from voxmmsd.inference.subsets import choose_cases, evaluate_subsets, score_subsets, with_only
from voxmmsd.inference.windows import TissueBox
from voxmmsd.models.package import read_package
from voxmmsd.verbs import evaluate

IDS = ("BraTS-GLI-00001-000", "BraTS-GLI-00002-000", "BraTS-GLI-00003-000")


@pytest.fixture
def folder(tmp_path):
    for seed, id_ in enumerate(IDS):
        write_patient(tmp_path / "in", id_, seed=seed)
    return tmp_path / "in"


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    cases = {"train": ["BraTS-GLI-00001"], "validation": ["BraTS-GLI-00002"], "test": []}
    return toy_package(tmp_path_factory.mktemp("models") / "toy", training={"cases": cases})


class SeesFlair(HostEngine):
    """An engine to be checked by hand: finds the whole tumor's box where FLAIR is there, nothing without it."""

    name, divisor = "sees FLAIR", 4

    def __init__(self, label_zyx):
        self.label = label_zyx

    def logits(self, image):
        out = np.zeros((1, 4, *image.shape[2:]), np.float32)
        out[:, 0] = 1
        if image[:, 3].any():
            for index in (1, 2, 3):
                out[0, index, self.label == index] = 9
        return out


def test_each_subset_is_scored_with_the_others_zero(folder, package):
    case = find_cases(folder).cases[1]
    volumes = read_case(case)
    from voxmmsd.data.preprocess import Preprocess

    prepared = Preprocess().apply(volumes)
    box = TissueBox.around(prepared.image_czyx, SeesFlair.divisor)
    engine = SeesFlair(box.cut(prepared.label_zyx[None])[0])
    scores, volumes = score_subsets([case], package, engine)
    assert len(scores) == len(volumes) == 15
    for key, regions in scores.items():
        expected = 1.0 if "t2f" in key else 0.0
        assert regions == {"WT": expected, "TC": expected, "ET": expected}, key
        assert {one["percent"] for one in volumes[key].values()} == {100 * (1 - expected)}, key
    assert set(volumes["t2f"]) == {"WT", "TC", "ET", "NCR", "ED"}
    assert {one["ml"] for one in volumes["t2f"].values()} == {0}
    assert min(one["ml"] for one in volumes["t1c"].values()) > 0


def test_a_case_with_only_some_modalities_is_as_if_the_others_were_missing(folder):
    volumes = read_case(find_cases(folder).cases[0])
    less = with_only(volumes, ("t1n", "t2f"))
    assert less.present == (True, False, False, True)
    assert less.case.missing == ("t1c", "t2w")
    assert not less.image.array[1:3].any()
    np.testing.assert_array_equal(less.image.array[3], volumes.image.array[3])


def test_the_models_own_validation_cases_are_taken_and_never_those_it_learned_from(folder, package):
    cases = find_cases(folder).cases
    assert [case.id for case in choose_cases(cases, package, "validation")[0]] == [IDS[1]]
    assert [case.id for case in choose_cases(cases, package, "other")[0]] == [IDS[2]]
    with pytest.raises(InputError, match="none of 3 cases is labeled, complete and of the model's test cases"):
        choose_cases(cases, package, "test")


def test_another_visit_of_a_patient_it_learned_from_is_not_among_the_cases_it_has_never_seen(folder, package, tmp_path):
    write_patient(folder, "BraTS-GLI-00001-001", seed=7)
    old = relabeled_package(package, tmp_path / "m", training={"cases": {"train": [IDS[0]], "validation": [IDS[1]]}})
    assert [case.id for case in choose_cases(find_cases(folder).cases, old, "other")[0]] == [IDS[2]]


def test_test_cases_that_a_model_before_it_learned_from_are_left_out(folder, package, tmp_path):
    inherited = {"cases": [], "patients": ["brats-gli-00002"], "unknown": []}
    training = {"cases": {"train": [IDS[0]], "test": [IDS[1], IDS[2]]}, "inherited": inherited}
    child = relabeled_package(package, tmp_path / "m", training=training)
    assert [case.id for case in choose_cases(find_cases(folder).cases, child, "test")[0]] == [IDS[2]]


def test_a_model_of_unknown_ancestry_has_no_cases_that_are_new_to_it(folder, package, tmp_path):
    child = relabeled_package(package, tmp_path / "m", parent="gone-1")
    with pytest.raises(InputError, match=r"gone-1.* is unknown.*voxmmsd models import"):
        choose_cases(find_cases(folder).cases, child, "other")


def test_the_verb_writes_the_card_and_segment_then_says_what_to_expect(folder, package, tmp_path, capsys):
    assert main(["evaluate", str(package.folder), str(folder), "--subsets"]) == 0
    printed = capsys.readouterr().out
    assert "mean Dice over 1 validation case" in printed
    record = read_package(package.folder).info.scores["subsets"]
    assert record["cases"] == [IDS[1]]
    assert set(record["volumes"]["t1c"]["WT"]) == {"ml", "percent"}
    assert "Median absolute error of the volumes with all four" in (package.folder / "MODEL_CARD.md").read_text("utf-8")
    (folder / IDS[2] / f"{IDS[2]}-t2w.nii.gz").unlink()
    options = ["--out", str(tmp_path / "out"), "--model", str(package.folder), "--engine", "onnx"]
    assert main(["segment", str(folder / IDS[2]), *options, "--force"]) == 0
    result = next((tmp_path / "out").glob("*-voxmmsd.json")).read_text(encoding="utf-8")
    assert "without t2w: the model's card expects a Dice of WT" in result
    again = evaluate_subsets(str(package.folder), folder, "validation")
    assert f"it takes the place of the table of {record['created']} over 1 case" in again


def test_a_model_and_cases_must_be_named():
    with pytest.raises(ConfigError, match="give MODEL and the folder"):
        evaluate.run(evaluate.EvaluateConfig(subsets=True))
