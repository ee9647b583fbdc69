"""A stand-in for the program HD-BET: it takes its image and works for ever, or makes a mask of what is bright."""

import os
import sys
import tempfile
from pathlib import Path

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


def stand_in(script=FOR_EVER):
    """Put a program ``hd-bet`` first on the PATH; a function that takes it away again."""
    folder = Path(tempfile.mkdtemp(prefix="stripper-"))
    program = folder / "hd-bet"
    program.write_text(script.replace("{python}", sys.executable), encoding="utf-8")
    program.chmod(0o755)
    before = os.environ["PATH"]
    os.environ["PATH"] = os.pathsep.join([str(folder), before])
    return lambda: os.environ.__setitem__("PATH", before)
