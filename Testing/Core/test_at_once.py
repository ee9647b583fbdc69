"""Several processes at once in one home, registry and library: none fails, and no update is lost."""

import os
import subprocess
import sys

import pytest
from hard_places import CASE, OTHER, Place, pristine
from toy_models import relabeled_package

from voxmmsd.library import open_library
from voxmmsd.models import registry
from voxmmsd.models.archive import export_model
from voxmmsd.models.package import read_package
from voxmmsd.runs import read_status
from voxmmsd.verify import verify


@pytest.fixture
def place(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    return Place.copied(pristine(source), tmp_path)


def started(*arguments):
    """A process of its own, as a user or a panel starts it."""
    command = [sys.executable, "-m", "voxmmsd", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8")


@pytest.mark.long
def test_two_segmentations_a_training_and_two_acceptances_at_once_lose_nothing(place):
    other = place.root / "others"
    place.other().rename(other)
    toy = read_package(place.model)
    zipped = export_model(toy, place.root / "toy.zip")
    models = [relabeled_package(toy, place.root / f"m{number}", id=f"toy-{number}") for number in (2, 3)]
    library, folders = place.root / "library", (place.cases, other)
    tiny = ["--preset", "tiny", "--channels", "4", "8", "--patch", "16", "--steps", "2", "--workers", "1"]
    onnx = ["--engine", "onnx", "--threads", "1", "--model", zipped]
    at_once = [
        started("segment", place.cases, "--out", place.root / "out-0", *onnx),
        started("segment", other, "--out", place.root / "out-1", *onnx),
        started("finetune", *folders, "--run", "taught", *tiny, "--device", "cpu", "--threads", "1"),
        *(started("library", "add", library, folder) for folder in folders),
        *(started("models", "accept", model.folder) for model in models),
        *(started("models", "import", zipped) for _ in range(2)),
    ]
    said = {
        " ".join(process.args[3:5]): (process.communicate(timeout=600)[0], process.returncode) for process in at_once
    }
    assert [code for _, code in said.values()] == [0] * len(said), said
    for number, case_id in enumerate((CASE, OTHER)):
        assert (place.root / f"out-{number}" / f"{case_id}-voxmmsd.json").is_file()
    cases = open_library(library).cases()
    assert [(case.id, case.state, len(case.labels)) for case in cases] == [
        (CASE, "accepted", 1),
        (OTHER, "accepted", 1),
    ]
    assert registry.model_states() == {"toy-1": "proposed", "toy-2": "accepted", "toy-3": "accepted"}
    run = registry.home() / "runs" / "taught"
    assert read_status(run).state == "finished"
    for what in ("", str(library), str(run)):
        assert verify(what)[1], verify(what)[0]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_models_that_several_processes_import_and_accept_at_once_are_there_once_and_so_is_each_decision(place):
    toy = read_package(place.model)
    packages = [toy, *(relabeled_package(toy, place.root / f"m{n}", id=f"toy-{n}") for n in (2, 3))]
    starts, go = os.pipe()
    children = []
    for _ in range(6):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                os.close(go)
                os.read(starts, 1)  # all at once, when the other end is closed
                for package in packages:
                    registry.accept(package)
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    os.close(starts)
    os.close(go)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * 6
    decided = (registry.registry_folder() / "decisions.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(decided) == 6 * len(packages)
    assert {package.info.id for package in registry.list_models()} == {"toy-1", "toy-2", "toy-3"}
    assert not list(registry.registry_folder().glob(".*.tmp"))
    assert verify("")[1]
