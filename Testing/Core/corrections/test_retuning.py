import json
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import torch
from corrected_cases import SCHEMA, images_of, label_of, moved, phantom
from toy_models import as_kept, relabeled_package, toy_package

from voxmmsd.cli import main
from voxmmsd.config import make_config
from voxmmsd.corrections.holdout import compare_on_hold_out
from voxmmsd.corrections.labels import corrected_entries, corrected_splits, fixed_corrections, library_of, mixed
from voxmmsd.corrections.propose import correcting, retune
from voxmmsd.data.cases import find_cases
from voxmmsd.data.formats.sources import Source, read_volume
from voxmmsd.data.reading import read_case
from voxmmsd.data.store import open_store, prepare_cases
from voxmmsd.data.volume import Volume, resample
from voxmmsd.errors import Canceled, ConfigError, InputError, LibraryError, ModelError, RunError
from voxmmsd.inference.engines import open_engine
from voxmmsd.inference.predict import predict
from voxmmsd.labels import schema_named
from voxmmsd.library import create_library, open_library
from voxmmsd.model_config import PreprocessConfig
from voxmmsd.models import registry
from voxmmsd.models.package import read_package
from voxmmsd.models.weights import load_network, pack_network
from voxmmsd.phantom import write_phantoms
from voxmmsd.planning.job import export_job
from voxmmsd.runs import NullRun, Request, Run, open_run
from voxmmsd.training.checkpoint import load_state
from voxmmsd.training.packing import Best
from voxmmsd.training.pretrain import pretrain
from voxmmsd.training_config import FinetuneConfig, PretrainConfig
from voxmmsd.verbs.finetune import configured


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    """Schema of three tissues, network of (4, 6, 8) channels, windows of 32."""
    return toy_package(tmp_path_factory.mktemp("parent") / "toy")


def filled(folder, training=2, held=2):
    """Phantoms 0 and on: training cases, then held-out ones, all with an expert's label."""
    library = create_library(folder / "library", seed=0)
    for number in range(training + held):
        part = "training" if number < training else "hold-out"
        library.add_case(f"case-{number:03d}", images_of(phantom(number)), part=part)
        library.accept(f"case-{number:03d}", label_of(phantom(number)), SCHEMA)
    return library


def options(library, parent, run, **changes):
    given = {
        "folders": (str(library.folder),), "start": str(parent.folder), "run": str(run), "patch": 16, "steps": 10,
        "checkpoint_every": 4, "license": "CC0", "data_sources": "phantoms of our own", "device": "cpu", "threads": 1,
        "workers": 1,
    }  # fmt: skip
    return make_config(FinetuneConfig, {**given, **changes})


def retuned(library, parent, run, **changes):
    return read_package(retune(options(library, parent, run, **changes), library))


@pytest.fixture(scope="module")
def straight(parent, tmp_path_factory):
    """A library, the run and its package: case-000 was learned before, case-003 is unfair."""
    folder = tmp_path_factory.mktemp("straight")
    library = filled(folder)
    library.add_prediction("case-003", moved(label_of(phantom(3))), SCHEMA, "toy-1")
    library.accept("case-003", label_of(phantom(3)), SCHEMA)
    return library, folder / "run", retuned(library, parent, folder / "run")


def comparison(run):
    return json.loads((run / "comparison.json").read_text(encoding="utf-8"))


