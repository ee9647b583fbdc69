"""Slice and 3-D views drawn offscreen by Slicer's own logics and displayable managers; for pictures only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slicer
import vtk
import vtkmodules.vtkRenderingFreeType
import vtkmodules.vtkRenderingOpenGL2  # noqa: F401 - registers the OpenGL classes
from vtk.util.numpy_support import vtk_to_numpy

SLICE_MANAGERS = ("vtkMRMLSegmentationsDisplayableManager2D",)
THREED_MANAGERS = ("vtkMRMLSegmentationsDisplayableManager3D",)


def draw_slice(name: str, ras: tuple[float, float, float], size: tuple[int, int], zoom: float = 1.0) -> Any:
    """``(y, x, 3)`` uint8 of the slice view ``Red``, ``Yellow`` or ``Green`` through a place, background fitted."""
    node = slicer.mrmlScene.GetSingletonNode(name, "vtkMRMLSliceNode")
    node.SetDimensions(*size, 1)
    logic = slicer.vtkMRMLSliceLogic()
    logic.SetMRMLApplicationLogic(slicer.app.applicationLogic())
    logic.SetMRMLScene(slicer.mrmlScene)
    logic.SetSliceNode(node)
    logic.SetSliceCompositeNode(slicer.mrmlScene.GetSingletonNode(name, "vtkMRMLSliceCompositeNode"))
    logic.FitSliceToBackground(*size)
    node.SetFieldOfView(*(value / zoom for value in node.GetFieldOfView()[:2]), node.GetFieldOfView()[2])
    node.JumpSliceByOffsetting(*ras)
    logic.UpdatePipeline()
    image = vtk.vtkImageMapper()
    image.SetColorWindow(255)
    image.SetColorLevel(127.5)
    image.SetInputConnection(logic.GetImageDataConnection())
    background = vtk.vtkActor2D()
    background.SetMapper(image)
    window, renderer = _window(size)
    renderer.AddViewProp(background)
    over = vtk.vtkRenderer()
    window.SetNumberOfLayers(2)
    over.SetLayer(1)
    over.GetActiveCamera().SetParallelProjection(True)
    window.AddRenderer(over)
    group = _managers(slicer.vtkMRMLSliceViewDisplayableManagerFactory(), SLICE_MANAGERS, over, node)
    pixels = _pixels(window)
    del group
    return pixels


def draw_3d(size: tuple[int, int], turn: float = 30.0, rise: float = 15.0) -> Any:
    """``(y, x, 3)`` uint8 of the 3-D view: surfaces of the segmentations that are shown."""
    view = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLViewNode") or slicer.mrmlScene.AddNewNodeByClass(
        "vtkMRMLViewNode"
    )
    window, renderer = _window(size)
    renderer.SetGradientBackground(True)
    renderer.SetBackground(0.76, 0.76, 0.91)
    renderer.SetBackground2(0.45, 0.47, 0.75)
    group = _managers(slicer.vtkMRMLThreeDViewDisplayableManagerFactory(), THREED_MANAGERS, renderer, view)
    renderer.ResetCamera()
    camera = renderer.GetActiveCamera()
    middle = camera.GetFocalPoint()
    camera.SetPosition(middle[0], middle[1] + 400, middle[2])
    camera.SetViewUp(0, 0, 1)
    camera.Azimuth(turn)
    camera.Elevation(rise)
    renderer.ResetCamera()
    camera.Zoom(1.3)
    pixels = _pixels(window)
    del group
    return pixels


def _window(size: tuple[int, int]) -> tuple[Any, Any]:
    window, renderer = vtk.vtkRenderWindow(), vtk.vtkRenderer()
    window.SetOffScreenRendering(True)
    window.SetMultiSamples(0)
    window.SetSize(*size)
    window.AddRenderer(renderer)
    interactor = vtk.vtkGenericRenderWindowInteractor()  # displayable managers ask for one
    interactor.SetRenderWindow(window)
    interactor.Initialize()
    return window, renderer


def _managers(factory: Any, names: tuple[str, ...], renderer: Any, node: Any) -> Any:
    factory.SetMRMLApplicationLogic(slicer.app.applicationLogic())
    for name in names:
        if not factory.IsDisplayableManagerRegistered(name):
            factory.RegisterDisplayableManager(name)
    group = slicer.vtkMRMLDisplayableManagerGroup()
    group.Initialize(factory, renderer)
    group.SetMRMLDisplayableNode(node)
    return group


def _pixels(window: Any) -> Any:
    window.Render()
    grab = vtk.vtkWindowToImageFilter()
    grab.SetInput(window)
    grab.ReadFrontBufferOff()
    grab.Update()
    image = grab.GetOutput()
    width, height, _depth = image.GetDimensions()
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(height, width, -1)[::-1, :, :3].copy()


def save(pixels: Any, path: Path) -> Path:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path
