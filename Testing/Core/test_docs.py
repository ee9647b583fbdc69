"""The pages of docs/: every command of theirs is one that the command line takes, and those of the lessons are run."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY

from voxmmsd.cli import _parser, main

DOCS = REPOSITORY / "docs"
PAGES = sorted(DOCS.glob("*.md"))
# In this order they tell one story, in one folder; offline.md needs a package index: see test_package.py.
LESSONS = (
    "tutorial-researcher",
    "tutorial-clinician",
    "tutorial-engineer",
    "own-labels",
    "missing-modalities",
    "clinical-scans",
    "gpu-server",
)


def commands(page: Path):
    for block in re.findall(r"^```sh\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE):
        for line in block.splitlines():
            words = shlex.split(line, comments=True)
            if "voxmmsd" in words:
                yield words[words.index("voxmmsd") + 1 :]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_of_a_page_is_one_that_the_command_line_takes(page):
    for words in commands(page):
        _parser().parse_args(words)


@pytest.mark.parametrize("page", [*PAGES, REPOSITORY / "README.md"], ids=lambda page: page.stem)
def test_every_link_and_picture_of_a_page_is_there(page):
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!http)([^)#]+)", text) + re.findall(r"`(docs/[\w.-]+|benchmarks/[\w.-]+)`", text)
    folders = (page.parent, REPOSITORY)
    assert [link for link in links if not any((folder / link).is_file() for folder in folders)] == []


def test_the_index_leads_to_every_page():
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    assert {page.name for page in PAGES} - {"README.md"} <= set(re.findall(r"\(([\w-]+\.md)\)", index)), (
        "add it to docs/README.md"
    )


def test_the_reference_is_what_the_configurations_say():
    sys.path.insert(0, str(DOCS))
    try:
        import make_reference
    finally:
        sys.path.remove(str(DOCS))
    advice = "run: python docs/make_reference.py"
    assert (DOCS / "reference.md").read_text(encoding="utf-8") == make_reference.text(), advice


def test_the_configurations_in_json_that_a_page_shows_are_json():
    for page in PAGES:
        for block in re.findall(r"^```json\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE):
            assert json.loads(block)


@pytest.mark.long
def test_the_lessons_work_as_written_one_after_the_other(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    page = (DOCS / "gpu-server.md").read_text(encoding="utf-8")
    options = re.search(r"^```json\n(.*?)^```", page, re.DOTALL | re.MULTILINE).group(1)
    Path("training.json").write_text(options, encoding="utf-8")
    for name in LESSONS:
        for words in commands(DOCS / f"{name}.md"):
            assert main(words) == 0, (name, words, capsys.readouterr())
    assert list(Path("scores").glob("*.html"))
    assert list(Path("patient").glob("*.png"))
    assert Path("model.onnx").is_file() and Path("model.zip").is_file()
    assert list(Path("two").glob("P001-voxmmsd.nii.gz"))


@pytest.mark.long
def test_the_figure_of_the_method_is_drawn_by_the_code(tmp_path):
    done = subprocess.run(
        [sys.executable, DOCS / "draw_method.py", tmp_path / "method.png"], capture_output=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "method.png").stat().st_size > 20_000
