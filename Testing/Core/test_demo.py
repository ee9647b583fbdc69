"""The demo, without its training: it begins again in a folder that it has made itself, and in no other."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def demo(monkeypatch):
    """``demo/run.py``, whose commands are only listed."""
    file = Path(__file__).parents[2] / "demo" / "run.py"
    spec = importlib.util.spec_from_file_location("demo_run", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.called = []
    monkeypatch.setattr(module, "call", lambda *words: module.called.append(words[0]))
    monkeypatch.setattr(module, "summarize", lambda out, commands, seconds: out / "report.html")
    return module


def test_a_demo_that_was_interrupted_begins_again(demo, tmp_path, monkeypatch):
    def interrupted(*_words):
        raise SystemExit(130)

    monkeypatch.setattr(demo, "call", interrupted)
    with pytest.raises(SystemExit):
        demo.main(tmp_path / "out")
    monkeypatch.setattr(demo, "call", lambda *words: demo.called.append(words[0]))

    demo.main(tmp_path / "out")

    assert demo.called == ["phantom", "cases", "finetune", "phantom", "segment", "evaluate"]


def test_a_folder_of_the_users_is_left_alone(demo, tmp_path):
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")

    with pytest.raises(SystemExit, match="name another folder"):
        demo.main(tmp_path)

    assert (tmp_path / "notes.txt").read_text(encoding="utf-8") == "mine"


def test_a_command_that_fails_ends_the_demo_with_its_code_and_no_traceback(tmp_path):
    file = Path(__file__).parents[2] / "demo" / "run.py"
    code = f"import runpy; runpy.run_path({str(file)!r})['call']('cases', {str(tmp_path / 'nowhere')!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert "Traceback" not in done.stderr
