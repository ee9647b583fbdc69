"""Whether the tests see plausible bugs: each one of ``mutants.toml``, alone, against the tests that should fall.

    python benchmarks/mutants.py [--only M01 M22] [--timeout 300]

Works in a copy of the checkout in a temporary folder. First the unchanged code must pass the tests of all mutants that
were asked for. A mutant whose ``old`` text is not in its file exactly once does not apply: the code has moved on, and
the list must follow. The exit code is 1 if a mutant survives or does not apply.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
LIST = Path(__file__).with_suffix(".toml")
LEFT_BEHIND = shutil.ignore_patterns(
    ".git", ".venv*", "__pycache__", ".*_cache", "*.egg-info", "site", "demo-output", "bundled"
)
SURVIVED, STALE, TIMED_OUT = "SURVIVED", "does not apply", "killed by the time limit"


@dataclass(frozen=True)
class Mutant:
    """``old`` in ``file`` becomes ``new``; ``tests`` are the files or tests that should fail."""

    name: str
    about: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


def read_mutants(file: Path, only: Sequence[str] = ()) -> list[Mutant]:
    records = tomllib.loads(file.read_text(encoding="utf-8"))["mutant"]
    mutants = [Mutant(**{**record, "tests": tuple(record["tests"])}) for record in records]
    return [mutant for mutant in mutants if not only or mutant.name in only]


@contextmanager
def copied(checkout: Path) -> Iterator[Path]:
    """A copy of the checkout without its history and environments, for as long as it is needed."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        yield Path(shutil.copytree(checkout, Path(folder) / "checkout", ignore=LEFT_BEHIND))


def outcome(copy: Path, mutant: Mutant, timeout: float) -> str:
    """How the mutant fared: ``SURVIVED``, ``STALE``, or which test killed it. The copy is whole again afterwards."""
    file = copy / mutant.file
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    if text.count(mutant.old) != 1:
        return STALE
    file.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
    try:
        failed = first_failure(copy, mutant.tests, timeout)
    except subprocess.TimeoutExpired:
        return TIMED_OUT
    finally:
        file.write_text(text, encoding="utf-8")
    return f"killed by {failed}" if failed else SURVIVED


def first_failure(copy: Path, tests: Sequence[str], timeout: float) -> str:
    """The first of the quick tests that fails, empty where all pass."""
    words = [sys.executable, "-B", "-m", "pytest", "-x", "-q", "-m", "not long", "-p", "no:cacheprovider", *tests]
    environment = {**os.environ, "PYTHONPATH": str(copy)}  # before the checkout that the environment has installed
    done = subprocess.run(words, cwd=copy, env=environment, capture_output=True, encoding="utf-8", timeout=timeout)
    if done.returncode == 0:
        return ""
    named = re.search(r"^(?:FAILED|ERROR) (?:\S*::)?(\S+)", done.stdout, re.MULTILINE)
    return named[1] if named else f"pytest's exit code {done.returncode}: {(done.stderr or done.stdout)[-200:]}"


def main(argv: Sequence[str] | None = None, checkout: Path = CHECKOUT) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", type=Path, default=LIST, help="TOML file of mutants")
    parser.add_argument("--only", nargs="*", default=(), metavar="NAME", help="these mutants alone")
    parser.add_argument("--timeout", type=float, default=600, help="seconds for the tests of one mutant")
    options = parser.parse_args(argv)
    mutants = read_mutants(options.list, options.only)
    with copied(checkout) as copy:
        tests = list(dict.fromkeys(test for mutant in mutants for test in mutant.tests))
        if failed := first_failure(copy, tests, options.timeout * len(tests)):
            print(f"the unchanged code fails {failed}: repair that first")
            return 1
        outcomes = []
        for mutant in mutants:
            outcomes.append(outcome(copy, mutant, options.timeout))
            print(f"| {mutant.name} | {mutant.about} | `{mutant.file}` | {outcomes[-1]} |", flush=True)
    killed = sum(each not in (SURVIVED, STALE) for each in outcomes)
    print(f"{killed} of {len(mutants)} killed")
    return int(killed < len(mutants))


if __name__ == "__main__":
    sys.exit(main())
