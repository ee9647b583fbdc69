"""The three stages of a case: read and check, segment, write."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from voxmmsd.concurrency import both
from voxmmsd.data.brain_mask import WORDS
from voxmmsd.data.case import Case
from voxmmsd.data.formats.sources import source_sha256
from voxmmsd.data.preprocess import Prepared, Preprocess
from voxmmsd.data.reading import CaseVolumes, read_case, reading_options
from voxmmsd.data.volume import Volume
from voxmmsd.dicom_export.export import write_dicom
from voxmmsd.dicom_export.result import result_of
from voxmmsd.dicom_export.segmented import refuse_no_series, source_of
from voxmmsd.inference.clean_up import cleaned, parse_min_component
from voxmmsd.inference.config import SegmentConfig
from voxmmsd.inference.engines import HostEngine
from voxmmsd.inference.fallback import FallbackPredictor
from voxmmsd.inference.plausibility import check_result
from voxmmsd.inference.predict import Prediction
from voxmmsd.inference.results import withheld_error, write_intermediates, write_prediction
from voxmmsd.labels import MODALITIES, schema_named
from voxmmsd.models.package import ModelPackage
from voxmmsd.preflight.check import (
    check_choices,
    check_identity,
    check_images,
    check_operation,
    check_stripping,
    refuse,
)
from voxmmsd.records.findings import Finding, blocking, in_order
from voxmmsd.records.result import ResultRecord
from voxmmsd.runs import Run
from voxmmsd.terminal import progress_bar

FORCED = "the result is implausible; its labels were written only because --force was given"


@dataclass(frozen=True)
class ReadCase:
    """A case as read, its findings, what the network is given of it, and the seconds so far."""

    volumes: CaseVolumes
    findings: tuple[Finding, ...]
    prepared: Prepared
    seconds: float


@dataclass(frozen=True)
class ComputedCase:
    """The prediction for a case, the findings of its images and of the result, and the seconds so far."""

    prediction: Prediction
    findings: tuple[Finding, ...]
    of_result: tuple[Finding, ...]
    seconds: float


@dataclass
class Stages:
    """The three stages of a case; ``read`` and ``write`` run in their own threads, in parallel with ``compute``.

    ``at_once``: files are read side by side, and a case is prepared while it is checked.
    """

    config: SegmentConfig
    package: ModelPackage
    predictor: FallbackPredictor
    out: Path
    run: Run
    done: int = 0
    reported: set[str] = field(default_factory=set)
    at_once: bool = False

    def open(self) -> None:
        """Open the engine, which may happen while the first case is read."""
        self.run.say(f"model {self.package.info.id} on {self.predictor.engine.name}")

    def read(self, case: Case) -> ReadCase:
        started = time.monotonic()
        config = self.config
        self._begin("reading", case.id)
        if config.dicom_seg:
            refuse_no_series(case, config.reference)
        how = reading_options(
            align=config.align, brain_mask=config.brain_mask, from_scanner=config.from_scanner, n4=config.n4
        )
        volumes = read_case(
            case,
            config.reference or None,
            with_label=False,
            picture=self.out / f"{case.id}-voxmmsd-alignment.png" if how["aligned"] else None,
            on_stage=lambda stage: self._begin(stage, case.id),
            at_once=self.at_once,
            **how,
        )
        if config.dicom_seg:
            source_of(volumes)
        self.predictor.refuse_too_large(volumes)
        look = partial(look_first, volumes, self.package, postoperative=config.postoperative, force=config.force)
        findings, prepared = both(look, partial(prepare, volumes, self.package), self.at_once)
        return ReadCase(volumes, findings, prepared, time.monotonic() - started)

    def compute(self, case: Case, given: ReadCase) -> ComputedCase:
        self.run.stop_if_asked()
        self.run.progress(self.done, case.id)
        self.done += 1
        started = time.monotonic()
        self._say(case.id, given.findings)
        with progress_bar(desc=case.id, unit="window") as bar:

            def on_window(done: int, total: int) -> None:
                self.run.stop_if_asked()
                bar.total = total
                bar.update(done - bar.n)
                self.run.events.write("progress", case=case.id, stage="segmenting", done=done, total=total)

            if isinstance(self.predictor.engine, HostEngine):
                self.predictor.engine.stop_if_asked = self.run.stop_if_asked
            prediction = self.predictor.predict(given.volumes, prepared=given.prepared, progress=on_window)
        prediction = cleaned(prediction, parse_min_component(self.config.min_component, prediction.schema))
        for note in prediction.notes:
            self.run.say(f"{case.id}: {note}")
        of_result = check_result(prediction, given.findings)
        self._say(case.id, of_result)
        return ComputedCase(prediction, given.findings, of_result, given.seconds + time.monotonic() - started)

    def write(self, computed: ComputedCase) -> Path:
        self.run.events.write("progress", case=computed.prediction.case_id, stage="writing")
        findings = in_order((*computed.findings, *computed.of_result))
        prediction, withheld = computed.prediction, blocking(computed.of_result)
        if self.config.force and withheld:
            prediction, withheld = replace(prediction, notes=(*prediction.notes, FORCED)), ()
        made_mask = self.config.from_scanner or self.config.brain_mask in WORDS
        if self.config.save_intermediates:
            write_intermediates(prediction.volumes, self.out, made_mask=made_mask)
        if made_mask and (self.config.picture or self.config.save_intermediates):
            _draw_mask(prediction.volumes, self.out)
        if self.config.picture or withheld:
            _draw(prediction, self.out, [finding.text for finding in computed.of_result])
        # The record is written last: where it is, all is there.
        also = partial(self._write_dicom, prediction) if self.config.dicom_seg else None
        reading = self._reading(prediction.volumes.case)
        file = write_prediction(prediction, self.out, computed.seconds, findings, withheld, also, reading=reading)
        if withheld:
            raise withheld_error(prediction.case_id, [finding.line() for finding in withheld])
        return file

    def _reading(self, case: Case) -> dict[str, Any]:
        """How its images were read, for those who read them again: other calls may share the run's folder."""
        config = self.config
        mask = config.brain_mask if config.brain_mask in WORDS else ""
        if not mask and case.brain_mask is not None:
            mask = source_sha256(case.brain_mask)
        return {"align": config.align, "from_scanner": config.from_scanner, "n4": config.n4, "brain_mask": mask}

    def _write_dicom(self, prediction: Prediction, file: Path, record: ResultRecord) -> None:
        if not prediction.label_zyx.any():
            self.run.say(f"{prediction.case_id}: no DICOM SEG is written: it needs a segment, and no tumor was found")
            return
        result = result_of(file, record, refined=False)
        for remark in write_dicom(result, source_of(prediction.volumes), self.out, overwrite=True).remarks:
            self.run.say(f"{prediction.case_id}: {remark}")

    def _say(self, case_id: str, findings: tuple[Finding, ...]) -> None:
        """What to do about a kind of finding is said once, not for each case."""
        for finding in findings:
            line = finding.short_line() if finding.remedy in self.reported else finding.line()
            self.reported.add(finding.remedy)
            self.run.say(f"{case_id}: {line}")

    def _begin(self, stage: str, case_id: str) -> None:
        self.run.stop_if_asked()
        self.run.events.write("progress", case=case_id, stage=stage)