def test_the_package_says_what_was_learned_and_how_it_compares(straight, parent):
    library, run, package = straight
    training = package.info.training
    assert package.info.parent == "toy-1"
    assert training["library"] == {
        "id": library.id, "labels": {"case-000": 1, "case-001": 1}, "new": ["case-000", "case-001"],
        "judged_by": {"case-002": 1, "case-003": 3},
    }  # fmt: skip
    assert training["cases"]["train"] == ["case-000", "case-001"]
    assert training["comparison"]["text"] == comparison(run)["text"]
    assert package.info.scores["hold-out"]["cases"] == 1
    card = (package.folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    for part in ("## Comparison with toy-1", "sources: phantoms of our own", "## License\n\nCC0", "hardware: cpu: "):
        assert part in card
    assert str(library.folder.parent) not in (package.folder / "model.json").read_text(encoding="utf-8")


def test_a_case_whose_label_was_drawn_over_the_old_models_output_does_not_count(straight):
    _, run, _ = straight
    found = comparison(run)
    assert found["unfair"] == {"case-003": "its label was drawn over the output of toy-1, which favors it"}
    assert (found["patients"], found["few"]) == (1, True)
    assert "1 of 2 hold-out cases do not count" in found["text"]
    assert {file.name for file in (run / "comparison").iterdir()} == {
        f"case-{n}-{who}.nii.gz" for n in ("002", "003") for who in ("old", "new")
    }


@pytest.mark.parametrize(("old", "below"), [("toy-1-int8", "toy-1"), ("toy-1", "toy-1-int8")])
def test_a_label_drawn_over_a_model_favors_its_copy_with_8_bits_too(straight, parent, tmp_path, old, below):
    entries = [entry for entry in open_store(straight[1] / "store") if entry.id == "case-002"]
    model = relabeled_package(parent, tmp_path / "m", id=old)
    (case,) = compare_on_hold_out(
        model, load_network(parent), schema_named(SCHEMA), entries, {"case-002": (below,)}, torch.device("cpu"),
        tmp_path / "comparison",
    )  # fmt: skip
    assert case.unfair == f"its label was drawn over the output of {below}, which favors it"


def test_the_new_model_is_only_proposed(straight):
    _, run, package = straight
    assert registry.list_models() == []
    assert registry.state_of(package.info.id) == "proposed"
    assert "only proposed" in (run / "log.txt").read_text(encoding="utf-8")
    assert "library blind" in (run / "log.txt").read_text(encoding="utf-8")


def test_the_last_network_counts_not_the_best_on_those_who_judge(straight):
    _, run, package = straight
    last = load_state(sorted((run / "checkpoints").glob("step-*.pt"))[-1])["network"]
    for name, tensor in load_network(package).state_dict().items():
        assert torch.equal(tensor, as_kept(last[name]))


def test_a_lower_score_on_those_who_judge_keeps_no_earlier_network(parent, tmp_path):
    training = straight_training(parent, tmp_path)
    training.run, training.best, training.step = NullRun(tmp_path / "run"), Best(dice=1.0), 1
    training.after_step(is_last=True)
    assert training.best.step == 1


def test_the_head_warms_up_alone_and_batchnorm_stands_still(straight, parent, tmp_path):
    _, _, package = straight
    start = load_network(parent).state_dict()
    warmed = retuned(filled(tmp_path), parent, tmp_path / "run", steps=1)  # a tenth of 1 is no step
    assert any(not torch.equal(start[name], tensor) for name, tensor in weights(warmed) if "unet" in name)
    for name, tensor in weights(package):
        if "running" in name or "batches" in name:
            assert torch.equal(tensor, start[name]), name
    training = straight_training(parent, tmp_path / "warm")
    for _ in range(training.recipe.head_only_until):
        training.train_step()
        training.step += 1
    for name, tensor in training.network.state_dict().items():
        assert torch.equal(tensor, start[name]) != name.startswith("head."), name
    for _ in range(2):  # the first rises from nothing
        training.train_step()
        training.step += 1
    assert not torch.equal(training.network.state_dict()["unet.encoder.0.0.weight"], start["unet.encoder.0.0.weight"])


def weights(package):
    return load_network(package).state_dict().items()


def straight_training(parent, folder):
    library = filled(folder)
    config = options(library, parent, folder / "run", channels=parent.info.network.channels, steps=20)
    with open_run(folder / "run", "finetune", {}, 20) as run:
        corrections = fixed_corrections(config, run, library, parent)
        entries = corrected_entries(config, run, library, corrections, parent)
        splits = corrected_splits(run, library, corrections, entries)
        return correcting(config, run, entries, splits, corrections.new)


def test_labels_accepted_while_a_run_rests_belong_to_the_next_one(parent, tmp_path):
    straight_training(parent, tmp_path)
    (tmp_path / "run" / "checkpoints").mkdir()
    library = open_library(tmp_path / "library")
    library.accept("case-000", moved(label_of(phantom(0))), SCHEMA)
    config, other = options(library, parent, tmp_path / "run"), relabeled_package(parent, tmp_path / "m", id="toy-2")
    with open_run(tmp_path / "run", "finetune", {}, 20) as run:
        assert fixed_corrections(config, run, library, parent).labels["case-000"] == 1
        with pytest.raises(RunError, match="another model"):
            fixed_corrections(config, run, library, other)
    with open_run(tmp_path / "next", "finetune", {}, 20) as run:
        assert fixed_corrections(config, run, library, parent).labels["case-000"] == 2


def test_what_a_call_that_trained_nothing_fixed_does_not_bind_the_next_one(parent, tmp_path):
    library = filled(tmp_path, training=1, held=1)
    with pytest.raises(InputError, match="whole-tumor"):
        retuned(library, parent, tmp_path / "run", schema="whole-tumor", steps=1)
    assert retuned(library, parent, tmp_path / "run", schema=SCHEMA, steps=1).info.schema == SCHEMA


def test_new_corrections_are_drawn_as_often_as_all_earlier_ones(straight, parent):
    entries = [type("PreparedCase", (), {"id": f"c{number}"}) for number in range(7)]
    drawn = [entry.id for entry in mixed(entries, ("c5", "c6"))]
    assert sorted(drawn) == ["c0", "c1", "c2", "c3", "c4", *["c5"] * 2, *["c6"] * 2]
    assert [entry.id for entry in mixed(entries, ())] == [f"c{number}" for number in range(7)]
    assert [entry.id for entry in mixed(entries, [e.id for e in entries])] == [f"c{number}" for number in range(7)]


def test_a_run_that_paused_in_the_warm_up_or_after_it_continues_to_the_same_weights(
    straight, parent, tmp_path, monkeypatch
):
    _, _, package = straight
    library = filled(tmp_path)
    library.add_prediction("case-003", moved(label_of(phantom(3))), SCHEMA, "toy-1")
    library.accept("case-003", label_of(phantom(3)), SCHEMA)
    for stop in (1, 6):
        monkeypatch.setattr(Run, "asked", lambda self, stop=stop: Request.PAUSE if self.step == stop else None)
        with pytest.raises(Canceled, match="paused"):
            retuned(library, parent, tmp_path / "run")
    monkeypatch.undo()
    again = load_network(retuned(library, parent, tmp_path / "run")).state_dict()
    for name, tensor in weights(package):
        assert torch.equal(again[name], tensor), name


def test_cases_of_another_folder_are_learned_as_earlier_ones(parent, tmp_path):
    library = filled(tmp_path, training=1, held=1)
    write_phantoms(tmp_path / "old", 2, seed=5, side=24)
    config = options(library, parent, tmp_path / "run", folders=(str(library.folder), str(tmp_path / "old")), steps=1)
    training = read_package(retune(config, library)).info.training
    assert training["cases"]["train"] == ["case-000", "phantom-005-000", "phantom-005-001"]
    assert training["library"]["new"] == ["case-000"]


def test_cases_of_another_folder_are_learned_in_the_schema_of_the_corrections(parent, tmp_path):
    library = filled(tmp_path, training=1, held=1)
    (place,) = write_phantoms(tmp_path / "old", 1, seed=5, side=24)
    about = json.loads((tmp_path / "old" / "dataset.json").read_text(encoding="utf-8"))
    (tmp_path / "old" / "dataset.json").write_text(json.dumps({**about, "schema": "msd-task01"}), encoding="utf-8")
    given = np.asarray(nib.load(next(place.glob("*-seg.nii.gz"))).dataobj)
    config = options(library, parent, tmp_path / "run", folders=(str(library.folder), str(tmp_path / "old")), steps=1)
    package = read_package(retune(config, library))
    assert (package.info.schema, package.info.training["cases"]["train"]) == (SCHEMA, ["case-000", "phantom-005-000"])
    with open_run(tmp_path / "next", "finetune", {}, 10) as run:
        corrections = fixed_corrections(config, run, library, parent)
        entry = corrected_entries(config, run, library, corrections, parent)[-1]
    counts = np.bincount(given.ravel(), minlength=4)
    assert np.bincount(entry.label().ravel()).tolist()[1:] == counts[[2, 1, 3]].tolist()  # edema comes first there


def test_corrections_are_prepared_at_the_voxel_size_that_the_model_knows(parent, tmp_path):
    library = filled(tmp_path, training=1, held=0)
    write_phantoms(tmp_path / "old", 1, seed=5, side=24)
    coarse = relabeled_package(parent, tmp_path / "coarse", preprocess=PreprocessConfig(spacing_mm=1.5))
    given = {"folders": (str(library.folder), str(tmp_path / "old")), "steps": 1}
    package = retuned(library, coarse, tmp_path / "run", **given)
    assert package.info.preprocess == coarse.info.preprocess
    prepared = open_store(tmp_path / "run" / "store")
    assert {entry.id: entry.preprocess.spacing_mm for entry in prepared} == {"case-000": 1.5, "phantom-005-000": 1.5}


def test_a_store_of_another_voxel_size_than_the_corrections_is_refused(parent, tmp_path):
    library = filled(tmp_path, training=1, held=0)
    write_phantoms(tmp_path / "old", 1, seed=5, side=24)
    prepare_cases(find_cases(tmp_path / "old").cases, tmp_path / "store", PreprocessConfig(spacing_mm=2.0))
    config = options(library, parent, tmp_path / "run", folders=(str(library.folder), str(tmp_path / "store")))
    with pytest.raises(InputError, match=r"prepared at 2 mm, .* at 1 mm; prepare all cases alike"):
        retune(config, library)


def test_a_label_that_the_old_model_learned_is_no_judge(parent, tmp_path):
    library = filled(tmp_path, training=1, held=1)
    knowing = relabeled_package(parent, tmp_path / "m", training={"cases": {"train": ["case-001"]}})
    retuned(library, knowing, tmp_path / "run", steps=1)
    assert comparison(tmp_path / "run")["unfair"] == {"case-001": "toy-1 was trained on it"}


def test_a_second_visit_of_a_patient_that_the_old_model_or_its_ancestor_learned_is_no_judge(parent, tmp_path):
    library = filled(tmp_path, training=1, held=0)
    for number, case_id in ((1, "site1-001-001"), (2, "site1-002-001")):
        library.add_case(case_id, images_of(phantom(number)), patient=case_id[:-4], part="hold-out")
        library.accept(case_id, label_of(phantom(number)), SCHEMA)
    training = {"cases": {"train": ["x"]}, "patients": {"train": ["site1-002"]}}
    oldest = relabeled_package(parent, tmp_path / "o", id="oldest-1", training=training)
    registry.import_model(oldest.folder)
    training = {"cases": {"train": ["y"]}, "patients": {"train": ["site1-001"]}}
    knowing = relabeled_package(parent, tmp_path / "m", parent="oldest-1", training=training)
    package = retuned(library, knowing, tmp_path / "run", steps=1)
    assert comparison(tmp_path / "run")["unfair"] == {
        "site1-001-001": "toy-1 was trained on it",
        "site1-002-001": "a model that toy-1 was started from was trained on it",
    }
    assert package.info.training["patients"]["train"] == ["case-000"]
    assert package.info.training["inherited"] == {
        "cases": ["x", "y"], "patients": ["site1-001", "site1-002"], "unknown": [],
    }  # fmt: skip


def test_the_command_line_learns_from_a_library_and_lists_who_used_it(parent, tmp_path, capsys):
    library = filled(tmp_path, training=1, held=1)
    words = [
        "finetune",
        library.folder,
        "--from",
        parent.folder,
        "--run",
        tmp_path / "run",
        "--patch",
        16,
        "--steps",
        1,
    ]
    assert main([str(word) for word in (*words, "--device", "cpu", "--threads", 1, "--workers", 1)]) == 0
    assert main(["models", "accept", str(tmp_path / "run")]) == 0
    assert main(["library", "list", str(library.folder)]) == 0
    (case, held) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("case-"))
    assert case.split()[-1].startswith("run-")
    assert held.split()[-1] == "-"


