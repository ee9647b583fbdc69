import json
from dataclasses import dataclass

import pytest

from voxmmsd.data.splits import Splits, check_splits, make_splits, read_splits
from voxmmsd.errors import InputError


@dataclass(frozen=True)
class FakeEntry:
    id: str
    patient_id: str
    image_hash: str


def entries(count=10, visits=2):
    return [FakeEntry(f"p{i}-{v}", f"p{i}", f"hash-{i}-{v}") for i in range(count) for v in range(visits)]


def write(path, **parts):
    path.write_text(json.dumps(parts))
    return path


def test_all_visits_of_a_patient_land_in_one_part():
    splits = make_splits(entries(), seed=3)
    parts = {part: {id_.split("-")[0] for id_ in getattr(splits, part)} for part in ("train", "validation")}
    assert not parts["train"] & parts["validation"]
    assert len(parts["validation"]) == 2
    assert len(splits.train) + len(splits.validation) == 20


def test_the_same_image_under_two_patients_stays_together():
    twins = [FakeEntry("a", "a", "same"), FakeEntry("b", "b", "same"), FakeEntry("c", "c", "other")]
    for seed in range(20):
        splits = make_splits(twins, seed)
        assert {"a", "b"} <= set(splits.train) or {"a", "b"} <= set(splits.validation)


def test_a_chain_of_shared_patients_and_images_is_one_group():
    chain = [FakeEntry("a", "1", "x"), FakeEntry("b", "2", "y"), FakeEntry("c", "1", "y"), FakeEntry("d", "3", "z"),
             FakeEntry("e", "2", "w")]  # fmt: skip
    for seed in range(20):
        splits = make_splits(chain, seed)
        assert {"a", "b", "c", "e"} <= set(splits.train) or {"a", "b", "c", "e"} <= set(splits.validation)
        assert sorted(splits.train + splits.validation) == ["a", "b", "c", "d", "e"]


def test_a_seed_gives_the_same_split_again_and_another_seed_another():
    assert make_splits(entries(), 1) == make_splits(entries(), 1)
    assert len({make_splits(entries(), seed).validation for seed in range(8)}) > 1


def test_one_patient_cannot_be_split():
    with pytest.raises(InputError, match="two patients"):
        make_splits(entries(count=1), 0)


def test_a_patient_in_two_parts_is_refused(tmp_path):
    file = write(tmp_path / "s.json", train=["p0-0"], validation=["p0-1"])
    with pytest.raises(InputError, match="one patient in different parts"):
        read_splits(file, entries())


def test_a_case_listed_twice_is_refused(tmp_path):
    file = write(tmp_path / "s.json", train=["p0"], validation=["p0"])
    with pytest.raises(InputError, match="is in two splits"):
        read_splits(file, entries())


def test_an_image_in_two_parts_is_refused():
    twins = [FakeEntry("a", "a", "same"), FakeEntry("b", "b", "same")]
    with pytest.raises(InputError, match="the same image in different parts"):
        check_splits(Splits(("a",), ("b",)), twins, "here")


def test_pool_is_another_word_for_train_and_patients_may_be_listed(tmp_path):
    file = write(tmp_path / "s.json", pool=["p0", "p1"], validation=["p2"], unlabelled=["p7"], about="text")
    splits = read_splits(file, entries())
    assert splits.train == ("p0-0", "p0-1", "p1-0", "p1-1")
    assert splits.validation == ("p2-0", "p2-1")
    assert splits.test == ()


def test_written_splits_read_back_the_same(tmp_path):
    splits = make_splits(entries(), 5)
    splits.write(tmp_path / "splits.json")
    again = read_splits(tmp_path / "splits.json", entries())
    assert (set(again.train), set(again.validation)) == (set(splits.train), set(splits.validation))


@pytest.mark.parametrize("part", ["train", "pool", "validation", "test"])
def test_an_id_that_is_not_there_is_refused(tmp_path, part):
    file = write(tmp_path / "s.json", **{part: ["p0", "p99-0"]})
    with pytest.raises(InputError, match=r"lists p99-0, no case or patient of the given cases \(1 of 2 ids\); correct"):
        read_splits(file, entries())


def test_unlabeled_ids_that_are_not_there_are_only_reported(tmp_path):
    file, said = write(tmp_path / "s.json", train=["p0"], unlabeled=["p7", "elsewhere"]), []
    assert read_splits(file, entries(), said.append).unlabeled == ("p7-0", "p7-1")
    (line,) = said
    assert "1 of 2 ids of unlabeled are not among the given cases: elsewhere" in line


@pytest.mark.parametrize(
    ("parts", "problem"),
    [
        ({"train": ["p0"], "tset": ["p1"]}, "'tset' is not a part of the splits; use one of train, "),
        ({"train": ["p0"], "pool": ["p1"]}, "'pool' is a second list for train"),
        ({"train": "p0"}, "'train' must be a list of case or patient ids, not str"),
    ],
)
def test_what_cannot_be_meant_by_a_key_is_refused(tmp_path, parts, problem):
    with pytest.raises(InputError, match=problem):
        read_splits(write(tmp_path / "s.json", **parts), entries())


def test_a_remark_may_stand_beside_the_parts(tmp_path):
    file = write(tmp_path / "s.json", train=["p0"], validation=["p1"], about={"made": "by hand"})
    assert read_splits(file, entries()).train == ("p0-0", "p0-1")


def test_a_broken_splits_file_is_named(tmp_path):
    (tmp_path / "s.json").write_text("[1, 2")
    with pytest.raises(InputError, match=r"s\.json: cannot be read as splits"):
        read_splits(tmp_path / "s.json", entries())
