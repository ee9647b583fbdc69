import dataclasses
import json
import os
import subprocess
import sys

import onnx
import pytest
import torch
from safetensors.torch import load_file
from toy_models import as_kept, toy_info, toy_network, toy_package

from voxmmsd.errors import ModelError
from voxmmsd.models import package as packages
from voxmmsd.models import registry
from voxmmsd.models.archive import export_model
from voxmmsd.models.export_onnx import onnx_difference
from voxmmsd.models.package import read_package, rewrite_record
from voxmmsd.models.weights import load_network, pack_network
from voxmmsd.verify import verify


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return toy_package(tmp_path_factory.mktemp("models") / "toy")


@pytest.fixture
def copy(package, tmp_path):
    import shutil

    shutil.copytree(package.folder, tmp_path / "toy")
    return tmp_path / "toy"


def change_record(folder, **changes):
    file = folder / "model.json"
    record = {**json.loads(file.read_text(encoding="utf-8")), **changes}
    file.write_text(json.dumps({key: value for key, value in record.items() if value != "gone"}))


def test_a_package_reads_back_as_it_was_written(package):
    again = read_package(package.folder)
    assert again.info == package.info
    assert set(again.info.files) == {"weights.safetensors", "model.onnx", "MODEL_CARD.md"}
    assert again.size_bytes > 10_000


def test_the_network_comes_back_with_its_weights(package):
    network, again = toy_network(), load_network(package)
    image = torch.rand(1, 4, 8, 8, 8)
    torch.testing.assert_close(again(image), network(image), rtol=1e-3, atol=1e-3)  # kernels are kept in float16
    for name, tensor in network.state_dict().items():
        assert torch.equal(again.state_dict()[name], as_kept(tensor)), name


def test_kernels_are_kept_in_float16_and_files_are_readable_for_all(package):
    tensors, graph = load_file(package.weights), onnx.load(package.onnx).graph
    assert {tensor.dtype for tensor in tensors.values() if tensor.ndim > 1} == {torch.float16}
    assert {each.data_type for each in graph.initializer if len(each.dims) > 1} == {onnx.TensorProto.FLOAT16}
    modes = {file.stat().st_mode for file in package.folder.iterdir()}
    assert len(modes) == 1, "as the umask has it, the record as the weights"


def test_onnx_runtime_gives_torchs_logits_on_any_window(package):
    assert onnx_difference(toy_network(), package.onnx) < 2e-4


def test_an_export_that_differs_from_torch_is_noticed(package):
    assert onnx_difference(toy_network(seed=1), package.onnx) > 1e-2


def test_reading_a_package_needs_no_torch(package):
    code = (
        "import sys; sys.modules['torch'] = None; from pathlib import Path; "
        "from voxmmsd.models.package import read_package; "
        f"print(read_package(Path({str(package.folder)!r})).info.id)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, encoding="utf-8", errors="replace", check=False
    )
    assert result.stdout.strip() == "toy-1", result.stderr


def test_the_card_says_what_happened_and_what_it_is_not(package):
    text = (package.folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    for part in ("Not a medical device", "trained from scratch", "| WT | 0.800 |", "| TC | - |", "train 2 (a, b)"):
        assert part in text


def test_a_package_is_never_overwritten(package):
    with pytest.raises(ModelError, match="exists already"):
        pack_network(package.folder, toy_network(), toy_info())


def test_a_failed_export_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("voxmmsd.models.export_onnx.MAX_DIFFERENCE", -1.0)
    with pytest.raises(ModelError, match="differs from torch"):
        toy_package(tmp_path / "toy")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["weights.safetensors", "model.onnx", "MODEL_CARD.md"])
def test_a_changed_or_missing_file_is_named(copy, name):
    content = (copy / name).read_bytes()
    (copy / name).write_bytes(content[:-1] + b"x")
    with pytest.raises(ModelError, match=rf"{name}: does not match its checksum"):
        read_package(copy)
    (copy / name).unlink()
    with pytest.raises(ModelError, match=rf"{name}: is missing"):
        read_package(copy)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 99}, "is of format 99"),
        ({"window": "wide"}, "window: expected int, got 'wide'"),
        ({"schema": "brats-1999"}, "unknown label schema 'brats-1999'"),
        ({"extra": 1}, "unknown option extra"),
        ({"name": "gone"}, "lacks name"),
        ({"modalities": ["t1c"]}, "is for the modalities"),
        ({"files": {}}, "lists no weights.safetensors"),
        ({"network": {"channels": [4, 6], "dropout": [0.0]}}, "2 channels but 1 dropout"),
    ],
)
def test_a_record_that_makes_no_sense_is_refused_with_the_reason(copy, changes, message):
    change_record(copy, **changes)
    with pytest.raises(ModelError, match=message):
        read_package(copy)


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000])
def test_a_record_that_is_no_record_is_refused(copy, text):
    (copy / "model.json").write_text(text)
    with pytest.raises(ModelError, match=r"model\.json: is not a model's record"):
        read_package(copy)


