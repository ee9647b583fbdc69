"""Wheels of nothing but their metadata, for tests of bundles."""

import zipfile
from pathlib import Path


def write_wheel(folder: Path, name: str, requires: str = "", tag: str = "py3-none-any") -> Path:
    """``folder/NAME-1.0-TAG.whl``; ``requires``: the distribution it says it needs."""
    folder.mkdir(exist_ok=True)
    file, inside = folder / f"{name}-1.0-{tag}.whl", f"{name}-1.0.dist-info"
    needs = f"Requires-Dist: {requires}\n" if requires else ""
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(f"{inside}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{needs}\n")
        archive.writestr(f"{inside}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n")
        archive.writestr(f"{inside}/RECORD", "")
    return file
