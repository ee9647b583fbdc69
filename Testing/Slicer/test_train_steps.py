"""Work in steps: what is heavy runs in a thread, errors come back to the work, and it can be given up at any moment."""

import threading

import train_case

from voxmmsd.errors import InputError
from VoxMMSDLib.background import Work


class TrainStepsTest(train_case.TrainTest):
    def setUp(self):
        super().setUp()
        self.work, self.done, self.errors, self.changes = Work(), [], [], []
        self.work.follow(lambda: self.changes.append(self.work.is_running))
        self.addCleanup(self.work.stop)

    def run_to_its_end(self, steps):
        self.assertTrue(self.work.start(steps, self.errors.append))
        self.wait_for(lambda: not self.work.is_running)

    def test_a_function_that_is_asked_for_runs_in_a_thread_and_its_value_comes_back(self):
        def steps():
            yield
            where = yield threading.current_thread
            self.done.append((where, threading.current_thread()))

        self.run_to_its_end(steps())
        ((there, here),) = self.done
        self.assertIs(here, threading.main_thread())
        self.assertIsNot(there, here)
        self.assertEqual(self.changes, [True, False])

    def test_what_a_thread_raises_is_raised_in_the_work_which_may_go_on(self):
        def steps():
            try:
                yield fails
            except InputError:
                self.done.append("caught")
            yield fails

        def fails():
            raise InputError("no such case", "choose another")

        self.run_to_its_end(steps())
        self.assertEqual(self.done, ["caught"])
        self.assertEqual([str(error) for error in self.errors], ["no such case; choose another"])
        self.assertEqual(self.changes, [True, False])

    def test_a_second_work_waits_for_nothing_and_is_refused(self):
        def steps():
            yield lambda: self.done.append("first")

        def refused():
            self.done.append("second")
            yield

        self.assertTrue(self.work.start(steps(), self.errors.append))
        self.assertFalse(self.work.start(refused(), self.errors.append))
        self.wait_for(lambda: not self.work.is_running)
        self.assertEqual(self.done, ["first"])

    def test_a_work_that_is_given_up_cleans_up_and_goes_no_further(self):
        released = threading.Event()

        def steps():
            try:
                yield released.wait
                self.done.append("went on")
            finally:
                self.done.append("cleaned up")

        self.work.start(steps(), self.errors.append)
        self.work.stop()
        released.set()
        self.assertEqual(self.done, ["cleaned up"])
        self.assertFalse(self.work.is_running)

    def test_a_work_may_end_itself_as_by_closing_the_scene(self):
        def steps():
            self.work.stop()
            yield
            self.done.append("went on")

        self.work.start(steps(), self.errors.append)
        self.assertFalse(self.work.is_running)
        self.assertEqual(self.done, [])
