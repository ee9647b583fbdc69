"""The fixed rules of ``benchmarks/refine.py``."""

from types import SimpleNamespace

import numpy as np
import pytest
from refine.made_features import ED, ET, SCHEMA, ball, features, grid

from benchmarks import refine as readers
from voxmmsd.refine.carry import CarrySettings
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
