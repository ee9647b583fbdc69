"""Work that would stop Slicer's window for seconds, in steps: what is heavy in a thread, what touches the scene here.

The work is a generator that runs in the GUI thread. ``yield`` lets the window live for a moment; ``yield function``
calls the function in a thread, which must touch no node and no widget, and gives back what it returned or raised.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from typing import Any

import qt

from voxmmsd.errors import VoxMMSDError

Steps = Generator[Callable[[], Any] | None, Any, Any]
TURN_MS = 5
GIVEN_SECONDS = 0.02  # of each turn to the thread, which else waits for Python until Slicer calls some


class Work:
    """One work at a time, of all the tabs: two that open a case would mix them up in the scene."""

    def __init__(self) -> None:
        self._followers: list[Callable[[], None]] = []
        self._on_error: Callable[[VoxMMSDError], None] = _nobody
        self._steps: Steps | None = None
        self._call: _Call | None = None
        self._is_in_turn = False
        self._timer = qt.QTimer()
        self._timer.setInterval(TURN_MS)
        self._timer.connect("timeout()", self._turn)

    @property
    def is_running(self) -> bool:
        return self._steps is not None

    def follow(self, on_change: Callable[[], None]) -> None:
        """``on_change`` hears of each work's beginning and end."""
        self._followers.append(on_change)

    def start(self, steps: Steps, on_error: Callable[[VoxMMSDError], None]) -> bool:
        """Begin; False where another work is not done yet. ``on_error`` hears the core's word of what failed."""
        if self.is_running:
            steps.close()
            return False
        self._steps, self._on_error = steps, on_error
        self._timer.start()
        self._tell()
        self._turn()
        return True

    def stop(self) -> None:
        """Give it up: the scene or the panel goes. What a thread is writing is written to its end."""
        steps, self._steps, self._call = self._steps, None, None
        self._timer.stop()
        if steps is None:
            return
        if not self._is_in_turn:  # else it is closed at the end of its turn
            steps.close()
        self._tell()

    def _turn(self) -> None:
        steps = self._steps
        if steps is None or self._is_in_turn:  # a question of the work runs the event loop, too
            return
        if self._call is not None and not self._call.has_ended(GIVEN_SECONDS):
            return
        call, self._call = self._call, None
        self._is_in_turn = True
        try:
            asked = call.answer_to(steps) if call is not None else next(steps)
        except StopIteration:
            self._end(steps)
        except VoxMMSDError as error:
            self._end(steps)
            self._on_error(error)
        except BaseException:
            self._end(steps)
            raise
        else:
            self._go_on(steps, asked)
        finally:
            self._is_in_turn = False

    def _go_on(self, steps: Steps, asked: Callable[[], Any] | None) -> None:
        if self._steps is not steps:  # it was stopped by what it did itself
            steps.close()
        elif asked is not None:
            self._call = _Call(asked)

    def _end(self, steps: Steps) -> None:
        if self._steps is steps:
            self._steps = None
            self._timer.stop()
            self._tell()

    def _tell(self) -> None:
        for on_change in self._followers:
            on_change()


def _nobody(_error: VoxMMSDError) -> None:
    """Before any work has begun."""


class _Call:
    """A function at work in a thread."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self._value: Any = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._value = self._function()
        except BaseException as error:  # it is raised in the work, which knows what it means
            self._error = error

    def has_ended(self, seconds: float) -> bool:
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def answer_to(self, steps: Steps) -> Callable[[], Any] | None:
        return steps.throw(self._error) if self._error is not None else steps.send(self._value)
