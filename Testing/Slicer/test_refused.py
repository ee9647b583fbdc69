"""What the core refuses, the panels say in the core's own sentence, and show no traceback."""

import contextlib
import io
import threading
import time

import slicer_case
from slicer_case import wait_until

from voxmmsd.cli import main
from voxmmsd.phantom import write_phantoms
from VoxMMSDLib.child import Child


def of_the_core(arguments):
    """Its line on stderr, and its exit code."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        code = main(arguments)
    (line,) = [line for line in said.getvalue().splitlines() if line.startswith("voxmmsd: error: ")]
    return line.removeprefix("voxmmsd: error: "), code


class RefusedTest(slicer_case.ModuleTest):
    def refused(self, *arguments):
        """What the panels' child says of a call, which is what the core says."""
        codes = []
        child = Child(list(arguments), self.folder / "run", lambda events: None, codes.append)
        child.start()
        wait_until(lambda: codes)
        sentence, code = of_the_core(list(arguments))
        self.assertEqual((str(child.error), codes), (sentence, [code]))
        self.assertEqual(code, 2)
        self.assertNotIn("Traceback", child.log)
        return str(child.error)

    def test_the_reason_is_there_when_the_end_is_told_however_slowly_it_is_read(self):
        ended = threading.Event()

        class Slow(Child):
            def _drain(self, process):
                ended.wait(10)
                time.sleep(0.5)
                super()._drain(process)

        codes = []
        child = Slow(["cases", str(self.folder / "none")], self.folder / "run", lambda events: None,
                     lambda code: codes.append((code, str(child.error))))  # fmt: skip
        child.start()
        child._process.wait()
        ended.set()
        wait_until(lambda: codes)
        self.assertIn("no such file or folder", codes[0][1])

    def test_a_name_with_a_semicolon_tears_no_error_apart(self):
        errors = []
        child = Child(["cases", str(self.folder / "a; b")], self.folder / "run", lambda events: None,
                      lambda code: errors.append(child.error))  # fmt: skip
        child.start()
        wait_until(lambda: errors)
        (error,) = errors
        self.assertEqual(error.problem, f"{self.folder / 'a; b'}: no such file or folder")
        self.assertEqual(error.remedy, "check the path")

    def test_an_image_cut_short(self):
        (case,) = write_phantoms(self.folder / "cases", 1, seed=0, side=16)
        image = case / f"{case.name}-t1c.nii.gz"
        image.write_bytes(image.read_bytes()[:300])
        said = self.refused("prepare", str(case), "--store", str(self.folder / "store"), "--workers", "1")
        self.assertIn(image.name, said)

    def test_a_model_that_is_none(self):
        file = self.folder / "model.zip"
        file.write_bytes(b"PK no zip")
        self.assertIn(str(file), self.refused("models", "import", str(file)))

    def test_a_folder_without_cases_for_the_library(self):
        (self.folder / "empty").mkdir()
        said = self.refused("library", "add", str(self.folder / "library"), str(self.folder / "empty"))
        self.assertIn("holds neither cases nor results", said)
