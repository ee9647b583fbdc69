"""``python run_in_slicer.py FOLDER``: run the modules' tests in the Slicer that lies in FOLDER (for CI)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
NEEDED = ("nibabel>=5.2", "onnxruntime>=1.17", "safetensors>=0.4.3", "tqdm>=4.66", "psutil>=5.9", "matplotlib>=3.8")


def main(folder: Path) -> int:
    slicer = _executable(folder)
    install = f"import slicer; slicer.util.pip_install({list(NEEDED)!r}); slicer.util.exit(0)"
    subprocess.run([slicer, "--no-main-window", "--no-splash", "--testing", "--python-code", install], check=True)
    failed = [file.stem for file in sorted(HERE.glob("test_*.py")) if _run(slicer, file.stem)]
    print("failed:", ", ".join(failed) or "none")
    return bool(failed)


def _executable(folder: Path) -> str:
    for pattern in ("Slicer.exe", "Slicer.app/Contents/MacOS/Slicer", "Slicer-*/Slicer", "Slicer"):
        for found in folder.glob(pattern):
            if found.is_file():
                return str(found)
    raise SystemExit(f"{folder}: holds no Slicer")


def _run(slicer: str, test: str) -> int:
    modules = [str(REPOSITORY / name) for name in ("VoxMMSDSegment", "VoxMMSDTrain")]
    code = f"import slicer.testing; slicer.testing.runUnitTest([{str(HERE)!r}], {test!r})"
    command = [slicer, "--no-main-window", "--no-splash", "--testing", "--disable-cli-modules",
               "--additional-module-paths", *modules, "--python-code", code]  # fmt: skip
    return subprocess.run(command).returncode


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
