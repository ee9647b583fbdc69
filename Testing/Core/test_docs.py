"""The pages of docs/: they tell one story that is run, their links resolve, they become a site without a warning."""

import importlib.util
import json
import os
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
# Run in this order, in one folder.
STORY = (
    "tutorial-researcher",
    "tutorial-clinician",
    "tutorial-engineer",
    "own-labels",
    "missing-modalities",
    "clinical-scans",
    "segmenting",
    "corrections",
    "refining",
    "report",
    "follow-up",
    "gpu-server",
    "slurm",
    "long-runs",
)
# What the story leaves out, pages and single lines, and why.
ELSEWHERE = {
    "dicom": "it takes DICOM series: dicom_export/test_segment_to_dicom.py writes some, and runs the commands",
    "evidence": "it takes the real cases and hours",
    "starter-model": "it takes the real cases and hours",
    "offline": "it takes a package index: test_package.py makes a bundle and installs it",
    "torchrun --nproc-per-node=4 -m voxmmsd pretrain scans --run glioma --preset paper": (
        "it takes four GPUs: training/test_processes.py trains with several processes"
    ),
}

# May be refused for a reason that is the model's: eight bits cost a model of a minute's training too much.
MAY_BE_REFUSED = {("models", "quantize"): "stay with float32"}


def blocks(page: Path):
    """(language, content, paragraph before it) of each fenced block."""
    text = page.read_text(encoding="utf-8")
    for found in re.finditer(r"^```(\w+)\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        yield found[1], found[2], text[: found.start()].rstrip().rpartition("\n\n")[2]


def lines(content: str):
    for line in content.splitlines():
        if words := shlex.split(line, comments=True):
            yield words


def commands(page: Path):
    for language, content, _ in blocks(page):
        if language == "sh":
            for words in lines(content):
                if "voxmmsd" in words:
                    yield words[words.index("voxmmsd") + 1 :]


def has_commands(page: Path):
    return any(language == "sh" for language, *_ in blocks(page))


def test_every_page_with_commands_is_part_of_the_story_or_says_why_not():
    assert {page.stem for page in PAGES if has_commands(page)} == {
        *STORY,
        *(name for name in ELSEWHERE if " " not in name),
    }


def test_every_command_of_the_story_is_run_or_says_why_not():
    told = [
        line for name in STORY for kind, text, _ in blocks(DOCS / f"{name}.md") if kind == "sh" for line in lines(text)
    ]
    assert {shlex.join(words) for words in told if words[0] != "voxmmsd"} == {name for name in ELSEWHERE if " " in name}


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
        for language, content, _ in blocks(page):
            assert language != "json" or json.loads(content)


def test_every_section_of_the_method_that_the_code_cites_is_there():
    numbered = set(re.findall(r"^## (\d+)\. ", (DOCS / "method.md").read_text(encoding="utf-8"), re.MULTILINE))
    code = [file for room in ("voxmmsd", "benchmarks") for file in (REPOSITORY / room).rglob("*.py")]
    cited = {
        (file.relative_to(REPOSITORY).as_posix(), number)
        for file in code
        for number in re.findall(r"docs/method\.md``,\s+section (\d+)", file.read_text(encoding="utf-8"))
    }
    assert len(cited) > 15
    assert {(file, number) for file, number in cited if number not in numbered} == set()


def test_no_docstring_cites_a_document_that_is_not_in_the_repository():
    wrong = re.compile(r"\b(METHOD|DESIGN)(\.md| section| put)")
    files = [file for room in ("voxmmsd", "benchmarks", "docs") for file in (REPOSITORY / room).rglob("*.py")]
    assert [file for file in files if wrong.search(file.read_text(encoding="utf-8"))] == []


@pytest.mark.long
def test_the_story_works_as_written_page_after_page(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in STORY:
        for language, content, before in blocks(DOCS / f"{name}.md"):
            if language == "json":
                Path(re.findall(r"`([\w-]+\.json)`", before)[-1]).write_text(content, encoding="utf-8")
            if language != "sh":
                continue
            for words in lines(content):
                if words[0] == "voxmmsd":
                    code, said = main(words[1:]), capsys.readouterr()
                    reason = MAY_BE_REFUSED.get(tuple(words[1:3]))
                    assert code == 0 or (reason and reason in said.err + said.out), (name, words, said)
    assert list(Path("scores").glob("*.html"))
    assert list(Path("patient").glob("*.png"))
    assert Path("model.onnx").is_file() and Path("model.zip").is_file()
    assert list(Path("two").glob("P001-voxmmsd.nii.gz"))
    assert list(Path("careful").glob("*-uncertainty.nii.gz"))
    assert Path("glioma-job/start.sh").is_file()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_benchmark_that_a_page_names_has_the_options_it_is_called_with(page):
    for script, options in re.findall(r"python (benchmarks/\w+\.py)([^`\n]*)", page.read_text(encoding="utf-8")):
        code = (REPOSITORY / script).read_text(encoding="utf-8")
        assert [option for option in re.findall(r"--[\w-]+", options) if f'"{option}"' not in code] == [], script


@pytest.mark.long
@pytest.mark.skipif(importlib.util.find_spec("mkdocs") is None, reason="`make docs` installs what builds the site")
def test_the_site_is_built_without_a_warning_and_asks_the_network_for_nothing(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--site-dir", tmp_path / "site"],
        cwd=REPOSITORY,
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "https_proxy": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"},
    )
    assert done.returncode == 0, done.stderr
    pages = {file.stem: file.read_text(encoding="utf-8") for file in (tmp_path / "site").glob("*.html")}
    assert {page.stem for page in PAGES} - {"README"} <= set(pages)
    assert "voxmmsd.inference.predict.predict" in pages["api"]
    for name, text in pages.items():
        fetched = re.findall(r'(?:<script|<img|<iframe)[^>]* src="(https?:[^"]+)|<link[^>]* href="(https?:[^"]+)', text)
        assert fetched == [], name
        assert not re.search(r"\n(\d+\.|-|\|) ", re.sub(r"<pre.*?</pre>", "", text, flags=re.DOTALL)), (
            f"{name}: no list, no table"
        )


@pytest.mark.long
def test_the_figures_of_the_method_are_drawn_by_the_code(tmp_path):
    done = subprocess.run(
        [sys.executable, DOCS / "draw_method.py", "--out", tmp_path], capture_output=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    for name in ("method.png", "method-pairs.png"):
        assert (tmp_path / name).stat().st_size > 20_000
        assert name in (DOCS / "method.md").read_text(encoding="utf-8")
