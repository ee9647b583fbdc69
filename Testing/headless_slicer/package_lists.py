"""Which files are installed into Slicer: ``python -m headless_slicer.package_lists`` rewrites the lists in CMakeLists.

Slicer's packages have no globs: a file that no list names is missing after installation.
"""

from __future__ import annotations

from pathlib import Path

from headless_slicer.host import MODULES, REPOSITORY

PACKAGES = ("voxmmsd", "VoxMMSDLib")
RESOURCE_SUFFIXES = (".png", ".svg", ".ui", ".json", ".onnx", ".safetensors", ".md")


def text_of(folder: Path) -> str:
    """What ``folder/CMakeLists.txt`` has to say."""
    files = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if _is_ours(file))
    scripts = [file for file in files if file.endswith(".py")]
    resources = [file for file in files if file.endswith(RESOURCE_SUFFIXES)]
    kind = "  WITH_SUBDIR\n" if folder.name in PACKAGES else "  WITH_GENERIC_TESTS\n"
    return (
        f"set(MODULE_NAME {folder.name})\n\n"
        f"set(MODULE_PYTHON_SCRIPTS\n{_lines(scripts)}  )\n\n"
        f"set(MODULE_PYTHON_RESOURCES\n{_lines(resources)}  )\n\n"
        "slicerMacroBuildScriptedModule(\n  NAME ${MODULE_NAME}\n  SCRIPTS ${MODULE_PYTHON_SCRIPTS}\n"
        f"  RESOURCES ${{MODULE_PYTHON_RESOURCES}}\n{kind}  )\n"
    )


def lists() -> dict[Path, str]:
    return {
        REPOSITORY / name / "CMakeLists.txt": text_of(REPOSITORY / name)
        for name in (*PACKAGES, *MODULES)
        if (REPOSITORY / name).is_dir()
    }


def _is_ours(file: Path) -> bool:
    return (
        file.is_file() and "__pycache__" not in file.parts and not any(part.startswith(".") for part in file.parts[-3:])
    )


def _lines(files: list[str]) -> str:
    return "".join(f"  {file}\n" for file in files)


if __name__ == "__main__":
    for path, text in lists().items():
        path.write_text(text, encoding="utf-8")
