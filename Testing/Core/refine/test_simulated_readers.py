"""The fixed rules of ``benchmarks/refine.py``."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from refine.made_features import ED, ET, SCHEMA, ball, features, grid

from benchmarks import refine as readers
from voxmmsd.model_config import NetworkConfig
from voxmmsd.networks.unet3d import UNet3d
from voxmmsd.refine.carry import CarrySettings
from voxmmsd.refine.evidence import Plane
from voxmmsd.refine.fitting import FitSettings

TRUTH = np.where(ball((16, 16, 16), 9), ED, 0).astype(np.uint8)


@pytest.fixture
def case():
    entry = SimpleNamespace(label=lambda: TRUTH, grid=grid())
    settings = CarrySettings(fitting=FitSettings(others=1000))
    return readers.Case(entry, SCHEMA, features(TRUTH, np.zeros_like(TRUTH)), settings)


def test_the_worst_plane_is_corrected_first_and_carrying_it_beats_painting_it(case):
    alone, carried = readers.slices(case, readers.painted_alone), readers.slices(case, readers.carried)
    assert list(alone) == [0, 1, 2, 3, 6]
    first = 2 * TRUTH[16].astype(bool).sum() / (TRUTH[16].astype(bool).sum() + TRUTH.astype(bool).sum())
    assert alone[1][0] == pytest.approx(first)
    assert alone[0][0] == 0 < alone[1][0] < alone[6][0] < 0.9 < carried[1][0]


def test_a_dab_is_a_ball_of_one_label_inside_the_largest_error(case):
    truth = TRUTH.copy()
    truth[ball((3, 3, 3), 2)] = ET  # a smaller error
    case.truth = truth
    where, label = readers.dab(case, case.predicted)
    assert label == ED
    assert (truth[where] == ED).all()
    assert where.sum() == ball((16, 16, 16), 8).sum()


def test_a_second_dab_lies_elsewhere(case):
    first, label = readers.dab(case, case.predicted)
    shown = case.predicted.copy()
    shown[first] = label
    second, _ = readers.dab(case, shown)
    assert second.any() and not (first & second).any()


def test_planes_of_another_view_are_corrected_as_well(case):
    case.axis = 2
    assert readers.worst_plane(case.predicted, case.truth, case.axis) == Plane(2, 16)
    corrected = readers.slices(case, readers.painted_alone)
    assert corrected[0][0] == 0 < corrected[1][0] < corrected[6][0]


def test_features_of_another_network_take_the_place_of_the_package_s(case, tmp_path):
    from safetensors.torch import save_file

    network = NetworkConfig(channels=(4, 8, 8, 8), dropout=(0.0,) * 4)
    package = SimpleNamespace(info=SimpleNamespace(network=network))
    assert readers.other_pyramid(case.features, package, "none") == ()
    untrained, again = (readers.other_pyramid(case.features, package, "random") for _ in range(2))
    assert [level.shape for level in untrained] == [(4, 32, 32, 32), (8, 16, 16, 16), (8, 8, 8, 8)]
    assert all((one == other).all() for one, other in zip(untrained, again, strict=True))
    torch.manual_seed(1)
    save_file({f"unet.{name}": t for name, t in UNet3d(network).state_dict().items()}, tmp_path / "other.safetensors")
    other = readers.other_pyramid(case.features, package, str(tmp_path / "other.safetensors"))
    assert (other[0] != untrained[0]).any()


def test_a_figure_is_drawn_of_the_results(tmp_path, monkeypatch):
    rows = {"a": {"slice, carried": {"0": [0.5, 0.4, 0.3], "1": [0.8, 0.7, 0.6]}}}
    (tmp_path / "adults.json").write_text(json.dumps(rows))
    command = ["refine.py", "--figure", str(tmp_path / "drawn.png"), str(tmp_path / "adults.json")]
    monkeypatch.setattr("sys.argv", command)
    readers.main()
    assert (tmp_path / "drawn.png").read_bytes().startswith(b"\x89PNG")


def test_dabs_grow_from_seeds_no_farther_than_the_prediction_that_was_kept_as_a_seed(case):
    pytest.importorskip("slicer_core")
    image = np.where(TRUTH > 0, 200, 100).astype(np.uint8)
    case.entry.image = lambda: np.stack([image] * 4)
    dabbed = ball((16, 16, 16), 3)
    painted = np.where(dabbed, ED, 0).astype(np.uint8)
    grown = readers.grow_from_dabs(case, painted, dabbed)
    assert (grown[dabbed] == ED).all()
    assert (grown == TRUTH).mean() > 0.97 > (painted == TRUTH).mean()
    corners = np.indices(TRUTH.shape).reshape(3, -1).T[:: TRUTH.size - 1]
    assert (grown[tuple(corners.T)] == 0).all()


def test_a_reader_finds_no_further_dab_where_nothing_is_wrong(case):
    where, label = readers.dab(case, case.truth)
    assert not where.any() and label == 0
    case.predicted = case.truth.copy()
    assert readers.dabs(case, "painted alone") == {
        count: [1.0, *[pytest.approx(np.nan, nan_ok=True)] * 2] for count in (0, *readers.DABS)
    }
