"""The packages that write DICOM, loaded when they are needed, and identifiers that follow from what they name."""

from __future__ import annotations

import uuid
from typing import Any

from voxmmsd.errors import MissingDependencyError


def highdicom(what: str) -> Any:
    """The module highdicom, with ``seg`` and ``sr``.

    Raises:
        MissingDependencyError: it is not installed; ``what`` says what needs it.
    """
    try:
        import highdicom
        import highdicom.color
        import highdicom.seg
        import highdicom.sr
    except ImportError as error:
        raise MissingDependencyError(
            f"{what}: needs highdicom, which is not installed", "install it with pip install 'voxmmsd[dicom]'"
        ) from error
    return highdicom


def uid_of(*parts: str) -> str:
    """A UID below 2.25, the arc of UUIDs (ITU-T X.667): equal for equal ``parts``, and for no others."""
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, chr(0).join(('voxmmsd', *parts))).int}"
