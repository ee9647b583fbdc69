"""The history in a model's record as a type, of any version and whatever else a record may hold."""

import pytest

from voxmmsd.models.provenance import Provenance


def test_the_history_of_a_record_is_read_by_its_parts():
    found = Provenance.of({
        "cases": {"train": ["a", "b"], "validation": ["c"]},
        "library": {"id": "lib", "labels": {"a": 2}, "new": ["a"]},
        "comparison": {"old": "m-1", "outcome": "worse", "text": "so it is", "regions": {"WT": [0.5, None]}},
        "inherited": {"cases": ["x"], "patients": [], "unknown": ["m-0"]},
        "calibration": {"temperature": 1.5},
    })  # fmt: skip
    assert found.ids("cases", ("train", "validation", "test")) == ["a", "b", "c"]
    assert found.learned_labels("lib") == {"a": 2}
    assert found.learned_labels("another") == {}
    assert (found.comparison.outcome, found.comparison.regions) == ("worse", {"WT": (0.5, None)})
    assert (found.inherited.cases, found.inherited.unknown, found.temperature) == (("x",), ("m-0",), 1.5)


@pytest.mark.parametrize(
    "training",
    [{}, {"cases": 3, "patients": [], "library": "x", "comparison": [], "inherited": None, "calibration": 1},
     {"cases": {"train": 3}, "library": {"id": "l", "labels": 3}, "comparison": {"regions": {"WT": 3, "TC": [1]}}}],
)  # fmt: skip
def test_what_is_not_as_expected_counts_as_not_recorded(training):
    found = Provenance.of(training)
    assert found.ids("cases", ("train",)) == []
    assert found.learned_labels("l") == {}
    assert found.comparison is None or found.comparison.regions == {}
    assert (found.inherited, found.temperature) == (None, 1.0)
