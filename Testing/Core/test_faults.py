"""Whatever happens at any file operation, files stay whole, and the second call succeeds (``benchmarks/faults.py``)."""

import sys

import pytest

from benchmarks.faults import DENIALS, Attack, broken, heal, misbehaved, run, small_disk
from benchmarks.writing_verbs import WritingVerb, prepared, writing_verbs

pytestmark = [pytest.mark.long, pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs fork and tmpfs")]
KILLS = {"cases --list": 2, "phantom": 1, "prepare": 3, "pretrain": 2, "finetune": 2, "segment": 3, "refine": 3,
         "report": 2, "follow": 2, "export-dicom": 2, "evaluate": 1, "library add": 3, "library accept": 2,
         "models accept": 1, "models import": 1, "models export": 1}  # fmt: skip
DENIED = ("cases --list", "prepare", "segment", "refine", "report", "follow", "export-dicom", "finetune",
          "library add", "models accept", "models export", "export torchscript", "export monai-bundle", "job",
          "bundle")  # fmt: skip


@pytest.fixture(scope="module")
def verbs(tmp_path_factory):
    return writing_verbs(prepared(tmp_path_factory.mktemp("faults")))


@pytest.fixture
def disk(tmp_path):
    """A small disk of its own."""
    try:
        with small_disk(tmp_path / "disk") as folder:
            yield folder
    except OSError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("verb", KILLS)
def test_nothing_is_lost_by_a_kill_and_the_second_call_succeeds(verb, verbs, tmp_path):
    faults = ["SIGKILL", "SIGTERM", "SIGKILL"][: KILLS[verb]]
    found = Attack(verb, verbs[verb], tmp_path / "place").hit(faults, verb)
    assert found.met.total() == len(faults)
    assert found.wrong == []


@pytest.mark.parametrize("verb", DENIED)
def test_a_full_disk_and_lost_permissions_are_told_in_a_sentence_and_lose_nothing(verb, verbs, disk):
    found = Attack(verb, verbs[verb], disk / "place").hit(DENIALS, verb)
    assert found.wrong == []


@pytest.mark.parametrize("at", [1, 2])
@pytest.mark.parametrize("fault", DENIALS)
def test_a_torchscript_that_cannot_be_written_is_told_in_a_sentence(fault, at, verbs, disk):
    """torch's own writing of files would end the process."""
    (disk / "place" / "home").mkdir(parents=True)
    answer = run(verbs["export torchscript"].arguments(disk / "place"), disk / "place", fault, at)
    assert misbehaved(fault, answer, everything_is_there=False) == []


def test_twenty_kills_are_made():
    assert sum(KILLS.values()) >= 20


def test_a_half_written_file_would_be_noticed(tmp_path):
    (tmp_path / "status.json").write_text('{"state": ')
    (tmp_path / "a-t1c.nii.gz").write_bytes(b"\x1f\x8bhalf")
    assert len(broken(tmp_path)) == 2


@pytest.mark.parametrize("fault", DENIALS)
def test_a_denial_is_really_one(fault, disk):
    """Root would be denied nothing, a large disk would not be full: the fault must strike to be a test."""
    place = disk / "place"
    (place / "home").mkdir(parents=True)
    call = ["phantom", str(place / "phantoms"), "--count", "1", "--shape", "32"]
    answer = run(call, place, fault, at=3)
    assert answer.code == 2
    assert ("disk is full" in answer.said) == (fault == "full disk")
    assert misbehaved(fault, answer, False) == []
    heal(place)
    assert run(call, place).code == 0


@pytest.mark.parametrize(
    ("code", "said"), [(1, "voxmmsd: error: internal fault: x"), (2, ""), (0, ""), (2, "voxmmsd: error: a\n" * 2)]
)
def test_a_denial_that_is_not_told_is_noticed(code, said):
    from benchmarks.faults import Answer

    assert misbehaved("full disk", Answer(code, said, 5), everything_is_there=False)


def test_a_verb_that_leaves_half_a_file_is_caught(tmp_path, monkeypatch):
    from voxmmsd import files

    def write_in_place(path, content):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
        path.write_bytes(content)  # a fault strikes as a file is opened: here, between nothing and all

    monkeypatch.setattr(files, "write_bytes_atomic", write_in_place)
    verb = WritingVerb(lambda place: ["phantom", str(place / "phantoms"), "--count", "1", "--shape", "16"])
    attack = Attack("phantom", verb, tmp_path / "place")
    operations = attack.untouched()[1]
    torn = []
    for at in range(1, operations + 1):
        place = tmp_path / f"at-{at}"
        (place / "home").mkdir(parents=True)
        run(verb.arguments(place), place, "SIGKILL", at)
        torn += [file for file in place.rglob("dataset.json") if file.stat().st_size == 0]
    assert torn