def look_first(
    volumes: CaseVolumes, package: ModelPackage, *, postoperative: bool = False, force: bool = False
) -> tuple[Finding, ...]:
    """Findings on a case as read; raises InputError if one is blocking and not overridden."""
    grid, case = volumes.image.grid, volumes.case
    given = {
        name: Volume(array, grid)
        for name, array, there in zip(MODALITIES, volumes.image.array, volumes.present, strict=True)
        if there
    }
    mask = None if volumes.brain_mask_zyx is None else Volume(volumes.brain_mask_zyx, grid)
    findings = in_order(
        (
            *check_identity(case),
            *check_choices(case),
            *check_operation(postoperative, schema_named(package.info.schema)),
            *check_images(case, given, grids=volumes.grids, mask=mask),
            *check_stripping(volumes),
        )
    )
    if not force:
        refuse(findings, case.id)
    return findings


def prepare(volumes: CaseVolumes, package: ModelPackage) -> Prepared:
    """The case as the package's network is given it; raises InputError where nothing is left inside the mask."""
    return Preprocess(package.info.preprocess).apply(volumes)


def _draw_mask(volumes: CaseVolumes, out: Path) -> None:
    from voxmmsd.evaluation.pictures import mask_picture

    if volumes.brain_mask_zyx is not None:
        head = Volume(volumes.image.array[MODALITIES.index(volumes.reference)], volumes.image.grid)
        file = out / f"{volumes.case.id}-voxmmsd-brain-mask.png"
        mask_picture(head, volumes.brain_mask_zyx, file, title=f"{volumes.case.id}: brain mask")


def _draw(prediction: Prediction, out: Path, remarks: Sequence[str]) -> None:
    from voxmmsd.evaluation.pictures import overlay_picture

    prepared = prediction.prepared
    overlay_picture(
        prepared.image_czyx,
        prepared.present,
        prediction.prepared_label_zyx,
        prediction.schema,
        prepared.grid,
        out / f"{prediction.case_id}-voxmmsd.png",
        title="\n".join((prediction.case_id, *remarks)),
    )
