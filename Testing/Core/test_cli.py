import json
import subprocess
import sys
import time

import pytest
from patients import write_patient
from toy_models import toy_package

from voxmmsd import verbs
from voxmmsd.cli import main
from voxmmsd.phantom import write_phantoms
from voxmmsd.training_config import FinetuneConfig
from voxmmsd.verbs.doctor import DoctorConfig

GROUPS = [verb for verb in verbs.VERBS if isinstance(verb, verbs.VerbGroup)]
CALLS = [[v.name] for v in verbs.VERBS] + [[group.name, action.name] for group in GROUPS for action in group.actions]


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "voxmmsd", *arguments],
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )


@pytest.mark.parametrize("verb", [[], *CALLS], ids=lambda v: " ".join(v) or "voxmmsd")
def test_help_answers_for_every_verb(verb, capsys):
    with pytest.raises(SystemExit) as ended:
        main([*verb, "--help"])
    assert ended.value.code == 0
    assert "usage: voxmmsd" in capsys.readouterr().out


def test_a_call_without_a_verb_lists_the_verbs(capsys):
    assert main([]) == 2
    said = capsys.readouterr().err
    assert "finetune" in said
    assert "voxmmsd VERB --help" in said


def test_former_names_of_options_are_understood_and_not_listed(tmp_path, capsys):
    old = ["--balanced", "2", "--frozen"]  # out of range, so that nothing starts
    assert main(["finetune", str(tmp_path), "--run", str(tmp_path / "run"), *old]) == 2
    assert "class-balancing: 2.0 is out of range" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["finetune", "--help"])
    shown = capsys.readouterr().out
    assert "--class-balancing" in shown
    assert "--balanced" not in shown


