"""What looks odd and must give the ordinary result, as a table: the same labels at the same places, nothing changed."""

import gzip
import json
import struct

import nibabel as nib
import numpy as np
import pytest
from hard_places import CASE, Place, pristine, snapshot

from voxmmsd.cli import main
from voxmmsd.data.cases import find_cases
from voxmmsd.data.formats.sources import Source, read_volume
from voxmmsd.data.store import open_store
from voxmmsd.data.volume import canonical
from voxmmsd.labels import MODALITIES

SEG = "seg"
ALL = (*MODALITIES, SEG)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return pristine(tmp_path_factory.mktemp("pristine"))


@pytest.fixture
def place(source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Place.copied(source, tmp_path)


@pytest.fixture(scope="module")
def ordinary(source, tmp_path_factory):
    """The canonical labels of the untouched case, with all modalities and with each alone."""
    place = Place.copied(source, tmp_path_factory.mktemp("ordinary"))
    found = {"": segmented(place, [place.cases])}
    for name in MODALITIES:
        found[name] = segmented(place, [f"--{name}", place.file(name), "--id", name])
    assert all(len(np.unique(label)) > 1 for label in found.values()), "nothing could be told from a constant"
    return found


def segmented(place, case):
    """The canonical ``(z, y, x)`` label values of a case's only result."""
    out = place.root / "out of it"
    before = {file: content for file, content in snapshot(place.root).items() if not file.startswith(out.name)}
    old = set(out.glob("*.nii.gz"))
    call = ["segment", *case, "--out", out, "--model", place.model, "--engine", "onnx"]
    assert main([str(a) for a in call]) == 0
    assert before.items() <= snapshot(place.root).items(), "something of the user's was changed"
    (file,) = set(out.glob("*.nii.gz")) - old
    return canonical(read_volume(Source(file))).array


def edited(names, change):
    """Replace images by what ``change`` makes of them."""

    def apply(place):
        for name in names:
            image = change(place.load(name))
            place.file(name).unlink()
            nib.save(image, place.file(name))

    return apply


def turned(codes):
    def change(image):
        order = nib.orientations.ornt_transform(
            nib.orientations.io_orientation(image.affine), nib.orientations.axcodes2ornt(codes)
        )
        return image.as_reoriented(order)

    return edited(ALL, change)


def moved(matrix):
    """The same voxels on another grid, the same for all images."""
    return edited(ALL, lambda image: nib.Nifti1Image(np.asarray(image.dataobj), matrix(image.affine)))


def coded(sform, qform, spoil=None):
    def change(image):
        image = nib.Nifti1Image(np.asarray(image.dataobj), image.affine)
        image.set_qform(image.affine if spoil is None else image.affine @ spoil, code=qform)
        image.set_sform(image.affine, code=sform)
        return image

    return edited(ALL, change)


def stored(dtype, factor=1):
    return edited(MODALITIES, lambda image: typed(np.asarray(image.dataobj).astype(float) * factor, image, dtype))


def typed(array, image, dtype):
    return nib.Nifti1Image(array.astype(dtype), image.affine, dtype=dtype)


def scaled(image):
    made = nib.Nifti1Image((np.asarray(image.dataobj) * 2 + 20).astype(np.int16), image.affine)
    made.header.set_slope_inter(0.5, -10)
    return made


def patched(at, content):
    """Overwrite bytes of every image's header."""
    return lambda place: [place.header_bytes(at, content, name) for name in MODALITIES] and None


def extended(image):
    made = nib.Nifti1Image(np.asarray(image.dataobj), image.affine)
    made.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"a scanner's remark" * 20))
    return made


def many_members(place):
    for name in MODALITIES:
        whole = gzip.decompress(place.file(name).read_bytes())
        place.raw(b"".join(gzip.compress(whole[i : i + 5000], 1) for i in range(0, len(whole), 5000)), name)


def as_nifti_2(place):
    for name in ALL:
        image = place.load(name)
        nib.save(nib.Nifti2Image(np.asarray(image.dataobj), image.affine), place.file(name))


def big_endian(place):
    for name in MODALITIES:
        image = place.load(name)
        header = nib.Nifti1Header(endianness=">")
        header.set_data_dtype(">i2")
        nib.save(nib.Nifti1Image(np.asarray(image.dataobj), image.affine, header), place.file(name))


