"""One segmentation on its way: inputs written, the child followed, its files handed over, everything cleared away."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from voxmmsd.errors import Canceled, VoxMMSDError
from voxmmsd.labels import MODALITIES
from voxmmsd.records.result import ResultRecord, read_result_record
from VoxMMSDLib.background import Background, Slices
from VoxMMSDLib.child import Child
from VoxMMSDLib.volumes import Write, write_each
from VoxMMSDLib.workplace import new_workplace, remove, scratch_in
from VoxMMSDSegmentLib import pace
from VoxMMSDSegmentLib.case import CASE_ID, SlicerCase
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
        return given + [f"--{name}" for name in ("tta", "uncertainty", "force") if getattr(self, name)]


@dataclass(frozen=True)
class ResultFiles:
    """What the core has written: ``record`` is the result's JSON.

    ``images``: modality -> as it was segmented, where it was aligned or resampled; ``brain_mask``: where it was made.
    ``fingerprints``: modality -> by which the image that was given is known again.
    """

    record: ResultRecord
    labels: Path
    uncertainty: Path | None
    images: dict[str, Path]
    brain_mask: Path | None = None
    fingerprints: dict[str, str] = field(default_factory=dict)


class SegmentJob:
    """Runs beside Slicer; ``on_progress``, then one of ``on_done``, ``on_failed`` (an exception) is called.

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
        self.case, self.options = case, options
        self._show, self._on_progress, self._on_done, self._on_failed = show, on_progress, on_done, on_failed
        self._folder = new_workplace()
        slicer.app.connect("aboutToQuit()", self.close)
        self._out = self._folder / "out"
        self._plan = Plan(pace.expected(case, options), time.monotonic())
        self._is_cleared = False
        self._fingerprints: dict[str, str] = {}
        self._writing: Background | None = None
        self._slices: Slices | None = None
        self.child: Child | None = None

    @property
    def log(self) -> str:
        return self.child.log if self.child else ""

    def start(self) -> None:
        """Take the images out of the scene; they are written, and the child is started, beside Slicer.

        Raises:
            InputError: an image cannot be used.
        """
        try:
            self.case.refuse_unusable()
        except Exception:
            self._clear()
            raise
        self._slices = Slices(self.case.writes(self._folder), self._write_all, self._fail).start()
        self._tell()

    def cancel(self) -> None:
        """Stop at once: nothing of an unfinished segmentation is of use."""
        if self.child is not None and self.child.is_running:
            self._on_progress(Progress(_("Canceling")))
            self.child.cancel()
            return
        self._fail(Canceled(_("canceled")))

    def close(self) -> None:
        """End without a word to anybody: the panel or Slicer goes."""
        if self.child is not None:
            self.child.close()
        self._clear()

    def _write_all(self, taken: tuple[list[str], list[Write]]) -> None:
        images, writes = taken
        arguments = ["segment", "--out", str(self._out), *images, *self.options.arguments()]
        self._writing = Background(lambda: self._write(writes), lambda _: self._start_child(arguments), self._fail)
        self._writing.start()

    def _write(self, writes: list[Write]) -> None:
        """In a thread of its own."""
        if not write_each(writes, lambda: self._is_cleared):
            return
        files = {key: self._folder / f"{key}.nii" for key in self.case.volumes}
        reference = files[self.case.reference_key]
        self._fingerprints = {key: fingerprint(file, reference) for key, file in files.items()}

    def _start_child(self, arguments: list[str]) -> None:
        self._plan.begin("starting", time.monotonic())
        self.child = Child(arguments, self._out / ".run", self._on_events, self._on_end, scratch_in(self._folder))
        try:
            self.child.start()
        except VoxMMSDError as error:
            self._fail(error)
            return
        self._tell()

    def _on_events(self, events: list[dict]) -> None:
        self._plan.follow(events, time.monotonic())
        if not self.child.is_canceled:
            self._tell()

    def _tell(self) -> None:
        self._on_progress(self._plan.at(time.monotonic()))

    def _on_end(self, code: int) -> None:
        try:
            if self.child.is_canceled:
                raise Canceled(_("canceled"))
            if code:
                raise self.child.why(code)
            files = self._files()
        except (VoxMMSDError, Canceled) as error:
            self._fail(error)
            return
        self._plan.begin("showing", time.monotonic())
        self._tell()
        self._slices = Slices(self._shown_in_steps(files), self._shown, self._fail).start()

    def _shown_in_steps(self, files: ResultFiles) -> Generator[None, None, Any]:
        """The images that the core was given go one at a time: all at once would hold up Slicer."""
        for image in self._folder.glob("*.nii"):
            with suppress(OSError):
                image.unlink()
            yield
        return (yield from self._show(files))

    def _shown(self, node: Any) -> None:
        self._plan.end(time.monotonic())
        pace.remember(self.case, self.options, self._plan.took)
        self._clear()
        self._on_done(node)

    def _fail(self, error: Exception) -> None:
        self._clear()
        self._on_failed(error)

    def _files(self) -> ResultFiles:
        stem = f"{CASE_ID}-voxmmsd"
        record_file = self._out / f"{stem}.json"
        if not record_file.is_file():
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

    def _clear(self) -> None:
        self._is_cleared = True
        if self._slices is not None:
            self._slices.stop()
        if self._writing is not None:
            self._writing.end()  # or it would write an image of the patient after all was removed
        slicer.app.disconnect("aboutToQuit()", self.close)
        remove(self._folder)
