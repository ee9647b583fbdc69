"""Opening Slicer must stay quick: importing and opening the modules loads nothing heavy."""

import os
import subprocess
import sys

import pytest

from headless_slicer.host import MODULES, REPOSITORY


@pytest.mark.parametrize("name", MODULES)
def test_a_module_opens_where_torch_monai_and_onnxruntime_are_missing(name):
    code = (
        "import sys\n"
        "for heavy in ('torch', 'monai', 'onnxruntime'): sys.modules[heavy] = None\n"
        "from headless_slicer import host\n"
        f"host.start(); host.load_module({name!r}); host.open_widget({name!r}).cleanup()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "Testing")}
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        env=environment,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
