"""``python run_in_slicer.py FOLDER``: run the modules' tests in the Slicer that lies in FOLDER (for CI).

Each file runs in a Slicer of its own, without and with a main window, in a temporary folder of its own and for a
limited time. The tests that train need torch, which users have from the extension PyTorch: ``--torch`` installs it for
the tests alone; without it, and where Slicer has none, these tests are left out by name.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import stripping  # noqa: E402

REPOSITORY = HERE.parents[1]
NEEDED = ("nibabel>=5.2", "onnxruntime>=1.17", "safetensors>=0.4.3", "scipy>=1.11", "tqdm>=4.66", "psutil>=5.9",
          "matplotlib>=3.8", "onnx>=1.16", "highdicom>=0.28")  # fmt: skip
TO_TRAIN = ("torch", "monai")
TORCH_FOR_CPUS = "https://download.pytorch.org/whl/cpu"
TRAIN = ("test_circle", "test_train_circle", "test_train_elsewhere", "test_train_pretraining", "test_train_run",
         "test_train_spoiled", "test_train_task", "test_train_unnamed")  # fmt: skip
WINDOWS = {"without main window": ["--no-main-window"], "with main window": []}
MINUTES, MINUTES_TO_TRAIN = 10, 30


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    slicer = executable(options.folder)
    if not _install(slicer, list(NEEDED), options.logs / "install.log"):
        raise SystemExit(f"{', '.join(NEEDED)}: could not be installed; see {options.logs}")
    if options.torch:  # there is none for some systems, such as an Intel Slicer on macOS
        _install(slicer, f"torch --index-url {TORCH_FOR_CPUS}", options.logs / "install-torch.log")
        _install(slicer, "--no-deps monai>=1.4", options.logs / "install-monai.log")
    absent = [] if options.only else _absent(slicer, options.logs)
    failed = []
    for test in chosen(options.only, absent):
        for window, flags in WINDOWS.items():
            code = _run(slicer, test, flags, options.logs / f"{test} {window}.log")
            print(f"{'passed' if code == 0 else f'FAILED ({code})'}: {test}, {window}", flush=True)
            failed += [f"{test}, {window}"] if code else []
    print("failed:", "; ".join(failed) or "none")
    return bool(failed)


def chosen(only: Sequence[str], absent: Sequence[str]) -> list[str]:
    """Names of the files to run; says which are left out since packages are absent."""
    names = sorted(file.stem for file in HERE.glob("test_*.py"))
    left_out = [name for name in names if absent and name in TRAIN]
    if left_out:
        print(f"left out, since there is no {' and no '.join(absent)}: {', '.join(left_out)}", flush=True)
    return [name for name in names if name not in left_out and (not only or name in only)]


def executable(folder: Path) -> str:
    """The Slicer in a folder.

    Raises:
        SystemExit: there is none.
    """
    for pattern in ("Slicer.exe", "Slicer.app/Contents/MacOS/Slicer", "Slicer-*/Slicer", "Slicer"):
        for found in folder.glob(pattern):
            if found.is_file():
                return str(found)
    raise SystemExit(f"{folder}: holds no Slicer")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where Slicer lies")
    parser.add_argument("only", nargs="*", help="names of test files, such as test_panel; all where none is named")
    parser.add_argument("--torch", action="store_true", help="install torch and MONAI into this Slicer")
    parser.add_argument("--logs", type=Path, default=Path("slicer-logs"), help="folder for what Slicer prints")
    options = parser.parse_args(arguments)
    options.logs.mkdir(parents=True, exist_ok=True)
    return options


def _install(slicer: str, what: str | list[str], log: Path) -> bool:
    """Whether it could be installed; what could not leaves tests out by name."""
    # Slicer stays open after an error: it must be told to end.
    install = f"import slicer\ntry:\n  slicer.util.pip_install({what!r})\nexcept BaseException as error:\n"
    install += "  print(error)\n  slicer.util.exit(1)\nelse:\n  slicer.util.exit(0)"
    code = f"exec({install!r})"
    return _started(_quiet(slicer, WINDOWS["without main window"], code), log, MINUTES_TO_TRAIN) == 0


def _absent(slicer: str, logs: Path) -> list[str]:
    """The packages to train with that Slicer's Python does not find."""
    find = f"from importlib.util import find_spec; print('absent:', *[n for n in {TO_TRAIN!r} if find_spec(n) is None])"
    log = logs / "packages.log"
    _started(
        _quiet(slicer, WINDOWS["without main window"], f"{find}; import slicer; slicer.util.exit(0)"), log, MINUTES
    )
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    told = [line.split()[1:] for line in lines if line.startswith("absent:")]
    return told[0] if told else list(TO_TRAIN)


def _run(slicer: str, test: str, flags: Sequence[str], log: Path) -> int:
    modules = [str(REPOSITORY / name) for name in ("VoxMMSDSegment", "VoxMMSDTrain")]
    code = f"import slicer.testing; slicer.testing.runUnitTest([{str(HERE)!r}], {test!r})"
    command = [*_quiet(slicer, flags, code), "--disable-cli-modules", "--additional-module-paths", *modules]
    return _started(command, log, MINUTES_TO_TRAIN if test in TRAIN else MINUTES)


def _quiet(slicer: str, flags: Sequence[str], code: str) -> list[str]:
    return [slicer, *flags, "--no-splash", "--testing", "--python-code", code]


def _started(command: Sequence[str], log: Path, minutes: float) -> int:
    """The exit code of a Slicer, whose output goes into a file; -1 where it was ended since it took too long."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place, log.open("wb") as output:
        environment = stripping.with_folder({**os.environ, **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), place)})
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=environment, start_new_session=os.name == "posix"
        )
        try:
            code = process.wait(60 * minutes)
        except subprocess.TimeoutExpired:
            code = -1
        finally:  # also where the runner itself is stopped
            if process.poll() is None:
                _end(process)
    if code:
        print(log.read_text(encoding="utf-8", errors="replace")[-8000:], flush=True)
    return code


def _end(process: subprocess.Popen) -> None:
    """End Slicer, which is a launcher's child, with all it started."""
    if os.name == "posix":
        os.killpg(process.pid, signal.SIGKILL)
    else:
        subprocess.run(["taskkill", "/T", "/F", "/PID", str(process.pid)], capture_output=True, check=False)
    process.wait()


if __name__ == "__main__":
    sys.exit(main())
