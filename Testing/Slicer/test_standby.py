"""A process that waits for the next Apply is used only while nothing has changed since it was started."""

import os
import time
from unittest import mock

import slicer_case
from slicer_case import wait_until

from VoxMMSDLib import standby
from VoxMMSDLib.child import Child
from VoxMMSDLib.standby import Standby


class StandbyTest(slicer_case.ModuleTest):
    def setUp(self):
        super().setUp()
        self.standby = Standby()
        self.addCleanup(self.standby.close)
        self.standby.prepare()
        self.process = self.standby._process
        self.assertIsNone(self.process.poll())

    def refused(self):
        self.assertIsNone(self.standby.take(["doctor"], {}))
        self.assertIsNone(self.standby.pid)
        self.assertIsNotNone(self.process.poll())

    def test_one_that_waits_is_kept_and_gives_its_arguments_output_and_exit_code(self):
        self.standby.prepare()
        self.assertIs(self.standby._process, self.process)
        codes = []
        nowhere = str(self.folder / "nowhere")
        arguments = ["segment", nowhere, "--out", str(self.folder / "out")]
        child = Child(arguments, self.folder / ".run", lambda events: None, codes.append, {}, self.standby.take)
        child.start()
        self.assertIs(child._process, self.process)
        wait_until(lambda: codes)
        self.assertEqual(codes, [2])
        self.assertIn(nowhere, child.why(2).problem)

    def test_one_that_is_killed_at_work_takes_all_with_it(self):
        codes = []
        child = Child(["segment"], self.folder / ".run", lambda events: None, codes.append, {}, self.standby.take)
        child.start()
        child.cancel()
        wait_until(lambda: codes)
        self.assertTrue(child.is_canceled)
        self.assertIsNone(self.standby.pid)

    def test_after_another_environment_it_is_not_used(self):
        with mock.patch.dict(os.environ, {"VOXMMSD_HOME": str(self.folder / "other")}):
            self.refused()

    def test_after_packages_have_changed_it_is_not_used(self):
        with mock.patch.object(standby.sysconfig, "get_path", lambda kind: str(self.folder)):
            self.refused()

    def test_shortly_before_it_ends_by_itself_it_is_not_used(self):
        soon = time.monotonic() + standby.WAIT_SECONDS - standby.LAST_SECONDS
        with mock.patch.object(standby.time, "monotonic", lambda: soon):
            self.refused()

    def test_one_that_has_ended_is_not_used(self):
        self.process.kill()
        self.process.wait()
        self.refused()
