"""What marks doubt in the views has no tissue's color, for whatever eyes."""

import ast
from pathlib import Path

from color_vision import VISIONS, difference, lab

from voxmmsd.labels import SCHEMAS

PLACES = Path(__file__).parents[2] / "VoxMMSDSegment" / "VoxMMSDSegmentLib" / "places.py"
OCCURRING = (0.35, 0.45, 0.58, 0.8)  # entropies that are shown at the threshold offered


def constants():
    """The table's id and the window, read off the source: the module itself needs Slicer."""
    found = {}
    for node in ast.parse(PLACES.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign):
            for target, value in zip(_names(node.targets[0]), _values(node.value), strict=True):
                found[target] = value
    return found


def _names(target):
    return [name.id for name in target.elts] if isinstance(target, ast.Tuple) else [target.id]


def _values(value):
    try:
        written = ast.literal_eval(value)
    except ValueError:
        return [None] * (len(value.elts) if isinstance(value, ast.Tuple) else 1)
    return list(written) if isinstance(value, ast.Tuple) and isinstance(written[0], str) else [written]


def shown(entropy, window):
    """As Slicer's table Magenta has it: from black to full magenta over the window."""
    part = min(1.0, max(0.0, (entropy - window[0]) / (window[1] - window[0])))
    return (255 * part, 0, 255 * part)


def test_the_overlay_has_no_tissues_color():
    known = constants()
    assert known["UNSURE_COLORS"] == "vtkMRMLColorTableNodeMagenta"
    tissues = {label.color for schema in SCHEMAS.values() for label in schema.labels}
    for entropy in OCCURRING:
        color = shown(entropy, known["UNSURE_WINDOW"])
        least = {
            vision: min(difference(lab(color, vision), lab(tissue, vision)) for tissue in tissues) for vision in VISIONS
        }
        assert least["usual"] > 20
        assert min(least.values()) > 9
