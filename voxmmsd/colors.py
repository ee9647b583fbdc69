"""Colors of tissues, regions and lines of charts, sRGB."""

from __future__ import annotations

# Told apart by everybody, also in protanopia, deuteranopia and tritanopia: Testing/Core/test_labels.py measures it.
YELLOW, BLUE, ORANGE, GREEN, PINK = (240, 228, 66), (30, 90, 200), (230, 97, 0), (0, 180, 130), (225, 160, 215)

LINE_COLORS = (BLUE, ORANGE, GREEN, PINK, (0, 0, 80), (120, 80, 80), (40, 0, 0))
"""sRGB colors of a chart's lines and dots in their order, on a light ground; told apart by everybody, too."""

REGION_COLORS = {"WT": (242, 255, 242), "TC": (160, 0, 0)}
"""sRGB colors of the outlines of regions that are made of several tissues, over these in their own colors; beside those
of all tissues only near-white and dark ones are left that everybody tells apart."""

BRAIN_COLOR = (64, 200, 255)
"""sRGB color of the outline of a brain mask: it lies over a head in gray, around all tissues."""
