"""A case in the scene with what two models made of it; the generators are works of ``background.Work``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from slicer.i18n import tr as _

from voxmmsd.errors import InputError
from voxmmsd.labels import LabelSchema, schema_named
from VoxMMSDLib.background import Steps
from VoxMMSDLib.one_patient import HIDDEN, mark_original
from VoxMMSDTrainLib.compared import Shown, outline
from VoxMMSDTrainLib.comparison import RunResult
from VoxMMSDTrainLib.labels import Labels, pieces_of, segmentation_of
from VoxMMSDTrainLib.library_case import OPENED, always, close_case, core_grid, load_images, show, shown_first

if TYPE_CHECKING:
    from voxmmsd.library import LibraryCase

OLD_COLOR, NEW_COLOR, EXPERT_COLOR = 0, 1, 2  # the models' as in the chart of the regions
FIRST_COLOR, SECOND_COLOR = 3, 2  # of a pair whose models nobody names: neither the old one's color nor the new one's


@dataclass(frozen=True)
class _Read:
    """What a thread read: the case, and its segmentations by title."""

    case: LibraryCase
    labels: Mapping[str, Labels]


def open_both(comparison: RunResult, library_folder: Path, case_id: str, is_seen: Callable[[], bool] = always) -> Steps:
    """Load a hold-out case with the segmentations of the old and the new model and the expert's, if there is one.

    What is to be ``Shown``; nothing where the user keeps corrections of the case before. ``is_seen``: as of
    ``library_case.open_case``.

    Raises:
        InputError: the run has no segmentations of the case.
        LibraryError: the library or its case is not there.
    """
    files = {
        title: comparison.folder / "comparison" / f"{case_id}-{key}.nii.gz"
        for title, key in ((_("old model"), "old"), (_("new model"), "new"))
    }
    if missing := [file for file in files.values() if not file.is_file()]:
        raise InputError(f"{missing[0]}: is not there", "compare the models again by a new run")
    schema = schema_named(comparison.schema)

    def read() -> _Read:
        from voxmmsd.library import open_library

        library = open_library(library_folder)
        case = library.case(case_id)
        labels = {title: _labels_of(file, schema) for title, file in files.items()}
        if case.accepted is not None:
            expert = library.read_label(case, case.accepted)
            labels[_("expert")] = pieces_of(expert.array, schema_named(case.accepted.schema), expert.grid)
        return _Read(case, labels)

    return (yield from _opened((yield read), (OLD_COLOR, NEW_COLOR, EXPERT_COLOR), is_seen))


def open_pair(library_folder: Path, is_seen: Callable[[], bool] = always) -> Steps:
    """Load the pair that waits for an answer, as first and second: its number, its case, and what is to be ``Shown``.

    Raises:
        LibraryError: no pair waits, or its case is gone.
    """

    def read() -> tuple[str, _Read]:
        from voxmmsd.corrections.blinded import pairs
        from voxmmsd.errors import LibraryError
        from voxmmsd.library import open_library

        library = open_library(library_folder)
        waiting = [pair for pair in pairs(library) if not pair.choice]
        if not waiting:
            raise LibraryError(_("No pair is waiting for an answer"), _("press Show a pair"))
        pair = waiting[-1]
        files = {_("first"): pair.first, _("second"): pair.second}
        schema = schema_named(pair.schema)
        return pair.number, _Read(
            library.case(pair.case_id), {title: _labels_of(file, schema) for title, file in files.items()}
        )

    number, found = yield read
    shown = yield from _opened(found, (FIRST_COLOR, SECOND_COLOR), is_seen)
    return number, found.case.id, shown


def _labels_of(file: Path, schema: LabelSchema) -> Labels:
    from voxmmsd.data.formats.sources import Source, read_volume
    from voxmmsd.labels import indices_from_values

    volume = read_volume(Source(file))
    return pieces_of(indices_from_values(volume.array, schema, str(file)), schema, volume.grid)


def _opened(found: _Read, colors: tuple[int, ...], is_seen: Callable[[], bool]) -> Steps:
    if not (yield from close_case()):
        return ()
    case_id = found.case.id
    volumes = yield from load_images(found.case, is_seen)
    is_in_views = yield from show(volumes, is_seen)
    shown = []
    for (title, labels), color in zip(found.labels.items(), colors, strict=False):
        fitting = [
            volume for volume in volumes.values() if labels.grid is not None and labels.grid.same_as(core_grid(volume))
        ]
        reference = (fitting or [shown_first(volumes)])[0]
        node = segmentation_of(labels, f"{case_id} {title}", reference, {OPENED: case_id}, is_shown=False)
        mark_original(node)
        shown.append(Shown(title, node, color))
        yield
        if not is_seen():
            node.SetAttribute(HIDDEN, "yes")
        outline(node, color, is_seen())  # here, a step for each, and not of all of them at the end
        yield
    if not is_in_views:  # the user may have come back
        yield from show(volumes, is_seen)
    return tuple(shown)