def test_a_schema_that_grows_is_learned_with_a_grown_head(parent, tmp_path, capsys):
    library = filled(tmp_path)
    cavity = label_of(phantom(1)).array.copy()
    cavity[tuple(np.argwhere(cavity == 3).T)] = 4
    library.accept("case-001", Volume(cavity, label_of(phantom(1)).grid), "brats-gli-2024")
    package = retuned(library, parent, tmp_path / "run")
    assert package.info.schema == "brats-gli-2024"
    assert load_network(package).head.out_channels == schema_named("brats-gli-2024").class_count
    assert "fresh: the head of RC" in capsys.readouterr().err
    assert set(comparison(tmp_path / "run")["regions"]) == {"WT", "TC", "ET"}


def test_labels_of_another_schema_are_learned_by_tissue_not_by_number(parent, tmp_path):
    library, truth = filled(tmp_path, training=2, held=0), label_of(phantom(0))
    of_msd = np.array([0, 2, 1, 3], np.uint8)[truth.array]  # edema comes first there
    library.accept("case-000", Volume(of_msd, truth.grid), "msd-task01")
    config = options(library, parent, tmp_path / "run")
    with open_run(tmp_path / "run", "finetune", {}, 10) as run:
        corrections = fixed_corrections(config, run, library, parent)
        entry = corrected_entries(config, run, library, corrections, parent)[0]
    assert (entry.id, entry.schema) == ("case-000", SCHEMA)
    assert np.bincount(entry.label().ravel())[1:].tolist() == np.bincount(truth.array.ravel())[1:].tolist()


