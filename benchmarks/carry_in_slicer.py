"""Seconds from a press of *Carry my edits through the volume* to the shown result, in Slicer itself:

    Slicer --no-splash --additional-module-paths VoxMMSDSegment --python-script benchmarks/carry_in_slicer.py CASE \\
        [--rounds 4]

CASE is the folder of a public case. It is segmented by the model in use; in each round the axial slice with the most
wrong voxels is painted as the expert has it, and the edits are carried. Between painting and the press some seconds
pass, as with a user, in which the program that carries is started. Results and their rounds build on each other.
"""

import argparse
import sys
import time
from pathlib import Path

import slicer

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "Testing" / "Slicer"))
from public_case import correct_worst_slice, expert_label, load_images
from script_in_slicer import run_when_started, settle
from slicer_case import press_find, wait_until

SECONDS = 600
PAINTING = 8000  # milliseconds


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case")
    parser.add_argument("--rounds", type=int, default=4)
    options = parser.parse_args(sys.argv[1:])
    if window := slicer.util.mainWindow():
        window.showNormal()
        window.resize(1600, 1000)
    load_images(options.case)
    slicer.util.selectModule("VoxMMSDSegment")
    panel = slicer.modules.VoxMMSDSegmentWidget
    press_find(panel)
    panel.segment_tab.look_now()
    settle()
    panel.ui.applyButton.click()
    wait_until(lambda: panel.segment_tab.job is None, SECONDS)
    result = panel.parameters.result
    if result is None:
        raise RuntimeError(f"{panel.ui.errorLabel.text}\n{panel.ui.logText.plainText}")
    expert, box = expert_label(options.case, result), panel.review_tab.carry
    for number in range(1, options.rounds + 1):
        corrected = correct_worst_slice(panel, result, expert)
        wait_until(lambda: panel.ui.carryButton.enabled, SECONDS)
        settle(PAINTING)
        pressed, thread = time.monotonic(), time.thread_time()
        panel.ui.carryButton.click()
        wait_until(lambda: box.job is None, SECONDS)
        seconds, ours = time.monotonic() - pressed, time.thread_time() - thread
        print(
            f"round {number}, slice {corrected}: {seconds:.2f} s, {ours:.2f} s of them in Slicer's own thread",
            flush=True,
        )
        wait_until(lambda: not box.is_looking, SECONDS)


run_when_started(main)
