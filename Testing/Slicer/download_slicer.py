"""``python download_slicer.py stable|preview FOLDER``: fetch and unpack Slicer for this system (for CI)."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
import tarfile
import urllib.request
from pathlib import Path

ADDRESS = "https://download.slicer.org/download?os={os}&stability={stability}"
SYSTEMS = {"Linux": "linux", "Windows": "win", "Darwin": "macosx"}
STABILITY = {"stable": "release", "preview": "nightly"}


def main(release: str, folder: Path) -> None:
    system = platform.system()
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / {"Linux": "slicer.tar.gz", "Windows": "slicer.exe", "Darwin": "slicer.dmg"}[system]
    urllib.request.urlretrieve(ADDRESS.format(os=SYSTEMS[system], stability=STABILITY[release]), file)
    if system == "Linux":
        with tarfile.open(file) as archive:
            archive.extractall(folder, filter="data")
    elif system == "Windows":
        subprocess.run([str(file.absolute()), "/S", f"/D={folder.absolute()}"], check=True)
    else:
        subprocess.run(["hdiutil", "attach", "-nobrowse", "-mountpoint", "/Volumes/slicer", str(file)], check=True)
        shutil.copytree("/Volumes/slicer/Slicer.app", folder / "Slicer.app", symlinks=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
