"""Work beside Slicer: its value or its error comes back in Slicer's own thread, or not at all where nobody waits."""

import threading
import time

import qt
import slicer_case
from slicer_case import wait_until

from VoxMMSDLib.background import Background, Slices, at_once, while_slicer_lives


class BackgroundTest(slicer_case.ModuleTest):
    def setUp(self):
        super().setUp()
        self.done, self.failed = [], []

    def start(self, compute):
        return Background(compute, self.done.append, self.failed.append).start()

    def test_a_value_is_computed_elsewhere_and_handed_over_here(self):
        here, threads = threading.current_thread(), []
        Background(threading.current_thread, lambda value: threads.append((value, threading.current_thread())),
                   self.failed.append).start()  # fmt: skip
        wait_until(lambda: threads)
        computed, told = threads[0]
        self.assertIsNot(computed, here)
        self.assertIs(told, here)

    def test_an_error_is_handed_over(self):
        self.start(lambda: int("x"))
        wait_until(lambda: self.failed)
        self.assertIsInstance(self.failed[0], ValueError)
        self.assertEqual(self.done, [])

    def test_slicer_lives_on_where_an_answer_is_awaited(self):
        beats = []
        timer = qt.QTimer()
        timer.setInterval(10)
        timer.connect("timeout()", lambda: beats.append(threading.current_thread()))
        timer.start()
        answer = while_slicer_lives(lambda: (time.sleep(0.3), "done")[1])
        timer.stop()
        self.assertEqual(answer, "done")
        self.assertGreater(len(beats), 2)
        with self.assertRaises(ValueError):
            while_slicer_lives(lambda: int("x"))

    def test_what_is_finished_has_taken_all_its_steps_and_a_step_may_ask_for_it(self):
        taken = []

        def steps():
            taken.append((yield lambda: "from a thread"))
            work.finish()
            yield
            return len(taken)

        work = Slices(steps(), self.done.append, self.failed.append).start()
        work.finish()
        self.assertEqual((taken, self.done, work.is_at_work), (["from a thread"], [1], False))

    def test_what_is_forgotten_tells_nobody(self):
        go = threading.Event()
        work = self.start(go.wait)
        work.forget()
        go.set()
        after = self.start(lambda: "after")
        wait_until(lambda: not after.is_at_work)
        self.assertEqual(self.done, ["after"])

    def test_waiting_hands_over_at_once(self):
        self.start(lambda: 7).wait()
        self.assertEqual(self.done, [7])

    def test_slices_come_one_by_one_and_return_a_value(self):
        seen = []

        def steps():
            for number in range(3):
                seen.append(number)
                yield
            return "all"

        Slices(steps(), self.done.append, self.failed.append).start()
        self.assertEqual(seen, [])
        wait_until(lambda: self.done)
        self.assertEqual((seen, self.done), ([0, 1, 2], ["all"]))

    def test_steps_that_are_taken_at_once_get_what_their_functions_return_or_are_closed(self):
        closed = []

        def steps(function):
            try:
                return 2 * (yield function)
            finally:
                closed.append(True)

        self.assertEqual(at_once(steps(lambda: 21)), 42)
        with self.assertRaises(ZeroDivisionError):
            at_once(steps(lambda: 1 / 0))
        self.assertEqual(closed, [True, True])

    def test_slices_that_are_stopped_take_back_what_they_made(self):
        made = []

        def steps():
            made.append("node")
            try:
                while True:
                    yield
            finally:
                made.clear()

        work = Slices(steps(), self.done.append, self.failed.append).start()
        wait_until(lambda: made)
        work.stop()
        self.assertEqual((made, self.done, self.failed), ([], [], []))
