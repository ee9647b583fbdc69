"""Outside Slicer the modules' tests run in the headless host; inside Slicer this file is not read."""

import pytest
import stripping

from headless_slicer import host
from headless_slicer.main_window import MainWindow

stripping.put_folder_on_path()  # before the host notes the environment that children get
slicer = host.start()
for name in host.MODULES:
    host.load_module(name)


@pytest.fixture(scope="module", autouse=True)
def slicer_is_left_well():
    """As each file is run by a Slicer of its own: what a file leaves behind must not spoil its exit."""
    yield
    host.leave()


def pytest_itemcollected(item):
    """The tests know nothing of pytest, which Slicer lacks."""
    if getattr(item.function, "is_long", False):
        item.add_marker(pytest.mark.long)


@pytest.fixture(autouse=True)
def main_window(request):
    """The host has no main window but for tests that need one."""
    if getattr(request.function, "needs_main_window", False):
        with MainWindow():
            yield
    else:
        yield