def test_what_cannot_be_learned_from_is_refused_with_the_way_out(parent, tmp_path):
    library = create_library(tmp_path / "library", seed=0)
    with pytest.raises(ConfigError, match="one training library"):
        library_of(options(library, parent, "r", folders=(str(library.folder), str(library.folder))))
    library.add_case("case-000", images_of(phantom(0)), part="training")
    with pytest.raises(InputError, match="no training case has an accepted label"):
        retune(options(library, parent, tmp_path / "run"), library)
    version = library.accept("case-000", label_of(phantom(0)), SCHEMA)
    library.case("case-000").label_file(version).write_bytes(b"")
    with pytest.raises(LibraryError, match="changed after it was accepted"):
        retune(options(library, parent, tmp_path / "run2"), library)


def test_without_hold_out_labels_it_learns_and_says_that_nothing_can_be_said(parent, tmp_path):
    library = filled(tmp_path, training=1, held=0)
    package = retuned(library, parent, tmp_path / "run", steps=2)
    assert package.info.training["comparison"]["outcome"] == "unknown"
    assert package.info.scores == {}


def test_the_dice_of_the_regions_helps_a_first_model_and_no_correction_unless_it_is_asked_for(parent, tmp_path):
    given = {"folders": (str(create_library(tmp_path / "library").folder),)}
    assert configured({**given, "start": str(parent.folder)}).region_dice == 0
    assert configured({**given, "start": str(parent.folder), "region_dice": 0.5}).region_dice == 0.5
    by_preset = {preset: configured({**given, "preset": preset}).region_dice for preset in ("tiny", "small", "paper")}
    assert by_preset == {"tiny": 1, "small": 1, "paper": 0}


