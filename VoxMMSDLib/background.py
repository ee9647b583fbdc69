"""Work that must not hold up Slicer's window: in a thread of its own, or in slices between which Slicer lives on.

``Background`` is one function in a thread, ``Slices`` a generator that touches the scene, ``Work`` one of those at a
time for a whole panel.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import closing
from typing import Any

import qt
import slicer

# ``yield`` lets the window live for a moment; ``yield function`` calls the function in a thread, where it must touch
# neither MRML nor Qt, and gives back what it returned or raised.
Steps = Generator[Any, Any, Any]
BREATH_MS = 5  # between two slices or two moments of a thread: Slicer's own
MOMENT_S = 0.02  # for which Slicer leaves Python to a thread


class Slices:
    """Takes one step of a generator at a time, so that Slicer sees to its events between them.

    What it returns goes to ``on_done``, what it raises to ``on_failed``. Slicer keeps Python's lock while it waits for
    events, in which a thread would starve: so a timer waits for the thread, for moments that nobody feels.
    """

    def __init__(self, steps: Steps, on_done: Callable[[Any], None], on_failed: Callable[[Exception], None]) -> None:
        self._steps, self._on_done, self._on_failed = steps, on_done, on_failed
        self._call: _Call | None = None
        self._is_in_turn = False
        self._timer = qt.QTimer()
        self._timer.setInterval(BREATH_MS)
        self._timer.connect("timeout()", self.turn)

    @property
    def is_at_work(self) -> bool:
        return self._timer.isActive()

    def start(self) -> Slices:
        self._timer.start()
        return self

    def stop(self) -> None:
        """End it where it stands; the generator cleans up what it has made (GeneratorExit).

        A thread ends by itself, and neither function is called.
        """
        if self.is_at_work:
            self._timer.stop()
            if not self._is_in_turn:  # else it is closed at the end of its turn
                self._steps.close()

    def end(self) -> None:
        """As ``stop``, and wait until its thread has ended."""
        self.stop()
        if self._call is not None:
            self._call.has_ended()

    def finish(self) -> None:
        """Take all the steps that are left, now; nothing where one of them asks for it itself."""
        while self.is_at_work and not self._is_in_turn:
            self.turn()

    def turn(self) -> None:
        """Take the next step, if it is time for it."""
        if not self.is_at_work or self._is_in_turn:  # a question of a step runs the event loop, too
            return
        if self._call is not None and not self._call.has_ended(MOMENT_S):
            return
        call, self._call = self._call, None
        self._is_in_turn = True
        try:
            asked = call.answer_to(self._steps) if call is not None else next(self._steps)
        except StopIteration as end:
            self._end(self._on_done, end.value)
        except Exception as error:
            self._end(self._on_failed, error)
        except BaseException:
            self._timer.stop()
            raise
        else:
            self._go_on(asked)
        finally:
            self._is_in_turn = False

    def _go_on(self, asked: Callable[[], Any] | None) -> None:
        if not self.is_at_work:  # it was stopped by what it did itself
            self._steps.close()
        elif asked is not None:
            self._call = _Call(asked)

    def _end(self, tell: Callable[[Any], None], outcome: Any) -> None:
        was_stopped = not self.is_at_work
        self._timer.stop()
        if not was_stopped:
            tell(outcome)


class Background(Slices):
    """Computes in a thread; then ``on_done(value)`` or ``on_failed(error)`` is called in Slicer's own."""

    def __init__(
        self,
        compute: Callable[[], Any],
        on_done: Callable[[Any], None],
        on_failed: Callable[[Exception], None],
    ) -> None:
        super().__init__(_only(compute), on_done, on_failed)

    def start(self) -> Background:
        super().start()
        self.turn()
        return self

    def forget(self) -> None:
        """Nobody waits for it any more: it ends by itself, and neither function is called."""
        self.stop()

    def wait(self) -> None:
        """Until it has ended and its function was called; Slicer is blocked meanwhile."""
        if self.is_at_work and self._call is not None:
            self._call.has_ended()
            self.turn()


class Work:
    """One generator at a time, of all the tabs: two that open a case would mix them up in the scene."""

    def __init__(self) -> None:
        self._followers: list[Callable[[], None]] = []
        self._slices: Slices | None = None

    @property
    def is_running(self) -> bool:
        return self._slices is not None and self._slices.is_at_work

    def follow(self, on_change: Callable[[], None]) -> None:
        """``on_change`` hears of each work's beginning and end."""
        self._followers.append(on_change)

    def start(self, steps: Steps, on_error: Callable[[Exception], None]) -> bool:
        """Begin; False where another work is not done yet. ``on_error`` hears what failed."""
        if self.is_running:
            steps.close()
            return False

        def failed(error: Exception) -> None:
            self._tell()
            on_error(error)

        self._slices = Slices(steps, lambda _value: self._tell(), failed).start()
        self._tell()
        self._slices.turn()
        return True

    def stop(self) -> None:
        """Give it up: the scene or the panel goes. What a thread is writing is written to its end."""
        if self._slices is not None and self._slices.is_at_work:
            self._slices.stop()
            self._tell()

    def _tell(self) -> None:
        for on_change in self._followers:
            on_change()


def at_once(steps: Steps) -> Any:
    """Take all steps of a generator without a pause, and without a thread; what it returns."""
    answer = None
    with closing(steps):
        while True:
            try:
                asked = steps.send(answer)
            except StopIteration as end:
                return end.value
            answer = asked() if asked is not None else None


def while_slicer_lives(function: Callable[[], Any]) -> Any:
    """What ``function`` returns or raises: it is computed in a thread, and Slicer sees to its events meanwhile.

    For calls of Slicer's own that want their answer at once, as a download of sample data does.
    """
    call = _Call(function)
    while not call.has_ended(MOMENT_S):
        slicer.app.processEvents()
    return call.answer()


def to_error_log(error: Exception) -> None:
    """For ``on_failed`` where nobody is to be told: Slicer writes what is raised into its error log."""
    raise error


def _only(compute: Callable[[], Any]) -> Steps:
    return (yield compute)


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

    def has_ended(self, seconds: float | None = None) -> bool:
        """Wait for it, as long as it takes or for ``seconds``."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def answer(self) -> Any:
        if self._error is not None:
            raise self._error
        return self._value

    def answer_to(self, steps: Steps) -> Callable[[], Any] | None:
        return steps.throw(self._error) if self._error is not None else steps.send(self._value)
