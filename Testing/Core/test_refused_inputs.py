"""What must be refused, as a table: exit code 2, one line with file, reason and remedy, nothing changed."""

import gzip
import json
import os
import re
import struct
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import exported_results
import nibabel as nib
import numpy as np
import pytest
from hard_places import CASE, OTHER, Place, pristine, snapshot

from voxmmsd.cli import main
from voxmmsd.data.cases import find_cases, read_case
from voxmmsd.data.volume import Grid
from voxmmsd.errors import InputError

A_WAY_OUT = re.compile(
    r"\b(give|copy|says|names|`voxmmsd|take|free|correct|write|replace|name|leave|choose|put|add|check|make|see|import|train|register|convert|segment"
    r"|restore|rewrite|remove|export|expected|known are|needs?|update|teach|wait|ask)\b"
)
# A training that met a bad case keeps its run folder, which says so, and the prepared store of the good ones.
MAY_STAY = ("out", "store", "r")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return pristine(tmp_path_factory.mktemp("pristine"))


@pytest.fixture
def place(source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Place.copied(source, tmp_path)


def ways(place):
    """What an image meets: the verbs that read it."""
    prepare = ["prepare", str(place.cases), "--store", str(place.root / "store"), "--workers", "1"]
    return {"check": ["check", str(place.cases)], "segment": segment(place), "prepare": prepare}


def refuse(arguments, place, capsys, *says):
    """Run a verb that must refuse; its one line."""
    before = snapshot(place.root)
    assert main([str(a) for a in arguments]) == 2
    said = capsys.readouterr()
    after = snapshot(place.root)
    added = set(after) - set(before)
    assert {name: after.get(name) for name in before} == before, "something of the user's was changed"
    assert not [name for name in added if name.split("/")[0] not in MAY_STAY], f"left behind: {sorted(added)}"
    lines = [line for line in said.err.splitlines() if line.startswith("voxmmsd: error:")]
    if arguments[0] == "check" and not lines:
        lines = [line for line in said.out.splitlines() if line.strip().startswith("blocking:")]
    else:
        assert len(lines) == 1, said.err
    assert "Traceback" not in said.out + said.err
    assert any(A_WAY_OUT.search(line) for line in lines), lines
    for words in says:
        assert any(re.search(words, line) for line in lines), (words, lines)
    return lines[0]


def frames(voxels):
    return np.stack([voxels] * 5, axis=-1)


def with_value(value):
    def spoiled(voxels):
        voxels = voxels.astype(np.float32)
        voxels[12, 12, 12] = value
        return voxels

    return spoiled


def colored(voxels):
    return np.zeros(voxels.shape, np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]))


AFFINE = np.diag([-1.0, -1.0, 1.0, 1.0])
SINGULAR = AFFINE.copy()
SINGULAR[:3, 1] = SINGULAR[:3, 0]
FAR = AFFINE.copy()
FAR[:3, 3] = 5000

