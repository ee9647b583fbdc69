from dataclasses import dataclass

import pytest

from voxmmsd.library.parts import drawn_part


@dataclass
class PreparedCase:
    patient: str
    drawn: bool = True


def parts(count, share, seed):
    known, found = [], []
    for number in range(count):
        found.append(drawn_part(known, share, seed))
        known += [PreparedCase(f"p{number}"), PreparedCase(f"p{number}")]  # two cases of a patient count once
    return found


@pytest.mark.parametrize(("share", "block"), [(0.2, 5), (0.5, 2), (0.34, 3)])
def test_of_every_block_of_patients_one_is_held_out(share, block):
    found = parts(4 * block, share, seed=3)
    assert [found[i : i + block].count("hold-out") for i in range(0, 4 * block, block)] == [1] * 4


def test_who_is_held_out_depends_on_the_librarys_seed_alone():
    assert parts(20, 0.2, 1) == parts(20, 0.2, 1) != parts(20, 0.2, 2)


def test_without_a_share_all_train_and_given_parts_do_not_count():
    assert parts(5, 0.0, 0) == ["training"] * 5
    given = [PreparedCase(f"g{n}", drawn=False) for n in range(7)]
    assert drawn_part(given, 0.2, 1) == drawn_part([], 0.2, 1)
