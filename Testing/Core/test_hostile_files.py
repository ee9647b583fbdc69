"""Files that mean harm run nothing, write nothing elsewhere, and leave no name of a patient behind."""

import gzip
import hashlib
import json
import os
import pickle
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from dicom_files import write_series
from hard_places import CASE, Place, pristine, snapshot

from voxmmsd.cli import main
from voxmmsd.data.formats.sources import Source, read_volume
from voxmmsd.errors import ModelError, VoxMMSDError
from voxmmsd.evaluation.html import Section, write_report
from voxmmsd.evaluation.scores import score_case
from voxmmsd.evaluation.tables import csv_text, score_rows
from voxmmsd.files import read_json
from voxmmsd.labels import MODALITIES, schema_named
from voxmmsd.models import registry
from voxmmsd.models.package import read_package
from voxmmsd.training.checkpoint import _MARK, load_state, save_state


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return pristine(tmp_path_factory.mktemp("pristine"))


@pytest.fixture
def place(source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Place.copied(source, tmp_path)


class Canary:
    """Unpickled, it makes a file."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return os.mkdir, (str(self.file),)


def test_a_checkpoint_that_would_run_code_runs_none(tmp_path):
    canary, file = tmp_path / "canary", tmp_path / "step-00000001.pt"
    torch.save({"network": Canary(canary)}, file)
    content = file.read_bytes()
    file.write_bytes(content + _MARK + hashlib.sha256(content).hexdigest().encode())  # by somebody who knows how
    with pytest.raises(VoxMMSDError, match=r"step-00000001.pt.*not read"):
        load_state(file)
    assert not canary.exists()
    pickle.loads(pickle.dumps(Canary(canary)))
    assert canary.exists(), "the canary must be able to sing"


def test_a_checkpoint_of_ours_is_read(tmp_path):
    save_state(tmp_path / "a.pt", {"step": 3, "weights": torch.ones(2)})
    assert load_state(tmp_path / "a.pt")["step"] == 3


def test_arrays_of_a_store_that_would_run_code_run_none(place):
    store = place.root / "store"
    call = ["prepare", str(place.cases), "--store", str(store), "--workers", "1"]
    assert main(call) == 0
    canary = place.root / "canary"
    np.save(store / f"{CASE}.npy", np.array([Canary(canary)], object), allow_pickle=True)
    assert main(call) == 0  # made anew
    assert not canary.exists()


@pytest.mark.parametrize("what", ["weights.safetensors", "model.onnx"])
def test_a_pickle_in_place_of_a_models_file_runs_nothing(what, place, capsys):
    canary = place.root / "canary"
    folder = place.model_copy()
    content = pickle.dumps(Canary(canary))
    (folder / what).write_bytes(content)
    record = read_json(folder / "model.json")
    record["files"][what] = hashlib.sha256(content).hexdigest()
    (folder / "model.json").write_text(json.dumps(record))
    engine = "onnx" if what.endswith("onnx") else "torch"
    call = ["segment", place.cases, "--out", place.root / "out", "--model", folder, "--engine", engine]
    assert main([str(a) for a in call]) == 2
    assert what in capsys.readouterr().err
    assert not canary.exists()


@pytest.mark.parametrize("where", ["../../secret.bin", "/etc/hostname", "beside.bin"])
def test_a_network_with_data_in_other_files_is_refused(where, place):
    import onnx

    folder = place.model_copy()
    network = onnx.load(folder / "model.onnx")
    tensor = network.graph.initializer[0]
    onnx.external_data_helper.set_external_data(tensor, where)
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.ClearField("raw_data")
    content = network.SerializeToString()
    (folder / "model.onnx").write_bytes(content)
    record = read_json(folder / "model.json")
    record["files"]["model.onnx"] = hashlib.sha256(content).hexdigest()
    (folder / "model.json").write_text(json.dumps(record))
    with pytest.raises(ModelError, match="refers to data outside itself"):
        read_package(folder)


def test_a_bomb_is_not_unpacked(place):
    file = place.root / "bomb.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("model.json", b" " * 50_000_000)
    assert file.stat().st_size < 100_000
    before = snapshot(place.root)
    with pytest.raises(ModelError, match="claims more than"):
        registry.import_model(file)
    assert snapshot(place.root) == before


def test_a_record_too_large_or_no_file_is_not_read(tmp_path):
    with (tmp_path / "huge.json").open("wb") as stream:
        stream.truncate(1 << 40)
    os.mkfifo(tmp_path / "pipe.json")
    for name, why in (("huge.json", "more than any"), ("pipe.json", "not a regular file")):
        with pytest.raises(ValueError, match=why):
            read_json(tmp_path / name)


@pytest.mark.parametrize("name", ["=HYPERLINK(1)", "+1", "-1", "@SUM(1)", "\tx", "\rx"])
def test_no_cell_of_a_table_acts_as_a_formula(name):
    schema = schema_named("brats-gli-2023")
    label = np.zeros((4, 4, 4), np.uint8)
    grid = read_grid()
    scored = [score_case(name, label, label, schema, grid)]
    for line in csv_text(scored).splitlines()[1:]:
        assert not line.lstrip('"').startswith(("=", "+", "-", "@", "\t", "\r"))


def test_markup_in_a_name_stays_text(tmp_path):
    schema = schema_named("brats-gli-2023")
    label = np.zeros((4, 4, 4), np.uint8)
    evil = '<script>alert(1)</script><img src=x onerror="x">'
    rows = score_rows([score_case(evil, label, label, schema, read_grid())])
    text = write_report(tmp_path / "r.html", evil, [Section(evil, paragraphs=[evil], table=rows)]).read_text(
        encoding="utf-8"
    )
    assert "<script" not in text
    assert "<img src=x" not in text
    assert "&lt;script&gt;" in text


def read_grid():
    from voxmmsd.data.volume import Grid

    return Grid((4, 4, 4), np.eye(4))


SECRETS = (b"DOE^JANE", b"19610203", b"ward-7b-secret")


def planted_nifti(place):
    """Names, a birthday and a remark in every text field of every header, and in an extension."""
    import nibabel as nib

    for name in (*MODALITIES, "seg"):
        image = place.load(name)
        made = nib.Nifti1Image(np.asarray(image.dataobj), image.affine)
        made.header["descrip"], made.header["db_name"] = SECRETS[0], SECRETS[1]
        made.header["intent_name"], made.header["aux_file"] = SECRETS[2], SECRETS[0]
        made.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b" ".join(SECRETS)))
        place.file(name).unlink()
        nib.save(made, place.file(name))


def planted_dicom(place):
    """The case as four series whose tags say all that a hospital knows."""
    import shutil

    person, day, ward = (secret.decode() for secret in SECRETS)
    tags = {"0010_0010": person, "0010_0020": ward, "0010_0030": day, "0008_0020": day, "0008_0021": day,
            "0008_0050": ward, "0008_0080": ward, "0008_0090": person, "0008_1030": ward, "0008_1070": person,
            "0010_1000": ward, "0010_4000": person, "0020_4000": ward, "0020_0010": ward,
            "0020_000d": f"2.{day}"}  # fmt: skip
    words = {"t1n": "T1", "t1c": "T1 post", "t2w": "T2", "t2f": "FLAIR"}
    for number, (name, description) in enumerate(words.items()):
        voxels = np.asarray(place.load(name).dataobj).T.astype(np.int16)
        write_series(place.root / "scans" / "site1-07" / name, voxels, f"1.{day}.{number}", description,
                     spacing_mm=(1.0, 1.0, 1.0), **tags)  # fmt: skip
    shutil.rmtree(place.cases)
    (place.root / "scans").rename(place.cases)


def contents(folder):
    """What lies in a folder, unpacked where it is compressed."""
    for file in sorted(f for f in folder.rglob("*") if f.is_file()):
        content = file.read_bytes()
        yield file, gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                yield from ((f"{file}: {name}", archive.read(name)) for name in archive.namelist())


@pytest.fixture
def nothing_connects(monkeypatch):
    def no_sockets(*args, **kwargs):
        raise AssertionError("something connects to somewhere")

    monkeypatch.setattr(socket.socket, "connect", no_sockets)
    monkeypatch.setattr(socket.socket, "connect_ex", no_sockets)
    monkeypatch.setattr(socket, "getaddrinfo", no_sockets)


def leaks(place, calls, capsys):
    """Run verbs; where a secret came to light, and how much was searched."""
    assert all(any(secret in content for _, content in contents(place.cases)) for secret in SECRETS), "not planted"
    for call in calls:
        assert main([str(a) for a in call]) == 0, call
    said = capsys.readouterr()
    made, home = place.root / "made", Path(os.environ["VOXMMSD_HOME"])
    found = [*contents(made), *contents(home), ("what was printed", (said.out + said.err).encode())]
    found += [(f"the name of {path}", str(path).encode()) for path in (*made.rglob("*"), *home.rglob("*"))]
    return [(str(file), secret) for file, content in found for secret in SECRETS if secret in content], len(found)


def looking(place, made):
    return [
        ["cases", place.cases],
        ["check", place.cases],
        ["prepare", place.cases, "--store", made / "store", "--workers", "1"],
        ["segment", place.cases, "--out", made / "out", "--model", place.model, "--engine", "onnx", "--picture",
         "--uncertainty", "--probabilities"],
        ["library", "add", made / "library", place.cases],
        ["library", "list", made / "library"],
        ["models", "accept", place.model],
        ["models", "list"],
    ]  # fmt: skip


@pytest.mark.parametrize("planted", [planted_nifti, planted_dicom])
def test_a_patients_name_reaches_no_output_and_nothing_connects_anywhere(planted, place, capsys, nothing_connects):
    planted(place)
    made = place.root / "made"
    calls = looking(place, made)
    if planted is planted_nifti:
        calls.append(["evaluate", made / "out", place.cases, "--out", made / "scores", "--workers", "1"])
    found, searched = leaks(place, calls, capsys)
    assert found == []
    assert searched > 40
    for file in (made / "out").glob("*.nii.gz"):
        import nibabel as nib

        header = nib.load(file).header
        assert not [f for f in ("descrip", "db_name", "intent_name", "aux_file") if header[f].tobytes().strip(b"\0")]
        assert not header.extensions
    (labels,) = (made / "out").glob("*-voxmmsd.nii.gz")
    assert read_volume(Source(labels)).array.any()
    results = b"".join(content for file, content in contents(made) if ".run" not in str(file))
    assert str(place.cases).encode() not in results


@pytest.mark.long
@pytest.mark.parametrize("planted", [planted_nifti, planted_dicom])
def test_a_patients_name_reaches_no_model_and_nothing_that_is_handed_over(planted, place, capsys, nothing_connects):
    place.other()
    planted(place)
    made = place.root / "made"
    tiny = ["--preset", "tiny", "--channels", "4", "8", "--steps", "2", "--workers", "1", "--device", "cpu"]
    options = place.write("job.json", json.dumps({"folders": [str(place.cases)], "preset": "tiny", "workers": 1}))
    calls = [
        ["pretrain", place.cases, "--run", made / "start", *tiny, "--block", "16", "--mask-size", "4", "--pairs", "64"],
        ["job", "pretrain", options, "--out", made / "job"],
        ["models", "export", made / "start", "--out", made / "start.zip"],
        ["models", "import", made / "start.zip"],
        ["verify", made / "start"],
    ]
    if planted is planted_nifti:
        calls += [
            ["finetune", place.cases, "--run", made / "taught", *tiny, "--patch", "16", "--from", made / "start"],
            ["models", "export", made / "taught", "--out", made / "taught.zip"],
            ["export", made / "taught", "--to", "monai-bundle", "--out", made / "monai"],
            ["runs", "show", made / "taught"],
        ]
    found, searched = leaks(place, calls, capsys)
    assert found == []
    assert searched > 60


def test_onnx_runtime_reports_to_nobody(place, tmp_path):
    """Its telemetry is compiled code, which no forbidden Python socket stops; it would leave a file in the home."""
    code = (
        "import sys; from pathlib import Path; from voxmmsd.inference.engines import OnnxEngine; "
        "from voxmmsd.models.package import read_package; OnnxEngine(read_package(Path(sys.argv[1])), 1)"
    )
    home = tmp_path / "home"
    home.mkdir()
    environment = {**os.environ, "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
    environment.pop("ORT_DISABLE_TELEMETRY", None)
    subprocess.run([sys.executable, "-c", code, str(place.model)], env=environment, check=True, timeout=120)
    assert not list(home.rglob("*icrosoft*"))
