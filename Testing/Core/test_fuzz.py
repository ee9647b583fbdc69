"""Whatever is done to a file's bytes, only our own errors come out (``benchmarks/fuzz.py`` does it by the thousand)."""

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.fuzz import attempt, targets
from voxmmsd.config import FinetuneConfig, make_config
from voxmmsd.errors import ConfigError, LibraryError
from voxmmsd.library import open_library

KINDS = ("NIfTI", "NIfTI, packed", "model.json", "safetensors", "case.json", "status.json", "events.jsonl",
         "decisions.jsonl", "splits", "list of cases", "CSV of cases", "options, JSON", "options, TOML")  # fmt: skip


@pytest.fixture(scope="module")
def spoilable(tmp_path_factory):
    return targets(tmp_path_factory.mktemp("fuzz"))


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32))
def test_a_spoiled_file_is_read_or_refused(kind, spoilable, seed):
    file, spoil, read = spoilable[kind]
    assert attempt(file, spoil(file.read_bytes(), random.Random(seed)), read) in ("read", "refused")


@pytest.mark.long
def test_every_kind_of_file_is_spoiled(spoilable):
    assert set(spoilable) == set(KINDS)


@pytest.mark.parametrize(
    "record",
    ['{"folders": [1]}', '{"folders": true}', '{"preset": ["tiny"]}', '{"learning_rate": %s}' % ("1" * 400),
     '{"steps": -%s}' % ("1" * 400)],
)  # fmt: skip
def test_options_of_wrong_types_that_fuzzing_found(record, tmp_path):
    (tmp_path / "o.json").write_text(record)
    with pytest.raises(ConfigError):
        make_config(FinetuneConfig, {}, tmp_path / "o.json")


def test_a_grid_of_endless_numbers_that_fuzzing_found(tmp_path):
    from corrected_cases import library_of

    library_of(tmp_path / "library", count=1)
    (file,) = (tmp_path / "library" / "cases").glob("*/case.json")
    text = file.read_text(encoding="utf-8")
    start = text.index('"affine_xyz"')
    at = next(i for i in range(start, len(text)) if text[i].isdigit())
    file.write_text(text[:at] + "1" * 400 + text[at:])
    with pytest.raises(LibraryError, match="not a record"):
        open_library(tmp_path / "library").cases()