def test_help_loads_neither_torch_nor_numpy():
    code = (
        "import sys; from voxmmsd.cli import main\n"
        "try: main(['finetune', '--help'])\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'numpy', 'monai', 'nibabel'} & set(sys.modules)"
    )
    started = time.monotonic()
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, encoding="utf-8", errors="replace", check=False
    )
    assert result.returncode == 0, result.stderr
    assert time.monotonic() - started < 20  # a hang would be noticed; the speed itself is in the benchmarks


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["cases", "nowhere"], "nowhere: no such file or folder"),
        (["cases"], "FOLDER must be given"),
        (["prepare", "."], "--store DIR must be given"),
        (["finetune", "."], "--run DIR must be given"),
        (["finetune"], "name at least one folder"),
        (["segment", "."], "--out DIR must be given"),
        (["segment", ".", "--out", "o", "--model", "nothing"], "nothing: is not a model package"),
        (["segment", ".", "--out", "o"], "voxmmsd finetune"),
        (["evaluate", "nowhere", "."], "nowhere: no such file or folder"),
        (["models", "accept"], "MODEL must be given"),
        (["models", "export", "nothing"], "nothing: is not a model package"),
        (["models", "rollback"], "nothing to roll back"),
        (["models", "delete", "../x"], "has no model with the id"),
        (["library", "list"], "LIBRARY must be given"),
        (["library", "next", "."], ".: is not a training library"),
        (["library", "add", "new", "nowhere"], "nowhere: no such file or folder"),
        (["verify", "nothing"], "nothing: is not a model package"),
        (["cases", ".", "--schema", "brats-1999"], "unknown label schema 'brats-1999'"),
        (["doctor", "--device", "cuda"], "finds no such device"),
        (["finetune", ".", "--run", "r", "--config", "missing.json"], "missing.json: cannot be read"),
    ],
)
def test_bad_use_is_one_line_with_the_problem_and_its_remedy(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    if arguments[0] == "segment":
        write_patient(tmp_path)
    assert main(arguments) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert message in said[0]
    assert "Traceback" not in said[0]


def test_a_fault_of_ours_is_told_apart_and_shown_with_debug(monkeypatch, capsys):
    def broken(config):
        raise ZeroDivisionError("we divided")

    monkeypatch.setattr(verbs, "find", lambda name: verbs.Verb("doctor", "x", DoctorConfig, broken))
    assert main(["doctor"]) == 1
    assert "internal fault: ZeroDivisionError" in capsys.readouterr().err
    assert main(["doctor", "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_where_torch_is_missing_training_says_how_to_get_it(tmp_path):
    (tmp_path / "cases").mkdir()
    code = "import sys; sys.modules['torch'] = None; from voxmmsd.cli import main; sys.exit(main(sys.argv[1:]))"
    words = ["finetune", str(tmp_path / "cases"), "--run", str(tmp_path / "run")]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 2
    assert done.stderr.strip() == (
        "voxmmsd: error: torch is not installed, and this verb needs it; install it with pip install 'voxmmsd[train]'"
    )


def test_options_come_from_a_file_and_the_command_line_wins(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(verbs, "find", lambda name: verbs.Verb("finetune", "x", FinetuneConfig, seen.append))
    file = tmp_path / "job.json"
    file.write_text(json.dumps({"folders": ["a"], "preset": "tiny", "steps": 9, "augment": False}))
    assert main(["finetune", "--config", str(file), "--steps", "7", "--channels", "4", "8", "--from", "x"]) == 0
    (config,) = seen
    assert (config.folders, config.steps, config.channels, config.patch) == (("a",), 7, (4, 8), 32)
    assert (config.augment, config.start) == (False, "x")


def test_an_action_may_be_named_by_a_file_or_stand_behind_its_options(tmp_path, capsys):
    file = tmp_path / "runs.json"
    file.write_text(json.dumps({"action": "list", "name": str(tmp_path)}))
    assert main(["runs", "--config", str(file)]) == 0
    assert f"{tmp_path}: no run here" in capsys.readouterr().out
    assert main(["runs", "--wait", "0", "pause", str(tmp_path)]) == 2
    assert "holds no run" in capsys.readouterr().err
    file.write_text(json.dumps({"action": "sing"}))
    assert main(["library", "--config", str(file)]) == 2
    assert "action: 'sing' is not one of list, add" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["library", "list", ".", "--count", "3"], ["runs", "list", "--detach"]])
def test_an_option_of_another_action_is_refused_and_not_passed_over(words, capsys):
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert "unrecognized arguments: --" in capsys.readouterr().err


def test_doctor_checks_the_convolution(capsys):
    assert main(["doctor", "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    assert "3-D convolution error" in said
    assert ": correct" in said


def test_cases_are_listed(tmp_path, capsys):
    write_patient(tmp_path)
    assert main(["cases", str(tmp_path)]) == 0
    assert "BraTS-GLI-00001-000" in capsys.readouterr().out


def test_prepare_names_the_bad_case_and_keeps_the_good_ones(tmp_path, capsys):
    for number in range(2):
        write_patient(tmp_path / "in", f"BraTS-GLI-0000{number}-000", seed=number)
    next((tmp_path / "in" / "BraTS-GLI-00000-000").glob("*-t1n.nii.gz")).write_bytes(b"")
    arguments = ["prepare", str(tmp_path / "in"), "--store", str(tmp_path / "store"), "--workers", "1"]
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert "case BraTS-GLI-00000-000" in said.err
    assert "1 case ready (1 made, 0 kept)" in said.out
    assert json.loads((tmp_path / "store" / ".run" / "status.json").read_text(encoding="utf-8"))["state"] == "finished"


def test_the_models_verb_accepts_and_lists(tmp_path, capsys):
    package = toy_package(tmp_path / "toy")
    assert main(["models", "accept", str(package.folder)]) == 0
    assert main(["models"]) == 0
    assert "* " in capsys.readouterr().out


def test_a_model_goes_out_and_in_and_away_by_the_models_verb(tmp_path, capsys):
    package = toy_package(tmp_path / "toy")
    zipped = str(tmp_path / "toy.zip")
    for words in (
        ["export", str(package.folder), "--out", zipped],
        ["import", zipped],
        ["accept", "toy"],
        ["rollback"],
        ["reject", "toy"],
        ["delete", "toy-1"],
    ):
        assert main(["models", *words]) == 0, words
    said = capsys.readouterr().out
    for part in (zipped, "imported toy-1", "accepted toy-1", "in use now: none", "rejected toy-1", "deleted toy-1: "):
        assert part in said
    assert main(["models"]) == 0
    assert "no model in" in capsys.readouterr().out


def test_a_library_is_filled_corrected_and_compared_by_the_library_verb(tmp_path, capsys):
    write_phantoms(tmp_path / "cases", 2, seed=0, side=32)
    for file in tmp_path.glob("cases/*/*-seg.nii.gz"):
        file.rename(tmp_path / file.name)
    place, first = str(tmp_path / "lib"), toy_package(tmp_path / "one")
    second = toy_package(tmp_path / "two", seed=1, id="toy-2")
    assert main(["library", "add", place, str(tmp_path / "cases"), "--part", "training"]) == 0
    assert main(["segment", str(tmp_path / "cases"), "--out", str(tmp_path / "out"), "--model", str(first.folder)]) == 0
    assert main(["library", "add", place, str(tmp_path / "out")]) == 0
    capsys.readouterr()
    assert main(["library", "next", place, "--count", "1"]) == 0
    assert capsys.readouterr().out.count("toy-1") == 1
    label = str(tmp_path / "phantom-000-000-seg.nii.gz")
    assert main(["library", "accept", place, "--case", "phantom-000-000", "--label", label]) == 0
    assert "accepted 0002-corrected" in capsys.readouterr().out
    assert main(["library", "blind", place, "--old", str(first.folder), "--new", str(second.folder)]) == 0
    assert "pair 0001, case phantom-000-001" in capsys.readouterr().out
    assert main(["library", "choose", place, "--pair", "0001", "--better", "first"]) == 0
    assert "is better" in capsys.readouterr().out
    assert main(["library", "choose", place, "--pair", "0001", "--better", "second"]) == 2
    assert main(["verify", place]) == 0


def test_the_module_and_the_version_run_as_a_process():
    result = run("--version")
    assert result.returncode == 0
    assert result.stdout.startswith("voxmmsd ")
    assert run("nonsense").returncode == 2


def test_a_call_loads_the_file_of_its_verb_alone():
    code = (
        "import sys; from voxmmsd.cli import main\n"
        "try: main(['segment', '--help'])\n"
        "except SystemExit: print([name for name in sys.modules if name.startswith('voxmmsd.verbs.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True)
    assert done.stdout.splitlines()[-1] == "['voxmmsd.verbs.verb', 'voxmmsd.verbs.segment']"


def test_the_name_that_finds_a_verb_is_the_one_it_bears():
    assert [verb.name for verb in verbs.VERBS] == list(verbs.NAMES)
    assert verbs.find("nonsense") is None
