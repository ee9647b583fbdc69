"""Whatever is done to a file's bytes, only our own errors come out (``benchmarks/fuzz.py`` does it by the thousand)."""

import os
import random
import signal
import sys
import time

import pytest

from benchmarks.fuzz import GOOD, outcomes, targets
from voxmmsd.config import make_config
from voxmmsd.errors import ConfigError, LibraryError, RunError
from voxmmsd.library import open_library
from voxmmsd.training_config import FinetuneConfig

KINDS = ("NIfTI", "NIfTI, packed", "model.json", "safetensors", "case.json", "status.json", "events.jsonl",
         "decisions.jsonl", "splits", "list of cases", "CSV of cases", "options, JSON", "options, TOML", "NRRD",
         "MetaImage", "DICOM", "zip of a model", "checkpoint", "prepared case")  # fmt: skip
forks = pytest.mark.skipif(sys.platform == "win32", reason="needs fork")


@pytest.fixture(scope="module")
def spoilable(tmp_path_factory):
    return targets(tmp_path_factory.mktemp("fuzz"))


@forks
@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_a_spoiled_file_is_read_or_refused(kind, spoilable):
    file, spoil, read = spoilable[kind]
    whole, chance = file.read_bytes(), random.Random(kind)
    found = outcomes(file, [spoil(whole, chance) for _ in range(40)], read)
    assert [said for _, said in found if said not in GOOD] == []
    assert file.read_bytes() == whole


@pytest.mark.long
def test_every_kind_of_file_is_spoiled(spoilable):
    assert set(spoilable) == set(KINDS)


def hang(file):
    while True:
        pass


def sleep(file):
    time.sleep(3600)


def crash(file):
    os.kill(os.getpid(), signal.SIGKILL)


def swallow(file):
    return bytearray(64 << 30)


def fall(file):
    raise KeyError("x")


@forks
@pytest.mark.parametrize(
    ("harm", "says"),
    [(hang, "took 0.2 s and more"), (sleep, "took 0.2 s and more"), (crash, "the process died (Killed)"),
     (swallow, "MemoryError"), (fall, "KeyError: 'x' (test_fuzz.py")],
)  # fmt: skip
def test_what_hangs_crashes_or_swallows_memory_is_told_and_the_rest_is_read(harm, says, tmp_path):
    file = tmp_path / "a"
    file.write_bytes(b"good")

    def read(file):
        return harm(file) if file.read_bytes() == b"bad" else None

    found = list(outcomes(file, [b"good", b"bad", b"good"], read, seconds=0.2))
    assert [content for content, _ in found] == [b"good", b"bad", b"good"]
    assert [found[0][1], found[2][1]] == ["read", "read"]
    assert found[1][1].startswith(says)
    assert file.read_bytes() == b"good"


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


def test_a_checkpoint_cut_short_under_a_fitting_checksum_that_fuzzing_found(tmp_path):
    import hashlib

    from voxmmsd.training.checkpoint import _MARK, load_state

    (tmp_path / "a.pt").write_bytes(b"PK" + _MARK + hashlib.sha256(b"PK").hexdigest().encode())
    with pytest.raises(RunError, match=r"a\.pt.*was not read"):
        load_state(tmp_path / "a.pt")