# What is done to the T1c image of a good case, and what the refusal says.
IMAGES = {
    "zero bytes": (lambda p: p.raw(b""), "empty file"),
    "a gzip cut short": (lambda p: p.raw(lambda old: old[: len(old) // 2]), "truncated"),
    "a gzip cut in its header": (lambda p: p.raw(lambda old: old[:7]), "truncated"),
    "a damaged gzip": (lambda p: p.raw(lambda old: old[:900] + b"\0\xff" * 9 + old[918:]), "damaged|truncated"),
    "a wrong magic number": (lambda p: p.header_bytes(344, b"nii\0"), "not a NIfTI file"),
    "a text": (lambda p: p.raw(b"not an image, but a text " * 50), "not a NIfTI file"),
    "a picture's bytes": (lambda p: p.raw(b"\x89PNG\r\n\x1a\n" + bytes(2000)), "not a NIfTI file"),
    "a plain file cut short": (lambda p: p.raw(lambda old: gzip.decompress(old)[:3000]), "truncated|cannot hold"),
    "NaN": (lambda p: p.save(with_value(np.nan)), "1 NaN or infinite"),
    "infinity": (lambda p: p.save(with_value(np.inf)), "1 NaN or infinite"),
    "all NaN": (lambda p: p.save(lambda v: np.full(v.shape, np.nan, np.float32)), "NaN"),
    "values beyond float32": (lambda p: p.save(lambda v: v * 1e300), "infinite"),
    "a scaling beyond float32": (lambda p: p.header_bytes(112, struct.pack("<ff", 3e38, 0)), "infinite"),
    "all zero": (lambda p: p.save(np.zeros_like), r"every voxel (of t1c )?is 0"),
    "nothing above 0": (
        lambda p: p.save(lambda v: -1 - np.abs(v.astype(np.float32))),
        r"every voxel (of t1c )?is 0 or less",
    ),
    "z-scored": (
        lambda p: p.save(lambda v: np.where(v > 0, v - np.mean(v[v > 0]), 0)),
        "% of the voxels (of t1c )?that are not 0 are below 0",
    ),
    "constant": (lambda p: p.save(lambda v: np.full_like(v, 7)), "every voxel is 7"),
    "a label map": (lambda p: p.raw(p.file("seg").read_bytes()), "label map"),
    "colored": (lambda p: p.save(colored), "colored"),
    "complex": (lambda p: p.save(lambda v: v.astype(np.complex64)), "complex"),
    "long doubles": (lambda p: p.header_bytes(70, struct.pack("<hh", 1536, 128)), "cannot hold|truncated|plain"),
    "two-dimensional": (lambda p: p.save(lambda v: v[..., 12]), "24 x 24, not a 3-D volume"),
    "one voxel thick": (lambda p: p.save(lambda v: v[..., 12:13]), "24 x 24 x 1, not a 3-D volume"),
    "many frames as one modality": (lambda p: p.save(frames), "5 volumes where one modality is expected"),
    "3 GB claimed in 1 kB": (
        lambda p: p.raw(p.header_bytes(40, struct.pack("<4h", 3, 1000, 1000, 500)).read_bytes()[:1000]),
        "claims 1,000,000,\\d+ bytes|cannot",
    ),
    "more voxels than a head": (lambda p: p.header_bytes(40, struct.pack("<4h", 3, 32767, 32767, 32767)), "claims"),
    "negative dimensions": (lambda p: p.header_bytes(42, struct.pack("<h", -24)), "broken"),
    "nine dimensions": (lambda p: p.header_bytes(40, struct.pack("<h", 9)), "broken|no NIfTI"),
    "an unknown type of voxel": (lambda p: p.header_bytes(70, struct.pack("<h", 999)), "broken"),
    "voxels inside the header": (lambda p: p.header_bytes(108, struct.pack("<f", 8)), "broken"),
    "voxels far behind the end": (lambda p: p.header_bytes(108, struct.pack("<f", 1e9)), "cannot hold|truncated"),
    "a singular affine": (lambda p: p.save(affine=SINGULAR), "singular"),
    "an affine of NaN": (lambda p: p.header_bytes(280, struct.pack("<f", np.nan)), "NaN"),
    "spacing 0": (lambda p: p.header_bytes(296, bytes(16)), "spacing .* is implausible"),
    "spacing 100 mm": (lambda p: p.save(affine=np.diag([1, 1, 100, 1.0])), "spacing .* is implausible"),
    "spacing in metres": (lambda p: p.save(affine=np.diag([0.001, 0.001, 0.001, 1.0])), "spacing .* is implausible"),
    "elsewhere in space": (lambda p: p.save(affine=FAR), "elsewhere|not lie on|do not overlap"),
}


# What a verb does not look at: prepare takes images as they are, check leaves places in space to alignment.
NOT_OF = {"constant": ["prepare"], "a label map": ["prepare"], "elsewhere in space": ["check"]}


@pytest.mark.parametrize(
    ("name", "verb"),
    [(n, v) for n in IMAGES for v in ("check", "segment", "prepare") if v not in NOT_OF.get(n, ())],
)
def test_an_image_that_cannot_be_used_is_refused(name, verb, place, capsys):
    spoil, says = IMAGES[name]
    file = spoil(place)
    line = refuse(ways(place)[verb], place, capsys, says)
    assert file.name in line or re.search(r"\bt1c\b", line)


@pytest.mark.parametrize("name", [name for name in IMAGES if "prepare" not in NOT_OF.get(name, ())])
def test_the_core_refuses_it_alike(name, place):
    spoil, says = IMAGES[name]
    spoil(place)
    (case,) = find_cases(place.cases).cases
    with pytest.raises(InputError, match=says):
        read_case(replace(case, label=None))


def segment(place, *case, model=None):
    given = case or (place.cases,)
    return ["segment", *given, "--out", place.root / "out", "--model", model or place.model, "--engine", "onnx"]


def finetune(place, *more):
    return ["finetune", place.cases, "--run", place.root / "r", "--preset", "tiny", "--workers", "1", *more]


def evaluated(place, spoil=None):
    """A prediction to score: the label itself, or spoiled."""
    (place.root / "predicted").mkdir()
    file = place.root / "predicted" / f"{CASE}-voxmmsd.nii.gz"
    file.write_bytes(place.file("seg").read_bytes())
    if spoil:
        spoil(file)
    return ["evaluate", place.root / "predicted", place.cases, "--out", place.root / "out"]


def labeled(place, spoil):
    """The label of one of two cases is spoiled: training and scoring stop before they start."""
    place.other()
    spoil()
    return finetune(place)


def emptied(place):
    (place.root / "empty").mkdir()
    return place.root / "empty"


def circle(place):
    folder = emptied(place)
    (folder / "a").mkdir()
    (folder / "a" / "b").symlink_to(folder, target_is_directory=True)
    (folder / "c").symlink_to(folder / "c")
    return folder


def changed_model(place, name, content):
    """A package with another file, whose checksum fits: made by somebody who knows how."""
    folder = place.model_copy()
    (folder / name).write_bytes(content)
    record = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    record["files"][name] = sha256(content).hexdigest()
    (folder / "model.json").write_text(json.dumps(record))
    return folder


def recorded(place, **changes):
    folder = place.model_copy()
    record = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    (folder / "model.json").write_text(json.dumps({**record, **changes}))
    return folder


DEEP = "[" * 100_000 + "]" * 100_000
NEST = '{"a":' * 100_000 + "1" + "}" * 100_000

# Arguments of a verb that must refuse, made in a place; what the line says.
CALLS = {
    "a label on a foreign grid": (
        lambda p: labeled(p, lambda: p.save(name="seg", affine=FAR)),
        [f"{CASE}-seg", "grid"],
    ),
    "a label of another size": (
        lambda p: labeled(p, lambda: p.save(lambda v: v[:-1], name="seg")),
        [f"{CASE}-seg", "grid"],
    ),
    "an unknown label value": (
        lambda p: labeled(p, lambda: p.save(lambda v: v + 5, name="seg")),
        [f"{CASE}-seg", r"values \[5", "--schema"],
    ),
    "a fractional label value": (
        lambda p: labeled(p, lambda: p.save(lambda v: v * np.float32(0.7), name="seg")),
        ["not a whole number"],
    ),
    "a negative label value": (
        lambda p: labeled(p, lambda: p.save(lambda v: -v.astype(np.int16), name="seg")),
        [r"values \[-3"],
    ),
    "a label of NaN": (lambda p: labeled(p, lambda: p.save(with_value(np.nan), name="seg")), [f"{CASE}-seg", "NaN"]),
    "one-hot labels": (
        lambda p: labeled(
            p, lambda: p.save(lambda v: np.stack([v == n for n in (1, 2, 3)], -1).astype(np.uint8), name="seg")
        ),
        [f"{CASE}-seg", "holds 3 volumes, one per label"],
    ),
    "a mask of 0 and 255, without a schema": (
        lambda p: (
            p.save(lambda v: (v > 0).astype(np.uint8) * 255, name="seg"),
            ["finetune", renamed(p), "--run", p.root / "r"],
        )[1],
        ["holds 0 and 255 alone"],
    ),
    "an empty label file": (lambda p: labeled(p, lambda: p.raw(b"", "seg")), [f"{CASE}-seg", "empty file"]),
    "a schema that cannot be told": (lambda p: ["finetune", renamed(p), "--run", p.root / "r"], ["schema", "--schema"]),
    "a schema that there is not": (lambda p: [*finetune(p), "--schema", "brats-1999"], ["brats-1999", "choose one"]),
    "another schema's values": (
        lambda p: [*labeled(p, lambda: None), "--schema", "brats-2021"],
        [r"values \[3", "brats-2021"],
    ),
    "no label at all": (lambda p: (p.file("seg").unlink(), finetune(p))[1], ["no labeled case"]),
    "one case to train and to hold out": (finetune, ["1 labeled case", "two patients"]),
    "a patient that trains and validates": (
        lambda p: (
            p.other(),
            [*finetune(p), "--splits", p.write("s.json", json.dumps({"train": [CASE, OTHER], "validation": [OTHER]}))],
        )[1],
        ["s.json", OTHER],
    ),
    "splits that name nobody": (
        lambda p: (p.other(), [*finetune(p), "--splits", p.write("s.json", '{"train": ["x"]}')])[1],
        ["s.json"],
    ),
    "splits that are none": (
        lambda p: (p.other(), [*finetune(p), "--splits", p.write("s.json", "no")])[1],
        ["s.json", "splits"],
    ),
    "splits nested without end": (
        lambda p: (p.other(), [*finetune(p), "--splits", p.write("s.json", DEEP)])[1],
        ["s.json", "splits"],
    ),
    "an empty folder to segment": (lambda p: segment(p, emptied(p)), ["empty", "no case"]),
    "an empty folder to check": (lambda p: ["check", emptied(p)], ["empty", "no case"]),
    "an empty folder to prepare": (lambda p: ["prepare", emptied(p), "--store", "store"], ["empty", "no case"]),
    "an empty folder to learn from": (lambda p: ["finetune", emptied(p), "--run", "r"], ["empty", "no labeled case"]),
    "an empty folder to pre-train on": (lambda p: ["pretrain", emptied(p), "--run", "r"], ["empty", "no case"]),
    "an empty folder to score": (lambda p: ["evaluate", emptied(p), p.cases], ["empty", "no prediction"]),
    "links in a circle": (lambda p: segment(p, circle(p)), ["empty", "no case"]),
    "a link that leads nowhere": (
        lambda p: (p.file().unlink(), p.file().symlink_to("gone"), segment(p, "--t1c", p.file()))[2],
        [f"{CASE}-t1c", "no such file"],
    ),
    "a pipe": (lambda p: (p.file().unlink(), os.mkfifo(p.file()), segment(p))[2], [f"{CASE}-t1c", "neither a file"]),
    "a pipe named by itself": (
        lambda p: (p.file().unlink(), os.mkfifo(p.file()), segment(p, "--t1c", p.file()))[2],
        [f"{CASE}-t1c", "neither a file nor a folder"],
    ),
    "an image of a format that is not read": (
        lambda p: segment(p, "--t1c", p.file().rename(p.cases / "t1c.nii.bz2")),
        ["t1c.nii.bz2", r"\.nii\.bz2 files are not read", "convert"],
    ),
    "images of formats that are not read": (
        lambda p: segment(p, p.write("strange/T1.nii.zst", "x").parent),
        ["strange", "no case found", r"T1\.nii\.zst", "convert"],
    ),
    "two images that fit one slot": (
        lambda p: (p.write(f"cases/{CASE}/{CASE}-t1c_brain.nii.gz", p.file().read_bytes()), segment(p))[1],
        ["2 images fit t1c", "--t1c"],
    ),
    "two images that fit one slot, to check": (
        lambda p: (p.write(f"cases/{CASE}/{CASE}-t1c_brain.nii.gz", p.file().read_bytes()), ["check", p.cases])[1],
        ["2 images fit t1c", "--t1c"],
    ),
    "a folder in place of an image": (
        lambda p: (p.file().unlink(), p.file().mkdir(), segment(p, "--t1c", p.file()))[2],
        [f"{CASE}-t1c"],
    ),
    "a folder that is not there": (lambda p: segment(p, p.root / "gone"), ["gone", "no such file"]),
    "an image where a folder is expected": (lambda p: segment(p, p.file()), [f"{CASE}-t1c", "--t1c"]),
    "a text where a folder is expected": (
        lambda p: segment(p, p.write("notes.txt", "x")),
        ["notes.txt", "neither a folder nor a list"],
    ),
    "one image for two modalities": (
        lambda p: segment(p, "--t1c", p.file(), "--t1n", p.file()),
        [f"{CASE}-t1c", "both"],
    ),
    "the same voxels for two modalities": (
        lambda p: (p.raw(p.file("t1n").read_bytes()), segment(p))[1],
        ["same volume"],
    ),
    "two patients in one case": (
        lambda p: segment(p, "--t1c", p.file(), "--t1n", p.other() / f"{OTHER}-t1n.nii.gz"),
        ["different patients"],
    ),
    "an empty brain mask": (
        lambda p: segment(p, p.cases, "--brain-mask", mask(p, np.zeros_like)),
        ["mask.nii.gz", "empty"],
    ),
    "a brain mask elsewhere": (
        lambda p: segment(p, p.cases, "--brain-mask", mask(p, lambda v: v, FAR)),
        ["mask.nii.gz", "elsewhere"],
    ),
    "a reference that the case lacks": (
        lambda p: segment(p, "--t1c", p.file(), "--reference", "t2w"),
        ["no t2w", "t1c"],
    ),
    "a reference that is no modality": (lambda p: segment(p, p.cases, "--reference", "pet"), ["pet"]),
    "results that stand there": (
        lambda p: (p.write(f"out/{CASE}-voxmmsd.nii.gz", "x"), segment(p))[1],
        ["out", "nothing is overwritten"],
    ),
    "results into a file": (lambda p: (p.write("out", "x"), segment(p))[1], ["out"]),
    "results where nothing can be written": (
        lambda p: ["segment", p.cases, "--out", "/sys/voxmmsd", "--model", p.model, "--engine", "onnx"],
        ["/sys/voxmmsd"],
    ),
    "a run where nothing can be written": (lambda p: ["finetune", p.cases, "--run", "/sys/voxmmsd"], ["/sys/voxmmsd"]),
    "a store where nothing can be written": (
        lambda p: ["prepare", p.cases, "--store", "/sys/voxmmsd", "--workers", "1"],
        ["/sys/voxmmsd"],
    ),
    "phantoms where nothing can be written": (
        lambda p: ["phantom", "/sys/voxmmsd", "--shape", "16", "--count", "1"],
        ["/sys/voxmmsd"],
    ),
    "a store in a file": (lambda p: ["prepare", p.cases, "--store", p.write("s", "x")], ["/s: is a file"]),
    "a run in a file": (lambda p: ["finetune", p.cases, "--run", p.write("s", "x")], ["/s: is a file"]),
    "a run in the user's folder": (
        lambda p: ["finetune", p.cases, "--run", p.cases],
        ["is not empty and not a run folder"],
    ),
    "phantoms that stand there": (
        lambda p: ["phantom", p.write("p/phantom-000-000/x", "x").parents[1]],
        ["phantom-000-000", "overwritten"],
    ),
    "phantoms among another data set": (
        lambda p: ["phantom", p.write("p/dataset.json", '{"schema": "brats-2021"}').parent],
        ["dataset.json", "overwritten"],
    ),
    "a size without room for a brain": (lambda p: ["phantom", "p", "--shape", "4"], ["no room for a brain"]),
    "a size beyond memory": (lambda p: ["phantom", "p", "--shape", "100000"], ["larger than any scan"]),
    "a spacing of nothing": (lambda p: ["phantom", "p", "--shape", "16", "--spacing", "0"], ["spacing"]),
    "a store's spacing of nothing": (lambda p: ["prepare", p.cases, "--store", "store", "--spacing", "0"], ["spacing"]),
    "a window of less than nothing": (lambda p: segment(p, p.cases, "--window", "-8"), ["window"]),
    "less than no steps": (lambda p: (p.other(), finetune(p, "--steps", "-1"))[1], ["steps"]),
    "no channels": (lambda p: (p.other(), finetune(p, "--channels", "0", "0"))[1], ["channels"]),
    "a weight of edited voxels below 1": (lambda p: (p.other(), finetune(p, "--edited-weight", "0.5"))[1], ["edited"]),
    "a weight of edited voxels where nobody knows them": (
        lambda p: (p.other(), finetune(p, "--edited-weight", "3"))[1],
        ["--edited-weight 3: only a training library knows"],
    ),
    "a patch of nothing": (lambda p: (p.other(), finetune(p, "--patch", "0"))[1], ["patch"]),
    "a patch that the network cannot halve": (
        lambda p: (p.other(), finetune(p, "--channels", "4", "8", "16", "--patch", "18"))[1],
        ["--patch 18 is not a multiple of 4", "give --patch 16"],
    ),
    "a batch of nothing": (lambda p: (p.other(), finetune(p, "--batch", "0"))[1], ["batch"]),
    "an unknown transform": (
        lambda p: (p.other(), finetune(p, "--transforms", "melt"))[1],
        ["unknown transform 'melt'", "choose from axis-scaling"],
    ),
    "a transform's empty range": (
        lambda p: (p.other(), finetune(p, "--transforms", "gamma:power=2..1"))[1],
        ["power=2..1 is an empty range", "give low..high"],
    ),
    "a tumor bank that is not there": (
        lambda p: (p.other(), finetune(p, "--tumor-bank", "none.npz"))[1],
        ["none.npz: no such file", "--tumor-bank"],
    ),
    "a tumor bank that is a text": (
        lambda p: (p.other(), finetune(p, "--tumor-bank", p.write("b.npz", "tumors")))[1],
        ["b.npz: cannot be read", "no tumor bank"],
    ),
    "a transform that moves what pre-training pairs": (
        lambda p: ["pretrain", p.cases, "--run", p.root / "r", "--preset", "tiny", "--transforms", "elastic"],
        ["elastic moves voxels", "choose from"],
    ),
    "a rate that is no number": (lambda p: (p.other(), finetune(p, "--learning-rate", "nan"))[1], ["learning.rate"]),
    "a GPU that is not there": (lambda p: segment(p, p.cases, "--device", "mps"), ["mps"]),
    "a configuration with an unknown field": (
        lambda p: [*segment(p), "--config", p.write("c.json", '{"windwo": 64}')],
        ["windwo", "known are"],
    ),
    "a configuration with a field of the wrong type": (
        lambda p: [*segment(p), "--config", p.write("c.toml", 'window = "large"')],
        ["window", "large"],
    ),
    "a configuration that is no JSON": (
        lambda p: [*segment(p), "--config", p.write("c.json", "{")],
        ["c.json", "cannot be read"],
    ),
    "a configuration that is no TOML": (
        lambda p: [*segment(p), "--config", p.write("c.toml", "= 3")],
        ["c.toml", "cannot be read"],
    ),
    "a configuration that is a list": (
        lambda p: [*segment(p), "--config", p.write("c.json", "[1]")],
        ["c.json", "table of options"],
    ),
    "a configuration of bytes": (
        lambda p: [*segment(p), "--config", p.write("c.json", b"\xff\xfe\0")],
        ["c.json", "cannot be read"],
    ),
    "a configuration nested without end": (
        lambda p: [*segment(p), "--config", p.write("c.json", NEST)],
        ["c.json", "cannot be read"],
    ),
    "a configuration that is a folder": (lambda p: [*segment(p), "--config", p.root], ["cannot be read"]),
    "an experiment of the wrong types": (
        lambda p: ["compare", p.write("e.toml", 'folders = ["x"]\nsplits = "s"\ncases = ["three"]'), "--run", "r"],
        ["cases", "three"],
    ),
    "a list of cases without columns": (lambda p: segment(p, p.write("l.csv", "a,b\n1,2\n")), ["l.csv", "id"]),
    "a list of cases with one id twice": (
        lambda p: segment(p, p.write("l.csv", "id,t1c\nx,a.nii\nx,b.nii\n")),
        ["l.csv", "twice"],
    ),
    "a list of cases of bytes": (lambda p: segment(p, p.write("l.csv", b"\0\xff\0,")), ["l.csv"]),
    "a list of cases nested without end": (lambda p: segment(p, p.write("l.json", DEEP)), ["l.json"]),
    "a list that names a file that is gone": (
        lambda p: segment(p, p.write("l.csv", "id,t1c\nx,gone.nii\n")),
        ["gone.nii", "no such file"],
    ),
    "no model": (lambda p: ["segment", p.cases, "--out", "out"], ["no model is in use", "finetune"]),
    "a model that there is not": (lambda p: segment(p, model="unheard-of"), ["unheard-of", "is not a model package"]),
    "a model whose weights were changed": (
        lambda p: segment(p, model=(f := p.model_copy(), (f / "model.onnx").write_bytes(b"x"))[0]),
        ["model.onnx", "checksum"],
    ),
    "a model without a file": (
        lambda p: segment(p, model=(f := p.model_copy(), (f / "model.onnx").unlink())[0]),
        ["model.onnx", "missing"],
    ),
    "a model of another format": (lambda p: segment(p, model=recorded(p, format=99)), ["format 99", "update"]),
    "a model of a schema that there is not": (
        lambda p: segment(p, model=recorded(p, schema="x")),
        ["model.json", "'x'"],
    ),
    "a model for other modalities": (
        lambda p: segment(p, model=recorded(p, modalities=["ct"])),
        ["model.json", "modalities"],
    ),
    "a model whose record is nested without end": (
        lambda p: segment(p, model=(f := p.model_copy(), (f / "model.json").write_text(DEEP))[0]),
        ["model.json"],
    ),
    "a model whose network is no network": (
        lambda p: segment(p, model=changed_model(p, "model.onnx", b"no network")),
        ["model.onnx"],
    ),
    "a model whose network has other inputs": (
        lambda p: segment(p, model=changed_model(p, "model.onnx", other_network())),
        ["model.onnx"],
    ),
    "a model whose weights are none": (
        lambda p: [*segment(p, model=changed_model(p, "weights.safetensors", b"\xff" * 64)), "--engine", "torch"],
        ["weights.safetensors"],
    ),
    "weights of another network": (
        lambda p: [
            *segment(p, model=recorded(p, network={"channels": [4, 8, 16], "dropout": [0, 0, 0]})),
            "--engine",
            "torch",
        ],
        ["weights.safetensors", "does not match"],
    ),
    "a model that was only pre-trained": (
        lambda p: segment(p, model=recorded(p, schema="")),
        ["pre-trained", "finetune"],
    ),
    "a window the model cannot have": (lambda p: segment(p, model=recorded(p, window=-1)), ["window"]),
    "a zip that is none": (lambda p: ["models", "import", p.write("m.zip", "PK no")], ["m.zip", "zip"]),
    "a model of other labels than the expert's": (
        lambda p: [
            *evaluated(p, lambda f: f.with_name(f"{CASE}-voxmmsd.json").write_text('{"schema": "brats-ped-2024"}'))
        ],
        ["brats-ped-2024", "other tissues"],
    ),
    "a prediction on another grid": (
        lambda p: evaluated(p, lambda f: nib.save(nib.Nifti1Image(np.zeros((9, 9, 9), np.uint8), AFFINE), f)),
        [f"{CASE}-voxmmsd", "different grid"],
    ),
    "a prediction cut short": (
        lambda p: evaluated(p, lambda f: f.write_bytes(f.read_bytes()[:-40])),
        [f"{CASE}-voxmmsd", "truncated"],
    ),
    "a prediction's record that is none": (
        lambda p: evaluated(p, lambda f: f.with_name(f"{CASE}-voxmmsd.json").write_text(DEEP)),
        ["voxmmsd.json"],
    ),
    "visits of two patients": (
        lambda p: visits(p, patients=("00007", "00008")),
        ["different patients", "one patient"],
    ),
    "visits whose days run backwards": (lambda p: [*visits(p), "--days", "93", "0"], ["--days 93 0", "earliest first"]),
    "visits with too few days": (lambda p: [*visits(p), "--days", "0"], ["--days names 1", "2 visits"]),
    "visits with labels of different schemas": (
        lambda p: visits(p, schemas=("brats-gli-2023", "whole-tumor")),
        ["different schemas", "one model"],
    ),
    "visits of which none has a tumor": (lambda p: visits(p, index=0), ["none of the visits has a tumor"]),
    "a single visit": (lambda p: [a for a in visits(p) if "-101" not in Path(a).name], ["two visits"]),
    "a visit given twice": (lambda p: [*visits(p)[:2], *visits(p)[1:]], ["given twice"]),
    "a visit that is a folder of no library": (
        lambda p: ["follow", p.cases, p.cases / CASE, "--out", p.root / "out"],
        ["neither a result nor a case of a library"],
    ),
    "a visit whose images are gone": (lambda p: visits(p)[:-3], ["no run lies beside it", "--case"]),
    "a report of labels that are no result": (
        lambda p: ["report", p.file("seg"), "--out", p.root / "out"],
        ["is not a result of `voxmmsd segment`"],
    ),
    "a report of labels that were edited in place": (
        lambda p: (
            (result := visits(p)[1]).write_bytes(result.read_bytes() + b"x"),
            ["report", result, "--out", p.root / "out"],
        )[1],
        ["has changed since it was written"],
    ),
    "NIfTI images to become DICOM": (lambda p: segment(p, p.cases, "--dicom-seg"), [CASE, r"-t1n\.nii\.gz", "DICOM"]),
    "a result to export without its series": (lambda p: ["export-dicom", exported(p)[0]], ["--source SERIES"]),
    "a result to export with a folder that is no series": (
        lambda p: ["export-dicom", exported(p)[0], "--source", p.cases],
        ["cases", "no DICOM series"],
    ),
    "a result to export with a series of another patient": (
        lambda p: ["export-dicom", exported(p)[0], "--source", other_series(p)],
        ["other-series", "another grid", "none of the images"],
    ),
    "a result to export with a series elsewhere": (
        lambda p: [
            "export-dicom",
            exported(p, grid=Grid(exported_results.SHAPE, FAR))[0],
            "--source",
            p.root / "series",
        ],
        ["series", "no place in common"],
    ),
    "a result to export with one of several series": (
        lambda p: ["export-dicom", exported(p)[0], "--source", other_series(p, "series")],
        ["series: holds 2 DICOM series", "--series UID"],
    ),
    "a result without a tumor to export": (
        lambda p: ["export-dicom", *exported(p, array=np.zeros(exported_results.SHAPE))],
        ["case-voxmmsd", "empty", "needs a segment"],
    ),
    "a result to export over another file": (
        lambda p: (p.write("in-dicom/case-voxmmsd-seg.dcm", "mine"), ["export-dicom", *exported(p)])[1],
        ["case-voxmmsd-seg.dcm", "exists already"],
    ),
    "labels without a record to export": (
        lambda p: ["export-dicom", p.file("seg"), "--source", p.cases],
        [f"{CASE}-seg|no DICOM series"],
    ),
    "a run that there is not": (lambda p: ["runs", "show", "unheard-of"], ["unheard-of", "no run"]),
    "a run whose status is none": (lambda p: ["runs", "show", p.write("r/status.json", "[]").parent], ["status.json"]),
    "a run whose status is of wrong types": (
        lambda p: ["runs", "show", p.write("r/status.json", '{"state": 3, "heartbeat": "x", "step": []}').parent],
        ["status.json"],
    ),
    "a run whose status is nested without end": (
        lambda p: ["runs", "show", p.write("r/status.json", DEEP).parent],
        ["status.json"],
    ),
}


def visits(place, patients=("00007", "00007"), schemas=("brats-gli-2023",) * 2, index=1):
    """A call of ``follow`` with two results of the patients' visits."""
    from reporting.made_results import write_result

    label = np.zeros((12, 12, 12), np.uint8)
    label[4:8, 4:8, 4:8] = index
    grid = Grid(label.shape, AFFINE)
    image = np.arange(label.size, dtype=np.int16).reshape(label.shape)
    ids = [f"BraTS-GLI-{patient}-10{number}" for number, patient in enumerate(patients)]
    files = [
        write_result(place.root / "visits", one, {"t1c": image}, label, grid, schema)
        for one, schema in zip(ids, schemas, strict=True)
    ]
    images = [place.root / "visits" / "cases" / one for one in ids]
    return ["follow", *files, "--out", place.root / "out", "--case", *images]


def exported(place, **how):
    """A result and its DICOM series, as arguments of export-dicom."""
    series = exported_results.series(place.root / "series")
    return [exported_results.result(place.root / "in-dicom", series, **how), "--source", series]


def other_series(place, folder="other-series"):
    """A series on another grid; if need be beside one that is there."""
    return exported_results.series(place.root / folder, "1.2.826.0.1.78", (7, 11, 13), names="other-", description="T1")


def renamed(place):
    """The case under a name that tells no data set."""
    folder = place.root / "free" / "anna"
    folder.mkdir(parents=True)
    for name in ("t1c", "seg"):
        (folder / f"anna_{name}.nii.gz").write_bytes(place.file(name).read_bytes())
    return folder.parent


def mask(place, made, affine=AFFINE):
    file = place.root / "mask.nii.gz"
    nib.save(nib.Nifti1Image(made(np.ones((24, 24, 24), np.uint8)), affine), file)
    return file


def other_network():
    """A whole ONNX network that takes and gives something else."""
    import onnx

    node = onnx.helper.make_node("Identity", ["number"], ["same"])
    kind = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in ("number", "same")]
    graph = onnx.helper.make_graph([node], "other", kind[:1], kind[1:])
    return onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8
    ).SerializeToString()


@pytest.mark.parametrize("name", CALLS)
def test_a_call_that_cannot_be_served_is_refused(name, place, capsys):
    arrange, says = CALLS[name]
    refuse(arrange(place), place, capsys, *says)


def test_a_training_that_was_refused_over_its_input_is_called_again_with_the_same_run(place, capsys):
    place.other()
    right = place.file("seg").read_bytes()
    place.raw(b"", "seg")
    call = [str(a) for a in finetune(place, "--channels", "4", "8", "--patch", "16", "--steps", "1")]
    assert main(call) == 2
    place.raw(right, "seg")
    assert main([*call, "--seed", "1", "--schema", "brats-gli-2023"]) == 0
    assert main([*call, "--seed", "2"]) == 2  # now there is something to lose
    assert "was started with other options" in capsys.readouterr().err


def test_the_tables_are_as_long_as_they_were():
    assert len(IMAGES) + len(CALLS) >= 120
