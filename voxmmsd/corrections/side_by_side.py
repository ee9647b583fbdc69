"""Segment a case of the library with two models, for a blinded comparison by an expert."""

from __future__ import annotations

from collections.abc import Iterator

from voxmmsd.corrections.blinded import Pair, SameLabelsError, offer_pair, pairs
from voxmmsd.data.reading import read_case
from voxmmsd.data.volume import Volume
from voxmmsd.errors import LibraryError
from voxmmsd.inference.engines import open_engine
from voxmmsd.inference.predict import predict
from voxmmsd.labels import known_indices, schema_named
from voxmmsd.library.folder import Library
from voxmmsd.library.records import ACCEPTED, LibraryCase
from voxmmsd.models.learned import has_learned
from voxmmsd.models.package import ModelPackage


def side_by_side(library: Library, old: ModelPackage, new: ModelPackage, case_id: str = "") -> Pair:
    """Segment ``case_id``, by default the next case without an expert label that neither model was trained on.

    Raises:
        LibraryError: there is none, or both models say the same of it.
    """
    for case in [library.case(case_id)] if case_id else _new_cases(library, old, new):
        said = {package.info.id: _said(library, case, package, new.info.schema) for package in (old, new)}
        try:
            return offer_pair(library, case.id, said, new.info.schema)
        except SameLabelsError:
            if case_id:
                raise
    raise LibraryError(
        f"{library.folder}: holds no case that is new to both models and of which they differ",
        "add some with `voxmmsd library add`, or name one with --case",
    )


def _new_cases(library: Library, old: ModelPackage, new: ModelPackage) -> Iterator[LibraryCase]:
    models = {old.info.id, new.info.id}
    seen = {pair.case_id for pair in pairs(library) if pair.models == models}
    for case in library.cases():
        if case.id in seen or case.state == ACCEPTED:
            continue
        if not any(has_learned(package, library.as_case(case)) for package in (old, new)):
            yield case


def _said(library: Library, case: LibraryCase, package: ModelPackage, schema: str) -> Volume:
    """Class indices of ``schema``; a tissue that it lacks becomes background."""
    prediction = predict(read_case(library.as_case(case)), package, open_engine(package, device="cpu"))
    return Volume(known_indices(prediction.label_zyx, prediction.schema, schema_named(schema)), prediction.grid)
