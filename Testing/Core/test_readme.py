import re
import shlex
import subprocess
import sys

import pytest
from conftest import REPOSITORY

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


def block(language, after):
    """The first fenced block of ``language`` behind the text ``after``."""
    return re.search(rf"```{language}\n(.*?)```", README[README.index(after) :], re.DOTALL).group(1)


def run(*words, folder):
    command = [sys.executable, *words]
    return subprocess.run(command, cwd=folder, capture_output=True, encoding="utf-8", check=False)


def test_the_sixty_seconds_work_as_written_from_the_shell_and_from_python(tmp_path):
    text = block("sh", "test_readme.py") + block("sh", "pre-train on them first") + block("sh", "Long jobs continue")
    commands = [shlex.split(line, comments=True) for line in text.splitlines()]
    verbs = [
        "phantom",
        "cases",
        "finetune",
        "phantom",
        "segment",
        "evaluate",
        "pretrain",
        "finetune",
        "pretrain",
        "runs",
    ]
    assert [words[1] for words in commands] == verbs
    for words in commands:
        assert words[0] == "voxmmsd"
        done = run("-m", *words, folder=tmp_path)
        assert done.returncode == 0, (words, done.stderr)
        if words[1] == "evaluate":
            assert "WT" in done.stdout
        if "--from" in words:
            assert "took 64 tensors" in done.stderr
    assert "finished; step 30 of 30" in done.stdout
    assert (tmp_path / "results" / "phantom-007-000-voxmmsd.png").stat().st_size > 10_000
    script = block("python", "From Python (")
    done = run("-c", script, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "(48, 48, 48)" in done.stdout


# What no test here runs, and why.
ELSEWHERE = {
    "make demo": "it makes an environment: whoever tries the README on an empty machine runs it",
    "make test": "it is what runs here",
    "python3 -m venv .venv && . .venv/bin/activate": "test_package.py makes its environments in Python",
    "pip install .": "test_package.py does, in an environment of its own",
    "pip install .[train]": "the Makefile installs that",
}


def test_every_command_is_run_or_says_why_not():
    told = [
        shlex.join(words).replace("'", "")
        for text in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
        for words in (shlex.split(line, comments=True) for line in text.splitlines())
        if words[0] != "voxmmsd"
    ]
    assert set(told) == set(ELSEWHERE)


def test_every_link_leads_to_a_file():
    links = re.findall(r"\]\((?!http)([^)#]+)\)", README) + re.findall(r"`(CHANGELOG\.md|CONTRIBUTING\.md)`", README)
    assert len(links) > 8
    assert [link for link in links if not (REPOSITORY / link).is_file()] == []


@pytest.mark.parametrize("target", sorted(set(re.findall(r"`?make ([a-z-]+)", README))))
def test_every_make_target_that_it_names_exists(target):
    assert re.search(rf"^{target}:", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


def test_the_table_of_verbs_is_the_list_of_verbs():
    from voxmmsd.verbs import VERBS

    table = README[README.index("| verb |") : README.index("Every option is also")]
    assert set(re.findall(r"^\| `([a-z-]+)", table, re.MULTILINE)) == {verb.name for verb in VERBS}
