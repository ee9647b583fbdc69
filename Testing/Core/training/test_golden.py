import json

import pytest
from golden_runs import RUNS


@pytest.mark.parametrize("name", RUNS)
def test_the_first_steps_of_a_seeded_training_have_the_losses_and_rates_on_record(name, golden, tmp_path):
    """Where they are meant to change, ``golden_runs`` writes them again, in a commit that says why."""
    known = json.loads((golden / f"{name}.json").read_text(encoding="utf-8"))["steps"]
    figures = RUNS[name](tmp_path)
    assert len(figures) == len(known)
    for step, (ours, expected) in enumerate(zip(figures, known, strict=True)):
        assert ours == pytest.approx(expected, rel=1e-4, abs=1e-12), f"step {step}"