@pytest.mark.parametrize("preset", ["tiny", "small"])
def test_options_that_a_correction_does_not_use_are_refused(parent, tmp_path, preset):
    library = filled(tmp_path, training=1, held=0)
    ignored = {"class_balancing": 0.125, "freeze_batchnorm_after": 0.75}
    for name, value in ignored.items():
        with pytest.raises(ConfigError, match=f"--{name.replace('_', '-')} {value}: does not apply to a correction"):
            retuned(library, parent, tmp_path / "run", preset=preset, **{name: value})
    retuned(library, parent, tmp_path / "run", preset=preset, steps=1)
    retuned(library, parent, tmp_path / "first", start="", **{**FIRST, "steps": 1, **ignored})


def test_a_library_takes_a_tenth_of_the_presets_steps_unless_they_are_stated(parent, tmp_path):
    library = create_library(tmp_path / "library")
    given = {"folders": (str(library.folder),), "start": str(parent.folder)}
    assert configured(given).steps == 400
    assert configured({**given, "steps": 7}).steps == 7
    assert configured({**given, "start": "of-the-registry"}).steps == 400
    assert make_config(FinetuneConfig, given).steps == 4000, "a configuration alone reads no disk"


def test_the_steps_of_a_correction_are_written_into_the_runs_configuration(parent, tmp_path):
    library = filled(tmp_path, training=1, held=0)
    words = ["finetune", library.folder, "--from", parent.folder, "--run", tmp_path / "run", "--preset", "tiny"]
    words += ["--patch", 16, "--device", "cpu", "--threads", 1, "--workers", 1]
    assert main([str(word) for word in words]) == 0
    record = json.loads((tmp_path / "run" / "config.json").read_text(encoding="utf-8"))
    assert record["options"]["steps"] == record["call"]["steps"] == 10
    (library.folder / "library.json").rename(library.folder / "no-library.json")
    assert configured(record["call"]).steps == 10