def ending(new, compressed=True):
    def apply(place):
        for name in ALL:
            content = place.file(name).read_bytes()
            place.file(name).unlink()
            place.file(name, new).write_bytes(content if compressed else gzip.decompress(content))

    return apply


def by_itk(new):
    def apply(place):
        itk = pytest.importorskip("SimpleITK")
        for name in ALL:
            image = itk.ReadImage(str(place.file(name)))
            place.file(name).unlink()
            itk.WriteImage(image, str(place.file(name, new)))

    return apply


def called(folder):
    """The case's folder and files under another name; the patient is told from it."""

    def apply(place):
        new = place.cases / folder
        (place.cases / CASE).rename(new)
        for file in list(new.iterdir()):
            file.rename(new / file.name.replace(CASE, folder))

    return apply


def ten_thousand(place):
    for number in range(10_000):
        (place.cases / CASE / f"note-{number}.txt").touch()


def hidden(place):
    for name in ("._" + place.file().name, ".DS_Store"):
        (place.cases / CASE / name).write_bytes(b"\0\5\x16\7junk")
    (place.cases / "__MACOSX").mkdir()


def linked(place):
    real = place.root / "elsewhere"
    (place.cases / CASE).rename(real)
    (place.cases / CASE).symlink_to(real, target_is_directory=True)


def linked_files(place):
    for name in ALL:
        real = place.root / f"{name}.bin"
        place.file(name).rename(real)
        place.file(name).symlink_to(real)


def with_a_broken_sform(place):
    coded(1, 1)(place)
    patched(280, struct.pack("<f", np.nan))(place)


def in_micrometers(image):
    affine = image.affine.copy()
    affine[:3] *= 1000
    new = nib.Nifti1Image(np.asarray(image.dataobj), affine)
    new.header.set_xyzt_units("micron")
    return new


def shear(affine):
    turn = np.eye(4)
    turn[0, 1] = 0.002
    return turn @ affine


def oblique(affine):
    c, s = np.cos(0.3), np.sin(0.3)
    return np.array([[c, -s, 0, 3], [s, c, 0, -8], [0, 0, 1, 40], [0, 0, 0, 1.0]]) @ affine


def noisy(place):
    for number, name in enumerate(ALL):
        affine = place.load(name).affine
        affine[:3, 3] += 1e-4 * number
        place.save(name=name, affine=affine)


def listed(name, write):
    """Given as a list instead of a folder."""

    def arrange(place):
        rows = {m: f"cases/{CASE}/{place.file(m).name}" for m in MODALITIES}
        return [place.write(name, write({"id": CASE, **rows}))]

    return arrange


TURNED_BACK = np.diag([-1.0, -1.0, 1.0, 1.0])

