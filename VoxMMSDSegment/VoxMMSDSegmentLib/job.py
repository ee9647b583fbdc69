"""One segmentation on its way: inputs written, the child followed, its files handed over, everything cleared away."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import slicer
from slicer.i18n import tr as _

from voxmmsd.errors import Cancelled, VoxMMSDError
from voxmmsd.labels import MODALITIES
from voxmmsd.runs.folder import in_words
from VoxMMSDLib.child import Child
from VoxMMSDLib.workplace import new_workplace, remove, scratch_in
from VoxMMSDSegmentLib.case import CASE_ID, SlicerCase


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
        given += ["--smallest", *self.smallest] * bool(self.smallest)
        switches = ("tta", "uncertainty", "intermediates", "force")
        return given + [f"--{name}" for name in switches if getattr(self, name)]


@dataclass(frozen=True)
class ResultFiles:
    """What the core has written: ``record`` is the result's JSON.

    ``images``: modality -> as it was segmented, where it was aligned or resampled; ``brain_mask``: where it was made.
    """

    record: dict
    labels: Path
    uncertainty: Path | None
    images: dict[str, Path]
    brain_mask: Path | None = None


@dataclass(frozen=True)
class Progress:
    """``share`` of the work, 0 to 1, or None where it cannot be told yet."""

    stage: str
    share: float | None = None
    seconds_left: float | None = None

    def line(self) -> str:
        return self.stage + (f", {in_words(self.seconds_left)}" if self.seconds_left is not None else "")


class SegmentJob:
    """Runs beside Slicer; ``on_progress``, then one of ``on_done``, ``on_failed`` (an exception) is called."""

    def __init__(
        self,
        case: SlicerCase,
        options: Options,
        *,
        on_progress: Callable[[Progress], None],
        on_done: Callable[[ResultFiles], None],
        on_failed: Callable[[Exception], None],
    ) -> None:
        self.case, self.options = case, options
        self._on_progress, self._on_done, self._on_failed = on_progress, on_done, on_failed
        self._folder = new_workplace()
        slicer.app.connect("aboutToQuit()", self.close)
        self._out = self._folder / "out"
        self._windows_since: float | None = None
        self.child: Child | None = None

    @property
    def log(self) -> str:
        return self.child.log if self.child else ""

    def start(self) -> None:
        """Write the inputs and start the child.

        Raises:
            InputError: an image cannot be written.
        """
        try:
            images = self.case.export(self._folder)
            arguments = ["segment", "--out", str(self._out), *images, *self.options.arguments()]
            self.child = Child(arguments, self._out / ".run", self._on_events, self._on_end, scratch_in(self._folder))
            self.child.start()
        except Exception:
            self._clear()
            raise
        self._on_progress(Progress(_("Starting")))

    def cancel(self) -> None:
        """Stop at once: nothing of an unfinished segmentation is of use."""
        if self.child is not None and self.child.is_running:
            self._on_progress(Progress(_("Cancelling")))
            self.child.cancel()

    def close(self) -> None:
        """End without a word to anybody: the panel or Slicer goes."""
        if self.child is not None:
            self.child.close()
        self._clear()

    def _on_events(self, events: list[dict]) -> None:
        for event in events:
            if event["kind"] == "progress" and not self.child.is_cancelled:
                self._on_progress(self._progress(event))

    def _progress(self, event: dict) -> Progress:
        done, total = event.get("done"), event.get("total")
        if not total:
            return Progress(_STAGES.get(event.get("stage", ""), _("Working")))
        now = float(event["time"])
        self._windows_since = self._windows_since or now
        left = (now - self._windows_since) / done * (total - done) if done and now > self._windows_since else None
        return Progress(_("Segmenting"), done / total, left)

    def _on_end(self, code: int) -> None:
        try:
            if self.child.is_cancelled:
                raise Cancelled(_("cancelled"))
            if code:
                raise VoxMMSDError(self.child.error or self._last_words(code))
            files = self._files()
        except (VoxMMSDError, Cancelled) as error:
            self._clear()
            self._on_failed(error)
            return
        try:
            self._on_done(files)
        finally:
            self._clear()

    def _files(self) -> ResultFiles:
        stem = f"{CASE_ID}-voxmmsd"
        record_file = self._out / f"{stem}.json"
        if not record_file.is_file():
            raise VoxMMSDError(self.child.error or self._last_words(0))
        beside = {name: self._out / f"{stem}-{name}.nii.gz" for name in ("uncertainty", "brain-mask", *MODALITIES)}
        there = {name: file for name, file in beside.items() if file.is_file()}
        return ResultFiles(
            record=json.loads(record_file.read_text(encoding="utf-8")),
            labels=self._out / f"{stem}.nii.gz",
            uncertainty=there.get("uncertainty"),
            images={key: file for key, file in there.items() if key in MODALITIES},
            brain_mask=there.get("brain-mask"),
        )

    def _last_words(self, code: int) -> str:
        lines = [line for line in self.child.log.splitlines() if line.strip()]
        said = lines[-1] if lines else _("it printed nothing")
        return _("the segmentation ended without a result (exit {code}): {said}; see the log").format(
            code=code, said=said
        )

    def _clear(self) -> None:
        slicer.app.disconnect("aboutToQuit()", self.close)
        remove(self._folder)


_STAGES = {
    "reading": _("Reading the images"),
    "aligning": _("Aligning the images"),
    "stripping": _("Looking for the brain"),
    "writing": _("Writing the result"),
}
