"""For scripts that Slicer runs at its start, by ``--python-script``."""

import traceback

import qt
import slicer


def run_when_started(main):
    """Call ``main`` when Slicer has started, and end Slicer after it, with 1 where it failed.

    A ``main`` that returns true leaves Slicer open.
    """

    def run():
        try:
            keep_open = main()
        except Exception:
            traceback.print_exc()
            slicer.util.exit(1)
        else:
            if not keep_open:
                slicer.util.exit(0)

    qt.QTimer.singleShot(3000, run)


def settle(milliseconds=1500):
    """Let Slicer live on for a while."""
    loop = qt.QEventLoop()
    qt.QTimer.singleShot(milliseconds, loop.quit)
    loop.exec_()