SAME = {
    "left-handed": turned("LAS"),
    "right-handed": turned("RAS"),
    "axes in another order": turned("PIR"),
    "axes in a third order": turned("ASL"),
    "upside down": turned("LPI"),
    "oblique": moved(oblique),
    "sheared within tolerance": moved(shear),
    "modalities that differ by less than a hundredth of a millimeter": noisy,
    "far from the world's origin": moved(lambda a: a + np.outer([1, 1, 1, 0], [0, 0, 0, 4e4])),
    "a qform alone": coded(0, 1),
    "an sform alone": coded(1, 0),
    "a qform against the sform, which wins": coded(1, 1, TURNED_BACK),
    "a code that there is not": coded(4, 4),
    "units that are missing": patched(123, b"\0"),
    "micrometers": edited(ALL, in_micrometers),
    "an sform of NaN beside a sound qform": with_a_broken_sform,
    "uint16": stored(np.uint16),
    "int32": stored(np.int32),
    "uint32": stored(np.uint32),
    "int64": stored(np.int64),
    "float32": stored(np.float32),
    "float64": stored(np.float64),
    "big-endian": big_endian,
    "scaled integers": edited(MODALITIES, scaled),
    "a slope of zero, which means none": patched(112, struct.pack("<ff", 0, 0)),
    "a slope of NaN, which means none": patched(112, struct.pack("<ff", np.nan, np.nan)),
    "a brightness of another scanner": stored(np.float32, 1 / 512),
    "a singleton fourth axis": edited(ALL, lambda i: nib.Nifti1Image(np.asarray(i.dataobj)[..., None], i.affine)),
    "singleton fourth and fifth axes": edited(
        ALL, lambda i: nib.Nifti1Image(np.asarray(i.dataobj)[..., None, None], i.affine)
    ),
    "NIfTI-2": as_nifti_2,
    "uncompressed": ending(".nii", compressed=False),
    "an ending in capitals": ending(".NII.GZ"),
    "a gzip in a plain file's name": ending(".nii"),
    "a gzip of many members": many_members,
    "padding behind the gzip": lambda p: [p.raw(lambda old: old + bytes(512), m) for m in MODALITIES] and None,
    "an extension of the header": edited(ALL, extended),
    "a description that is no text": patched(148, bytes(range(120, 200))),
    "a maximum and minimum that are wrong": patched(124, struct.pack("<ff", np.nan, -1)),
    "NRRD": by_itk(".nrrd"),
    "MetaImage": by_itk(".mha"),
    "a name with spaces": called("Patient 12 second scan"),
    "a name with quotes": called('it\'s "P-012"'),
    "a name with umlauts": called("Müller-Lüdenscheidt-001"),
    "a name in Chinese": called("患者-001"),
    "a name that is decomposed": called("Mu\u0308ller-001"),
    "a name with a leading dash": called("-001-P"),
    "a name with brackets and a percent sign": called("P[001]{%s}*"),
    "a name of 240 characters": called("P" * 223 + "-001"),
    "ten thousand unrelated files": ten_thousand,
    "what other systems leave": hidden,
    "a folder behind a link": linked,
    "images behind links": linked_files,
    "images that are read-only": lambda p: [p.file(m).chmod(0o444) for m in ALL] and None,
    "no label": lambda p: p.file(SEG).unlink(),
    "a broken label, which is none of segment's business": lambda p: p.raw(b"", SEG) and None,
    "a folder above": lambda p: [p.cases / CASE],
    "a relative path with a slash behind": lambda p: ["cases/"],
    "files one by one": lambda p: [x for m in MODALITIES for x in (f"--{m}", p.file(m))],
    "a list with semicolons, as a spreadsheet saves it": listed(
        "l.csv", lambda row: "\ufeff" + ";".join(row) + "\r\n" + ";".join(row.values()) + "\r\n"
    ),
    "a JSON list": listed("l.json", lambda row: json.dumps({"cases": [row]})),
}


@pytest.mark.parametrize("name", SAME)
def test_the_ordinary_result(name, place, ordinary):
    case = SAME[name](place) or [place.cases]
    np.testing.assert_array_equal(segmented(place, case), ordinary[""])


@pytest.mark.parametrize("name", MODALITIES)
def test_one_modality_suffices(name, place, ordinary):
    for other in MODALITIES:
        if other != name:
            place.file(other).unlink()
    np.testing.assert_array_equal(segmented(place, [place.cases]), ordinary[name])


def labels_of(place):
    call = ["prepare", place.cases, "--store", place.root / "store", "--workers", "1"]
    assert main([str(a) for a in call]) == 0
    (entry,) = open_store(place.root / "store")
    return np.array(entry.label())


LABELS = {
    "floats that are nearly whole": lambda v: v + np.float32(1e-7) * v,
    "float64": lambda v: v.astype(np.float64),
    "int16": lambda v: v.astype(np.int16),
    "int8": lambda v: v.astype(np.int8),
    "a singleton fourth axis": lambda v: v[..., None],
}


@pytest.mark.parametrize("name", LABELS)
def test_labels_mean_the_same_however_they_are_stored(name, place, source, tmp_path):
    expected = labels_of(Place.copied(source, tmp_path / "plain"))
    place.save(LABELS[name], SEG)
    np.testing.assert_array_equal(labels_of(place), expected)


def test_a_case_without_any_tumor_is_prepared_and_scored(place, capsys):
    place.save(np.zeros_like, SEG)
    assert not labels_of(place).any()
    segmented(place, [place.cases])
    assert main(["evaluate", str(place.root / "out of it"), str(place.cases)]) == 0
    assert "nan" not in capsys.readouterr().out.lower()


def test_what_was_doubtful_in_a_header_is_told(place, capsys):
    SAME["a qform against the sform, which wins"](place)
    (case,) = find_cases(place.cases).cases
    assert main(["check", str(place.cases)]) == 0
    assert "the sform is used" in capsys.readouterr().out
    assert set(case.modalities) == set(MODALITIES)


def test_the_table_is_as_long_as_it_was():
    assert len(SAME) + len(LABELS) + len(MODALITIES) >= 60
