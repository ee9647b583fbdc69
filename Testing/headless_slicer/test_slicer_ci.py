"""What runs the modules' tests in Slicer itself: nothing is missing from its lists, nothing hangs, nothing is half."""

import http.server
import os
import re
import sys
import threading

import download_slicer
import pytest
import run_in_slicer

from headless_slicer.host import MODULES, REPOSITORY, load_module, start

start()
for _name in MODULES:
    load_module(_name)
from VoxMMSDSegmentLib import to_dicom  # noqa: E402
from VoxMMSDTrainLib import training_packages  # noqa: E402

TESTS = REPOSITORY / "Testing" / "Slicer"


def test_every_test_file_is_in_the_list_of_cmake():
    listed = re.findall(r"^\s+(test_\w+)$", (TESTS / "CMakeLists.txt").read_text(encoding="utf-8"), re.MULTILINE)
    assert listed == sorted(file.stem for file in TESTS.glob("test_*.py"))


def test_without_torch_the_tests_that_train_are_left_out_by_name(capsys):
    every = run_in_slicer.chosen([], [])
    there = run_in_slicer.chosen([], ["torch"])
    assert set(every) - set(there) == set(run_in_slicer.TRAIN) <= set(every)
    said = capsys.readouterr().out
    assert all(name in said for name in run_in_slicer.TRAIN)


def test_no_test_is_skipped_for_want_of_a_package_that_the_modules_would_have_installed():
    wanted = {**training_packages.TRAINING, **to_dicom.PACKAGES}
    of_slicer = {"SimpleITK"}
    assert {wanted[name] for name in wanted.keys() - of_slicer} <= set(run_in_slicer.NEEDED)


def test_slicer_is_found_where_its_archive_puts_it(tmp_path):
    with pytest.raises(SystemExit, match="holds no Slicer"):
        run_in_slicer.executable(tmp_path)
    (tmp_path / "Slicer-5.12.0-linux-amd64").mkdir()
    found = tmp_path / "Slicer-5.12.0-linux-amd64" / "Slicer"
    found.write_text("")
    assert run_in_slicer.executable(tmp_path) == str(found)


@pytest.mark.skipif(os.name != "posix", reason="the stand-in for Slicer is a shell script")
def test_a_slicer_that_hangs_is_ended_with_all_it_started(tmp_path):
    script, pid = tmp_path / "Slicer", tmp_path / "pid"
    script.write_text(f"#!/bin/sh\nsleep 600 & echo $! > {pid}; wait\n")
    script.chmod(0o755)
    assert run_in_slicer._started([str(script)], tmp_path / "log", 0.01) == -1
    with pytest.raises(ProcessLookupError):
        for _ in range(200):
            os.kill(int(pid.read_text()), 0)
            threading.Event().wait(0.05)


@pytest.mark.skipif(os.name != "posix", reason="the stand-in for Slicer is a shell script")
def test_each_file_has_a_temporary_folder_of_its_own_and_a_folder_for_programs(tmp_path):
    log = tmp_path / "log"
    places = set()
    for _ in range(2):
        code = "import os, tempfile; print(tempfile.gettempdir(), os.environ['VOXMMSD_TEST_PROGRAMS'])"
        assert run_in_slicer._started([sys.executable, "-c", code], log, 1) == 0
        places |= set(log.read_text().split())
    assert len(places) == 4


class Answers(http.server.BaseHTTPRequestHandler):
    """Answers as it is told by the list ``left``: a body's length, and how much of it is sent."""

    left: list[tuple[int, int]] = []  # noqa: RUF012

    def do_GET(self):
        length, sent = self.left.pop(0)
        self.send_response(200)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(b"x" * sent)

    def log_message(self, *_):
        """Silent."""


@pytest.fixture
def address():
    server = http.server.HTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/slicer"
    server.shutdown()
    server.server_close()


def test_a_download_that_is_cut_off_or_no_slicer_is_tried_again(address, tmp_path):
    Answers.left = [(9000, 4000), (20, 20), (9000, 9000)]
    download_slicer.download(address, tmp_path / "slicer", smallest=5000, pause_s=0)
    assert (tmp_path / "slicer").stat().st_size == 9000


def test_a_download_that_never_comes_is_an_error(address, tmp_path):
    Answers.left = [(20, 20)] * download_slicer.TRIES
    with pytest.raises(OSError, match="no Slicer"):
        download_slicer.download(address, tmp_path / "slicer", smallest=5000, pause_s=0)
