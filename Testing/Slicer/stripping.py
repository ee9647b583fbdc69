"""A stand-in for the program HD-BET: it takes its image and works for ever, or makes a mask of what is bright.

A child process gets the environment with which Slicer was started: so there is a folder for such programs that must lie
on the PATH from then on.
"""

import atexit
import os
import shutil
import sys
import tempfile
import unittest
from pathlib import Path

FOLDER = "VOXMMSD_TEST_PROGRAMS"
FOR_EVER = "#!/bin/sh\nexec sleep 600\n"
AT_ONCE = """#!/bin/sh
exec "{python}" - "$@" <<'END'
import sys
import nibabel
import numpy as np
image, out = sys.argv[2], sys.argv[4]
head = nibabel.load(image)
mask = (np.asarray(head.dataobj) > 0).astype(np.uint8)
nibabel.save(nibabel.Nifti1Image(mask, head.affine), out.replace(".nii.gz", "_bet.nii.gz"))
END
"""


def with_folder(environment):
    """An environment to start Slicer with: a new folder for programs is first on its PATH, as long as this runs."""
    folder = tempfile.mkdtemp(prefix="programs-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return {**environment, FOLDER: folder, "PATH": os.pathsep.join([folder, environment["PATH"]])}


def put_folder_on_path():
    if FOLDER not in os.environ:
        os.environ.update(with_folder(os.environ))


def stand_in(script=FOR_EVER):
    """Make a program ``hd-bet``; a function that takes it away again.

    Raises:
        SkipTest: Slicer was started without a folder for it.
    """
    if FOLDER not in os.environ:
        raise unittest.SkipTest(f"{FOLDER} is not set: start Slicer by run_in_slicer.py")
    program = Path(os.environ[FOLDER]) / "hd-bet"
    program.write_text(script.replace("{python}", _interpreter()), encoding="utf-8")
    program.chmod(0o755)
    return program.unlink


def _interpreter():
    """Slicer's launcher for Python, where this runs in Slicer itself."""
    return shutil.which("PythonSlicer") or sys.executable