def test_a_first_model_takes_all_of_the_presets_steps(pretrained, tmp_path):
    library = create_library(tmp_path / "library")
    for start in ("", str(pretrained), str(pretrained / "model")):
        assert configured({"folders": (str(library.folder),), "start": start}).steps == 4000


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """The run of a pre-trained network of the channels (4, 6, 8)."""
    folder = tmp_path_factory.mktemp("pretrained")
    write_phantoms(folder / "scans", 1, seed=3, side=24)
    given = {
        "folders": (str(folder / "scans"),), "run": str(folder / "run"), "channels": (4, 6, 8), "block": 16,
        "mask_size": 4, "steps": 1, "batch": 1, "pairs": 16, "candidates": 4096, "device": "cpu",
        "threads": 1, "workers": 1,
    }  # fmt: skip
    pretrain(make_config(PretrainConfig, given))
    return folder / "run"


FIRST = {"channels": (4, 6, 8), "steps": 4, "validate_every": 2}


def test_a_library_teaches_a_first_model_from_scratch_that_held_out_patients_score(parent, tmp_path):
    library, run = filled(tmp_path), tmp_path / "run"
    package = retuned(library, parent, run, start="", **FIRST)
    info = package.info
    assert (info.parent, info.training["start"]) == (None, "from scratch")
    assert info.training["library"]["new"] == ["case-000", "case-001"]
    assert (info.scores["hold-out"]["cases"], set(info.scores["hold-out"]["regions"])) == (2, {"WT", "TC", "ET"})
    assert "comparison" not in info.training
    assert "only proposed" in (run / "log.txt").read_text(encoding="utf-8")
    last = load_state(sorted((run / "checkpoints").glob("step-*.pt"))[-1])["network"]
    assert all(torch.equal(tensor, as_kept(last[name])) for name, tensor in weights(package))


def test_a_first_model_is_compared_with_the_one_in_use(parent, tmp_path, monkeypatch):
    monkeypatch.setenv("VOXMMSD_HOME", str(tmp_path / "home"))
    registry.accept(parent)
    package = retuned(filled(tmp_path), parent, tmp_path / "run", start="", **FIRST)
    assert package.info.training["comparison"]["old"] == "toy-1"
    assert comparison(tmp_path / "run")["patients"] == 2
    told = {"comparison": {**package.info.training["comparison"], "outcome": "worse"}}
    worse = relabeled_package(package, tmp_path / "worse", training=told)
    with pytest.raises(ModelError, match="is worse than toy-1"):
        registry.accept(worse)


