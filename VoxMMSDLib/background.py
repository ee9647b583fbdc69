"""Work that must not hold up Slicer's window: in a thread of its own, or in slices between which Slicer lives on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from typing import Any

import qt

BREATH_MS = 5  # between two moments of the thread: Slicer's own
MOMENT_S = 0.02  # for which Slicer leaves Python to the thread


class Background:
    """Computes in a thread; then ``on_done(value)`` or ``on_failed(error)`` is called in Slicer's own.

    What is computed touches neither MRML nor Qt. Slicer keeps Python's lock while it waits for events, in which a
    thread would starve: so a timer waits for the thread, for moments that nobody feels.
    """

    def __init__(
        self,
        compute: Callable[[], Any],
        on_done: Callable[[Any], None],
        on_failed: Callable[[Exception], None],
    ) -> None:
        self._on_done: Callable[[Any], None] | None = on_done
        self._on_failed: Callable[[Exception], None] | None = on_failed
        self._outcome: list[Any] = []
        self._thread = threading.Thread(target=self._work, args=(compute,), daemon=True)
        self._timer = qt.QTimer()
        self._timer.setInterval(BREATH_MS)
        self._timer.connect("timeout()", self._look)

    @property
    def is_at_work(self) -> bool:
        return self._timer.isActive()

    def start(self) -> Background:
        self._thread.start()
        self._timer.start()
        return self

    def forget(self) -> None:
        """Nobody waits for it any more: it ends by itself, and neither function is called."""
        self._timer.stop()
        self._on_done = self._on_failed = None

    def end(self) -> None:
        """As ``forget``, and wait until it has ended."""
        self.forget()
        if self._thread.is_alive():
            self._thread.join()

    def wait(self) -> None:
        """Until it has ended and its function was called; Slicer stands still meanwhile."""
        if self.is_at_work:
            self._thread.join()
            self._look()

    def _work(self, compute: Callable[[], Any]) -> None:
        try:
            self._outcome.append((compute(), None))
        except Exception as error:
            self._outcome.append((None, error))

    def _look(self) -> None:
        if not self.is_at_work:
            return
        self._thread.join(MOMENT_S)
        if self._thread.is_alive():
            return
        on_done, on_failed = self._on_done, self._on_failed
        self.forget()
        value, error = self._outcome.pop()
        if error is not None:
            on_failed(error)
        else:
            on_done(value)


class Slices:
    """Takes one step of a generator at a time, so that Slicer sees to its events between them.

    What it returns goes to ``on_done``, what it raises to ``on_failed``.
    """

    def __init__(
        self,
        steps: Generator[None, None, Any],
        on_done: Callable[[Any], None],
        on_failed: Callable[[Exception], None],
    ) -> None:
        self._steps, self._on_done, self._on_failed = steps, on_done, on_failed
        self._timer = qt.QTimer()
        self._timer.setInterval(0)
        self._timer.connect("timeout()", self._step)

    def start(self) -> Slices:
        self._timer.start()
        return self

    def stop(self) -> None:
        """End it where it stands; the generator cleans up what it has made (GeneratorExit)."""
        if self._timer.isActive():
            self._timer.stop()
            self._steps.close()

    def _step(self) -> None:
        try:
            next(self._steps)
        except StopIteration as end:
            self._timer.stop()
            self._on_done(end.value)
        except Exception as error:
            self._timer.stop()
            self._on_failed(error)


def at_once(steps: Generator[None, None, Any]) -> Any:
    """Take all steps of a generator without a pause; what it returns."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value
