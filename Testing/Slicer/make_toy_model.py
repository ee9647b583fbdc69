"""Make ``toy-model.zip``: a model for tests that run without torch and without training (run by hand; needs torch).

Two layers over the four intensities, averaged over 3^3 voxels, fitted on phantoms in seconds. It finds a phantom's
tumor and knows nothing of real scans.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save_file
from scipy import ndimage

from voxmmsd.data.cases import find_cases, read_case
from voxmmsd.data.preprocess import Preprocess
from voxmmsd.labels import MODALITIES
from voxmmsd.model_config import NetworkConfig, PreprocessConfig
from voxmmsd.models.archive import export_model
from voxmmsd.models.card import card
from voxmmsd.models.package import CARD, ONNX, WEIGHTS, ModelInfo, ModelPackage, write_package
from voxmmsd.phantom import make_phantom, write_phantom

SCHEMA, HIDDEN = "brats-gli-2023", 12
TARGET = Path(__file__).parent / "toy-model.zip"


def main() -> None:
    with TemporaryDirectory() as place:
        package = packed(fitted(*voxels(Path(place))), Path(place), "toy-model-1")
        TARGET.unlink(missing_ok=True)
        export_model(package, TARGET)
    with zipfile.ZipFile(TARGET) as archive:
        print(TARGET, archive.namelist())


def packed(tensors: dict[str, np.ndarray], place: Path, model_id: str) -> ModelPackage:
    """A model package in a folder of ``place``."""
    info = ModelInfo(
        id=model_id, name=model_id.rpartition("-")[0], version="0.1.0", parent=None,
        created="2026-01-02T03:04:05+00:00", network=NetworkConfig.of((4, 6, 8)), schema=SCHEMA,
        modalities=MODALITIES, preprocess=PreprocessConfig(), window=32,
        training={"cases": {"train": ["phantoms"]}}, scores={}, licence="Apache-2.0",
        limits="For tests on phantoms; knows nothing of real scans.", files={},
    )  # fmt: skip
    return write_package(place / info.id, info, {
        WEIGHTS: lambda file: save_file(tensors, file),
        ONNX: lambda file: onnx.save(graph(tensors), file),
        CARD: lambda file: file.write_text(card(info), encoding="utf-8"),
    })  # fmt: skip


def ruled() -> dict[str, np.ndarray]:
    """Made without training: bright FLAIR is edema, bright contrast T1 enhancing tumor, bright T2 alone necrosis."""
    mean = np.zeros((4, 4, 3, 3, 3), np.float32)
    for modality in range(4):
        mean[modality, modality] = 1 / 27
    # Of t1n, t1c, t2w, t2f in [0, 1]; classes: background, necrosis, edema, enhancing tumor.
    rules = np.array([[0, 0, 0, 0], [0, -25, 25, 0], [0, 0, 0, 25], [0, 30, 0, 0]], np.float32)
    return {
        "w1": mean,
        "b1": np.zeros(4, np.float32),
        "w2": rules[:, :, None, None, None],
        "b2": np.array([0, -10, -14, -19], np.float32),
    }


def voxels(place: Path) -> tuple[np.ndarray, np.ndarray]:
    """Intensities ``(voxel, 4)`` in [0, 1] and class indices of voxels in phantoms' brains."""
    rows, classes = [], []
    for seed in range(100, 108):
        write_phantom(make_phantom(seed, (48, 48, 48)), place / "cases", f"phantom-{seed}")
    for case in find_cases(place / "cases", SCHEMA).cases:
        prepared = Preprocess(PreprocessConfig()).apply(read_case(case))
        image = np.stack([ndimage.uniform_filter(c, 3) for c in prepared.image_czyx.astype(np.float32) / 255])
        inside = (prepared.image_czyx > 0).any(axis=0)
        rows.append(image[:, inside].T)
        classes.append(prepared.label_zyx[inside])
    x, y = np.concatenate(rows), np.concatenate(classes)
    some = np.random.default_rng(0).permutation(len(y))[:40_000]
    return x[some], y[some]


def fitted(x: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
    import torch

    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(4, HIDDEN), torch.nn.ReLU(), torch.nn.Linear(HIDDEN, 4))
    optimizer = torch.optim.Adam(net.parameters(), 0.02)
    image, label = torch.from_numpy(x), torch.from_numpy(y.astype(np.int64))
    share = torch.bincount(label).float() / len(label)
    for _ in range(600):
        loss = torch.nn.functional.cross_entropy(net(image), label, weight=share**-0.4)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    first, second = net[0], net[2]
    mean = first.weight.detach()[:, :, None, None, None].expand(-1, -1, 3, 3, 3) / 27
    tensors = {"w1": mean, "b1": first.bias, "w2": second.weight[:, :, None, None, None], "b2": second.bias}
    return {name: np.ascontiguousarray(tensor.detach().numpy(), np.float32) for name, tensor in tensors.items()}


def graph(tensors: dict[str, np.ndarray]) -> onnx.ModelProto:
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 4, "z", "y", "x"])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 4, "z", "y", "x"])
    nodes = [
        helper.make_node("Conv", ["image", "w1", "b1"], ["mean"], pads=[1] * 6),
        helper.make_node("Relu", ["mean"], ["hidden"]),
        helper.make_node("Conv", ["hidden", "w2", "b2"], ["logits"]),
    ]
    kept = [numpy_helper.from_array(array, name) for name, array in tensors.items()]
    model = helper.make_model(
        helper.make_graph(nodes, "toy", [image], [logits], kept), opset_imports=[helper.make_opsetid("", 17)]
    )
    model.ir_version = 8
    return model


if __name__ == "__main__":
    main()