def test_the_model_in_use_is_compared_at_the_voxel_size_that_it_knows(parent, tmp_path):
    network = load_network(parent)
    with torch.no_grad():  # all classes about as probable, so that each has voxels
        image = torch.from_numpy(phantom(1).image_czyx).float()[None]
        network.head.bias -= network(image / image[image > 0].median() / 2).mean((0, 2, 3, 4))
    info = replace(parent.info, preprocess=PreprocessConfig(spacing_mm=2.0), files={})
    coarse = registry.accept(pack_network(tmp_path / "coarse", network, info))
    library = filled(tmp_path, training=1, held=1)
    package = retuned(library, parent, tmp_path / "run", start="", channels=(4, 6, 8), steps=1)
    assert (package.info.preprocess.spacing_mm, package.info.training["comparison"]["old"]) == (1.0, "toy-1")
    old = read_volume(Source(tmp_path / "run" / "comparison" / "case-001-old.nii.gz"))
    case = library.as_case(library.case("case-001"))
    told = predict(read_case(case), coarse, open_engine(coarse, device="cpu"))
    there = resample(Volume(told.label_zyx, told.grid), old.grid, order=0).array
    brain = np.asarray(open_store(tmp_path / "run" / "store")[1].image()).any(axis=0)
    assert len(np.unique(there[brain])) > 1
    assert (old.array == there)[brain].mean() > 0.99


def test_a_library_teaches_a_pretrained_network(parent, pretrained, tmp_path):
    package = retuned(filled(tmp_path), parent, tmp_path / "run", start=str(pretrained), steps=4)
    assert package.info.network.channels == (4, 6, 8)
    assert package.info.training["start"].startswith("took ") and "fresh: head.weight" in package.info.training["start"]
    assert "hold-out" in package.info.scores


@pytest.mark.long
def test_the_circle_by_the_command_line(tmp_path, capsys):
    """A poor model segments, the truth is accepted as correction of a few, the model learns it and scores higher."""

    def voxmmsd(*words):
        assert main([str(word) for word in words]) == 0, (words, capsys.readouterr().err)

    place, patients = tmp_path, tmp_path / "new"
    write_phantoms(place / "old", 3, seed=0, side=48)
    write_phantoms(patients, 4, seed=7, side=48)
    write_phantoms(place / "judges", 3, seed=9, side=48)
    write_phantoms(place / "unseen", 3, seed=10, side=48)
    small = ("--preset", "tiny", "--workers", 1)
    voxmmsd("finetune", place / "old", "--run", place / "poor", *small, "--steps", 12, "--name", "poor")
    voxmmsd("models", "accept", place / "poor")
    voxmmsd("library", "add", place / "lib", patients_without_labels(patients, place / "scans"), "--part", "training")
    voxmmsd("library", "add", place / "lib", place / "judges", "--part", "hold-out")
    voxmmsd("segment", place / "scans", "--out", place / "first")
    voxmmsd("library", "add", place / "lib", place / "first")
    voxmmsd("library", "next", place / "lib")
    assert "poor" in capsys.readouterr().out
    for case in sorted(patients.glob("phantom-*")):
        voxmmsd("library", "accept", place / "lib", "--case", case.name, "--label", case / f"{case.name}-seg.nii.gz")
    given = ("--steps", 120, "--validate-every", 120)
    voxmmsd("finetune", place / "lib", "--from", "poor", "--run", place / "better", *small, *given)
    found = comparison(place / "better")
    assert found["outcome"] == "better"
    assert found["patients"] == 3
    before = scored(voxmmsd, place, "before")
    voxmmsd("models", "accept", place / "better")
    after = scored(voxmmsd, place, "after")
    assert after > before + 0.1
    voxmmsd("models", "rollback")
    voxmmsd("verify", place / "lib")


def patients_without_labels(patients, scans):
    for file in patients.glob("phantom-*/*.nii.gz"):
        if "-seg" not in file.name:
            (scans / file.parent.name).mkdir(parents=True, exist_ok=True)
            (scans / file.parent.name / file.name).symlink_to(file)
    return scans


def scored(voxmmsd, place, name):
    voxmmsd("segment", place / "unseen", "--out", place / f"{name}-results")
    voxmmsd("evaluate", place / f"{name}-results", place / "unseen", "--out", place / f"{name}-scores")
    means = json.loads((place / f"{name}-scores" / "scores.json").read_text(encoding="utf-8"))["means"]
    return float(np.mean([means[key]["dice"]["value"] or 0.0 for key in ("WT", "TC", "ET")]))


