"""Edits on their way through a volume: the core's ``refine`` is given the labels, and its own become the segments.

The first carry of a case writes its images and lets the core compute the network's features, which are kept in the
case's folder until the case or the scene is closed: later ones take seconds. They are not computed before somebody
wants them, since they take both cores and more than a gigabyte while the user paints.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Collection, Generator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slicer.i18n import tr as _

from voxmmsd.errors import InputError
from voxmmsd.labels import MODALITIES, MODALITY_NAMES
from voxmmsd.records.result import ModelUsed, ResultRecord, read_result_record
from VoxMMSDLib.background import Steps, at_once
from VoxMMSDLib.segments import MODEL, SCHEMA, Frame, Part, common_box, label_array, schema_of, segments_by_value
from VoxMMSDLib.standby import STANDBY
from VoxMMSDLib.volumes import Write, array_write, ijk_to_world, voxel_ml
from VoxMMSDSegmentLib import timings
from VoxMMSDSegmentLib.case import CASE_ID
from VoxMMSDSegmentLib.case_folders import CaseFolder
from VoxMMSDSegmentLib.core_job import CoreJob
from VoxMMSDSegmentLib.fingerprints import fingerprint
from VoxMMSDSegmentLib.places import changed_places
from VoxMMSDSegmentLib.progress import Plan, Progress
from VoxMMSDSegmentLib.result import input_of, step_of
from VoxMMSDSegmentLib.rounds import (
    FINGERPRINTS,
    ROUND,
    WEIGHTS,
    About,
    Base,
    add_round,
    base_of,
    forget_before,
    keep_before,
    packed,
    tag_round,
)
from VoxMMSDSegmentLib.saving import image_writes, reference_in_scene, refuse_gone

if TYPE_CHECKING:
    import numpy as np

STEM = f"{CASE_ID}-voxmmsd"


@dataclass(frozen=True)
class _Carried:
    """What the core has made of the labels that it was sent; label values uint8 ``(z, y, x)``."""

    label: np.ndarray
    packed: np.ndarray  # with origins, as it is kept
    about: About


class CarryJob(CoreJob):
    """One carry; ``on_progress``, then one of ``on_done`` (the carry's number), ``on_failed`` is called.

    ``save_state``: lets the segment editor keep the segments as they are, once, right before they change.
    """

    def __init__(
        self,
        result: Any,
        case: CaseFolder,
        locked: tuple[str, ...],
        *,
        save_state: Callable[[], None],
        on_progress: Callable[[Progress], None],
        on_done: Callable[[int], None],
        on_failed: Callable[[Exception], None],
    ) -> None:
        place = case.folder / "carry"
        plan = Plan(timings.expected_carry(is_first=not case.has_features), time.monotonic())
        super().__init__(place, place / "out" / ".run", on_failed, plan, on_progress)
        self.result, self.case, self._locked = result, case, locked
        self._save_state, self._on_done = save_state, on_done
        self._sent: np.ndarray  # as these, once ``_sending`` has begun
        self._base: Base
        self._is_applying = False

    def cancel(self) -> None:
        """The segments stay as they are. Once they are being changed, it is too late."""
        if not self._is_applying:
            super().cancel()

    # To the core

    def _sending(self) -> Steps:
        """Labels and, once for a case, its images out of the scene and to files; the core's arguments."""
        result, case = self.result, self.case
        reference = reference_in_scene(result)
        base = base_of(result, reference)
        if base is None:
            raise _base_is_gone(result)
        self._base, self._sent = base, label_array(result, reference)
        arguments = ["refine", str(self._folder / f"{STEM}.nii.gz"), "--edited", str(self._folder / "edited.nii")]
        arguments += ["--out", str(self._folder / "out"), "--features", str(case.features)]
        arguments += ["--locked", *self._locked] * bool(self._locked)
        yield
        images: dict[str, Path] = {}
        writes: list[Write] = []
        if not case.has_features:
            images, mask, writes = yield from image_writes(result, reference, self._folder)
            arguments += ["--case", str(next(iter(images.values())).parent)]
            arguments += ["--brain-mask", str(mask)] if mask else []
        scene = _SceneRecord.of(result, reference, images)
        affine = ijk_to_world(reference)
        yield lambda: self._write(writes, images, scene, affine)
        return arguments

    def _write(self, writes: list[Write], images: dict[str, Path], scene: _SceneRecord, affine_xyz: np.ndarray) -> None:
        """In a thread of its own."""
        base, sent = self._base, self._sent
        if (sent == base.label).all():
            raise InputError(_("no voxel was changed"), _("paint a correction first"))
        self._folder.mkdir(exist_ok=True)
        if not self._write_each(writes):
            return
        if images:
            scene.refuse_changed(images)
            self.case.inputs = _hashes(images)
        name, labels = self.result.GetName(), self._folder / f"{STEM}.nii.gz"
        origin = self._folder / f"{STEM}_origin.nii.gz"
        array_write(base.label, affine_xyz, labels, name)()
        array_write(sent, affine_xyz, self._folder / "edited.nii", name)()
        if base.refined:
            array_write(base.origin, affine_xyz, origin, name)()
        scene.record(base, labels, origin, self.case.inputs).write(self._folder / f"{STEM}.json")

    def _waiting(self, arguments: list[str], environment: dict[str, str]) -> subprocess.Popen | None:
        return STANDBY.take(arguments, environment)

    # And back

    def _receive(self) -> None:
        self._show(self._applying(), self._applied)

    def _applying(self) -> Steps:
        result, reference = self.result, reference_in_scene(self.result)
        schema, voxel, affine = schema_of(result), voxel_ml(reference), ijk_to_world(reference)
        carried: _Carried = yield lambda: self._read(schema, voxel, affine)
        forget_before(result)
        yield
        before = keep_before(result)
        yield
        number = add_round(result, carried.packed, carried.about, reference)
        before.SetAttribute(ROUND, str(number))
        yield
        self._is_applying = True
        changes = yield from self._changes_from(carried.label)
        self._save_state()  # and the first segment, before another stroke can end
        yield from _whole(_put(result, reference, changes), lambda: tag_round(result, number))
        return number

    def _changes_from(self, carried: np.ndarray) -> Steps:
        """Computed beside Slicer, again where a stroke has ended meanwhile."""
        import numpy as np

        now = label_array(self.result, reference_in_scene(self.result))
        while True:
            changes = yield partial(_changes, carried, self._sent, now)
            then, now = now, label_array(self.result, reference_in_scene(self.result))
            if np.array_equal(then, now):
                return changes

    def _read(self, schema: Any, voxel: float, affine_xyz: np.ndarray) -> _Carried:
        """In a thread of its own."""
        import numpy as np

        from voxmmsd.data.formats.sources import Source, read_volume
        from voxmmsd.refine.verb import LOW_AGREEMENT

        out = self._folder / "out"
        label, origin = (
            np.asarray(read_volume(Source(out / name)).array).astype(np.uint8)
            for name in (f"{STEM}.nii.gz", f"{STEM}_origin.nii.gz")
        )
        refined = read_result_record(out / f"{STEM}.json").refined
        assert refined is not None  # it is a record of ``refine``

        def volume(labels: np.ndarray, value: int) -> float:
            return float((labels == value).sum()) * voxel

        ml = {one.key: (volume(self._sent, one.value), volume(label, one.value)) for one in schema.labels}
        places = changed_places(self._sent, label, affine_xyz, voxel, schema)
        about = About(refined, refined.agreement < LOW_AGREEMENT, ml, tuple(places))
        return _Carried(label, packed(label, origin), about)

    def _applied(self, number: int) -> None:
        assert self._plan is not None
        timings.remember_carry(self._plan.took)
        self._on_done(number)


@dataclass(frozen=True)
class _SceneRecord:
    """What the scene holds of a result, taken before a thread writes its record."""

    schema: str
    model: str
    weights: str
    reference: str
    fingerprints: dict[str, str]

    @classmethod
    def of(cls, result: Any, reference: Any, images: dict[str, Path]) -> _SceneRecord:
        known = json.loads(result.GetAttribute(FINGERPRINTS) or "{}")
        if images:
            refuse_gone(result, images)
        own = {key: known[key] for key in images if key in known and step_of(result, key) is None}
        modality = _modality_of(result, reference)
        model, weights = result.GetAttribute(MODEL), result.GetAttribute(WEIGHTS) or ""
        return cls(result.GetAttribute(SCHEMA), model, weights, modality, own)

    def refuse_changed(self, images: dict[str, Path]) -> None:
        """Raises InputError: an image is another one than that which was segmented."""
        for key, expected in self.fingerprints.items():
            if self.reference in images and fingerprint(images[key], images[self.reference]) != expected:
                raise InputError(
                    _("{name} has changed since this result was made from it").format(name=MODALITY_NAMES[key]),
                    _("restore it, or segment the images again"),
                )

    def record(self, base: Base, labels: Path, origin: Path, inputs: dict[str, str]) -> ResultRecord:
        """A result's record, as the core reads it."""
        from voxmmsd.files import sha256_of

        return ResultRecord(
            case=CASE_ID,
            schema=self.schema,
            model=ModelUsed(self.model, weights_sha256=self.weights or _weights_of(self.model)),
            reference=self.reference,
            inputs=inputs,
            sha256=sha256_of(labels),
            refined=replace(base.refined, origin_sha256=sha256_of(origin)) if base.refined else None,
        )


def _modality_of(result: Any, reference: Any) -> str:
    return next((key for key in MODALITIES if input_of(result, key) is reference), "")


def _weights_of(model_id: str) -> str:
    """Of a result that does not say which weights it was made by: those that the model has now."""
    from voxmmsd.models.package import WEIGHTS as FILE
    from voxmmsd.models.registry import resolve_model

    return resolve_model(model_id).info.files[FILE]


def _hashes(images: dict[str, Path]) -> dict[str, str]:
    from voxmmsd.data.formats.sources import Source, source_sha256

    return {key: source_sha256(Source(file)) for key, file in images.items()}


def _base_is_gone(result: Any) -> InputError:
    return InputError(
        _("{name}: the labels that it was edited from are no longer in the scene").format(name=result.GetName()),
        _("segment the images again"),
    )


@dataclass(frozen=True)
class _Changes:
    """Voxels to change in a box of the grid, bool ``(z, y, x)``; ``gained``: label value -> those that it gets."""

    start_zyx: tuple[int, int, int]
    changed: np.ndarray
    gained: dict[int, np.ndarray]

    def but(self, before: dict[str, Part], after: dict[str, Part]) -> _Changes:
        """Without the voxels in which one of the segments (id -> its voxels) has become another, has come or gone."""
        import numpy as np

        nothing = Part((0, 0, 0), np.zeros((0, 0, 0), bool))
        pairs = [(before.get(key, nothing), after.get(key, nothing)) for key in {**before, **after}]
        differ = [self._inside(one) != self._inside(other) for one, other in pairs]
        return self._without(np.logical_or.reduce([np.zeros_like(self.changed), *differ]))

    def gained_by(self, values: Collection[int]) -> _Changes:
        """Without the voxels that labels other than these were to gain: nobody would have them."""
        import numpy as np

        others = [mask for value, mask in self.gained.items() if value not in values]
        return self._without(np.logical_or.reduce([np.zeros_like(self.changed), *others]))

    def _inside(self, part: Part) -> np.ndarray:
        return part.within(self.start_zyx, self.changed.shape)

    def _without(self, mask: np.ndarray) -> _Changes:
        gained = {value: own & ~mask for value, own in self.gained.items()}
        return replace(self, changed=self.changed & ~mask, gained=gained)


def _changes(carried: np.ndarray, sent: np.ndarray, now: np.ndarray) -> _Changes:
    """What is to change: where the user painted while it was computed, the user's labels stay."""
    import numpy as np

    part = Part((0, 0, 0), (carried != sent) & (now == sent)).cropped()
    box = tuple(slice(s, s + n) for s, n in zip(part.start_zyx, part.array.shape, strict=True))
    inside, before = carried[box], sent[box]
    values = np.union1d(inside[part.array], before[part.array])
    gained = {int(value): part.array & (inside == value) for value in values if value}
    return _Changes(part.start_zyx, part.array, gained)


def _whole(puts: Generator[None, None, None], at_end: Callable[[], None]) -> Generator[None, None, None]:
    """All steps, and ``at_end``, also where the panel is closed between two of them; not where one of them fails."""
    try:
        for _step in puts:
            yield
    except GeneratorExit:
        at_once(puts)
        at_end()
        raise
    at_end()


def _put(result: Any, reference: Any, changes: _Changes) -> Generator[None, None, None]:
    """One segment a step: all that gain before any loses, so that each voxel has a tissue at any time. Of several
    segments with one label value, the first one gains what the label does.

    Where a stroke has ended between two steps, the voxels that it changed stay as they are from then on, and where a
    segment has gone, those that it would have gained.
    """
    frame = Frame(result, reference)
    by_value, now = segments_by_value(result), _parts(frame)
    changes = changes.gained_by(by_value)
    for loses in (False, True):
        for segment_id in tuple(now):
            if segment_id not in now:  # it has gone meanwhile
                continue
            gained = next((changes.gained.get(value) for value, ids in by_value.items() if ids[0] == segment_id), None)
            part = _changed(now[segment_id], changes, gained, loses=loses)
            if part is None:
                continue
            frame.put(segment_id, part)
            left = {**now, segment_id: part}
            yield
            by_value, now = segments_by_value(result), _parts(frame)
            changes = changes.but(left, now).gained_by(by_value)


def _parts(frame: Frame) -> dict[str, Part]:
    """The segments that have a label value: id -> where each is."""
    return {one: frame.part([one]) for ids in segments_by_value(frame.node).values() for one in ids}


def _changed(part: Part, changes: _Changes, gained: np.ndarray | None, *, loses: bool) -> Part | None:
    """A segment with the voxels that it gains, and without those that change where it ``loses`` them; None where it
    stays as it is."""
    if not changes.changed.size:
        return None
    box = Part(changes.start_zyx, changes.changed)
    start, shape = common_box([part, box])
    mask = part.within(start, shape)
    inside = mask[tuple(slice(own - first, own - first + n) for own, first, n
                        in zip(box.start_zyx, start, box.array.shape, strict=True))]  # fmt: skip
    wanted = (inside & ~changes.changed if loses else inside) | (gained if gained is not None else False)
    if (wanted == inside).all():
        return None
    inside[...] = wanted
    return Part(start, mask).cropped()
