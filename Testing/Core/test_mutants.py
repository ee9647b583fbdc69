"""Whether the tests see plausible bugs is itself tried on a small scale (``benchmarks/mutants.py``)."""

from benchmarks.mutants import CHECKOUT, LIST, main, read_mutants

LISTED = """
[[mutant]]
name = "A"
about = "three times"
file = "sums.py"
old = "2 * n"
new = "3 * n"
tests = ["test_sums.py"]

[[mutant]]
name = "B"
about = "two more"
file = "sums.py"
old = "2 * n"
new = "n + 2"
tests = ["test_sums.py"]

[[mutant]]
name = "C"
about = "squared"
file = "sums.py"
old = "n ** 2"
new = "n ** 3"
tests = ["test_sums.py"]
"""


def test_each_bug_is_tried_alone_in_a_copy(tmp_path, capsys):
    checkout, listed = tmp_path / "checkout", tmp_path / "mutants.toml"
    checkout.mkdir()
    (checkout / "sums.py").write_text("def double(n):\n    return 2 * n\n")
    (checkout / "test_sums.py").write_text("from sums import double\n\ndef test_two():\n    assert double(2) == 4\n")
    listed.write_text(LISTED)
    assert main(["--list", str(listed)], checkout) == 1
    assert capsys.readouterr().out.splitlines() == [
        "| A | three times | `sums.py` | killed by test_two |",
        "| B | two more | `sums.py` | SURVIVED |",
        "| C | squared | `sums.py` | does not apply |",
        "1 of 3 killed",
    ]
    assert main(["--list", str(listed), "--only", "A"], checkout) == 0
    assert (checkout / "sums.py").read_text() == "def double(n):\n    return 2 * n\n"

    (checkout / "test_sums.py").write_text("from sums import double\n\ndef test_two():\n    assert double(2) == 5\n")
    capsys.readouterr()
    assert main(["--list", str(listed)], checkout) == 1
    assert capsys.readouterr().out == "the unchanged code fails test_two: repair that first\n"


def test_every_listed_bug_has_a_name_of_its_own_and_changes_something():
    mutants = read_mutants(LIST)
    assert len({mutant.name for mutant in mutants}) == len(mutants)
    assert all(mutant.old != mutant.new and mutant.tests for mutant in mutants)


def test_each_bug_of_the_list_applies_to_the_code_as_it_is():
    texts = {mutant.name: (CHECKOUT / mutant.file).read_text(encoding="utf-8") for mutant in read_mutants(LIST)}
    stale = [mutant.name for mutant in read_mutants(LIST) if texts[mutant.name].count(mutant.old) != 1]
    assert not stale, "the code has moved on: let benchmarks/mutants.toml follow"