def test_a_target_schema_is_refused_and_not_passed_over(parent, tmp_path):
    library = filled(tmp_path / "library")
    with pytest.raises(ConfigError, match="--target-schema brats-2021: does not apply to a training library"):
        retuned(library, parent, tmp_path / "run", target_schema="brats-2021")


def test_a_file_of_splits_is_refused_and_its_test_patients_are_not_trained_on(parent, tmp_path):
    library = filled(tmp_path / "library", training=1, held=1)
    write_phantoms(tmp_path / "more", 2, seed=5, side=24)
    splits = tmp_path / "splits.json"
    splits.write_text(json.dumps({"train": ["phantom-005-000"], "validation": [], "test": ["phantom-005-001"]}))
    given = {"folders": (str(library.folder), str(tmp_path / "more")), "splits": str(splits), "steps": 1}
    with pytest.raises(ConfigError, match=r"splits\.json: does not apply to a training library"):
        retuned(library, parent, tmp_path / "run", **given)
    with pytest.raises(ConfigError, match=r"--splits nowhere\.json: does not apply to a training library"):
        export_job(options(library, parent, tmp_path / "run", splits="nowhere.json"), tmp_path / "job")
    assert not (tmp_path / "run").exists() and not (tmp_path / "job").exists()


def test_the_average_of_the_weights_is_kept_where_nobody_is_held_out(parent, tmp_path):
    run = tmp_path / "run"
    retuned(filled(tmp_path / "library", held=0), parent, run, weight_average=0.5)
    last = load_state(sorted((run / "checkpoints").glob("step-*.pt"))[-1])
    kept = load_state(run / "checkpoints" / "best.pt")["network"]
    assert all(torch.equal(kept[name], last["average"][name]) for name in kept)
    assert not torch.equal(kept["head.weight"], last["network"]["head.weight"])


def library_with_origins(folder):
    """Case-000 is a correction of which a person edited the enhancing tumor; case-001 is an expert's own."""
    library = create_library(folder / "library", seed=0)
    for number in (0, 1):
        library.add_case(f"case-{number:03d}", images_of(phantom(number)), part="training")
    label = label_of(phantom(0))
    who = Volume((label.array == 3).astype(np.uint8), label.grid)
    library.accept("case-000", label, SCHEMA, drawn_over=("toy-1",), origins=who)
    library.accept("case-001", label_of(phantom(1)), SCHEMA)
    return library


def test_what_a_person_edited_weighs_more_where_that_is_known(parent, tmp_path):
    library, run = library_with_origins(tmp_path), NullRun(tmp_path / "run")
    config = options(library, parent, tmp_path / "run", edited_weight=4.0)
    corrections = fixed_corrections(config, run, library, parent)
    entries = corrected_entries(config, run, library, corrections, parent)
    assert np.array_equal(entries[0].edited(), np.asarray(entries[0].label()) == 3)
    assert entries[1].edited() is None


def test_a_training_with_edited_voxels_that_weigh_more_differs_and_says_how_many_labels_know_them(parent, tmp_path):
    library = library_with_origins(tmp_path)
    even, more = (retuned(library, parent, tmp_path / f"run-{weight}", edited_weight=weight) for weight in (1, 4))
    one, other = (load_network(package).state_dict()["head.weight"] for package in (even, more))
    assert not torch.equal(one, other)
    assert more.info.training["options"]["edited_weight"] == 4
    said = (tmp_path / "run-4" / "log.txt").read_text(encoding="utf-8")
    assert "--edited-weight 4: 1 of 2 labels say what a person edited" in said


def test_origins_that_were_changed_are_refused_only_where_they_are_used(parent, tmp_path):
    library = library_with_origins(tmp_path)
    case = library.case("case-000")
    case.origins_file(case.accepted).write_bytes(b"changed")
    with pytest.raises(LibraryError, match=r"_origin\.nii\.gz: is missing or was changed after it was accepted"):
        retuned(library, parent, tmp_path / "run", edited_weight=4.0)
    retuned(library, parent, tmp_path / "even")
