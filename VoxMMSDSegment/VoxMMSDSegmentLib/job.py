"""One segmentation on its way: inputs written, the child followed, its files handed over, everything cleared away."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from voxmmsd.labels import MODALITIES
from voxmmsd.records.result import ResultRecord, read_result_record
from VoxMMSDLib.background import Steps
from VoxMMSDLib.standby import STANDBY
from VoxMMSDLib.volumes import Write
from VoxMMSDLib.workplace import new_workplace
from VoxMMSDSegmentLib import timings
from VoxMMSDSegmentLib.case import CASE_ID, SlicerCase
from VoxMMSDSegmentLib.core_job import CoreJob
from VoxMMSDSegmentLib.fingerprints import fingerprint
from VoxMMSDSegmentLib.progress import Plan, Progress


@dataclass(frozen=True)
class Options:
    """How to compute: the core's own options, by their names there. Empty: the core's choice."""

    model: str = ""
    device: str = "auto"
    precision: str = "auto"
    memory: str = ""
    smallest: tuple[str, ...] = ()
    brain_mask: str = ""
    n4: bool = False
    tta: bool = False
    uncertainty: bool = True
    intermediates: bool = False
    force: bool = False

    def arguments(self) -> list[str]:
        values = {
            "--model": self.model,
            "--device": self.device,
            "--precision": self.precision,
            "--memory": self.memory,
            "--brain-mask": self.brain_mask,
        }
        given = [text for flag, value in values.items() if value for text in (flag, value)]
        given += ["--min-component", *self.smallest] * bool(self.smallest)
        given += ["--save-intermediates"] * self.intermediates
        return given + [f"--{name}" for name in ("n4", "tta", "uncertainty", "force") if getattr(self, name)]


@dataclass(frozen=True)
class ResultFiles:
    """What the core has written: ``record`` is the result's JSON.

    ``images``: modality -> as it was segmented, where it was aligned, resampled or corrected; ``brain_mask``: where it
    was made. ``fingerprints``: modality -> by which the image that was given is known again.
    """

    record: ResultRecord
    labels: Path
    uncertainty: Path | None
    images: dict[str, Path]
    brain_mask: Path | None = None
    fingerprints: dict[str, str] = field(default_factory=dict)


class SegmentJob(CoreJob):
    """One segmentation; ``on_progress``, then one of ``on_done``, ``on_failed`` (an exception) is called.

    ``show`` makes nodes of the files, step by step, and returns what ``on_done`` gets.
    """

    def __init__(
        self,
        case: SlicerCase,
        options: Options,
        *,
        show: Callable[[ResultFiles], Generator[None, None, Any]],
        on_progress: Callable[[Progress], None],
        on_done: Callable[[Any], None],
        on_failed: Callable[[Exception], None],
    ) -> None:
        folder = new_workplace()
        plan = Plan(timings.expected(case, options), time.monotonic())
        super().__init__(folder, folder / "out" / ".run", on_failed, plan, on_progress)
        self.case, self.options = case, options
        self._show_files, self._on_done = show, on_done
        self._out = folder / "out"
        self._fingerprints: dict[str, str] = {}

    def cancel(self) -> None:
        if self.child is not None and self.child.is_running:
            self._on_progress(Progress(_("Canceling")))
        super().cancel()

    def _check(self) -> None:
        self.case.refuse_unusable()

    def _sending(self) -> Steps:
        images, writes = yield from self.case.writes(self._folder)
        yield lambda: self._write(writes)
        return ["segment", "--out", str(self._out), *images, *self.options.arguments()]

    def _write(self, writes: list[Write]) -> None:
        """In a thread of its own."""
        if not self._write_each(writes):
            return
        files = {key: self._folder / f"{key}.nii" for key in self.case.volumes}
        reference = files[self.case.reference_key]
        self._fingerprints = {key: fingerprint(file, reference) for key, file in files.items()}

    def _waiting(self, arguments: list[str], environment: dict[str, str]) -> subprocess.Popen | None:
        return STANDBY.take(arguments, environment)

    def _receive(self) -> None:
        self._show(self._shown_in_steps(self._files()), self._shown)

    def _shown_in_steps(self, files: ResultFiles) -> Steps:
        """The images that the core was given go one at a time: all at once would hold up Slicer."""
        for image in self._folder.glob("*.nii"):
            with suppress(OSError):
                image.unlink()
            yield
        return (yield from self._show_files(files))

    def _shown(self, node: Any) -> None:
        assert self._plan is not None
        timings.remember(self.case, self.options, self._plan.took)
        STANDBY.prepare()  # who has applied once will do so again
        self._on_done(node)

    def _files(self) -> ResultFiles:
        stem = f"{CASE_ID}-voxmmsd"
        record_file = self._out / f"{stem}.json"
        if not record_file.is_file():
            assert self.child is not None
            raise self.child.why(0)
        beside = {name: self._out / f"{stem}-{name}.nii.gz" for name in ("uncertainty", "brain-mask", *MODALITIES)}
        there = {name: file for name, file in beside.items() if file.is_file()}
        return ResultFiles(
            record=read_result_record(record_file),
            labels=self._out / f"{stem}.nii.gz",
            uncertainty=there.get("uncertainty"),
            images={key: file for key, file in there.items() if key in MODALITIES},
            brain_mask=there.get("brain-mask"),
            fingerprints=self._fingerprints,
        )
