"""Several data sets in one training: mapped onto one schema, drawn equally often, scored apart."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from voxmmsd.config import make_config
from voxmmsd.data.cases import find_cases
from voxmmsd.data.store import open_store, prepare_cases
from voxmmsd.errors import InputError
from voxmmsd.evaluation.scores import region_dice
from voxmmsd.files import write_json_atomic
from voxmmsd.labels import SCHEMAS
from voxmmsd.losses.segmentation import SegmentationLoss
from voxmmsd.models.package import read_package
from voxmmsd.phantom import write_phantoms
from voxmmsd.training.checkpoint import load_state
from voxmmsd.training.finetune import finetune
from voxmmsd.training.patches import PatchRecipe, PatchSampler
from voxmmsd.training_config import FinetuneConfig

OLD, NEW = SCHEMAS["brats-2021"], SCHEMAS["brats-gli-2023"]


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """Three phantoms of schema brats-gli-2023 and two whose labels say the whole tumor alone; their patients differ."""
    folder = tmp_path_factory.mktemp("sets")
    for name, seed, count, schema in (("first", 0, 3, None), ("second", 7, 2, "whole-tumor")):
        write_phantoms(folder / name, count, seed=seed, side=32)
        if schema:
            _keep_whole_tumor_alone(folder / name)
        cases = find_cases(folder / name, schema).cases
        renamed = [replace(case, id=f"{name}-{case.id}", patient_id=f"{name}-{case.patient_id}") for case in cases]
        assert not prepare_cases(renamed, folder / "stores" / name, workers=1).failures
    return folder / "stores"


def _keep_whole_tumor_alone(folder):
    import nibabel as nib

    for file in folder.rglob("*seg.nii.gz"):
        image = nib.load(file)
        whole = (np.asarray(image.dataobj) > 0).astype(np.uint8)
        nib.save(nib.Nifti1Image(whole, image.affine), file)


def options(stores, run, **changes):
    ids = {name: [entry.id for entry in open_store(stores / name)] for name in ("first", "second")}
    splits = run.parent / f"{run.name}-splits.json"
    parts = {"train": [ids["first"][0], ids["second"][0]], "validation": [*ids["first"][1:], *ids["second"][1:]]}
    write_json_atomic(splits, parts)
    given = {
        "folders": (str(stores / "first"), str(stores / "second")), "run": str(run), "preset": "tiny",
        "channels": (4, 6, 8), "patch": 16, "steps": 4, "validate_every": 4, "checkpoint_every": 2, "device": "cpu",
        "threads": 1, "splits": str(splits), "target_schema": "brats-gli-2023",
    }  # fmt: skip
    return make_config(FinetuneConfig, {**given, **changes})


def test_data_sets_of_two_schemas_need_the_name_of_the_models(stores, tmp_path):
    with pytest.raises(InputError, match=r"different schemas \(brats-gli-2023, whole-tumor\); name the model's with"):
        finetune(options(stores, tmp_path / "run", target_schema=""))


def test_a_model_learns_from_both_and_is_scored_on_each(stores, tmp_path):
    info = read_package(finetune(options(stores, tmp_path / "run"))).info
    assert info.schema == "brats-gli-2023"
    cohorts = info.scores["validation"]["cohorts"]
    assert sorted(cohorts) == ["first", "second"]
    assert np.isfinite(list(cohorts["first"].values())).all()
    assert np.isfinite(cohorts["second"]["WT"])
    assert "volumes" not in info.scores["validation"]  # the second data set does not tell those of the tissues
    # What leaves tissues open cannot say how often the probabilities of tissues are right.
    assert [name.split("-")[0] for name in info.training["calibration"]["cases"]] == ["first", "first"]
    assert info.temperature == info.training["calibration"]["temperature"]
    # What the second data set does not know is not scored as if it were absent.
    assert np.isnan(json.loads(json.dumps(cohorts["second"]["TC"]), parse_constant=float))


def test_schemas_of_the_same_tissues_need_no_other_numbers(stores):
    entry = open_store(stores / "first")[0]
    mapped = entry.mapped_onto(OLD)
    assert mapped.label_schema() == OLD and mapped.mapping is None
    np.testing.assert_array_equal(mapped.label(), entry.label())


def test_tissues_go_by_their_meaning_not_by_their_number(stores):
    entry = open_store(stores / "first")[0]
    msd = SCHEMAS["msd-task01"]  # 1 edema, 2 necrosis, 3 enhancing
    mapped, label = entry.mapped_onto(msd).label(), entry.label()
    for key in ("NCR", "ED", "ET"):
        ours, theirs = (schema.labels.index(schema.label(key)) + 1 for schema in (NEW, msd))
        np.testing.assert_array_equal(mapped == theirs, label == ours)


def test_a_tissue_that_the_model_does_not_know_is_refused(stores):
    entry = open_store(stores / "first")[0]
    with pytest.raises(InputError, match=r"npy: has [\d,]+ voxels of Necrotic core \(NCR\), which schema whole-tumor"):
        entry.mapped_onto(SCHEMAS["whole-tumor"])


def test_what_knows_the_whole_tumor_alone_leaves_its_tissues_open(stores):
    entry = open_store(stores / "second")[0].mapped_onto(NEW)
    (code,) = set(np.unique(entry.label())) - {0}
    assert NEW.unions[int(code)] == (1, 2, 3)
    assert entry.leaves_tissues_open


def test_any_division_of_the_whole_tumor_among_its_tissues_costs_nothing():
    loss = SegmentationLoss(NEW.unions, open_labels=True)
    code = next(code for code, union in NEW.unions.items() if union == (1, 2, 3))
    label = torch.zeros(1, 4, 4, 4, dtype=torch.uint8)
    label[0, :2] = code
    divided = torch.full((1, 4, 4, 4, 4), -30.0)
    divided[0, 0, 2:] = 30
    divided[0, 1, 0], divided[0, 3, 0], divided[0, 1:, 1] = 30, 30, 30
    assert float(loss(divided, label)) < 1e-4
    missed = torch.zeros(1, 4, 4, 4, 4)
    missed[0, 0] = 30
    assert float(loss(missed, label)) > 10


def test_where_nothing_is_open_the_loss_is_the_usual_one():
    generator = torch.Generator().manual_seed(0)
    logits, label = torch.randn(2, 4, 6, 6, 6, generator=generator), torch.randint(0, 4, (2, 6, 6, 6))
    assert torch.equal(SegmentationLoss(NEW.unions, open_labels=True)(logits, label), SegmentationLoss()(logits, label))


def test_the_dice_of_regions_looks_at_sums_of_tissues():
    """Core taken for edema: the whole tumor is right, the core is not."""
    label = torch.tensor([0, 1, 2, 3]).repeat(16).reshape(1, 4, 4, 4)
    as_edema = torch.where(label == 1, 2, label)
    logits = 60 * torch.nn.functional.one_hot(as_edema, 4).movedim(-1, 1).float()
    with_regions, without = (float(SegmentationLoss(NEW.unions, weight)(logits, label)) for weight in (1.0, 0.0))
    core = 1 - 2 * 16 / (16 + 32)
    assert with_regions - without == pytest.approx((0 + core) / 2, abs=1e-4)


def test_open_tissues_are_not_scored_and_what_is_known_is():
    code = next(code for code, union in NEW.unions.items() if union == (1, 2, 3))
    reference, predicted = np.array([0, code, code]), np.array([0, 1, 0])
    scores = region_dice(reference, predicted, NEW)
    assert scores["WT"] == pytest.approx(2 / 3)
    assert np.isnan(scores["TC"])


@pytest.mark.parametrize("foreground", [0.0, 1.0])
def test_balanced_data_sets_are_drawn_equally_often(stores, foreground):
    entries = [replace(entry, cohort="many") for entry in open_store(stores / "first")]
    entries += [replace(open_store(stores / "second")[0].mapped_onto(NEW), cohort="few")]
    drawn = {}
    for balance in (False, True):
        recipe = PatchRecipe(8, 1, foreground, 0.0, False, balance_cohorts=balance)
        sampler = PatchSampler(entries, recipe, seed=0)
        places = [_case_drawn(sampler, position, foreground) for position in range(400)]
        drawn[balance] = sum(entries[index].cohort == "few" for index in places) / len(places)
    assert drawn[True] == pytest.approx(0.5, abs=0.1)
    if not foreground:
        assert drawn[False] == pytest.approx(0.25, abs=0.01)


def _case_drawn(sampler, position, foreground):
    rng = np.random.default_rng(position)
    return (sampler._tumor_place(rng) if foreground else sampler._any_place(rng, position))[0]


def test_the_average_of_the_weights_is_what_is_validated_and_kept_and_resumes_exactly(stores, tmp_path):
    straight = tmp_path / "straight"
    finetune(options(stores, straight, weight_average=0.5))
    last = load_state(sorted((straight / "checkpoints").glob("step-*.pt"))[-1])
    kept = load_state(straight / "checkpoints" / "best.pt")["network"]
    assert all(torch.equal(kept[name], last["average"][name]) for name in kept)
    assert not torch.equal(kept["head.weight"], last["network"]["head.weight"])


def test_a_target_that_is_no_schema_is_refused(stores, tmp_path):
    from voxmmsd.errors import ConfigError

    with pytest.raises(ConfigError, match="unknown label schema 'brats'"):
        finetune(options(stores, tmp_path / "run", target_schema="brats"))


def test_data_sets_of_two_schemas_are_mapped_onto_the_initial_models(stores, tmp_path):
    start = finetune(options(stores, tmp_path / "start"))
    info = read_package(finetune(options(stores, tmp_path / "run", target_schema="", start=str(start)))).info
    assert info.schema == "brats-gli-2023"


def test_data_sets_of_one_schema_keep_it_whatever_the_initial_models(stores, tmp_path):
    start = finetune(options(stores, tmp_path / "start", target_schema="brats-2021"))
    folder, ids = str(stores / "first"), [entry.id for entry in open_store(stores / "first")]
    write_json_atomic(tmp_path / "splits.json", {"train": ids[:2], "validation": ids[2:]})
    given = {"target_schema": "", "start": str(start), "folders": (folder,), "splits": str(tmp_path / "splits.json")}
    info = read_package(finetune(options(stores, tmp_path / "run", **given))).info
    assert info.schema == "brats-gli-2023"


def test_the_sets_of_balanced_drawing_are_made_once(stores, monkeypatch):
    entries = [replace(entry, cohort="many") for entry in open_store(stores / "first")]
    sampler = PatchSampler(entries, PatchRecipe(8, 1, 0.5, 0.0, False, balance_cohorts=True), seed=0)
    monkeypatch.setattr(type(entries[0]), "cohort", property(lambda entry: pytest.fail("looked at again")))
    for step in range(3):
        sampler.batch(step)
