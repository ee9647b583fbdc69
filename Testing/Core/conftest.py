"""What the core's tests share: where the real cases and the golden figures are."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
GOLDEN = Path(__file__).parent / "golden"
SHARED = Path(os.environ.get("VOXMMSD_SHARED", REPOSITORY.parent / "shared"))


@pytest.fixture(autouse=True)
def a_home_of_its_own(tmp_path_factory, monkeypatch):
    """No test sees or touches the models and runs of whoever runs it, nor the starter model unless it asks for it."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("VOXMMSD_HOME", str(home))
    monkeypatch.setenv("VOXMMSD_BUNDLED", str(home / "no-starter"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real cases; the test is skipped where it is missing."""
    if not (SHARED / "data" / "splits.json").is_file():
        pytest.skip(f"no real cases at {SHARED / 'data'}: set VOXMMSD_SHARED to the folder that holds data/")
    return SHARED / "data"


@pytest.fixture(scope="session")
def golden() -> Path:
    """The folder of the figures to match: the authors', and those of our own seeded trainings."""
    return GOLDEN
