"""The core's sentences in the panel's words."""

from __future__ import annotations

import re

from voxmmsd.labels import MODALITIES, MODALITY_NAMES
from VoxMMSDSegmentLib.case import CASE_ID


def in_panel_words(text: str) -> str:
    """With the names that the panel has for the modalities, and without the id that a case has for the core only."""
    named = re.sub(rf"\b({'|'.join(MODALITIES)})\b", lambda match: MODALITY_NAMES[match[0]], text)
    return named.replace(f"case {CASE_ID}: ", "")
