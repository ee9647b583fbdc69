"""``make screenshots``: each panel at 400 px, and the panel beside Slicer's own slice and 3-D views of a case.

A case's folder and a model may be named (``CASE=... MODEL=...``); by default a phantom and the tests' toy model. The
segmentation shown is the model's own, made by the real child process.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from PySide6 import QtWidgets

from headless_slicer import grounds, host, train_screenshots

SIDE = 545  # pixels of one view: two are as high as the panel


def main() -> None:
    options = _options()
    os.environ["VOXMMSD_HOME"] = tempfile.mkdtemp(prefix="voxmmsd-home-")
    slicer = host.start()
    QtWidgets.QApplication.setPalette(grounds.palette("dark" if options.dark else "light"))
    sys.path.insert(0, str(host.REPOSITORY / "Testing" / "Slicer"))
    host.load_module("VoxMMSDSegment")
    volumes = _volumes(options.case)
    panel = host.open_widget("VoxMMSDSegment")
    _choose(panel, volumes, options.model)
    out = Path(options.out)
    host.picture(panel.parent, out / "segment.png", height=640)
    panel.ui.applyButton.click()
    host.wait_until(lambda: panel.segment_tab.job is None or "Segmenting" in panel.ui.stageLabel.text, 3000)
    host.picture(panel.parent, out / "running.png", height=640)
    host.wait_until(lambda: panel.segment_tab.job is None, 3000)
    if panel.parameters.result is None:
        raise SystemExit(f"{panel.ui.errorLabel.text}\n{panel.ui.logText.plainText}")
    panel.ui.libraryPath.currentPath = "/data/training-library"
    panel.ui.nextPlaceButton.click()
    host.picture(panel.parent, out / "review.png")
    _compose(out / "review.png", _views(slicer, panel, volumes), out / "slicer.png")
    panel.ui.overlayCheck.click()
    slices = _views(slicer, panel, volumes)
    _compose(None, [slices[0], *slices[2:]], out / "uncertainty.png")
    panel.cleanup()
    _train_panel(out)
    print(*sorted(str(file) for file in out.glob("*.png")), sep="\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", help="folder of the pictures")
    parser.add_argument("--case", default="", help="folder of a case; default: a phantom")
    parser.add_argument("--model", default="", help="model package, zip or run; default: the tests' toy model")
    parser.add_argument("--dark", action="store_true", help="on a dark ground")
    return parser.parse_args()


def _volumes(case: str) -> dict[str, Any]:
    import slicer

    if not case:
        from phantom_case import add_volumes, phantom

        return add_volumes(phantom(7, 96), prefix="phantom")
    from voxmmsd.data.cases import find_cases

    found = find_cases(Path(case)).cases[0]
    return {key: slicer.util.loadVolume(str(source.path)) for key, source in found.modalities.items()}


def _choose(panel: Any, volumes: dict[str, Any], model: str) -> None:
    from phantom_case import TOY_MODEL

    from voxmmsd.models.registry import accept, resolve_model

    accept(resolve_model(model or str(TOY_MODEL)), force=True)
    panel.segment_tab.models.refresh("")
    for key, node in volumes.items():
        setattr(panel.parameters, key, node)
    panel.segment_tab.look_now()


def _views(slicer: Any, panel: Any, volumes: dict[str, Any]) -> list[Any]:
    from headless_slicer.views import draw_3d, draw_slice

    result, background = panel.parameters.result, volumes.get("t1c") or next(iter(volumes.values()))
    for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
        composite.SetBackgroundVolumeID(background.GetID())
    result.GetDisplayNode().SetVisibility(not panel.ui.overlayCheck.checked)
    result.GetDisplayNode().SetOpacity2DFill(0.5)
    place = _middle(result, background)
    views = [draw_slice(name, place, (SIDE, SIDE)) for name in ("Red", "Yellow", "Green")]
    result.CreateClosedSurfaceRepresentation()
    for segment_id, opacity in (("ED", 0.25), ("SNFH", 0.25)):
        if result.GetSegmentation().GetSegment(segment_id):
            result.GetDisplayNode().SetSegmentOpacity3D(segment_id, opacity)
    return [views[0], draw_3d((SIDE, SIDE)), views[1], views[2]]


def _middle(result: Any, reference: Any) -> tuple[float, float, float]:
    """The middle of the tumor core, or of all there is."""
    import numpy as np

    from VoxMMSDLib.segments import label_array, schema_of
    from VoxMMSDLib.volumes import core_volume

    label = label_array(result, reference)
    core = next(region for region in schema_of(result).regions if region.key == "TC")
    inside = np.isin(label, core.values)
    inside = inside if inside.any() else label > 0
    index = np.argwhere(inside).mean(axis=0) if inside.any() else np.array(label.shape) / 2
    return tuple(float(v) for v in (core_volume(reference).grid.affine_zyx @ [*index, 1])[:3])


def _compose(panel: Path | None, views: list[Any], file: Path) -> None:
    """Panel at the left, views in two columns at its right."""
    import numpy as np
    from PIL import Image

    columns = 2 if len(views) == 4 else len(views)
    rows = [np.concatenate(views[i : i + columns], axis=1) for i in range(0, len(views), columns)]
    grid = Image.fromarray(np.concatenate(rows))
    left = Image.open(panel).convert("RGB") if panel else Image.new("RGB", (0, grid.height))
    whole = Image.new("RGB", (left.width + grid.width, max(left.height, grid.height)), (40, 40, 40))
    whole.paste(left, (0, 0))
    whole.paste(grid, (left.width, 0))
    whole.save(file)


def _train_panel(out: Path) -> None:
    """The training module's tabs, with what real runs left in a home of their own."""
    home = Path(tempfile.mkdtemp(prefix="voxmmsd-home-"))
    os.environ["VOXMMSD_HOME"] = str(home)
    train_screenshots.picture_tabs(out, home)


if __name__ == "__main__":
    main()
