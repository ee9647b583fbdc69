"""Colors of signs that can be read on a light panel and on a dark one."""

from __future__ import annotations

import qt

# On a light ground, on a dark ground: each at 4.5 to 1 or more, as WCAG asks of text.
_COLORS = {
    "blocking": ("#b03020", "#ff8a75"),
    "warning": ("#8a5a00", "#f0b44c"),
    "note": ("#4f5d6b", "#a9b8c6"),
    "fixed": ("#1e7a3c", "#6fd08f"),
}


def signal_color(sign: str, palette) -> str:
    """The color of a sign for the ground that ``palette`` has."""
    light, dark = _COLORS[sign]
    return dark if is_dark(palette) else light


def is_dark(palette) -> bool:
    return palette.color(qt.QPalette.Window).lightness() < 128