def test_a_folder_without_a_record_is_no_package(tmp_path):
    with pytest.raises(ModelError, match="is not a model package"):
        read_package(tmp_path)


def test_weights_of_another_network_are_refused(copy):
    change_record(copy, network={"channels": [4, 6, 10], "dropout": [0.0, 0.0, 0.2], "in_channels": 4})
    with pytest.raises(ModelError, match="does not match the network"):
        load_network(read_package(copy))


def test_what_was_found_whole_is_read_again_only_where_a_file_has_changed(copy, monkeypatch):
    read, true = [], packages.sha256_of
    monkeypatch.setattr(packages, "sha256_of", lambda file: (read.append(file.name), true(file))[1])
    (copy / "model.onnx").touch()
    read_package(copy)
    read_package(copy)
    assert read.count("model.onnx") == 2  # written just now: it could change again within the clock's tick
    for file in copy.iterdir():
        os.utime(file, (1e9, 1e9))
    read_package(copy)
    read.clear()
    assert read_package(copy).info.id == "toy-1" and not read
    content = (copy / "model.onnx").read_bytes()
    (copy / "model.onnx").write_bytes(content[:-1] + b"x")
    with pytest.raises(ModelError, match="does not match its checksum"):
        read_package(copy)


def test_verifying_believes_no_clock(copy):
    content = (copy / "model.onnx").read_bytes()
    for change in (content, content[:-1] + b"x"):
        (copy / "model.onnx").write_bytes(change)
        for file in copy.iterdir():
            os.utime(file, (1e9, 1e9))
        read_package(copy)
    with pytest.raises(ModelError, match="does not match its checksum"):
        verify(str(copy))


def rewritten(package):
    return rewrite_record(package, lambda info: dataclasses.replace(info, limits="others"), lambda info: "another card")


def test_a_record_that_is_rewritten_while_it_is_read_is_read_again(copy, monkeypatch):
    package, true = read_package(copy), packages.sha256_of
    due = [lambda: rewritten(package)]

    def hashed(file):
        if file.name == "weights.safetensors" and due:
            due.pop()()
        return true(file)

    monkeypatch.setattr(packages, "sha256_of", hashed)
    (copy / "model.onnx").touch()
    assert read_package(copy).info.limits == "others" and not due


def test_a_reader_that_puts_the_new_card_in_place_first_does_the_writer_no_harm(copy, monkeypatch):
    package, true = read_package(copy), packages.write_json_atomic
    monkeypatch.setattr(packages, "write_json_atomic", lambda file, record: (true(file, record), read_package(copy)))
    assert rewritten(package).info == read_package(copy).info
    assert (copy / "MODEL_CARD.md").read_text(encoding="utf-8") == "another card"


def rewritten_up_to_the_record(copy, monkeypatch):
    """As a kill leaves it between the record and the card."""
    package = read_package(copy)
    with monkeypatch.context() as killed:
        killed.setattr(packages, "_finish_card_update", lambda *_: None)
        return rewritten(package)


def test_reading_a_package_whose_rewrite_was_cut_short_writes_nothing_and_its_copies_are_whole(
    copy, tmp_path, monkeypatch
):
    rewritten_up_to_the_record(copy, monkeypatch)
    before = {file.name: file.read_bytes() for file in copy.iterdir()}
    package = read_package(copy)
    assert package.info.limits == "others"
    assert {file.name: file.read_bytes() for file in copy.iterdir()} == before
    for again in (registry.import_model(copy), registry.resolve_model(str(export_model(package, tmp_path / "a.zip")))):
        assert (again.folder / "MODEL_CARD.md").read_text(encoding="utf-8") == "another card"


def test_the_next_rewrite_ends_one_that_was_cut_short(copy, monkeypatch):
    rewritten_up_to_the_record(copy, monkeypatch)
    package = read_package(copy)
    seen = []
    true = packages.write_json_atomic
    monkeypatch.setattr(packages, "write_json_atomic", lambda *a: (seen.append(read_package(copy)), true(*a)))
    rewrite_record(package, lambda info: dataclasses.replace(info, limits="third"), lambda info: "third card")
    assert seen[0].info.limits == "others"
    assert read_package(copy).info.limits == "third"
    assert not (copy / "MODEL_CARD.next.md").exists()


def test_a_file_that_may_not_be_read_is_named(copy, monkeypatch):
    def denied(file):
        raise PermissionError(13, "Permission denied", str(file))

    monkeypatch.setattr(packages, "sha256_of", denied)
    with pytest.raises(ModelError, match=r"safetensors: cannot be read \(Permission denied\)"):
        read_package(copy)
