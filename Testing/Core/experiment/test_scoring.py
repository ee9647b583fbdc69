"""Scores that a file keeps belong to the voxels and labels that they were made of."""

import dataclasses
import json

import pytest
import torch
from toy_models import toy_package

from voxmmsd.data.cases import find_cases
from voxmmsd.data.store import prepare_cases
from voxmmsd.experiment.scoring import score_model
from voxmmsd.phantom import write_phantoms


def test_scores_of_a_case_that_has_changed_are_made_anew(tmp_path):
    write_phantoms(tmp_path / "in", 2, seed=0, side=32)
    entries = prepare_cases(find_cases(tmp_path / "in").cases, tmp_path / "store", workers=1).entries
    package, file = toy_package(tmp_path / "model", schema=entries[0].schema), tmp_path / "scores.json"

    def scores(model):
        return score_model(model, entries, entries[0].label_schema(), torch.device("cpu"), file)

    first = scores(package.folder)
    assert first.patients == tuple(entry.patient_id for entry in entries)
    assert scores(tmp_path / "not opened").patients == first.patients
    kept = json.loads(file.read_text())
    kept[entries[0].id]["structures"]["WT"]["dice"] = 0.123
    kept[entries[1].id]["structures"]["WT"]["dice"] = 0.456
    kept[entries[1].id]["array_sha256"] = "of the label before it was corrected"
    file.write_text(json.dumps(kept))
    again = scores(package.folder)
    assert again.cases[0].structures["WT"] == dataclasses.replace(first.cases[0].structures["WT"], dice=0.123)
    assert again.cases[1].structures["WT"].dice == pytest.approx(first.cases[1].structures["WT"].dice, nan_ok=True)
