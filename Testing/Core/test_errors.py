"""Every error that a user is meant to read says what is wrong and what to do about it, in two fields."""

import ast
import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from voxmmsd import errors
from voxmmsd.cli import main
from voxmmsd.data.store import StoreResult
from voxmmsd.errors import ERROR, REMEDY, REMEDY_APART, InputError, RunError, VoxMMSDError
from voxmmsd.preflight.check import refuse
from voxmmsd.records.findings import BLOCKING, Finding
from voxmmsd.runs.events import failure_of, read_events
from voxmmsd.runs.writing import open_run

ROOT = Path(errors.__file__).parents[1]
FOLDERS = ("voxmmsd", "VoxMMSDLib", "VoxMMSDSegment", "VoxMMSDTrain")
KINDS = {
    name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, VoxMMSDError)
}  # Canceled is none: it says that the user's wish was done


def made_errors():
    """Where each error is made, and with what."""
    for folder in FOLDERS:
        for file in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and _name(node.func) in KINDS:
                    yield f"{file.relative_to(ROOT)}:{node.lineno}", node


def _name(node):
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _own_texts(node):
    """The texts of a literal, without those inside its interpolations."""
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    return [part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)]


def is_a_text(node):
    """Whether it is a text that is not empty, or an expression that gives one only at run time."""
    return not isinstance(node, ast.Constant) or (isinstance(node.value, str) and bool(node.value.strip()))


def test_every_error_has_a_problem_and_a_remedy():
    made = dict(made_errors())
    assert len(made) > 300
    lacking = [
        place
        for place, call in made.items()
        if len(call.args) != 2 or call.keywords or not all(is_a_text(part) for part in call.args)
    ]
    assert not lacking, lacking


def test_no_error_is_raised_without_being_given_both():
    bare = [
        f"{file}:{node.lineno}"
        for folder in FOLDERS
        for file in sorted((ROOT / folder).rglob("*.py"))
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Raise) and _name(node.exc) in KINDS
    ]
    assert not bare


def test_no_remedy_hides_in_a_problem():
    hidden = [place for place, call in made_errors() if any("; " in text for text in _own_texts(call.args[0]))]
    assert not hidden, hidden


def test_it_reads_as_one_sentence():
    error = InputError("a.nii: is empty", "copy it again")
    assert (str(error), error.problem, error.remedy) == (
        "a.nii: is empty; copy it again", "a.nii: is empty", "copy it again"
    )  # fmt: skip


def test_a_remedy_must_be_given():
    with pytest.raises(TypeError):
        InputError("a.nii: is empty")


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_it_travels_between_processes(kind):
    error = getattr(errors, kind)(
        "r: other options (steps 3 -> 4; batch 2 -> 1)", "give the same ones; or another --run"
    )
    there = pickle.loads(pickle.dumps(error))
    assert (type(there), there.problem, there.remedy) == (type(error), error.problem, error.remedy)


def break_down(name):
    raise InputError(f"{name}: is; odd", "copy it again")


def test_it_comes_out_of_a_pool_of_processes():
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        outcome = pool.submit(break_down, "a.nii").exception()
    assert isinstance(outcome, InputError)
    assert (outcome.problem, outcome.remedy) == ("a.nii: is; odd", "copy it again")


def fail(folder, error):
    """The last event of a run that ended by that error."""
    with pytest.raises(type(error)), open_run(folder, "finetune", {}, 3):
        raise error
    *_, last = read_events(folder / "events.jsonl")
    return last


def test_a_run_hands_over_both_fields_as_they_are(tmp_path):
    event = fail(tmp_path / "r", RunError("r: other options (steps 3 -> 4; batch 2 -> 1)", "give the same ones"))
    assert (event["kind"], event["type"]) == ("failed", "RunError")
    assert failure_of(event) == ("r: other options (steps 3 -> 4; batch 2 -> 1)", "give the same ones")
    assert event["error"] == "r: other options (steps 3 -> 4; batch 2 -> 1); give the same ones"


def test_a_fault_of_the_software_knows_no_remedy(tmp_path):
    assert failure_of(fail(tmp_path / "r", ValueError("odd; very"))) == ("odd; very", "")


@pytest.mark.parametrize(
    ("event", "told"),
    [
        ({"kind": "failed", "error": "a.nii: is empty; copy it again"}, ("a.nii: is empty; copy it again", "")),
        ({"kind": "failed"}, ("", "")),
        ({"kind": "failed", "problem": None, "remedy": 3}, ("", "3")),
    ],
)
def test_events_of_older_runs_have_one_text(event, told):
    assert failure_of(event) == told


def test_the_command_prints_one_line(tmp_path, capsys):
    place = tmp_path / "a; b"
    assert main(["cases", str(place)]) == 2
    assert capsys.readouterr().err == f"voxmmsd: error: {place}: no such file or folder; check the path\n"


def test_a_program_gets_the_remedy_on_a_line_of_its_own(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv(REMEDY_APART, "1")
    place = tmp_path / "a; b"
    assert main(["cases", str(place)]) == 2
    assert capsys.readouterr().err == f"{ERROR}{place}: no such file or folder\n{REMEDY}check the path\n"


ONE = InputError("t1c.nii: is; odd", "copy it again")
TWO = InputError("t2w.nii: is empty", "export it")


@pytest.mark.parametrize(
    ("failures", "told"),
    [
        ((("a", ONE),), ("case a: t1c.nii: is; odd", "copy it again")),
        (
            (("a", ONE), ("b", TWO)),
            (
                "case a: t1c.nii: is; odd; copy it again; case b: t2w.nii: is empty; export it",
                "correct these cases or leave them out",
            ),
        ),
    ],
)
def test_cases_that_cannot_be_prepared_keep_their_remedies(failures, told):
    with pytest.raises(InputError) as caught:
        StoreResult((), 0, failures).refuse_failures()
    assert (caught.value.problem, caught.value.remedy) == told


def test_what_blocks_a_case_keeps_its_remedy():
    found = (Finding(BLOCKING, "odd", "t1c; is odd", "copy it"), Finding(BLOCKING, "odder", "t2w; is odder", "move it"))
    with pytest.raises(InputError) as caught:
        refuse(found, "a")
    assert (caught.value.problem, caught.value.remedy) == ("case a: t1c; is odd; copy it; t2w; is odder", "move it")
