"""``python download_slicer.py stable|preview FOLDER``: fetch and unpack Slicer for this system (for CI)."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tarfile
import time
import urllib.request
from pathlib import Path

ADDRESS = "https://download.slicer.org/download?os={os}&stability={stability}"
SYSTEMS = {"Linux": "linux", "Windows": "win", "Darwin": "macosx"}
STABILITY = {"stable": "release", "preview": "nightly"}
FILES = {"Linux": "slicer.tar.gz", "Windows": "slicer.exe", "Darwin": "slicer.dmg"}
TRIES, PAUSE_S, SILENCE_S = 4, 20, 60
MIN_BYTES = 100_000_000  # Slicer has several times that; an error's page has a few thousand


def main(release: str, folder: Path) -> None:
    system = platform.system()
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / FILES[system]
    download(ADDRESS.format(os=SYSTEMS[system], stability=STABILITY[release]), file)
    if system == "Linux":
        with tarfile.open(file) as archive:
            archive.extractall(folder, filter="data")
    elif system == "Windows":
        subprocess.run([str(file.absolute()), "/S", f"/D={folder.absolute()}"], check=True)
    else:
        # An image may show a license first and ask; without a terminal the answer comes from here.
        attach = ["hdiutil", "attach", "-nobrowse", "-mountpoint", "/Volumes/slicer", str(file)]
        subprocess.run(attach, input=b"Y\n", env={**os.environ, "PAGER": "cat"}, check=True)
        shutil.copytree("/Volumes/slicer/Slicer.app", folder / "Slicer.app", symlinks=True)
        subprocess.run(["hdiutil", "detach", "/Volumes/slicer"], check=False)
    file.unlink()


def download(address: str, file: Path, *, smallest: int = MIN_BYTES, pause_s: float = PAUSE_S) -> None:
    """Fetch a file whole, in several tries.

    Raises:
        OSError: the last try failed as well, was cut off or is no Slicer.
    """
    for left in reversed(range(TRIES)):
        try:
            _download_once(address, file, smallest)
            return
        except OSError as error:
            print(f"{address}: {error}; {left} tries left", flush=True)
            if not left:
                raise
            time.sleep(pause_s)


def _download_once(address: str, file: Path, smallest: int) -> None:
    with urllib.request.urlopen(address, timeout=SILENCE_S) as answer, file.open("wb") as target:
        shutil.copyfileobj(answer, target, 1 << 20)
        told = int(answer.headers.get("Content-Length") or 0)
    size = file.stat().st_size
    if size < max(told, smallest):
        raise OSError(f"cut off or no Slicer: {size} bytes of {told or 'an unknown number'}")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
